"""What a write says besides its bytes, and what its refusal means, as far as all services agree on it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from headrace.backends.protocol import WriteOptions
from headrace.errors import AlreadyExists, HeadraceError, InvalidOption, PreconditionFailed

__all__ = ["condition_failed", "condition_headers", "metadata_headers"]


def condition_headers(options: WriteOptions) -> dict[str, str]:
    """The headers of a conditional write (RFC 9110, section 13.1)."""
    headers = {}
    if options.create_only:
        headers["if-none-match"] = "*"
    if options.if_match is not None:
        headers["if-match"] = options.if_match
    return headers


def condition_failed(error: HeadraceError, options: WriteOptions, *, exists: bool, other: bool) -> HeadraceError:
    """The error of a refused write, in the words of its condition if that is what failed.

    Args:
        error: what the reply stands for by itself.
        options: the write's.
        exists: whether the reply can mean that there is an object of this name.
        other: whether it can mean that another version is there, or none.
    """
    context: dict[str, Any] = {"status": error.status, "code": error.code, "request_id": error.request_id}
    if options.create_only and exists:
        return AlreadyExists("there is an object of this name, and create_only asks not to replace it", **context)
    if options.if_match is not None and other:
        return PreconditionFailed("the object is not, or no longer, the version that if_match names", **context)
    return error


def metadata_headers(metadata: Mapping[str, str], prefix: str, *, names: re.Pattern[str], service: str) -> dict[str, str]:
    """The user's own key-value pairs as headers whose names begin with ``prefix``.

    Args:
        metadata: the pairs.
        prefix: what the names begin with.
        names: the names that the service takes.
        service: its name, for the error.

    Raises:
        InvalidOption: the service would not keep them unchanged.
    """
    headers = {}
    pairs: Iterable[tuple[object, object]] = metadata.items()
    for name, value in pairs:
        if not isinstance(name, str) or not isinstance(value, str):
            raise InvalidOption(f"metadata {name!r} must be text", hint="Metadata maps str to str.")
        if names.fullmatch(name) is None:
            raise InvalidOption(f"metadata {name!r} has a name that {service} does not keep", hint="Use letters, digits and underscores.")
        if not value.isascii() or not value.isprintable() or value != value.strip():
            hint = "Use ASCII without blanks at the ends."
            raise InvalidOption(f"metadata {name!r} has characters that {service} does not keep", hint=hint)
        headers[f"{prefix}{name.lower()}"] = value
    return headers
