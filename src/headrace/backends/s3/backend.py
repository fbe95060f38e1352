"""S3 as a `Backend`: each verb as the requests that the Amazon S3 API Reference describes."""

from __future__ import annotations

import functools
import hashlib
import re
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence

from headrace.auth.aws import CredentialSource
from headrace.auth.sigv4 import encode_path
from headrace.backends.protocol import (
    Again,
    Body,
    Continuation,
    Entry,
    Fetched,
    Landing,
    Page,
    Part,
    Upload,
    UploadInfo,
    WriteOptions,
    body_length,
    once,
)
from headrace.backends.s3 import xml
from headrace.backends.s3.addressing import Addressing
from headrace.backends.s3.exchange import Exchange
from headrace.backends.s3.options import (
    body_checksum,
    customer_key_headers,
    description_headers,
    encryption_headers,
)
from headrace.backends.s3.replies import error_from, error_named, object_info
from headrace.backends.service.documents import parse, text_of
from headrace.backends.service.reading import fetch
from headrace.backends.service.replies import check_keys
from headrace.backends.service.writing import condition_failed, condition_headers
from headrace.config import Options
from headrace.endpoints import Endpoints
from headrace.errors import (
    HeadraceError,
    NotFound,
    ObjectChanged,
    ProtocolError,
)
from headrace.http.codec import Placement, Reply
from headrace.http.effects import Call, Operation, Parallel, with_undo
from headrace.http.redirects import Redirects
from headrace.models import BucketInfo, ObjectInfo, Prefix
from headrace.uri import Location

__all__ = ["S3Backend"]

# What XML cannot spell (and line breaks, which it may change); such keys are deleted one by one.
_UNSPEAKABLE = re.compile("[\x00-\x1f\ud800-\udfff\ufffe\uffff]")

_CHECKSUM_ELSEWHERE_FROM = 1 << 20
_COPY_PART_SIZE = 1 << 30
_COPIES_AT_ONCE = 8


class S3Backend:
    """Reads and writes objects of one S3 service.

    Args:
        options: the client's options.
        source: where credentials come from; None for anonymous requests.
        endpoints: the service's endpoints, if it has several.
    """

    scheme = "s3"
    uses_http = True
    min_part_size = 5 << 20
    max_part_size = 5 << 30
    max_parts = 10_000
    delete_batch_size = 1000

    def __init__(self, options: Options, source: CredentialSource | None, endpoints: Endpoints | None = None) -> None:
        common = {"user-agent": "headrace"}
        if options.request_payer:
            common["x-amz-request-payer"] = "requester"
        addressings = {endpoint: Addressing(endpoint.url, options.addressing) for endpoint in endpoints.all} if endpoints else {}
        self._exchange = Exchange(
            next(iter(addressings.values()), None) or Addressing(options.endpoint_url, options.addressing),
            options.region,
            source,
            sign_payload=options.sign_payload,
            common_headers=common,
            redirects=Redirects(options.follow_redirects, options.max_redirects),
            endpoints=endpoints,
            addressings=addressings,
        )
        self._checksum = "crc32c" if options.checksum == "auto" else options.checksum
        # A signature over the body is a checksum that the service verifies: another one would only cost time.
        self._write_checksum = "none" if options.checksum == "auto" and self._exchange.signs_payload else self._checksum
        self._encryption = encryption_headers(options.sse)
        self._customer_key = customer_key_headers(options.sse)
        self._copy_source_key = customer_key_headers(options.sse, "x-amz-copy-source-")
        self._read_headers = dict(self._customer_key)
        if self._checksum != "none":
            self._read_headers["x-amz-checksum-mode"] = "ENABLED"

    def get(
        self, location: Location, landing: Landing, *, start: int | None = None, length: int | None = None, if_match: str | None = None
    ) -> Operation[Fetched]:
        """See `Backend.get`."""
        headers = self._read_headers if if_match is None else {**self._read_headers, "if-match": if_match}
        return fetch(self, location, landing, headers, start, length)

    def ask(self, location: Location, headers: Mapping[str, str], place: Placement, limit: int | None) -> Operation[Reply]:
        """See `Readable.ask`."""
        return self._exchange.send("GET", location.container, location.key, headers=headers, place=place, limit=limit)

    def describe(self, location: Location, headers: Mapping[str, str], size: int) -> ObjectInfo:
        """See `Readable.describe`."""
        return object_info(location.uri, headers, size)

    def error_from(self, reply: Reply) -> HeadraceError:
        """See `Readable.error_from`."""
        return error_from(reply)

    def head(self, location: Location) -> Operation[ObjectInfo]:
        """See `Backend.head`."""
        reply = yield from self._exchange.send_checked("HEAD", location.container, location.key, headers=self._read_headers)
        length = reply.headers.get("content-length")
        if length is None:
            raise ProtocolError("a reply to HEAD without Content-Length", status=reply.status)
        return object_info(location.uri, reply.headers, int(length))

    def put(self, location: Location, body: Body, options: WriteOptions) -> Operation[ObjectInfo]:
        """See `Backend.put`."""
        checksum = yield from self._body_checksum(body)
        headers = {**checksum, **self._encryption, **description_headers(options), **condition_headers(options)}
        reply: Reply = yield from self._exchange.send(
            "PUT",
            location.container,
            location.key,
            headers=headers,
            body=body,
            repeatable=not options.conditional,
        )
        if reply.status >= 300:
            raise _write_error(reply, options)
        return _written(location, body_length(body), reply, options, checksum.get("x-amz-checksum-crc32c"))

    def delete(self, location: Location) -> Operation[None]:
        """See `Backend.delete`. S3 does not tell whether there was an object."""
        yield from self._exchange.send_checked("DELETE", location.container, location.key)

    def delete_batch(self, locations: Sequence[Location]) -> Operation[Sequence[HeadraceError | None]]:
        """See `Backend.delete_batch`."""
        errors: dict[str, HeadraceError | None] = {location.key: None for location in locations}
        unspeakable = [location for location in locations if _UNSPEAKABLE.search(location.key)]
        for location in unspeakable:
            try:
                yield from self.delete(location)
            except HeadraceError as error:
                errors[location.key] = error
        apart = {location.key for location in unspeakable}
        keys = [location.key for location in locations if location.key not in apart]
        if keys:
            bucket = locations[0].container
            document = memoryview(xml.delete_objects(keys))
            digest = b64encode(hashlib.md5(document, usedforsecurity=False).digest()).decode()
            headers = {"content-md5": digest, "content-type": "application/xml"}
            reply = yield from self._exchange.send_checked(
                "POST", bucket, query=[("delete", "")], headers=headers, body=[document], repeatable=True
            )
            for key, code, message in xml.parse_delete_errors(reply.body):
                failure = error_named(code, message, uri=locations[0].at(key).uri, operation="delete")
                if key not in errors:
                    # Which object is meant is not known: none of them may be said to be deleted.
                    raise failure
                if code != "NoSuchKey":
                    errors[key] = failure
        return [errors[location.key] for location in locations]

    def delete_empty_directories(self, location: Location) -> Operation[None]:
        """See `Backend.delete_empty_directories`: S3 has none."""
        yield from ()

    def list_page(
        self, location: Location, *, recursive: bool, start_after: str | None, token: str | None, follow_links: bool = True
    ) -> Operation[Page]:
        """See `Backend.list_page`: ListObjectsV2."""
        query = [("list-type", "2"), ("encoding-type", "url")]
        query += [("prefix", location.key)] if location.key else []
        query += [] if recursive else [("delimiter", "/")]
        query += [("start-after", start_after)] if start_after and not token else []
        query += [("continuation-token", token)] if token else []
        reply = yield from self._exchange.send_checked("GET", location.container, query=query)
        objects, prefixes, token = xml.parse_listing(reply.body)
        check_keys([*(listed.key for listed in objects), *prefixes], location)
        entries: list[tuple[str, Entry]] = [
            (
                listed.key,
                ObjectInfo(
                    uri=location.at(listed.key).uri,
                    size=listed.size,
                    etag=listed.etag,
                    last_modified=listed.last_modified,
                    storage_class=listed.storage_class,
                ),
            )
            for listed in objects
        ]
        if prefixes:
            entries += [(prefix, Prefix(location.at(prefix).uri)) for prefix in prefixes]
            entries.sort(key=lambda entry: entry[0].encode(errors="surrogateescape"))
        return Page([entry for _, entry in entries], token)

    def copy(self, source: Location, destination: Location, options: WriteOptions, *, again: Again = once) -> Operation[ObjectInfo]:
        """See `Backend.copy`. Objects above 5 GiB are copied in parts."""
        info: ObjectInfo = yield from self.head(source)
        if info.size > self.max_part_size:
            return (yield from _copy_in_parts(self, source, info, destination, options, again))
        headers = {**self.copy_headers(source, info), **self._encryption, **self._customer_key, **condition_headers(options)}
        reply: Reply = yield from self._exchange.send(
            "PUT", destination.container, destination.key, headers=headers, repeatable=not options.conditional
        )
        if reply.status == 412 and not options.conditional:
            raise _source_changed(reply)
        if reply.status >= 300:
            raise _write_error(reply, options)
        return _written(destination, info.size, reply, options, etag=_etag_inside(reply, "CopyObjectResult"))

    def copy_headers(self, source: Location, info: ObjectInfo) -> dict[str, str]:
        """The headers that name what is copied, and bind the copy to the version that was looked at."""
        headers = {"x-amz-copy-source": encode_path(f"/{source.container}/{source.key}"), **self._copy_source_key}
        if info.etag:
            headers["x-amz-copy-source-if-match"] = info.etag
        return headers

    def copy_part(self, upload: Upload, number: int, headers: dict[str, str], start: int, size: int) -> Operation[Part]:
        """Make a part of ``size`` bytes from ``start`` of the object that ``headers`` names (UploadPartCopy)."""
        query = [("partNumber", str(number)), ("uploadId", upload.id)]
        headers = {**headers, **self._customer_key, "x-amz-copy-source-range": f"bytes={start}-{start + size - 1}"}
        location = upload.location
        reply: Reply = yield from self._exchange.send("PUT", location.container, location.key, query=query, headers=headers)
        if reply.status == 412:
            raise _source_changed(reply)
        if reply.status >= 300:
            raise error_from(reply)
        return Part(number, _etag_inside(reply, "CopyPartResult") or "", size)

    def start_upload(self, location: Location, options: WriteOptions) -> Operation[Upload]:
        """See `Backend.start_upload`."""
        headers = {**self._encryption, **description_headers(options)}
        if self._write_checksum == "crc32c":
            headers["x-amz-checksum-algorithm"] = "CRC32C"
        reply = yield from self._exchange.send_checked(
            "POST", location.container, location.key, query=[("uploads", "")], headers=headers, repeatable=False
        )
        identity = text_of(parse(reply.body), "UploadId")
        if not identity:
            raise ProtocolError("a multipart upload without an id", status=reply.status)
        return Upload(location, identity)

    def put_part(self, upload: Upload, number: int, offset: int, body: Body) -> Operation[Part]:
        """See `Backend.put_part`."""
        checksum = yield from self._body_checksum(body)
        query = [("partNumber", str(number)), ("uploadId", upload.id)]
        location = upload.location
        reply = yield from self._exchange.send_checked(
            "PUT", location.container, location.key, query=query, headers={**checksum, **self._customer_key}, body=body
        )
        etag = reply.headers.get("etag")
        if not etag:
            raise ProtocolError(f"part {number} was taken without an ETag", status=reply.status)
        return Part(number, etag, body_length(body), checksum.get("x-amz-checksum-crc32c"))

    def complete_upload(self, upload: Upload, parts: Sequence[Part], options: WriteOptions) -> Operation[ObjectInfo]:
        """See `Backend.complete_upload`."""
        document = memoryview(xml.complete_upload(parts))
        headers = {"content-type": "application/xml", **condition_headers(options), **self._customer_key}
        location = upload.location
        reply: Reply = yield from self._exchange.send(
            "POST", location.container, location.key, query=[("uploadId", upload.id)], headers=headers, body=[document], repeatable=False
        )
        if reply.status >= 300:
            raise _write_error(reply, options)
        size = sum(part.size for part in parts)
        return _written(location, size, reply, options, etag=_etag_inside(reply, "CompleteMultipartUploadResult"))

    def abort_upload(self, upload: Upload) -> Operation[None]:
        """See `Backend.abort_upload`."""
        location = upload.location
        try:
            yield from self._exchange.send_checked("DELETE", location.container, location.key, query=[("uploadId", upload.id)])
        except NotFound:
            return

    def list_parts(self, upload: Upload) -> Operation[Sequence[Part]]:
        """See `Backend.list_parts`."""
        found: list[Part] = []
        marker: str | None = ""
        continuation = Continuation()
        while marker is not None:
            query = [("uploadId", upload.id)] + ([("part-number-marker", marker)] if marker else [])
            reply = yield from self._exchange.send_checked("GET", upload.location.container, upload.location.key, query=query)
            parts, marker = xml.parse_parts(reply.body)
            found += parts
            continuation.follow(marker)
        return found

    def list_uploads(self, location: Location) -> Operation[Sequence[UploadInfo]]:
        """See `Backend.list_uploads`."""
        found: list[UploadInfo] = []
        query: list[tuple[str, str]] = [("uploads", ""), ("encoding-type", "url"), ("prefix", location.key)]
        markers: tuple[str, str] | None = ("", "")
        continuation = Continuation()
        while markers is not None:
            extra = [("key-marker", markers[0]), ("upload-id-marker", markers[1])] if markers[0] else []
            reply = yield from self._exchange.send_checked("GET", location.container, query=query + extra)
            uploads, markers = xml.parse_uploads(reply.body)
            continuation.follow(markers)
            check_keys([upload.key for upload in uploads], location)
            for upload in uploads:
                started = upload.started.timestamp() if upload.started else None
                found.append(UploadInfo(Upload(location.at(upload.key), upload.id), started))
        return found

    def create_container(self, location: Location) -> Operation[None]:
        """See `Backend.create_container`."""
        region = self._exchange.default_region
        elsewhere = region != "us-east-1" and self._exchange.addressing.is_amazon
        body = [memoryview(xml.location_constraint(region))] if elsewhere else []
        yield from self._exchange.send_checked("PUT", location.container, body=body, repeatable=False)

    def delete_container(self, location: Location) -> Operation[None]:
        """See `Backend.delete_container`."""
        reply: Reply = yield from self._exchange.send("DELETE", location.container)
        if reply.status >= 300:
            error = error_from(reply)
            if error.code == "BucketNotEmpty":
                error.code, error.hint = "NotEmpty", "Delete what is in it first: delete(uri, recursive='bucket')."
            raise error

    def list_containers(self, location: Location) -> Operation[Sequence[BucketInfo]]:
        """See `Backend.list_containers`."""
        reply = yield from self._exchange.send_checked("GET", "")
        return [BucketInfo(uri=f"s3://{name}/", created=created) for name, created in xml.parse_buckets(reply.body)]

    def presign(self, location: Location, *, method: str, expires: int) -> Operation[str]:
        """See `Backend.presign`."""
        return (yield from self._exchange.presigned(method, location.container, location.key, expires))

    def _body_checksum(self, body: Body) -> Operation[dict[str, str]]:
        if self._write_checksum == "none":
            return {}
        if body_length(body) < _CHECKSUM_ELSEWHERE_FROM and isinstance(body[0], memoryview):
            return dict(body_checksum(body, self._write_checksum))
        headers: dict[str, str] = yield Call(functools.partial(body_checksum, body, self._write_checksum))
        return headers


def _copy_in_parts(
    backend: S3Backend,
    source: Location,
    info: ObjectInfo,
    destination: Location,
    options: WriteOptions,
    again: Again,
    part_size: int = _COPY_PART_SIZE,
) -> Operation[ObjectInfo]:
    """Copy in parts of ``part_size`` bytes; content type and metadata are carried over, since S3 does not do it here."""
    kept = WriteOptions(
        if_match=options.if_match,
        create_only=options.create_only,
        content_type=options.content_type or info.content_type,
        metadata=options.metadata or info.metadata,
        storage_class=options.storage_class,
    )
    headers = backend.copy_headers(source, info)

    def run(upload: Upload) -> Operation[ObjectInfo]:
        starts = range(0, info.size, part_size)
        operations = (
            again(functools.partial(backend.copy_part, upload, number, headers, start, min(part_size, info.size - start)))
            for number, start in enumerate(starts, start=1)
        )
        parts: list[Part] = yield Parallel(operations, _COPIES_AT_ONCE)
        return (yield from backend.complete_upload(upload, parts, kept))

    return (yield from with_undo(backend.start_upload(destination, kept), run, backend.abort_upload))


def _write_error(reply: Reply, options: WriteOptions) -> HeadraceError:
    error = error_from(reply)
    other = reply.status in (404, 412) and error.code != "NoSuchBucket"
    return condition_failed(error, options, exists=reply.status in (304, 409, 412), other=other)


def _source_changed(reply: Reply) -> ObjectChanged:
    request_id = reply.headers.get("x-amz-request-id")
    return ObjectChanged("the source was replaced while it was copied", status=412, request_id=request_id, hint="Copy it again.")


def _etag_inside(reply: Reply, expected: str) -> str | None:
    """The ETag in the document of a copy or completion, which may also be an error though the status says 200.

    Raises:
        HeadraceError: the document is an error, or something else.
    """
    root = parse(reply.body) if reply.body else None
    if root is None or root.tag != expected:
        raise error_from(reply)
    return text_of(root, "ETag") or None


def _written(
    location: Location, size: int, reply: Reply, options: WriteOptions, checksum: str | None = None, etag: str | None = None
) -> ObjectInfo:
    digits = b64decode(checksum).hex() if checksum else None
    return ObjectInfo(
        uri=location.uri,
        size=size,
        etag=etag or reply.headers.get("etag") or None,
        content_type=options.content_type,
        metadata=dict(options.metadata),
        version_id=reply.headers.get("x-amz-version-id"),
        storage_class=options.storage_class,
        checksum=f"crc32c:{digits}" if digits else None,
    )
