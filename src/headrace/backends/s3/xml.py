"""The XML of S3's requests and replies."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import unquote_plus

from headrace.backends.protocol import Part
from headrace.backends.service.documents import document, moment, number, parse, text_of
from headrace.errors import ProtocolError

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

__all__ = [
    "ListedObject",
    "ListedUpload",
    "complete_upload",
    "delete_objects",
    "location_constraint",
    "parse_buckets",
    "parse_delete_errors",
    "parse_error",
    "parse_listing",
    "parse_parts",
    "parse_uploads",
]

NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"


def parse_error(body: memoryview) -> tuple[str | None, str | None]:
    """Code and message of an ``Error`` document; None for what the body does not tell."""
    if b"<Error" not in bytes(body[:512]):
        return None, None
    try:
        root = parse(body)
    except ProtocolError:
        return None, None
    error = root if root.tag == "Error" else root.find("Error")
    if error is None:
        return None, None
    return error.findtext("Code"), error.findtext("Message")


class ListedObject(NamedTuple):
    """One ``Contents`` of a listing."""

    key: str
    size: int
    etag: str | None
    last_modified: datetime | None
    storage_class: str | None


def parse_listing(body: memoryview) -> tuple[list[ListedObject], list[str], str | None]:
    """Objects, common prefixes and the continuation token of a ListObjectsV2 reply."""
    root = document(body, "ListBucketResult")
    decode = _unquoted if text_of(root, "EncodingType") == "url" else str
    objects = [
        ListedObject(
            decode(text_of(element, "Key")),
            number(text_of(element, "Size")),
            element.findtext("ETag"),
            moment(text_of(element, "LastModified")),
            element.findtext("StorageClass"),
        )
        for element in root.iterfind("Contents")
    ]
    prefixes = [decode(text_of(element, "Prefix")) for element in root.iterfind("CommonPrefixes")]
    return objects, prefixes, _continuation(root, "NextContinuationToken")


def _unquoted(text: str) -> str:
    # A key whose bytes are not UTF-8 must not become the name of another one.
    return unquote_plus(text, errors="surrogateescape")


def _continuation(root: Element, name: str) -> str | None:
    """What continues a list that is cut off, None for one that is complete; cut off without it, its rest could not be had."""
    if text_of(root, "IsTruncated") != "true":
        return None
    marker = text_of(root, name)
    if not marker:
        raise ProtocolError(f"a list that is cut off without {name} to continue it")
    return marker


def parse_buckets(body: memoryview) -> Iterator[tuple[str, datetime | None]]:
    """Names and creation times of a ListBuckets reply."""
    for element in document(body, "ListAllMyBucketsResult").iterfind("Buckets/Bucket"):
        yield text_of(element, "Name"), moment(text_of(element, "CreationDate"))


def delete_objects(keys: Sequence[str]) -> bytes:
    """The document that DeleteObjects takes; only failures are reported back."""
    from xml.sax.saxutils import escape

    entries = "".join(f"<Object><Key>{escape(key, _CONTROLS)}</Key></Object>" for key in keys)
    return f'<Delete xmlns="{NAMESPACE}">{entries}<Quiet>true</Quiet></Delete>'.encode()


_CONTROLS = {"\r": "&#13;", "\n": "&#10;", "\t": "&#9;"}


def parse_delete_errors(body: memoryview) -> Iterator[tuple[str, str, str]]:
    """Key, code and message of each failure in a DeleteObjects reply."""
    for element in document(body, "DeleteResult").iterfind("Error"):
        yield text_of(element, "Key"), text_of(element, "Code"), text_of(element, "Message")


def complete_upload(parts: Sequence[Part]) -> bytes:
    """The document that CompleteMultipartUpload takes."""
    from xml.sax.saxutils import escape

    entries = "".join(
        f"<Part><PartNumber>{part.number}</PartNumber><ETag>{escape(part.etag)}</ETag>"
        + (f"<ChecksumCRC32C>{part.checksum}</ChecksumCRC32C>" if part.checksum else "")
        + "</Part>"
        for part in parts
    )
    return f'<CompleteMultipartUpload xmlns="{NAMESPACE}">{entries}</CompleteMultipartUpload>'.encode()


def location_constraint(region: str) -> bytes:
    """The document that CreateBucket takes outside of us-east-1."""
    return (
        f'<CreateBucketConfiguration xmlns="{NAMESPACE}"><LocationConstraint>{region}</LocationConstraint></CreateBucketConfiguration>'
    ).encode()


def parse_parts(body: memoryview) -> tuple[list[Part], str | None]:
    """The parts of a ListParts reply, and the marker that continues it."""
    root = document(body, "ListPartsResult")
    parts = [
        Part(
            number(text_of(element, "PartNumber")),
            text_of(element, "ETag"),
            number(text_of(element, "Size")),
            element.findtext("ChecksumCRC32C"),
        )
        for element in root.iterfind("Part")
    ]
    return parts, _continuation(root, "NextPartNumberMarker")


class ListedUpload(NamedTuple):
    """One ``Upload`` of a ListMultipartUploads reply."""

    key: str
    id: str
    started: datetime | None


def parse_uploads(body: memoryview) -> tuple[list[ListedUpload], tuple[str, str] | None]:
    """The uploads of a ListMultipartUploads reply, and the key and upload markers that continue it."""
    root = document(body, "ListMultipartUploadsResult")
    decode = _unquoted if text_of(root, "EncodingType") == "url" else str
    uploads = [
        ListedUpload(decode(text_of(element, "Key")), text_of(element, "UploadId"), moment(text_of(element, "Initiated")))
        for element in root.iterfind("Upload")
    ]
    if not all(upload.id for upload in uploads):
        # To abort an upload without a name would be to delete the object.
        raise ProtocolError("a listing of uploads with one that has no id")
    key_marker = _continuation(root, "NextKeyMarker")
    return uploads, (decode(key_marker), text_of(root, "NextUploadIdMarker")) if key_marker else None
