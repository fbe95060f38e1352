"""What S3's replies mean: headers as descriptions of objects, failures as errors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from headrace.backends.s3 import xml
from headrace.backends.service.replies import ERRORS_BY_STATUS, MESSAGES_BY_STATUS, parse_http_date, retry_after, shortened
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

__all__ = ["error_from", "error_named", "object_info"]

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


def error_from(reply: Reply) -> HeadraceError:
    """The error that a reply with a failing status, or with an error in a successful one, stands for."""
    headers = reply.headers
    code, message = xml.parse_error(reply.body)
    status = reply.status
    kind = _BY_CODE.get(code or "") or ERRORS_BY_STATUS.get(status) or ServiceError
    if status < 300 and code is None:
        kind, message = ProtocolError, "a successful reply without the promised content"
    return kind(
        shortened(message) or MESSAGES_BY_STATUS.get(status) or "the service reports an error",
        status=status,
        code=code[:100] if code else None,
        request_id=headers.get("x-amz-request-id", "")[:200] or None,
        retry_after=retry_after(headers.get("retry-after")),
        hint=_HINTS.get(code or "") or ("Check the credentials and the bucket's policy." if kind is PermissionDenied else None),
    )


def error_named(code: str, message: str, **context: Any) -> HeadraceError:
    """The error that a service's code stands for, where it comes without a reply of its own."""
    return _BY_CODE.get(code, ServiceError)(shortened(message) or "the service reports an error", code=code[:100], **context)


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
