"""Azure Blob Storage as a `Backend`: each verb as the requests that the Azure Storage REST API reference describes."""

from __future__ import annotations

import functools
import secrets
from base64 import b64decode, b64encode
from collections.abc import Iterator, Mapping, Sequence

from headrace.auth.azure import Found
from headrace.auth.azure_signing import LONGEST_SAS, DelegationKey, SharedAccessSignature, SharedKey, utc
from headrace.backends.azure import xml
from headrace.backends.azure.addressing import Addressing
from headrace.backends.azure.batch import PartOfReply, batch_body, parse_batch
from headrace.backends.azure.copying import copy
from headrace.backends.azure.exchange import Exchange, Query
from headrace.backends.azure.options import description_headers
from headrace.backends.azure.replies import error_from, object_info, write_error
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
from headrace.backends.service.bodies import digest
from headrace.backends.service.reading import fetch
from headrace.backends.service.replies import check_keys
from headrace.backends.service.writing import condition_headers
from headrace.config import Options
from headrace.errors import HeadraceError, InvalidOption, NotFound, NotSupported, ProtocolError, ServiceError, Throttled
from headrace.http.codec import Placement, Reply
from headrace.http.effects import Call, Operation, Parallel
from headrace.http.redirects import Redirects
from headrace.models import BucketInfo, ObjectInfo, Prefix
from headrace.uri import Location

__all__ = ["AzureBackend"]

_MIB = 1 << 20
_CHECKSUM_ELSEWHERE_FROM = 1 << 20
PAGE = 2000
"""Entries that are asked for at once: as many as make a document of a few megabytes, however long their names are."""

_BLOCK_LISTS_AT_ONCE = 8
_PERMISSIONS = {"GET": "r", "HEAD": "r", "PUT": "cw", "DELETE": "d"}
# A token must not end before the service has looked at it, and clocks differ.
_MARGIN = 15 * 60


class AzureBackend:
    """Reads and writes the blobs of a storage account.

    Args:
        options: the client's options.
        found: the account, its endpoint and where credentials come from; see `headrace.auth.azure.find`.

    Raises:
        InvalidOption: an option asks for what the service does not have.
    """

    scheme = "az"
    uses_http = True
    min_part_size = 1
    max_part_size = 4000 * _MIB
    max_parts = 50_000
    delete_batch_size = 256

    def __init__(self, options: Options, found: Found) -> None:
        _refuse_what_azure_lacks(options)
        self._addressing = Addressing(found.account, options.endpoint_url or found.endpoint, options.az_style)
        self._exchange = Exchange(self._addressing, found.source, Redirects(options.follow_redirects, options.max_redirects))
        self._checksum = options.checksum
        self.interpret = self._addressing.interpret

    def get(
        self, location: Location, landing: Landing, *, start: int | None = None, length: int | None = None, if_match: str | None = None
    ) -> Operation[Fetched]:
        """See `Backend.get`."""
        return fetch(self, location, landing, {} if if_match is None else {"if-match": if_match}, start, length)

    def ask(self, location: Location, headers: Mapping[str, str], place: Placement, limit: int | None) -> Operation[Reply]:
        """See `Readable.ask`."""
        return self._exchange.send("GET", location, headers=headers, place=place, limit=limit)

    def describe(self, location: Location, headers: Mapping[str, str], size: int) -> ObjectInfo:
        """See `Readable.describe`."""
        info = object_info(location.uri, headers, size)
        return info._replace(checksum=None) if self._checksum == "none" and info.checksum else info

    def error_from(self, reply: Reply) -> HeadraceError:
        """See `Readable.error_from`."""
        return error_from(reply)

    def head(self, location: Location) -> Operation[ObjectInfo]:
        """See `Backend.head`: Get Blob Properties."""
        reply = yield from self._exchange.send_checked("HEAD", location)
        length = reply.headers.get("content-length")
        if length is None:
            raise ProtocolError("a reply to HEAD without Content-Length", status=reply.status)
        return object_info(location.uri, reply.headers, int(length))

    def put(self, location: Location, body: Body, options: WriteOptions) -> Operation[ObjectInfo]:
        """See `Backend.put`: Put Blob."""
        checksum = yield from self._body_checksum(location, body)
        headers = {"x-ms-blob-type": "BlockBlob", **checksum, **description_headers(options), **condition_headers(options)}
        reply: Reply = yield from self._exchange.send("PUT", location, headers=headers, body=body, repeatable=not options.conditional)
        if reply.status >= 300:
            raise write_error(reply, options)
        return _written(location, body_length(body), reply, options)

    def delete(self, location: Location) -> Operation[None]:
        """See `Backend.delete`."""
        yield from self._exchange.send_checked("DELETE", location)

    def delete_batch(self, locations: Sequence[Location]) -> Operation[Sequence[HeadraceError | None]]:
        """See `Backend.delete_batch`: Blob Batch."""
        parts = yield from self._batch(locations)
        if all(part.status in (401, 403) for part in parts):
            # They were signed before the reply to the whole corrected the clock or the credentials.
            parts = yield from self._batch(locations)
        errors: list[HeadraceError | None] = []
        for location, part in zip(locations, parts, strict=True):
            error = None if part.status < 300 else error_from(part).with_context(uri=location.uri, operation="delete")
            if isinstance(error, Throttled) or (error is not None and error.status in (500, 503)):
                # To be tried again as a whole: what is deleted by then is missing, and that is no failure.
                raise error
            errors.append(None if isinstance(error, NotFound) and error.code != "ContainerNotFound" else error)
        return errors

    def _batch(self, locations: Sequence[Location]) -> Operation[Sequence[PartOfReply]]:
        source = self._exchange.source
        credentials = None if source is None else (source.current() or (yield Call(source.refresh)))
        boundary = f"batch_{secrets.token_hex(16)}"
        body = memoryview(batch_body(boundary, [self._exchange.part(location, credentials) for location in locations]))
        query = [("comp", "batch"), ("restype", "container")]
        headers = {"content-type": f"multipart/mixed; boundary={boundary}"}
        reply = yield from self._exchange.send_checked(
            "POST", locations[0].at(""), query=query, headers=headers, body=[body], repeatable=True
        )
        return parse_batch(reply, len(locations))

    def delete_empty_directories(self, location: Location) -> Operation[None]:
        """See `Backend.delete_empty_directories`: there are none."""
        yield from ()

    def list_page(
        self, location: Location, *, recursive: bool, start_after: str | None, token: str | None, follow_links: bool = True
    ) -> Operation[Page]:
        """See `Backend.list_page`: List Blobs. It cannot begin after a key: what comes before is listed too, and left out here."""
        query = [("restype", "container"), ("comp", "list"), ("maxresults", str(PAGE))]
        query += [("prefix", location.key)] if location.key else []
        query += [] if recursive else [("delimiter", "/")]
        query += [("marker", token)] if token else []
        reply = yield from self._exchange.send_checked("GET", location.at(""), query=query)
        blobs, prefixes, token = xml.parse_listing(reply.body)
        check_keys([*(blob.key for blob in blobs), *prefixes], location)
        entries: list[tuple[str, Entry]] = [(blob.key, _listed(location, blob)) for blob in blobs]
        entries += [(prefix, Prefix(location.at(prefix).uri)) for prefix in prefixes]
        if start_after:
            after = _in_order(start_after)
            entries = [(key, entry) for key, entry in entries if _comes_after(key, entry, after)]
        entries.sort(key=lambda entry: _in_order(entry[0]))
        return Page([entry for _, entry in entries], token)

    def copy(self, source: Location, destination: Location, options: WriteOptions, *, again: Again = once) -> Operation[ObjectInfo]:
        """See `Backend.copy`."""
        info = yield from self.head(source)
        return (yield from copy(self._exchange, source, info, destination, options))

    def start_upload(self, location: Location, options: WriteOptions) -> Operation[Upload]:
        """See `Backend.start_upload`. The service is not told: the id goes into the names of the blocks, which no other upload then has."""
        yield from ()
        return Upload(location, secrets.token_hex(8))

    def put_part(self, upload: Upload, number: int, offset: int, body: Body) -> Operation[Part]:
        """See `Backend.put_part`: Put Block."""
        checksum = yield from self._body_checksum(upload.location, body)
        block = _block_id(upload, number)
        yield from self._exchange.send_checked(
            "PUT", upload.location, query=[("comp", "block"), ("blockid", block)], headers=checksum, body=body
        )
        return Part(number, block, body_length(body))

    def complete_upload(self, upload: Upload, parts: Sequence[Part], options: WriteOptions) -> Operation[ObjectInfo]:
        """See `Backend.complete_upload`: Put Block List."""
        document = memoryview(xml.block_list(_block_id(upload, part.number) for part in parts))
        headers = {"content-type": "application/xml", **description_headers(options), **condition_headers(options)}
        reply: Reply = yield from self._exchange.send(
            "PUT", upload.location, query=[("comp", "blocklist")], headers=headers, body=[document], repeatable=not options.conditional
        )
        if reply.status >= 300:
            raise write_error(reply, options)
        return _written(upload.location, sum(part.size for part in parts), reply, options)

    def abort_upload(self, upload: Upload) -> Operation[None]:
        """See `Backend.abort_upload`. The service has no such request: it drops blocks that nobody committed for a week."""
        yield from ()

    def list_parts(self, upload: Upload) -> Operation[Sequence[Part]]:
        """See `Backend.list_parts`: Get Block List."""
        blocks: list[xml.Block] = yield from self._uncommitted(upload.location)
        parts = [(block, _upload_and_number(block.id)) for block in blocks]
        found = [Part(named[1], block.id, block.size) for block, named in parts if named is not None and named[0] == upload.id]
        return sorted(found)

    def list_uploads(self, location: Location) -> Operation[Sequence[UploadInfo]]:
        """See `Backend.list_uploads`: those of headrace, of blobs that are not there yet; the service lists no others."""
        query: Query = [("restype", "container"), ("comp", "list"), ("include", "uncommittedblobs"), ("prefix", location.key)]
        empty: list[Location] = []
        continuation, marker = Continuation(), ""
        while True:
            extra = [("marker", marker)] if marker else []
            reply = yield from self._exchange.send_checked("GET", location.at(""), query=[*query, *extra])
            blobs, _, following = xml.parse_listing(reply.body)
            check_keys([blob.key for blob in blobs], location)
            empty += [location.at(blob.key) for blob in blobs if not blob.size]
            continuation.follow(following)
            if following is None:
                break
            marker = following
        lists: list[list[xml.Block]] = yield Parallel((self._uncommitted(place) for place in empty), _BLOCK_LISTS_AT_ONCE)
        found = {Upload(place, upload) for place, blocks in zip(empty, lists, strict=True) for upload in _uploads_of(blocks)}
        return [UploadInfo(upload, None) for upload in sorted(found)]

    def create_container(self, location: Location) -> Operation[None]:
        """See `Backend.create_container`. While one of this name is being deleted, it is tried again."""
        yield from self._exchange.send_checked("PUT", location, query=[("restype", "container")], repeatable=False)

    def delete_container(self, location: Location) -> Operation[None]:
        """See `Backend.delete_container`. The service would delete what is in it too: so it is looked at first."""
        marker: str | None = ""
        continuation = Continuation()
        while marker is not None:
            query = [("restype", "container"), ("comp", "list"), ("maxresults", "1"), ("include", "snapshots")]
            query += [("marker", marker)] if marker else []
            reply = yield from self._exchange.send_checked("GET", location, query=query)
            blobs, _, marker = xml.parse_listing(reply.body)
            continuation.follow(marker)
            if blobs:
                hint = "Delete what is in it first: delete(uri, recursive='bucket')."
                raise ServiceError("there are blobs in the container", code="NotEmpty", hint=hint)
        yield from self._exchange.send_checked("DELETE", location, query=[("restype", "container")])

    def list_containers(self, location: Location) -> Operation[Sequence[BucketInfo]]:
        """See `Backend.list_containers`. The service does not tell when they were created."""
        names: list[str] = []
        marker: str | None = ""
        continuation = Continuation()
        account = location._replace(container="", key="")
        while marker is not None:
            query = [("comp", "list")] + ([("marker", marker)] if marker else [])
            reply = yield from self._exchange.send_checked("GET", account, query=query)
            more, marker = xml.parse_containers(reply.body)
            names += more
            continuation.follow(marker)
        return [BucketInfo(uri=location._replace(container=name, key="").uri) for name in names]

    def presign(self, location: Location, *, method: str, expires: int) -> Operation[str]:
        """See `Backend.presign`: a service SAS, or one by user delegation where a token is what proves who asks."""
        permissions = _PERMISSIONS.get(method)
        if permissions is None:
            raise InvalidOption(f"a URL can be signed for {', '.join(_PERMISSIONS)}, not {method!r}")
        if not 1 <= expires <= LONGEST_SAS:
            raise InvalidOption(f"expires must be 1 to {LONGEST_SAS} seconds, not {expires!r}")
        credentials = yield from self._exchange.credentials("sign URLs")
        account = self._addressing.account_of(location)
        url = self._exchange.url(location)
        protocol = "https" if url.startswith("https:") else "https,http"
        end = utc(self._exchange.now() + expires)
        if isinstance(credentials, SharedAccessSignature):
            raise NotSupported(
                "a shared access signature cannot sign others", hint="Use the account's key or a token, or append the signature yourself."
            )
        if isinstance(credentials, SharedKey):
            query = credentials.service_sas(location.container, location.key, permissions=permissions, expires=end, protocol=protocol)
        else:
            key: DelegationKey = yield from self._delegation_key(location, expires)
            query = key.sas(account, location.container, location.key, permissions=permissions, expires=end, protocol=protocol)
        return str(self._exchange.url(location, query))

    def _delegation_key(self, location: Location, expires: int) -> Operation[DelegationKey]:
        now = self._exchange.now()
        document = xml.key_info(utc(now - _MARGIN), utc(min(now + expires + _MARGIN, now + LONGEST_SAS)))
        account = location._replace(container="", key="")
        query = [("restype", "service"), ("comp", "userdelegationkey")]
        headers = {"content-type": "application/xml"}
        reply = yield from self._exchange.send_checked(
            "POST", account, query=query, headers=headers, body=[memoryview(document)], repeatable=True
        )
        return xml.parse_delegation_key(reply.body)

    def _uncommitted(self, location: Location) -> Operation[list[xml.Block]]:
        query = [("comp", "blocklist"), ("blocklisttype", "uncommitted")]
        try:
            reply = yield from self._exchange.send_checked("GET", location, query=query)
        except NotFound as error:
            if error.code == "ContainerNotFound":
                raise
            return []
        return list(xml.parse_blocks(reply.body))

    def _body_checksum(self, location: Location, body: Body) -> Operation[dict[str, str]]:
        """``Content-MD5``, which the service verifies: over https, where TLS protects the bytes, only if it is asked for."""
        wanted = self._checksum == "md5" or (self._checksum == "auto" and self._is_plain(location))
        if not wanted or not body:
            return {}
        if body_length(body) < _CHECKSUM_ELSEWHERE_FROM and isinstance(body[0], memoryview):
            return {"content-md5": digest(body, "md5")}
        value: str = yield Call(functools.partial(digest, body, "md5"))
        return {"content-md5": value}

    def _is_plain(self, location: Location) -> bool:
        return self._addressing.target(self._addressing.account_of(location)).origin.scheme == "http"


def _refuse_what_azure_lacks(options: Options) -> None:
    if options.checksum not in ("auto", "md5", "none"):
        raise InvalidOption(f"Azure has no checksum of the kind {options.checksum}", hint="Use auto, md5 or none for az://.")
    if options.sse is not None and options.sse.kind != "AES256":
        raise InvalidOption(f"az:// does not support sse={str(options.sse)!r}", hint="Azure encrypts everything by itself; leave it out.")


def _in_order(key: str) -> bytes:
    return key.encode(errors="surrogateescape")


def _comes_after(key: str, entry: Entry, after: bytes) -> bool:
    """Whether an entry belongs to a listing that begins after a key; a prefix does that may hold what follows."""
    here = _in_order(key)
    return here > after or (isinstance(entry, Prefix) and after.startswith(here))


def _listed(location: Location, blob: xml.ListedBlob) -> ObjectInfo:
    return ObjectInfo(
        uri=location.at(blob.key).uri,
        size=blob.size,
        etag=blob.etag,
        last_modified=blob.last_modified,
        storage_class=blob.storage_class,
    )


def _block_id(upload: Upload, number: int) -> str:
    """The name of a block, in base64: all names of a blob must be of one length, and come in no particular order."""
    return b64encode(f"{upload.id}-{number:05}".encode()).decode()


def _upload_and_number(block: str) -> tuple[str, int] | None:
    """What `_block_id` was made of; None for the block of another program."""
    try:
        upload, _, number = b64decode(block, validate=True).decode("ascii").rpartition("-")
    except ValueError:
        return None
    return (upload, int(number)) if len(upload) == 16 and len(number) == 5 and number.isdigit() else None


def _uploads_of(blocks: Sequence[xml.Block]) -> Iterator[str]:
    for block in blocks:
        named = _upload_and_number(block.id)
        if named is not None:
            yield named[0]


def _written(location: Location, size: int, reply: Reply, options: WriteOptions) -> ObjectInfo:
    return ObjectInfo(
        uri=location.uri,
        size=size,
        etag=reply.headers.get("etag") or None,
        content_type=options.content_type,
        metadata=dict(options.metadata),
        version_id=reply.headers.get("x-ms-version-id"),
        storage_class=options.storage_class,
    )
