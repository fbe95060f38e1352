"""Objects and buckets as the JSON API describes them, in documents and in the headers of a download."""

from __future__ import annotations

import json
import re
from base64 import b64decode, b64encode
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from headrace.backends.protocol import WriteOptions
from headrace.backends.service.documents import moment, number
from headrace.backends.service.replies import parse_http_date
from headrace.errors import InvalidOption, ProtocolError
from headrace.models import ObjectInfo

__all__ = [
    "LISTED_FIELDS",
    "OBJECT_FIELDS",
    "base64_of",
    "conditions",
    "content_type_of",
    "generation_of",
    "info_from_headers",
    "info_from_resource",
    "items_of",
    "parse",
    "resource",
    "tag",
    "token_in",
]

OBJECT_FIELDS = "size,generation,updated,contentType,metadata,storageClass,crc32c,md5Hash"
"""What is asked for of one object: a whole description would have a dozen fields more."""

LISTED_FIELDS = "nextPageToken,prefixes,items(name,size,generation,updated,storageClass,crc32c)"
"""What is asked for of a listing."""

_CRC32C = re.compile(r"(?:^|[, ])crc32c=([A-Za-z0-9+/=]+)")
_STORAGE_CLASS = re.compile(r"[A-Z0-9_]{1,64}")


def parse(body: memoryview) -> dict[str, Any]:
    """The object that a document is.

    Raises:
        ProtocolError: it is not JSON, or something else than an object.
    """
    try:
        document = json.loads(bytes(body))
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise ProtocolError("the reply is not the JSON document that was expected")
    return document


def items_of(document: Mapping[str, Any], name: str = "items") -> Iterator[dict[str, Any]]:
    """The resources in a list.

    Raises:
        ProtocolError: it is none, or one of them has no name.
    """
    items = document.get(name, [])
    if not isinstance(items, list):
        raise ProtocolError(f"{name!r} in the reply is not a list")
    for item in items:
        if not isinstance(item, dict) or not isinstance(item.get("name"), str):
            raise ProtocolError(f"an entry of {name!r} in the reply has no name")
        yield item


def token_in(document: Mapping[str, Any], name: str = "nextPageToken") -> str | None:
    """What continues a list or a copy; None at its end.

    Raises:
        ProtocolError: it is not text.
    """
    token = document.get(name)
    if token is not None and not isinstance(token, str):
        raise ProtocolError(f"{name!r} in the reply is not text")
    return token or None


def tag(generation: str | None) -> str | None:
    """The ETag that headrace gives a version: its generation, which the service's conditions compare. Its own ETags they do not."""
    return f'"{generation}"' if generation else None


def generation_of(etag: str) -> str | None:
    """The generation that an ETag names; None for one that no version can have."""
    digits = etag.strip('"')
    return digits if digits.isascii() and digits.isdigit() and digits.strip("0") else None


def conditions(options: WriteOptions) -> list[tuple[str, str]]:
    """The query of a conditional write. What ``if_match`` cannot name is compared with a generation that no object has."""
    if options.create_only:
        return [("ifGenerationMatch", "0")]
    if options.if_match is not None:
        return [("ifGenerationMatch", generation_of(options.if_match) or "1")]
    return []


def info_from_headers(uri: str, headers: Mapping[str, str], size: int, *, checksum: bool) -> ObjectInfo:
    """Describe an object by the headers of its download.

    Raises:
        ProtocolError: the bytes that follow are not those that are stored.
    """
    get = headers.get
    if "content-encoding" in headers and get("x-goog-stored-content-encoding") == "identity":
        raise ProtocolError("the service compressed on the way what is stored uncompressed")
    generation, modified, hashes = get("x-goog-generation"), get("last-modified"), get("x-goog-hash")
    found = _CRC32C.search(hashes) if checksum and hashes else None
    return ObjectInfo(
        uri=uri,
        size=size,
        etag=tag(generation),
        last_modified=parse_http_date(modified) if modified is not None else None,
        content_type=get("content-type"),
        metadata={name[12:]: value for name, value in headers.items() if name[:12] == "x-goog-meta-"},
        version_id=generation,
        storage_class=get("x-goog-storage-class"),
        checksum=_digits("crc32c", found[1]) if found else None,
    )


def info_from_resource(uri: str, document: Mapping[str, Any]) -> ObjectInfo:
    """Describe an object by its resource.

    Raises:
        ProtocolError: a field is not what the API's reference says.
    """
    text = {name: value for name, value in document.items() if isinstance(value, str)}
    get, metadata = text.get, document.get("metadata")
    generation = get("generation")
    checksum = _digits("crc32c", text["crc32c"]) if get("crc32c") else _digits("md5", text["md5Hash"]) if get("md5Hash") else None
    return ObjectInfo(
        uri=uri,
        size=number(get("size", "")),
        etag=tag(generation),
        last_modified=moment(get("updated", "")),
        content_type=get("contentType") or None,
        metadata={str(name): str(value) for name, value in metadata.items()} if isinstance(metadata, dict) else {},
        version_id=generation,
        storage_class=get("storageClass") or None,
        checksum=checksum,
    )


def resource(options: WriteOptions, *, checksum: Mapping[str, str] | None = None) -> dict[str, Any]:
    """The resource of an object that is to be written, without its name and content type.

    Raises:
        InvalidOption: metadata that is not text, or a storage class that cannot be one.
    """
    written: dict[str, Any] = dict(checksum or {})
    pairs: Iterable[tuple[object, object]] = options.metadata.items()
    for name, value in pairs:
        if not isinstance(name, str) or not isinstance(value, str):
            raise InvalidOption(f"metadata {name!r} must be text", hint="Metadata maps str to str.")
    if options.metadata:
        written["metadata"] = dict(options.metadata)
    if options.storage_class is not None:
        if not _STORAGE_CLASS.fullmatch(options.storage_class):
            raise InvalidOption(f"{options.storage_class!r} is no storage class", hint="STANDARD, NEARLINE, COLDLINE or ARCHIVE.")
        written["storageClass"] = options.storage_class
    return written


def content_type_of(options: WriteOptions) -> str:
    """The content type, fit for a header.

    Raises:
        InvalidOption: it has characters that a header cannot carry.
    """
    text = options.content_type
    if text is None:
        return "application/octet-stream"
    if not text.isascii() or not text.isprintable():
        raise InvalidOption(f"content type {text[:80]!r} has characters that cannot be sent")
    return text


def base64_of(checksum: str | None) -> str | None:
    """A checksum in the service's spelling, if it is a CRC-32C."""
    kind, _, digits = (checksum or "").partition(":")
    return b64encode(bytes.fromhex(digits)).decode() if kind == "crc32c" else None


def _digits(kind: str, encoded: str) -> str:
    try:
        return f"{kind}:{b64decode(encoded, validate=True).hex()}"
    except ValueError:
        raise ProtocolError(f"the {kind} checksum {encoded[:40]!r} is not base64") from None
