"""The options of a write as S3 request headers."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable, Mapping

import crc32c

from headrace.backends.protocol import Body, WriteOptions
from headrace.backends.service.bodies import pieces
from headrace.errors import InvalidOption
from headrace.http.messages import Secret

_METADATA_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")

__all__ = ["body_checksum", "condition_headers", "customer_key_headers", "description_headers", "encryption_headers"]


def condition_headers(options: WriteOptions) -> dict[str, str]:
    """The headers of a conditional write."""
    headers = {}
    if options.create_only:
        headers["if-none-match"] = "*"
    if options.if_match is not None:
        headers["if-match"] = options.if_match
    return headers


def description_headers(options: WriteOptions) -> dict[str, str]:
    """The headers that describe the object.

    Raises:
        InvalidOption: metadata that HTTP headers cannot carry unchanged.
    """
    headers = {}
    if options.content_type is not None:
        headers["content-type"] = options.content_type
    if options.storage_class is not None:
        headers["x-amz-storage-class"] = options.storage_class
    pairs: Iterable[tuple[object, object]] = options.metadata.items()
    for name, value in pairs:
        if not isinstance(name, str) or not isinstance(value, str):
            raise InvalidOption(f"metadata {name!r} must be text", hint="Metadata maps str to str.")
        if not _METADATA_NAME.fullmatch(name) or not value.isascii() or not value.isprintable() or value != value.strip():
            raise InvalidOption(f"metadata {name!r} has characters that S3 does not keep", hint="Use ASCII without blanks at the ends.")
        headers[f"x-amz-meta-{name.lower()}"] = value
    return headers


def encryption_headers(encryption: object) -> dict[str, str]:
    """The headers that ask the service to encrypt what is written; see `config.Encryption`."""
    kind = getattr(encryption, "kind", None)
    if kind is None:
        return {}
    if kind == "customer":
        return customer_key_headers(encryption)
    headers = {"x-amz-server-side-encryption": kind}
    key_id = getattr(encryption, "key_id", None)
    if key_id:
        headers["x-amz-server-side-encryption-aws-kms-key-id"] = key_id
    return headers


def customer_key_headers(encryption: object, prefix: str = "x-amz-") -> dict[str, str]:
    """The headers that carry a key of the customer's, on reads and writes; empty for other encryption."""
    key: bytes | None = getattr(encryption, "customer_key", None)
    if key is None:
        return {}
    digest = hashlib.md5(key, usedforsecurity=False).digest()
    return {
        f"{prefix}server-side-encryption-customer-algorithm": "AES256",
        f"{prefix}server-side-encryption-customer-key": Secret(base64.b64encode(key).decode()),
        f"{prefix}server-side-encryption-customer-key-md5": base64.b64encode(digest).decode(),
    }


def body_checksum(body: Body, kind: str) -> Mapping[str, str]:
    """The header with the checksum of a body; none for ``"none"``. Reads the body's files."""
    if kind == "none":
        return {}
    buffers = pieces(body)
    if kind == "md5":
        digest = hashlib.md5(usedforsecurity=False)
        for buffer in buffers:
            digest.update(buffer)
        return {"content-md5": base64.b64encode(digest.digest()).decode()}
    if kind == "crc32":
        import zlib

        value, name = 0, "x-amz-checksum-crc32"
        for buffer in buffers:
            value = zlib.crc32(buffer, value)
    else:
        value, name = 0, "x-amz-checksum-crc32c"
        for buffer in buffers:
            value = crc32c.crc32c(buffer, value)
    return {name: base64.b64encode(value.to_bytes(4, "big")).decode()}
