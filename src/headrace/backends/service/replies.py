"""Statuses, times and words of replies, as far as all services agree on them."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from headrace.errors import (
    CredentialsError,
    HeadraceError,
    InvalidOption,
    NotFound,
    NotSupported,
    PermissionDenied,
    PreconditionFailed,
    ProtocolError,
    Throttled,
)
from headrace.uri import Location

__all__ = ["ERRORS_BY_STATUS", "MESSAGES_BY_STATUS", "check_keys", "parse_http_date", "retry_after", "shortened"]

ERRORS_BY_STATUS: Mapping[int, type[HeadraceError]] = {
    401: CredentialsError,
    403: PermissionDenied,
    404: NotFound,
    405: NotSupported,
    412: PreconditionFailed,
    416: InvalidOption,
    429: Throttled,
    501: NotSupported,
    503: Throttled,
}
"""What a failing status means where no code of the service says more."""

MESSAGES_BY_STATUS: Mapping[int, str] = {
    403: "access denied",
    404: "no such object or container",
    412: "the condition did not hold",
    416: "the range is outside of the object",
}


def shortened(message: str | None) -> str:
    """What a service says, without the line breaks and controls that would make a log say something else, and not at any length."""
    text = " ".join((message or "")[:1000].split()).rstrip(".")
    return text if text.isprintable() else "".join(character if character.isprintable() else "?" for character in text)


def retry_after(header: str | None) -> float | None:
    """``Retry-After`` (RFC 9110, section 10.2.3) as seconds from now."""
    if header is None:
        return None
    if header.isascii() and header.isdigit():
        return float(header)
    moment = parse_http_date(header)
    return max(0.0, (moment - datetime.now(UTC)).total_seconds()) if moment else None


_MONTHS = dict(zip(("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"), range(1, 13), strict=True))


@functools.lru_cache(maxsize=1024)
def parse_http_date(text: str) -> datetime | None:
    """An HTTP date in the preferred form (RFC 9110, section 5.6.7), such as ``Sun, 06 Nov 1994 08:49:37 GMT``; None if it is not."""
    try:
        month = _MONTHS[text[8:11]]
        return datetime(int(text[12:16]), month, int(text[5:7]), int(text[17:19]), int(text[20:22]), int(text[23:25]), tzinfo=UTC)
    except (ValueError, KeyError, IndexError):
        return None


def check_keys(keys: Sequence[str], prefix: Location) -> None:
    """Refuse a listing with keys that were not asked for: what deletes or copies what is listed would go beyond what was meant."""
    for key in keys:
        if not key or not key.startswith(prefix.key):
            raise ProtocolError(
                f"the service listed {key[:80]!r}, which does not begin with {prefix.key[:80]!r}", hint="Nothing was done with this page."
            )
