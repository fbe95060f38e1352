"""Google Cloud Storage as a `Backend`: each verb as the requests that the reference of the JSON API describes."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from headrace.auth.gcs import GoogleTokenSource
from headrace.auth.gcs_urls import signed_url
from headrace.auth.sigv4 import canonical_query, encode_path, encode_query_value
from headrace.backends.gcs.composing import HIDDEN, Composing
from headrace.backends.gcs.deleting import BATCH_SIZE, delete_objects
from headrace.backends.gcs.encryption import key_headers
from headrace.backends.gcs.exchange import Exchange
from headrace.backends.gcs.replies import error_from, write_error
from headrace.backends.gcs.resources import (
    LISTED_FIELDS,
    OBJECT_FIELDS,
    conditions,
    generation_of,
    info_from_headers,
    info_from_resource,
    items_of,
    parse,
    resource,
    token_in,
)
from headrace.backends.gcs.uploads import Uploads, written
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
from headrace.backends.service.documents import moment
from headrace.backends.service.reading import fetch
from headrace.backends.service.replies import check_keys
from headrace.config import Options
from headrace.errors import AlreadyExists, CredentialsError, HeadraceError, InvalidOption, ObjectChanged, ProtocolError, ServiceError
from headrace.http.codec import Placement, Reply
from headrace.http.effects import Call, Operation
from headrace.http.redirects import Redirects
from headrace.models import BucketInfo, ObjectInfo, Prefix
from headrace.uri import Location

__all__ = ["GcsBackend"]

_AS_JSON = {"content-type": "application/json; charset=UTF-8"}
_DESCRIBED = (("fields", OBJECT_FIELDS),)
_NOT_EMPTY = (409, 412)


class GcsBackend:
    """Reads and writes objects of Google Cloud Storage, or of a server that speaks its JSON API.

    The ETag of an object is its generation: that is what the service compares in conditions, whereas its own ETags it only reports.

    Args:
        options: the client's options.
        source: where tokens come from; None for anonymous requests.

    Raises:
        CredentialsError: a token would go over a network without TLS.
        InvalidOption: a checksum that the service does not have, or nobody named to pay.
        NotSupported: an encryption that the service does not have.
    """

    scheme = "gs"
    uses_http = True
    min_part_size = 1
    max_part_size = 5 << 40
    max_parts = 10_000
    delete_batch_size = BATCH_SIZE

    def __init__(self, options: Options, source: GoogleTokenSource | None) -> None:
        if options.checksum == "crc32":
            raise InvalidOption("gs:// has no checksum crc32", hint="Set checksum to auto, crc32c, md5 or none.")
        self._project = options.project
        self._location = options.region
        common = {"user-agent": "headrace"}
        if options.request_payer:
            common["x-goog-user-project"] = self._payer()
        self._exchange = Exchange(options.endpoint_url, source, common, Redirects(options.follow_redirects, options.max_redirects))
        checksum = "crc32c" if options.checksum == "auto" else options.checksum
        self._verifies = checksum != "none"
        self._key_headers = key_headers(options.sse)
        self._copy_key_headers = self._key_headers | key_headers(options.sse, source=True)
        # What is stored compressed comes as it is stored, instead of being decompressed on the way.
        self._media_headers = {"accept-encoding": "gzip", **self._key_headers}
        self._uploads = Uploads(self._exchange, checksum, self._key_headers)
        self._composing = Composing(self._exchange, self._uploads, self._key_headers)

    def get(
        self, location: Location, landing: Landing, *, start: int | None = None, length: int | None = None, if_match: str | None = None
    ) -> Operation[Fetched]:
        """See `Backend.get`."""
        service = self if if_match is None else _Version(self, if_match)
        return fetch(service, location, landing, self._media_headers, start, length)

    def ask(self, location: Location, headers: Mapping[str, str], place: Placement, limit: int | None) -> Operation[Reply]:
        """See `Readable.ask`."""
        return self.download(location, "?alt=media", headers, place, limit)

    def download(self, location: Location, query: str, headers: Mapping[str, str], place: Placement, limit: int | None) -> Operation[Reply]:
        """Send a GET for the bytes of an object."""
        path = self._exchange.object_path(location.container, location.key)
        return self._exchange.send("GET", f"{path}{query}", headers=headers, place=place, limit=limit)

    def describe(self, location: Location, headers: Mapping[str, str], size: int) -> ObjectInfo:
        """See `Readable.describe`."""
        return info_from_headers(location.uri, headers, size, checksum=self._verifies)

    def error_from(self, reply: Reply) -> HeadraceError:
        """See `Readable.error_from`."""
        return error_from(reply)

    def head(self, location: Location) -> Operation[ObjectInfo]:
        """See `Backend.head`."""
        path = self._exchange.object_path(location.container, location.key)
        reply = yield from self._exchange.send_checked("GET", path, query=_DESCRIBED, headers=self._key_headers)
        return info_from_resource(location.uri, parse(reply.body))

    def put(self, location: Location, body: Body, options: WriteOptions) -> Operation[ObjectInfo]:
        """See `Backend.put`."""
        reply = yield from self._uploads.write(location, body, options)
        if reply.status >= 300:
            raise write_error(reply, options)
        return written(location, body_length(body), reply)

    def delete(self, location: Location) -> Operation[None]:
        """See `Backend.delete`."""
        yield from self._exchange.send_checked("DELETE", self._exchange.object_path(location.container, location.key))

    def delete_batch(self, locations: Sequence[Location]) -> Operation[Sequence[HeadraceError | None]]:
        """See `Backend.delete_batch`."""
        return (yield from delete_objects(self._exchange, locations[0], [(location.key, "") for location in locations]))

    def delete_empty_directories(self, location: Location) -> Operation[None]:
        """See `Backend.delete_empty_directories`: there are none."""
        yield from ()

    def list_page(
        self, location: Location, *, recursive: bool, start_after: str | None, token: str | None, follow_links: bool = True
    ) -> Operation[Page]:
        """See `Backend.list_page`. The temporary objects of writes in parts are listed below their own prefix only."""
        query = [("fields", LISTED_FIELDS), ("prefix", location.key)]
        query += [] if recursive else [("delimiter", "/")]
        query += [("startOffset", start_after)] if start_after else []
        query += [("pageToken", token)] if token else []
        reply = yield from self._exchange.send_checked("GET", f"{self._exchange.bucket_path(location.container)}/o", query=query)
        document = parse(reply.body)
        entries = _entries(location, document)
        hidden = "" if location.key.startswith(HIDDEN) else HIDDEN
        shown = [entry for key, entry in entries if key != start_after and not (hidden and key.startswith(hidden))]
        return Page(shown, token_in(document))

    def copy(self, source: Location, destination: Location, options: WriteOptions, *, again: Again = once) -> Operation[ObjectInfo]:
        """See `Backend.copy`: the service rewrites the object, in as many requests as it wants."""
        described = yield from self._description_of_copy(source, options)
        path = self._exchange.object_path(source.container, source.key)
        path = f"{path}/rewriteTo/b/{destination.container}/o/{encode_query_value(destination.key)}"
        token = ""
        continuation = Continuation()
        if options.conditional:
            # What the last step did may have made its condition false.
            again = once
        while True:
            reply: Reply = yield from again(partial(self._rewrite, path, token, described, options))
            document = parse(reply.body)
            copied = document.get("resource")
            if document.get("done") and isinstance(copied, dict):
                return info_from_resource(destination.uri, copied)
            token = token_in(document, "rewriteToken") or ""
            if not token:
                raise ProtocolError("a copy that is not done, without the token that continues it", status=reply.status)
            continuation.follow(token)

    def _rewrite(self, path: str, token: str, described: Body, options: WriteOptions) -> Operation[Reply]:
        """One step of a copy; with the token of the one before it may be taken twice."""
        reply: Reply = yield from self._exchange.send(
            "POST",
            path,
            query=[*conditions(options), *([("rewriteToken", token)] if token else [])],
            headers={**_AS_JSON, **self._copy_key_headers},
            body=described,
            repeatable=not options.conditional,
        )
        if reply.status >= 300:
            raise write_error(reply, options)
        return reply

    def _description_of_copy(self, source: Location, options: WriteOptions) -> Operation[Body]:
        """The resource of a copy that is to differ from its source; where one is given, nothing is taken over by itself."""
        described = resource(options)
        if not described and options.content_type is None:
            return ()
        info: ObjectInfo = yield from self.head(source)
        kept = WriteOptions(metadata=options.metadata or info.metadata, storage_class=options.storage_class)
        kind = options.content_type or info.content_type
        return [memoryview(json.dumps({**resource(kept), **({"contentType": kind} if kind else {})}).encode())]

    def start_upload(self, location: Location, options: WriteOptions) -> Operation[Upload]:
        """See `Backend.start_upload`."""
        return self._composing.start(location, options)

    def put_part(self, upload: Upload, number: int, offset: int, body: Body) -> Operation[Part]:
        """See `Backend.put_part`."""
        return self._composing.put_part(upload, number, body)

    def complete_upload(self, upload: Upload, parts: Sequence[Part], options: WriteOptions) -> Operation[ObjectInfo]:
        """See `Backend.complete_upload`."""
        return self._composing.complete(upload, parts, options)

    def abort_upload(self, upload: Upload) -> Operation[None]:
        """See `Backend.abort_upload`."""
        return self._composing.abort(upload)

    def list_parts(self, upload: Upload) -> Operation[Sequence[Part]]:
        """See `Backend.list_parts`."""
        return self._composing.list_parts(upload)

    def list_uploads(self, location: Location) -> Operation[Sequence[UploadInfo]]:
        """See `Backend.list_uploads`."""
        return self._composing.list_uploads(location)

    def create_container(self, location: Location) -> Operation[None]:
        """See `Backend.create_container`. A ``region`` is the bucket's location."""
        project = yield from self._find_project()
        bucket = {"name": location.container, **({"location": self._location} if self._location else {})}
        reply: Reply = yield from self._exchange.send(
            "POST",
            f"{self._exchange.base}/storage/v1/b",
            query=[("project", project)],
            headers=_AS_JSON,
            body=[memoryview(json.dumps(bucket).encode())],
            repeatable=False,
        )
        if reply.status == 409:
            error = error_from(reply)
            raise AlreadyExists(error.message, status=409, code=error.code, request_id=error.request_id)
        if reply.status >= 300:
            raise error_from(reply)

    def delete_container(self, location: Location) -> Operation[None]:
        """See `Backend.delete_container`. Where nothing but parts of unfinished writes is left, they are deleted too."""
        path = self._exchange.bucket_path(location.container)
        reply: Reply = yield from self._exchange.send("DELETE", path)
        if reply.status in _NOT_EMPTY and (yield from self._clear_parts(location)):
            reply = yield from self._exchange.send("DELETE", path)
        if reply.status >= 300:
            error = error_from(reply)
            if reply.status not in _NOT_EMPTY:
                raise error
            raise ServiceError(
                error.message,
                status=error.status,
                code="NotEmpty",
                request_id=error.request_id,
                hint="Delete what is in it first: delete(uri, recursive='bucket').",
            )

    def _clear_parts(self, location: Location) -> Operation[bool]:
        """Give up all uploads of a bucket that has no other objects; whether there were any."""
        page: Page = yield from self.list_page(location.at(""), recursive=True, start_after=None, token=None)
        if page.entries or page.token:
            return False
        uploads = yield from self.list_uploads(location.at(""))
        for info in uploads:
            yield from self.abort_upload(info.upload)
        return bool(uploads)

    def list_containers(self, location: Location) -> Operation[Sequence[BucketInfo]]:
        """See `Backend.list_containers`: those of a project."""
        project = yield from self._find_project()
        found: list[BucketInfo] = []
        token: str | None = ""
        continuation = Continuation()
        while token is not None:
            query = [("project", project), ("fields", "nextPageToken,items(name,timeCreated)")]
            query += [("pageToken", token)] if token else []
            reply = yield from self._exchange.send_checked("GET", f"{self._exchange.base}/storage/v1/b", query=query)
            document = parse(reply.body)
            for item in items_of(document):
                found.append(BucketInfo(uri=f"gs://{item['name']}/", created=moment(str(item.get("timeCreated") or ""))))
            token = token_in(document)
            continuation.follow(token)
        return found

    def presign(self, location: Location, *, method: str, expires: int) -> Operation[str]:
        """See `Backend.presign`: a V4 signed URL, by the key of a service account or by the IAM service."""
        source, exchange = self._exchange.source, self._exchange
        if source is None:
            raise CredentialsError("an anonymous client cannot sign URLs", hint="Give credentials, or use the object's plain URL.")
        path = f"{exchange.base}/{location.container}/{encode_path(location.key)}"
        url: str = yield Call(lambda: signed_url(method, exchange.origin, path, expires=expires, signer=source.signer(), now=time.time()))
        return url

    def _find_project(self) -> Operation[str]:
        source = self._exchange.source
        project = self._project or (source and (yield Call(source.project)))
        if not project:
            raise InvalidOption("a project is needed to list and create buckets", hint="Set `project` (GOOGLE_CLOUD_PROJECT).")
        return project

    def _payer(self) -> str:
        if not self._project:
            raise InvalidOption("request_payer needs the project that pays", hint="Set `project` (GOOGLE_CLOUD_PROJECT).")
        return self._project


class _Version:
    """A backend that reads one version of objects and refuses any other."""

    def __init__(self, backend: GcsBackend, etag: str) -> None:
        self._backend = backend
        self._etag = etag
        self.head = backend.head
        self.error_from = backend.error_from

    def ask(self, location: Location, headers: Mapping[str, str], place: Placement, limit: int | None) -> Operation[Reply]:
        """See `Readable.ask`."""
        query = f"?{canonical_query([('alt', 'media'), ('ifGenerationMatch', generation_of(self._etag) or '1')])}"
        return self._backend.download(location, query, headers, place, limit)

    def describe(self, location: Location, headers: Mapping[str, str], size: int) -> ObjectInfo:
        """See `Readable.describe`. A service that ignores the condition must not get away with other bytes."""
        info = self._backend.describe(location, headers, size)
        if info.etag != self._etag:
            raise ObjectChanged("the object was replaced while it was read", hint="Read it again from the start.")
        return info


def _entries(location: Location, document: Mapping[str, Any]) -> list[tuple[str, Entry]]:
    """What a page lists, in key order."""
    entries: list[tuple[str, Entry]] = [
        (item["name"], info_from_resource(location.at(item["name"]).uri, item)) for item in items_of(document)
    ]
    prefixes = document.get("prefixes") or []
    if not isinstance(prefixes, list) or not all(isinstance(prefix, str) for prefix in prefixes):
        raise ProtocolError("'prefixes' in the reply is not a list of names")
    check_keys([*(key for key, _ in entries), *prefixes], location)
    if prefixes:
        entries += [(prefix, Prefix(location.at(prefix).uri)) for prefix in prefixes]
        entries.sort(key=lambda entry: entry[0].encode(errors="surrogatepass"))
    return entries
