"""``memory://``: objects in the memory of this process, for tests and demonstrations.

A `MemoryStorage` holds them, and all backends that are made without one share one. It lives in this process only: a client that is
pickled does not carry the objects, and a forked child has a copy of its own. A container comes into being with the first put.
"""

from __future__ import annotations

import bisect
import itertools
import os
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from typing import TypeVar, TypeVarTuple, Unpack

from headrace.backends.protocol import (
    Again,
    Body,
    Entry,
    Fetched,
    Landing,
    Page,
    Part,
    Upload,
    UploadInfo,
    WriteOptions,
    once,
    resolve_range,
)
from headrace.errors import AlreadyExists, HeadraceError, NotFound, NotSupported, ObjectChanged, PreconditionFailed, ServiceError
from headrace.http.effects import Call, Operation
from headrace.http.messages import FileRange
from headrace.models import BucketInfo, ObjectInfo, Prefix
from headrace.uri import Location

__all__ = ["MemoryBackend", "MemoryStorage"]

T = TypeVar("T")
Arguments = TypeVarTuple("Arguments")

_PAGE_SIZE = 1000


@dataclass(frozen=True, slots=True)
class _Stored:
    """An object; its bytes never change."""

    data: bytes
    info: ObjectInfo


@dataclass(frozen=True, slots=True)
class _Unfinished:
    """A write in parts; ``parts`` has each one's offset and bytes, by number."""

    upload: Upload
    options: WriteOptions
    started: float
    parts: dict[int, tuple[Part, int, bytes]] = field(default_factory=dict)


class _Container:
    """Objects by key, and their keys in the order of the UTF-8 bytes, which is sorted anew when it is asked for after a change."""

    __slots__ = ("_objects", "_order", "created")

    def __init__(self) -> None:
        self.created = datetime.now(UTC)
        self._objects: dict[str, _Stored] = {}
        self._order: list[bytes] | None = None

    def __len__(self) -> int:
        return len(self._objects)

    def get(self, key: str) -> _Stored | None:
        return self._objects.get(key)

    def set(self, key: str, stored: _Stored) -> None:
        if key not in self._objects:
            self._order = None
        self._objects[key] = stored

    def remove(self, key: str) -> bool:
        self._order = None
        return self._objects.pop(key, None) is not None

    def order(self) -> list[bytes]:
        if self._order is None:
            self._order = sorted([_encode(key) for key in self._objects])
        return self._order


class MemoryStorage:
    """What `MemoryBackend` keeps. Safe for threads.

    A pickle refers to the storage that backends share by default, in the process that loads it; any other arrives empty.
    """

    def __init__(self) -> None:
        self._containers: dict[str, _Container] = {}
        self._uploads: dict[str, _Unfinished] = {}
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        _storages.add(self)

    def __reduce__(self) -> tuple[Callable[[], MemoryStorage], tuple[()]]:
        return (_shared_storage if self is _shared else MemoryStorage), ()

    def find(self, location: Location) -> _Stored:
        """The object at a location, or `NotFound`."""
        with self._lock:
            return self._find(location)

    def store(self, location: Location, data: bytes, options: WriteOptions) -> ObjectInfo:
        """Make an object visible, if the options' conditions hold."""
        with self._lock:
            return self._store(location, data, options)

    def copy(self, source: Location, destination: Location, options: WriteOptions) -> ObjectInfo:
        """Store the bytes of one object under another name."""
        with self._lock:
            stored = self._find(source)
            options = replace(
                options,
                content_type=options.content_type or stored.info.content_type,
                metadata=options.metadata or stored.info.metadata,
            )
            return self._store(destination, stored.data, options)

    def remove(self, location: Location) -> None:
        """Remove an object, or raise `NotFound`."""
        with self._lock:
            if not self._container(location).remove(location.require_object().key):
                raise _no_object(location)

    def remove_all(self, locations: Sequence[Location]) -> None:
        """Remove objects; those that are missing are removed already."""
        with self._lock:
            for location in locations:
                self._container(location).remove(location.require_object().key)

    def page(self, location: Location, start_after: str | None, token: str | None, *, recursive: bool) -> Page:
        """A page of a listing; the token is the least key that the next page may begin with."""
        with self._lock:
            container = self._container(location)
            order, prefix = container.order(), _encode(location.key)
            first = max(prefix, _encode(token or ""), _following(prefix, start_after, recursive=recursive) if start_after else b"")
            runs = _runs(order, prefix, first, recursive=recursive)
            page = list(itertools.islice(runs, _PAGE_SIZE))
            entries = [_entry(location, container, key, folded=folded) for key, _, folded in page]
            following = page[-1][1] if len(page) == _PAGE_SIZE else None
            return Page(entries, None if following is None else _decode(following))

    def begin(self, location: Location, options: WriteOptions) -> Upload:
        """Begin a write in parts."""
        with self._lock:
            upload = Upload(location.require_object(), f"{next(self._numbers):x}")
            self._uploads[upload.id] = _Unfinished(upload, options, time.time())
            return upload

    def add_part(self, upload: Upload, number: int, offset: int, data: bytes) -> Part:
        """Keep a part, in place of an earlier one with its number."""
        with self._lock:
            part = Part(number, f'"{next(self._numbers):x}"', len(data))
            self._unfinished(upload).parts[number] = part, offset, data
            return part

    def complete(self, upload: Upload, parts: Sequence[Part], options: WriteOptions) -> ObjectInfo:
        """Make the object visible that the parts are, one after another without a gap."""
        with self._lock:
            unfinished = self._unfinished(upload)
            data = b"".join(_pieces(unfinished, parts))
            options = replace(unfinished.options, if_match=options.if_match, create_only=options.create_only)
            info = self._store(upload.location, data, options)
            del self._uploads[upload.id]
            return info

    def abort(self, upload: Upload) -> None:
        """Drop a write in parts."""
        with self._lock:
            self._uploads.pop(upload.id, None)

    def parts(self, upload: Upload) -> list[Part]:
        """The parts of a write, by number."""
        with self._lock:
            return [part for _, (part, _, _) in sorted(self._unfinished(upload).parts.items())]

    def unfinished(self, location: Location) -> list[UploadInfo]:
        """The writes in parts whose key begins with that of the location."""
        with self._lock:
            found = [UploadInfo(unfinished.upload, unfinished.started) for unfinished in self._uploads.values()]
        return [info for info in found if _is_below(info.upload.location, location)]

    def create_container(self, location: Location) -> None:
        """Create a container, or raise `AlreadyExists`."""
        with self._lock:
            if location.container in self._containers:
                raise AlreadyExists("the container is there already")
            self._containers[location.container] = _Container()

    def delete_container(self, location: Location) -> None:
        """Delete a container that is empty."""
        with self._lock:
            if len(self._container(location)):
                raise ServiceError("the container is not empty", code="NotEmpty", hint="Delete the objects in it first.")
            del self._containers[location.container]

    def containers(self) -> list[BucketInfo]:
        """The containers, by name."""
        with self._lock:
            named = sorted(self._containers.items())
        return [BucketInfo(uri=Location("memory", name, "").uri, created=container.created) for name, container in named]

    def _container(self, location: Location) -> _Container:
        container = self._containers.get(location.container)
        if container is None:
            hint = "It comes into being with the first put, in this process alone, or with create_container()."
            raise NotFound("there is no such container", code="NoSuchContainer", hint=hint)
        return container

    def _find(self, location: Location) -> _Stored:
        stored = self._container(location).get(location.require_object().key)
        if stored is None:
            raise _no_object(location)
        return stored

    def _store(self, location: Location, data: bytes, options: WriteOptions) -> ObjectInfo:
        container = self._containers.get(location.container) or _Container()
        present = container.get(location.require_object().key)
        if options.create_only and present is not None:
            raise AlreadyExists("an object of this name is there")
        if options.if_match is not None and (present is None or present.info.etag != options.if_match):
            raise PreconditionFailed("another version of the object is there, or none")
        info = ObjectInfo(
            uri=location.uri,
            size=len(data),
            etag=f'"{next(self._numbers):x}"',
            last_modified=datetime.now(UTC),
            content_type=options.content_type,
            metadata=dict(options.metadata),
            storage_class=options.storage_class,
        )
        container.set(location.key, _Stored(data, info))
        self._containers[location.container] = container
        return info

    def _unfinished(self, upload: Upload) -> _Unfinished:
        unfinished = self._uploads.get(upload.id)
        if unfinished is None:
            raise NotFound("there is no such unfinished write: it was completed or aborted", code="NoSuchUpload")
        return unfinished


_storages: weakref.WeakSet[MemoryStorage] = weakref.WeakSet()
_shared = MemoryStorage()


def _shared_storage() -> MemoryStorage:
    return _shared


def _renew_locks() -> None:
    # Another thread of the parent may have held one, and does not exist in the child.
    for storage in list(_storages):
        storage._lock = threading.Lock()


os.register_at_fork(after_in_child=_renew_locks)


@dataclass(frozen=True, slots=True)
class MemoryBackend:
    """The verbs of `protocol.Backend` over a `MemoryStorage`. Bytes are copied in and out, so that nobody else holds what is stored.

    Attributes:
        storage: where the objects are; by default the one that all backends of this process share.
    """

    scheme = "memory"
    uses_http = False
    min_part_size = 1
    max_part_size = sys.maxsize
    max_parts = sys.maxsize
    delete_batch_size = 1000

    storage: MemoryStorage = field(default_factory=_shared_storage)

    def get(
        self, location: Location, landing: Landing, *, start: int | None = None, length: int | None = None, if_match: str | None = None
    ) -> Operation[Fetched]:
        """See `Backend.get`."""
        fetched: Fetched = yield _call(location, self._get, location, landing, start, length, if_match)
        return fetched

    def head(self, location: Location) -> Operation[ObjectInfo]:
        """See `Backend.head`."""
        stored: _Stored = yield _call(location, self.storage.find, location)
        return stored.info

    def put(self, location: Location, body: Body, options: WriteOptions) -> Operation[ObjectInfo]:
        """See `Backend.put`. The container need not exist."""
        info: ObjectInfo = yield _call(location, self._put, location, body, options)
        return info

    def delete(self, location: Location) -> Operation[None]:
        """See `Backend.delete`."""
        yield _call(location, self.storage.remove, location)

    def delete_batch(self, locations: Sequence[Location]) -> Operation[Sequence[HeadraceError | None]]:
        """See `Backend.delete_batch`."""
        if locations:
            yield _call(locations[0], self.storage.remove_all, locations)
        return [None] * len(locations)

    def delete_empty_directories(self, location: Location) -> Operation[None]:
        """See `Backend.delete_empty_directories`: there are none."""
        yield from ()

    def list_page(
        self, location: Location, *, recursive: bool, start_after: str | None, token: str | None, follow_links: bool = True
    ) -> Operation[Page]:
        """See `Backend.list_page`."""
        listing = partial(self.storage.page, location, start_after, token, recursive=recursive)
        page: Page = yield _call(location, listing)
        return page

    def copy(self, source: Location, destination: Location, options: WriteOptions, *, again: Again = once) -> Operation[ObjectInfo]:
        """See `Backend.copy`."""
        info: ObjectInfo = yield _call(destination, self.storage.copy, source, destination, options)
        return info

    def start_upload(self, location: Location, options: WriteOptions) -> Operation[Upload]:
        """See `Backend.start_upload`."""
        upload: Upload = yield _call(location, self.storage.begin, location, options)
        return upload

    def put_part(self, upload: Upload, number: int, offset: int, body: Body) -> Operation[Part]:
        """See `Backend.put_part`."""
        part: Part = yield _call(upload.location, self._put_part, upload, number, offset, body)
        return part

    def complete_upload(self, upload: Upload, parts: Sequence[Part], options: WriteOptions) -> Operation[ObjectInfo]:
        """See `Backend.complete_upload`."""
        info: ObjectInfo = yield _call(upload.location, self.storage.complete, upload, parts, options)
        return info

    def abort_upload(self, upload: Upload) -> Operation[None]:
        """See `Backend.abort_upload`."""
        yield _call(upload.location, self.storage.abort, upload)

    def list_parts(self, upload: Upload) -> Operation[Sequence[Part]]:
        """See `Backend.list_parts`."""
        parts: Sequence[Part] = yield _call(upload.location, self.storage.parts, upload)
        return parts

    def list_uploads(self, location: Location) -> Operation[Sequence[UploadInfo]]:
        """See `Backend.list_uploads`."""
        found: Sequence[UploadInfo] = yield _call(location, self.storage.unfinished, location)
        return found

    def create_container(self, location: Location) -> Operation[None]:
        """See `Backend.create_container`."""
        yield _call(location, self.storage.create_container, location)

    def delete_container(self, location: Location) -> Operation[None]:
        """See `Backend.delete_container`."""
        yield _call(location, self.storage.delete_container, location)

    def list_containers(self, location: Location) -> Operation[Sequence[BucketInfo]]:
        """See `Backend.list_containers`."""
        containers: Sequence[BucketInfo] = yield _call(location, self.storage.containers)
        return containers

    def presign(self, location: Location, *, method: str, expires: int) -> Operation[str]:
        """Raise `NotSupported`: nobody else can reach this memory."""
        yield from ()
        raise NotSupported("an object in memory has no URL that others could use", uri=location.uri)

    def _get(self, location: Location, landing: Landing, start: int | None, length: int | None, if_match: str | None) -> Fetched:
        stored = self.storage.find(location)
        if if_match is not None and if_match != stored.info.etag:
            raise ObjectChanged("another version of the object is there")
        start, length = resolve_range(len(stored.data), start, length)
        view = landing.place(stored.info, start, length)
        view[:] = memoryview(stored.data)[start : start + length]
        landing.received = length
        return Fetched(view, stored.info, start)

    def _put(self, location: Location, body: Body, options: WriteOptions) -> ObjectInfo:
        return self.storage.store(location, _content(body), options)

    def _put_part(self, upload: Upload, number: int, offset: int, body: Body) -> Part:
        return self.storage.add_part(upload, number, offset, _content(body))


def _call(location: Location, function: Callable[[Unpack[Arguments]], T], *arguments: *Arguments) -> Call[T]:
    return Call(partial(_about, location, function, *arguments))


def _about(location: Location, function: Callable[[Unpack[Arguments]], T], *arguments: *Arguments) -> T:
    """Call ``function``; its errors are about ``location`` unless they say otherwise."""
    try:
        return function(*arguments)
    except HeadraceError as error:
        error.with_context(uri=location.uri)
        raise


def _no_object(location: Location) -> NotFound:
    return NotFound("there is no such object", uri=location.uri, code="NoSuchKey")


def _content(body: Body) -> bytes:
    """A copy of all bytes of a body."""
    return b"".join([_read(part) if isinstance(part, FileRange) else part for part in body])


def _read(source: FileRange) -> memoryview:
    content = memoryview(bytearray(source.length))
    done = 0
    while done < source.length:
        count = os.preadv(source.descriptor, [content[done:]], source.offset + done)
        if count == 0:
            raise ObjectChanged("the file that is read became shorter meanwhile")
        done += count
    return content


def _pieces(unfinished: _Unfinished, parts: Sequence[Part]) -> Iterator[bytes]:
    """The bytes of the parts, which must be those that are there and follow each other."""
    end = 0
    for part in parts:
        present, offset, data = unfinished.parts.get(part.number, (None, 0, b""))
        if present is None or present.etag != part.etag:
            raise ServiceError(f"part {part.number} was not written, or was replaced", code="InvalidPart")
        if offset != end:
            raise ServiceError(f"part {part.number} does not begin where the one before it ends", code="InvalidPart")
        yield data
        end += len(data)


def _following(prefix: bytes, start_after: str, *, recursive: bool) -> bytes:
    """The least key of a listing after a key. After a folded prefix none of the keys that it stands for is left."""
    key = _encode(start_after)
    folded = not recursive and key.startswith(prefix) and key.find(b"/", len(prefix)) == len(key) - 1
    # What follows "/" in the order of bytes is "0".
    return key[:-1] + b"0" if folded and len(key) > len(prefix) else key + b"\0"


def _runs(order: Sequence[bytes], prefix: bytes, first: bytes, *, recursive: bool) -> Iterator[tuple[bytes, bytes, bool]]:
    """Yield keys from ``first`` on, folded at the next ``/`` unless recursive.

    Each comes with the least key that can follow it, and whether it was folded.
    """
    at = bisect.bisect_left(order, first)
    while at < len(order) and order[at].startswith(prefix):
        key = order[at]
        cut = -1 if recursive else key.find(b"/", len(prefix))
        if cut < 0:
            at += 1
            yield key, key + b"\0", False
        else:
            following = key[:cut] + b"0"
            at = bisect.bisect_left(order, following, at)
            yield key[: cut + 1], following, True


def _entry(location: Location, container: _Container, key: bytes, *, folded: bool) -> Entry:
    name = _decode(key)
    if folded:
        return Prefix(location.at(name).uri)
    stored = container.get(name)
    assert stored is not None
    return stored.info._replace(content_type=None, metadata=_NOTHING)


_NOTHING: Mapping[str, str] = {}


def _is_below(location: Location, prefix: Location) -> bool:
    return location.container == prefix.container and location.key.startswith(prefix.key)


# What is no text in UTF-8 can still be a key of this process.
def _encode(key: str) -> bytes:
    return key.encode("utf-8", "surrogatepass")


def _decode(key: bytes) -> str:
    return key.decode("utf-8", "surrogatepass")
