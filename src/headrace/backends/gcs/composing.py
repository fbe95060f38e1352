"""Writes in parts: temporary objects that are composed into one ("Composite objects" in the documentation).

An upload is a folder ``.headrace-parts/<upload>/`` in the bucket of the object: an empty object ``upload``, and the parts, whose names are
their numbers. At the end they are composed, 32 at a time, into larger ones, and the last composition makes the object. All have the
object's storage class, which the service demands, and its name in their metadata. Whatever ends an upload deletes its folder.
"""

from __future__ import annotations

import json
import logging
import re
import secrets
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from headrace.backends.gcs.deleting import delete_objects
from headrace.backends.gcs.exchange import Exchange
from headrace.backends.gcs.replies import error_from, write_error
from headrace.backends.gcs.resources import (
    base64_of,
    conditions,
    content_type_of,
    generation_of,
    info_from_resource,
    items_of,
    parse,
    resource,
    token_in,
)
from headrace.backends.gcs.uploads import Uploads, written
from headrace.backends.protocol import Body, Continuation, Part, Upload, UploadInfo, WriteOptions, body_length
from headrace.backends.service.documents import moment
from headrace.errors import HeadraceError, NotFound, ServiceError
from headrace.http.codec import Reply
from headrace.http.effects import Operation, Parallel, Sleep
from headrace.models import ObjectInfo
from headrace.uri import Location

__all__ = ["HIDDEN", "Composing"]

_log = logging.getLogger("headrace")

HIDDEN = ".headrace-parts/"
"""What the names of temporary objects begin with. A listing shows them only to those who ask for this prefix."""

_SWEEPS = 5
_SECONDS_BETWEEN_SWEEPS = 0.1
_AT_MOST = 32
_AT_ONCE = 8
_BEGINNING = "upload"
_DESTINATION = "headrace-destination"
_UPLOAD_ID = re.compile(r"[0-9a-f]{32}(?:-([A-Z0-9_]+))?")
_PART_NUMBER = re.compile(r"[0-9]{5}")
_FIELDS = "nextPageToken,items(name,size,generation,timeCreated,metadata,crc32c)"


class _Source(NamedTuple):
    """An object to be composed: this generation of it and no other."""

    name: str
    generation: str
    size: int


class _Piece(NamedTuple):
    """A temporary object that a listing found."""

    name: str
    generation: str
    info: ObjectInfo
    created: float | None

    @property
    def upload(self) -> str:
        return self.name.removeprefix(HIDDEN).partition("/")[0]

    @property
    def number(self) -> str:
        return self.name.rpartition("/")[2]


class Composing:
    """Uploads in parts.

    Args:
        exchange: how requests are sent.
        uploads: how a part is written.
        key_headers: those of a key of the customer's.
    """

    def __init__(self, exchange: Exchange, uploads: Uploads, key_headers: Mapping[str, str]) -> None:
        self._exchange = exchange
        self._uploads = uploads
        self._key_headers = key_headers

    def start(self, location: Location, options: WriteOptions) -> Operation[Upload]:
        """Make the folder. The storage class is a part of the id, since every part must have it."""
        resource(options)
        identity = secrets.token_hex(16)
        upload = Upload(location, f"{identity}-{options.storage_class}" if options.storage_class else identity)
        beginning = location.at(f"{_folder(upload)}{_BEGINNING}")
        reply = yield from self._uploads.write(beginning, (), _options_of_parts(upload))
        if reply.status >= 300:
            raise error_from(reply)
        return upload

    def put_part(self, upload: Upload, number: int, body: Body) -> Operation[Part]:
        """Write a part."""
        part = upload.location.at(f"{_folder(upload)}{number:05}")
        reply = yield from self._uploads.write(part, body, _options_of_parts(upload))
        if reply.status >= 300:
            raise error_from(reply)
        info = written(part, body_length(body), reply)
        return Part(number, info.etag or "", info.size, base64_of(info.checksum))

    def complete(self, upload: Upload, parts: Sequence[Part], options: WriteOptions) -> Operation[ObjectInfo]:
        """Compose the object, then delete the parts: that they could not be deleted does not undo the write."""
        sources = [_source(upload, part) for part in parts]
        level = 0
        while len(sources) > _AT_MOST:
            level += 1
            groups = [sources[start : start + _AT_MOST] for start in range(0, len(sources), _AT_MOST)]
            sources = yield Parallel(self._intermediates(upload, level, groups), _AT_ONCE)
        reply = yield from self._compose(upload.location, sources, options)
        if reply.status >= 300:
            raise error_from(reply) if reply.status == 404 else write_error(reply, options)
        info = written(upload.location, sum(source.size for source in sources), reply)
        try:
            yield from self._sweep(upload)
        except HeadraceError as error:
            _log.warning("%s: it is written, but its parts below %s could not be deleted: %s", info.uri, _folder(upload), error)
        return info

    def _intermediates(self, upload: Upload, level: int, groups: Sequence[Sequence[_Source]]) -> Iterator[Operation[_Source]]:
        return (self._intermediate(upload, f"{_folder(upload)}{level}-{number:05}", group) for number, group in enumerate(groups, start=1))

    def _intermediate(self, upload: Upload, name: str, group: Sequence[_Source]) -> Operation[_Source]:
        place = upload.location.at(name)
        reply = yield from self._compose(place, group, _options_of_parts(upload))
        if reply.status >= 300:
            raise error_from(reply)
        info = written(place, sum(source.size for source in group), reply)
        return _Source(name, info.version_id or "", info.size)

    def _compose(self, location: Location, sources: Sequence[_Source], options: WriteOptions) -> Operation[Reply]:
        destination = resource(options)
        # It is that of the sources, and may not be named.
        destination.pop("storageClass", None)
        destination["contentType"] = content_type_of(options)
        listed = [{"name": source.name, "generation": source.generation} for source in sources]
        document = json.dumps({"sourceObjects": listed, "destination": destination}).encode()
        return (
            yield from self._exchange.send(
                "POST",
                f"{self._exchange.object_path(location.container, location.key)}/compose",
                query=conditions(options),
                headers={"content-type": "application/json; charset=UTF-8", **self._key_headers},
                body=[memoryview(document)],
                repeatable=not options.conditional,
            )
        )

    def abort(self, upload: Upload) -> Operation[None]:
        """Delete what there is of an upload. A part that was on its way when its connection broke may arrive yet: it is waited for."""
        for _ in range(_SWEEPS):
            if not (yield from self._sweep(upload)):
                return
            yield Sleep(_SECONDS_BETWEEN_SWEEPS)

    def _sweep(self, upload: Upload) -> Operation[bool]:
        """Delete what there is now, older versions in a versioned bucket included; whether there was anything."""
        try:
            pieces = yield from self._pieces(upload.location, _folder(upload), versions=True)
            errors = yield from delete_objects(self._exchange, upload.location, [(piece.name, piece.generation) for piece in pieces])
        except NotFound:
            return False
        for error in errors:
            if error is not None:
                raise error
        return bool(pieces)

    def list_parts(self, upload: Upload) -> Operation[Sequence[Part]]:
        """The parts that were written."""
        pieces = yield from self._pieces(upload.location, _folder(upload))
        if not pieces:
            raise _unknown(upload)
        return [
            Part(int(piece.number), piece.info.etag or "", piece.info.size, base64_of(piece.info.checksum))
            for piece in pieces
            if _PART_NUMBER.fullmatch(piece.number)
        ]

    def list_uploads(self, location: Location) -> Operation[Sequence[UploadInfo]]:
        """The uploads of which there is anything, by what its metadata says it belongs to."""
        found: dict[Upload, float | None] = {}
        for piece in (yield from self._pieces(location, HIDDEN)):
            key = piece.info.metadata.get(_DESTINATION)
            if key is not None and key.startswith(location.key) and _UPLOAD_ID.fullmatch(piece.upload):
                upload = Upload(location.at(key), piece.upload)
                started = [time for time in (found.get(upload), piece.created) if time is not None]
                found[upload] = min(started, default=None)
        return [UploadInfo(upload, started) for upload, started in found.items()]

    def _pieces(self, location: Location, prefix: str, *, versions: bool = False) -> Operation[list[_Piece]]:
        found: list[_Piece] = []
        token: str | None = ""
        continuation = Continuation()
        while token is not None:
            query = [("prefix", prefix), ("fields", _FIELDS)]
            query += [("versions", "true")] if versions else []
            query += [("pageToken", token)] if token else []
            reply = yield from self._exchange.send_checked("GET", f"{self._exchange.bucket_path(location.container)}/o", query=query)
            document = parse(reply.body)
            for item in items_of(document):
                if item["name"].startswith(prefix):
                    found.append(_piece(location, item))
            token = token_in(document)
            continuation.follow(token)
        return found


def _folder(upload: Upload) -> str:
    if not _UPLOAD_ID.fullmatch(upload.id):
        # It becomes a part of names that are deleted.
        raise _unknown(upload)
    return f"{HIDDEN}{upload.id}/"


def _unknown(upload: Upload) -> NotFound:
    return NotFound("there is no such upload", uri=upload.location.uri, code="NoSuchUpload")


def _options_of_parts(upload: Upload) -> WriteOptions:
    match = _UPLOAD_ID.fullmatch(upload.id)
    return WriteOptions(metadata={_DESTINATION: upload.location.key}, storage_class=match[1] if match else None)


def _source(upload: Upload, part: Part) -> _Source:
    generation = generation_of(part.etag)
    if generation is None:
        raise ServiceError(f"part {part.number} is not one that was written", code="InvalidPart", uri=upload.location.uri)
    return _Source(f"{_folder(upload)}{part.number:05}", generation, part.size)


def _piece(location: Location, item: dict[str, object]) -> _Piece:
    name = str(item["name"])
    info = info_from_resource(location.at(name).uri, item)
    created = moment(str(item.get("timeCreated") or ""))
    return _Piece(name, info.version_id or "", info, created.timestamp() if created else None)
