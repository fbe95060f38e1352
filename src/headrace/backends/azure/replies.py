"""What Azure's replies mean: headers as descriptions of objects, failures as errors ("Blob Storage error codes")."""

from __future__ import annotations

import binascii
from collections.abc import Mapping
from typing import Protocol

from headrace.backends.azure import xml
from headrace.backends.protocol import WriteOptions
from headrace.backends.service.replies import ERRORS_BY_STATUS, MESSAGES_BY_STATUS, parse_http_date, retry_after, shortened
from headrace.backends.service.writing import condition_failed
from headrace.errors import (
    AlreadyExists,
    CredentialsError,
    HeadraceError,
    IntegrityError,
    InvalidOption,
    InvalidURI,
    NotFound,
    NotSupported,
    ObjectChanged,
    PermissionDenied,
    PreconditionFailed,
    ProtocolError,
    ServiceError,
    Throttled,
)
from headrace.models import ObjectInfo

__all__ = ["Answered", "error_code", "error_from", "md5_of", "object_info", "write_error"]

_BY_CODE: Mapping[str, type[HeadraceError]] = {
    "BlobNotFound": NotFound,
    "ContainerNotFound": NotFound,
    "ResourceNotFound": NotFound,
    "AuthenticationFailed": CredentialsError,
    "InvalidAuthenticationInfo": CredentialsError,
    "NoAuthenticationInformation": CredentialsError,
    "AuthorizationFailure": PermissionDenied,
    "AuthorizationPermissionMismatch": PermissionDenied,
    "AuthorizationProtocolMismatch": PermissionDenied,
    "AuthorizationResourceTypeMismatch": PermissionDenied,
    "AuthorizationServiceMismatch": PermissionDenied,
    "AuthorizationSourceIPMismatch": PermissionDenied,
    "AccountIsDisabled": PermissionDenied,
    "InsufficientAccountPermissions": PermissionDenied,
    "KeyBasedAuthenticationNotPermitted": PermissionDenied,
    "PublicAccessNotPermitted": PermissionDenied,
    "ConditionNotMet": PreconditionFailed,
    "TargetConditionNotMet": PreconditionFailed,
    "SourceConditionNotMet": ObjectChanged,
    "LeaseIdMissing": ServiceError,
    "ContainerAlreadyExists": AlreadyExists,
    "BlobAlreadyExists": AlreadyExists,
    "Md5Mismatch": IntegrityError,
    "InvalidRange": InvalidOption,
    "InvalidMetadata": InvalidOption,
    "MetadataTooLarge": InvalidOption,
    "RequestBodyTooLarge": InvalidOption,
    "InvalidResourceName": InvalidURI,
    "OutOfRangeInput": InvalidURI,
    "InvalidUri": InvalidURI,
    "UnsupportedHeader": NotSupported,
    "ServerBusy": Throttled,
    "TooManyRequests": Throttled,
}

_HINTS: Mapping[str, str] = {
    "ContainerNotFound": "Create the container first, or check the account and the spelling.",
    "ContainerBeingDeleted": "Its name is free again half a minute or more after it was deleted.",
    "AuthenticationFailed": "The key or signature is wrong or of another account, or it has ended.",
    "InvalidAuthenticationInfo": "The token has ended, or is for another service or tenant.",
    "NoAuthenticationInformation": "The service takes no anonymous requests here: give credentials.",
    "KeyBasedAuthenticationNotPermitted": "The account takes no keys: use a token, as azure-identity gives it.",
    "PublicAccessNotPermitted": "The account allows no anonymous requests: give credentials.",
    "InvalidBlockList": "Another write of this blob may have ended meanwhile and dropped the blocks of this one: write it again.",
    "InvalidBlobOrBlock": "Blocks of another program, with names of another length, wait to become this blob: write it in one piece first.",
    "LeaseIdMissing": "Somebody holds a lease on it.",
    "SnapshotsPresent": "Delete its snapshots first.",
    "BlobArchived": "It is in the archive tier: rehydrate it first.",
}

_ENDED = "Signature not valid in the specified time frame"
_UNTIL_A_NAME_IS_FREE = 10.0
"""Seconds between tries: with five of them a container's name, which is taken for 30 seconds, is free again."""


class Answered(Protocol):
    """A reply, or a part of one."""

    @property
    def status(self) -> int:
        """The status code."""

    @property
    def headers(self) -> Mapping[str, str]:
        """Names in lower case."""

    @property
    def body(self) -> memoryview:
        """The content."""


def error_code(reply: Answered) -> str | None:
    """The service's word for a failure: it is in a header, so that HEAD has it too, and in the document."""
    return reply.headers.get("x-ms-error-code") or xml.parse_error(reply.body).code


def error_from(reply: Answered) -> HeadraceError:
    """The error that a reply with a failing status stands for."""
    headers, status = reply.headers, reply.status
    document = xml.parse_error(reply.body)
    code = (headers.get("x-ms-error-code") or document.code or "")[:100]
    kind = _BY_CODE.get(code) or ERRORS_BY_STATUS.get(status) or ServiceError
    message = document.message
    if status < 300:
        kind, message = ProtocolError, "a successful reply without the promised content"
    hint = _HINTS.get(code) or ("Check the credentials and the roles that they have." if kind is PermissionDenied else None)
    if document.detail.startswith(_ENDED):
        # Other details repeat the signature.
        hint = "The shared access signature has ended, or does not hold yet: get another one."
    return kind(
        shortened(message) or MESSAGES_BY_STATUS.get(status) or "the service reports an error",
        status=status,
        code=code or None,
        request_id=headers.get("x-ms-request-id", "")[:200] or None,
        retry_after=_UNTIL_A_NAME_IS_FREE if code == "ContainerBeingDeleted" else retry_after(headers.get("retry-after")),
        hint=hint,
    )


def write_error(reply: Answered, options: WriteOptions) -> HeadraceError:
    """As `error_from`, for a write whose conditions are known."""
    error = error_from(reply)
    unmet = error.code in ("ConditionNotMet", "TargetConditionNotMet")
    return condition_failed(error, options, exists=unmet or error.code == "BlobAlreadyExists", other=unmet or error.code == "BlobNotFound")


def object_info(uri: str, headers: Mapping[str, str], size: int) -> ObjectInfo:
    """Describe a blob by the headers of a reply to GET or HEAD."""
    get = headers.get
    modified = get("last-modified")
    return ObjectInfo(
        uri=uri,
        size=size,
        etag=get("etag") or None,
        last_modified=parse_http_date(modified) if modified is not None else None,
        content_type=get("content-type"),
        metadata={name[10:]: value for name, value in headers.items() if name[:10] == "x-ms-meta-"},
        version_id=get("x-ms-version-id"),
        storage_class=get("x-ms-access-tier"),
        checksum=md5_of(headers),
    )


def md5_of(headers: Mapping[str, str]) -> str | None:
    """The checksum of the whole blob, where the service tells it; what stands in the usual header of a range would be the range's."""
    encoded = headers.get("x-ms-blob-content-md5") or (None if "content-range" in headers else headers.get("content-md5"))
    if encoded is None:
        return None
    try:
        digest = binascii.a2b_base64(encoded, strict_mode=True)
    except ValueError:
        digest = b""
    if len(digest) != 16:
        raise ProtocolError(f"Content-MD5 {encoded[:40]!r} is none")
    return f"md5:{digest.hex()}"
