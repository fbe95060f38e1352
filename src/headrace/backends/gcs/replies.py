"""What the replies of the JSON API mean: failures as errors ("HTTP status and error codes for JSON" in its documentation)."""

from __future__ import annotations

import json
from collections.abc import Mapping

from headrace.backends.protocol import WriteOptions
from headrace.backends.service.replies import ERRORS_BY_STATUS, MESSAGES_BY_STATUS, retry_after, shortened
from headrace.backends.service.writing import condition_failed
from headrace.errors import (
    HeadraceError,
    IntegrityError,
    PermissionDenied,
    ProtocolError,
    ServiceError,
    Throttled,
)
from headrace.http.codec import Reply

__all__ = ["error_from", "error_of", "names_bucket", "write_error"]

_BY_REASON: Mapping[str, type[HeadraceError]] = {
    "rateLimitExceeded": Throttled,
    "userRateLimitExceeded": Throttled,
    "quotaExceeded": Throttled,
}

_HINTS: Mapping[str, str] = {
    "authError": "The token is wrong or has ended.",
    "required": "Without a token the service allows nothing here: give credentials.",
    "accountDisabled": "The account or project is disabled.",
    "userProjectMissing": "Whoever reads this bucket pays: set request_payer, and project.",
}

_LONGEST_ERROR = 64 << 10


def error_from(reply: Reply) -> HeadraceError:
    """The error that a reply with a failing status stands for, or a successful one that is not what was promised."""
    headers = reply.headers
    if reply.status < 300:
        return ProtocolError("a successful reply without the promised content", status=reply.status, request_id=_request_id(headers))
    return error_of(reply.status, headers, bytes(reply.body[:_LONGEST_ERROR]))


def error_of(status: int, headers: Mapping[str, str], body: bytes) -> HeadraceError:
    """The error that a failing status stands for, with the code and the words that the body has."""
    reason, message = _stated(headers, body)
    kind = _BY_REASON.get(reason or "") or ERRORS_BY_STATUS.get(status) or ServiceError
    if status == 400 and "match" in message and ("CRC32C" in message or "MD5" in message):
        kind = IntegrityError
    return kind(
        shortened(message) or MESSAGES_BY_STATUS.get(status) or "the service reports an error",
        status=status,
        code=shortened(reason)[:100] or None,
        request_id=_request_id(headers),
        retry_after=retry_after(headers.get("retry-after")),
        hint=_HINTS.get(reason or "") or ("Check the credentials and the bucket's policy." if kind is PermissionDenied else None),
    )


def write_error(reply: Reply, options: WriteOptions) -> HeadraceError:
    """The error of a write that may have had a condition."""
    error = error_from(reply)
    unmet = reply.status == 412
    return condition_failed(error, options, exists=unmet, other=unmet or (reply.status == 404 and not names_bucket(error)))


def names_bucket(error: HeadraceError) -> bool:
    """Whether what was not found is the bucket: only the words of the message tell."""
    return "bucket does not exist" in error.message


def _request_id(headers: Mapping[str, str]) -> str | None:
    return (headers.get("x-guploader-uploadid") or headers.get("x-goog-request-id") or "")[:200] or None


def _stated(headers: Mapping[str, str], body: bytes) -> tuple[str | None, str]:
    """Reason and message of an error document; of plain text, as replies to downloads have it, the text."""
    try:
        error = json.loads(body)["error"]
        details = error.get("errors") or [{}]
        return str(details[0].get("reason") or "") or None, str(error.get("message") or "")
    except (ValueError, RecursionError, LookupError, TypeError, AttributeError):
        pass
    if headers.get("content-type", "").startswith("text/plain"):
        return None, body[:1000].decode(errors="replace")
    return None, ""
