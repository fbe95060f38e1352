"""The options of a write as request headers."""

from __future__ import annotations

import hashlib
import re
from base64 import b64encode
from collections.abc import Iterable

from headrace.backends.protocol import Body, WriteOptions
from headrace.backends.service.bodies import pieces
from headrace.errors import InvalidOption

__all__ = ["body_md5", "condition_headers", "description_headers"]

# "Naming and referencing containers, blobs, and metadata": names of metadata are C# identifiers; of those HTTP carries these.
_METADATA_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*").fullmatch


def condition_headers(options: WriteOptions) -> dict[str, str]:
    """The headers of a conditional write."""
    headers = {}
    if options.create_only:
        headers["if-none-match"] = "*"
    if options.if_match is not None:
        headers["if-match"] = options.if_match
    return headers


def description_headers(options: WriteOptions) -> dict[str, str]:
    """The headers that describe a blob.

    Raises:
        InvalidOption: metadata that the service cannot keep unchanged.
    """
    headers = {}
    if options.content_type is not None:
        headers["x-ms-blob-content-type"] = options.content_type
    if options.storage_class is not None:
        headers["x-ms-access-tier"] = options.storage_class
    pairs: Iterable[tuple[object, object]] = options.metadata.items()
    for name, value in pairs:
        if not isinstance(name, str) or not isinstance(value, str):
            raise InvalidOption(f"metadata {name!r} must be text", hint="Metadata maps str to str.")
        if not _METADATA_NAME(name):
            raise InvalidOption(f"metadata {name!r} has a name that Azure does not take", hint="Use letters, digits and underscores.")
        if not value.isascii() or not value.isprintable() or value != value.strip():
            raise InvalidOption(f"metadata {name!r} has characters that Azure does not keep", hint="Use ASCII without blanks at the ends.")
        headers[f"x-ms-meta-{name.lower()}"] = value
    return headers


def body_md5(body: Body) -> str:
    """The value of ``Content-MD5`` for a body. Reads the body's files."""
    digest = hashlib.md5(usedforsecurity=False)
    for piece in pieces(body):
        digest.update(piece)
    return b64encode(digest.digest()).decode()
