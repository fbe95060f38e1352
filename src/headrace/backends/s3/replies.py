"""What S3's replies mean: headers as descriptions of objects, failures as errors."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from headrace.backends.s3 import xml
from headrace.errors import (
    AlreadyExists,
    CredentialsError,
    HeadraceError,
    IntegrityError,
    InvalidOption,
    InvalidURI,
    NotFound,
    NotSupported,
    PermissionDenied,
    PreconditionFailed,
    ProtocolError,
    ServiceError,
    Throttled,
)
from headrace.http.codec import Reply
from headrace.models import ObjectInfo

__all__ = ["content_range", "error_from", "error_named", "object_info", "parse_http_date"]

_BY_CODE: Mapping[str, type[HeadraceError]] = {
    "NoSuchKey": NotFound,
    "NoSuchBucket": NotFound,
    "NoSuchUpload": NotFound,
    "NoSuchVersion": NotFound,
    "NotFound": NotFound,
    "AccessDenied": PermissionDenied,
    "AllAccessDisabled": PermissionDenied,
    "AccountProblem": PermissionDenied,
    "InvalidAccessKeyId": CredentialsError,
    "SignatureDoesNotMatch": CredentialsError,
    "ExpiredToken": CredentialsError,
    "InvalidToken": CredentialsError,
    "TokenRefreshRequired": CredentialsError,
    "RequestTimeTooSkewed": CredentialsError,
    "RequestExpired": CredentialsError,
    "PreconditionFailed": PreconditionFailed,
    "BucketAlreadyExists": AlreadyExists,
    "BucketAlreadyOwnedByYou": AlreadyExists,
    "BadDigest": IntegrityError,
    "InvalidDigest": IntegrityError,
    "XAmzContentSHA256Mismatch": IntegrityError,
    "InvalidRange": InvalidOption,
    "EntityTooLarge": InvalidOption,
    "EntityTooSmall": InvalidOption,
    "KeyTooLongError": InvalidURI,
    "InvalidBucketName": InvalidURI,
    "InvalidURI": InvalidURI,
    "NotImplemented": NotSupported,
    "MethodNotAllowed": NotSupported,
    "SlowDown": Throttled,
    "ServiceUnavailable": Throttled,
    "RequestLimitExceeded": Throttled,
    "TooManyRequests": Throttled,
    "Busy": Throttled,
}

_BY_STATUS: Mapping[int, type[HeadraceError]] = {
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

_HINTS: Mapping[str, str] = {
    "NoSuchBucket": "Create the bucket first, or check the endpoint and the spelling.",
    "SignatureDoesNotMatch": "The secret key is wrong, or something on the way changes the request.",
    "InvalidAccessKeyId": "The service does not know this access key.",
    "ExpiredToken": "The session has ended and no newer credentials were found.",
    "RequestTimeTooSkewed": "Set this machine's clock.",
    "AuthorizationHeaderMalformed": "The region is wrong: set `region` (HEADRACE_REGION).",
    "PermanentRedirect": "The bucket is in another region or at another endpoint.",
    "EntityTooSmall": "Only the last part may be smaller than 5 MiB: set a larger part_size.",
}

_MESSAGES: Mapping[int, str] = {
    403: "access denied",
    404: "no such object or bucket",
    412: "the condition did not hold",
    416: "the range is outside of the object",
}


def error_from(reply: Reply) -> HeadraceError:
    """The error that a reply with a failing status, or with an error in a successful one, stands for."""
    headers = reply.headers
    code, message = xml.parse_error(reply.body)
    status = reply.status
    kind = _BY_CODE.get(code or "") or _BY_STATUS.get(status) or ServiceError
    if status < 300 and code is None:
        kind, message = ProtocolError, "a successful reply without the promised content"
    return kind(
        _shortened(message) or _MESSAGES.get(status) or "the service reports an error",
        status=status,
        code=code[:100] if code else None,
        request_id=headers.get("x-amz-request-id", "")[:200] or None,
        retry_after=_seconds(headers.get("retry-after")),
        hint=_HINTS.get(code or "") or ("Check the credentials and the bucket's policy." if kind is PermissionDenied else None),
    )


def error_named(code: str, message: str, **context: Any) -> HeadraceError:
    """The error that a service's code stands for, where it comes without a reply of its own."""
    return _BY_CODE.get(code, ServiceError)(_shortened(message) or "the service reports an error", code=code[:100], **context)


def _shortened(message: str | None) -> str:
    """What a service says, without the line breaks and controls that would make a log say something else, and not at any length."""
    text = " ".join((message or "")[:1000].split()).rstrip(".")
    return text if text.isprintable() else "".join(character if character.isprintable() else "?" for character in text)


def _seconds(retry_after: str | None) -> float | None:
    """``Retry-After`` (RFC 9110, section 10.2.3) as seconds from now."""
    if retry_after is None:
        return None
    if retry_after.isascii() and retry_after.isdigit():
        return float(retry_after)
    moment = parse_http_date(retry_after)
    return max(0.0, (moment - datetime.now(UTC)).total_seconds()) if moment else None


def object_info(uri: str, headers: Mapping[str, str], size: int) -> ObjectInfo:
    """Describe an object by the headers of a reply to GET or HEAD."""
    get = headers.get
    modified = get("last-modified")
    return ObjectInfo(
        uri=uri,
        size=size,
        etag=get("etag") or None,
        last_modified=parse_http_date(modified) if modified is not None else None,
        content_type=get("content-type"),
        metadata={name[11:]: value for name, value in headers.items() if name[:11] == "x-amz-meta-"},
        version_id=get("x-amz-version-id"),
        storage_class=get("x-amz-storage-class"),
        checksum=_checksum(headers),
    )


def _checksum(headers: Mapping[str, str]) -> str | None:
    """The checksum of the whole object, where the service tells it; those of multipart objects may be of their parts only."""
    encoded = headers.get("x-amz-checksum-crc32c")
    if encoded is None or "-" in encoded or headers.get("x-amz-checksum-type") == "COMPOSITE":
        return None
    import base64

    try:
        return f"crc32c:{base64.b64decode(encoded, validate=True).hex()}"
    except ValueError:
        raise ProtocolError(f"x-amz-checksum-crc32c {encoded[:40]!r} is not base64") from None


_CONTENT_RANGE = re.compile(r"bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18})")


def content_range(reply: Reply) -> tuple[int, int, int]:
    """Start, length and size of the whole object, from the reply to a GET (RFC 9110, section 14.4).

    Raises:
        ProtocolError: the reply is partial and does not say validly of what, or contradicts its own length.
    """
    if reply.status != 206:
        return 0, reply.length, reply.length
    match = _CONTENT_RANGE.fullmatch(reply.headers.get("content-range", ""))
    if match is None:
        raise ProtocolError("a partial reply without a valid Content-Range", status=206)
    first, last, size = int(match[1]), int(match[2]), int(match[3])
    if not first <= last < size or last - first + 1 != reply.length:
        raise ProtocolError(f"Content-Range {match[0]!r} contradicts itself or the {reply.length} bytes that follow", status=206)
    return first, reply.length, size


_MONTHS = dict(zip(("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"), range(1, 13), strict=True))


@functools.lru_cache(maxsize=1024)
def parse_http_date(text: str) -> datetime | None:
    """An HTTP date in the preferred form (RFC 9110, section 5.6.7), such as ``Sun, 06 Nov 1994 08:49:37 GMT``; None if it is not."""
    try:
        month = _MONTHS[text[8:11]]
        return datetime(int(text[12:16]), month, int(text[5:7]), int(text[17:19]), int(text[20:22]), int(text[23:25]), tzinfo=UTC)
    except (ValueError, KeyError, IndexError):
        return None
