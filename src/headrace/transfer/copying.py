"""Copies: by the service itself where source and destination are its own, else streamed in bounded memory."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator
from typing import TypeAlias

from headrace.backends.protocol import Allocate, Fetched, Landing, Part, Upload, WriteOptions, allocate_fresh
from headrace.errors import NotSupported, ObjectChanged
from headrace.http.effects import Call, Operation, Parallel, with_undo
from headrace.http.messages import FileRange
from headrace.models import ObjectInfo
from headrace.stores.store import Store
from headrace.transfer.reading import require_same_version
from headrace.transfer.session import Session
from headrace.transfer.spooling import spooled
from headrace.transfer.writing import part_size_for, publish, store_body
from headrace.uri import URI, Location

__all__ = ["Moved", "copy", "move"]

Moved: TypeAlias = Callable[[int], object]
"""Is told of so many more bytes that have arrived."""

_PARTS_AT_ONCE = 4


def copy(
    session: Session, source: URI, destination: URI, *, expected_size: int | None = None, moved: Moved | None = None
) -> Operation[ObjectInfo]:
    """Copy one object; content type and metadata are kept where the destination can hold them.

    Args:
        session: has the stores.
        source: what to copy.
        destination: its new name.
        expected_size: bytes, as a listing says: a small object is then read without asking for its size before; -1 if it is not known.
        moved: is told of each part of an object that is copied in parts; what it was not told of when the copy is done has arrived too.
    """
    from_store, from_location = session.locate_object(source)
    to_store, to_location = session.locate_object(destination)
    if from_store is to_store:
        return (yield from from_store.copy(from_location, to_location, WriteOptions()))
    if from_location.scheme == "file" and to_store.uses_http:
        return (yield from _send_file(session, from_store, from_location, to_store, to_location, moved))
    threshold = session.write_plan.threshold
    info: ObjectInfo | None = None
    if expected_size is None or not 0 <= expected_size < threshold:
        info = yield from from_store.head(from_location)
        if info.whole_only:
            return (yield from _send_whole(session, from_store, from_location, to_store, to_location, moved))
        if info.size >= threshold:
            options = _kept(info, to_store)
            return (yield from _stream(session, from_store, from_location, to_store, to_location, info, options, moved))
    allocate = _of_size(info) if info else _of_less_than(threshold)
    fetched: Fetched = yield from from_store.get(from_location, Landing(allocate if from_store.uses_http else None))
    return (yield from to_store.put(to_location, [fetched.data], _kept(fetched.info, to_store)))


def move(
    session: Session, source: URI, destination: URI, *, expected_size: int | None = None, moved: Moved | None = None
) -> Operation[ObjectInfo]:
    """Copy, then delete the source; if the copy fails, the source is untouched."""
    scheme = session.locate_object(source)[1].scheme
    if scheme in ("http", "https"):
        raise NotSupported("what is on the web can be copied, not moved", uri=str(source), operation="move")
    info = yield from copy(session, source, destination, expected_size=expected_size, moved=moved)
    store, location = session.locate_object(source)
    _, new_location = session.locate_object(destination)
    if location.uri != new_location.uri and not (yield Call(functools.partial(_are_one_file, location, new_location))):
        yield from store.delete(location)
    return info


def _are_one_file(one: Location, other: Location) -> bool:
    """Whether two paths lead to one file, as those through a link to its directory do."""
    if not {one.scheme, other.scheme} <= {"file", "direct"}:
        return False
    return os.path.samefile(one.key, other.key)


def _of_size(info: ObjectInfo) -> Allocate:
    """Memory for the object that was described, and for no other that has taken its place, of whatever size."""

    def allocate(found: ObjectInfo, start: int, length: int) -> memoryview:
        if length != info.size:
            raise ObjectChanged(f"the object has {length} bytes and not {info.size}, as before the copy")
        return allocate_fresh(found, start, length)

    return allocate


def _of_less_than(limit: int) -> Allocate:
    """Memory for an object that a listing said to be small, unless a large one has taken its place."""

    def allocate(found: ObjectInfo, start: int, length: int) -> memoryview:
        if length >= limit:
            raise ObjectChanged(f"the object has {length} bytes, far more than when it was listed")
        return allocate_fresh(found, start, length)

    return allocate


def _kept(info: ObjectInfo, to_store: Store) -> WriteOptions:
    if not to_store.uses_http and to_store.scheme != "memory":
        return WriteOptions()
    return WriteOptions(content_type=info.content_type, metadata=dict(info.metadata))


def _send_file(
    session: Session, from_store: Store, source: Location, to_store: Store, destination: Location, moved: Moved | None
) -> Operation[ObjectInfo]:
    """Upload a file without reading it into memory: the kernel sends it."""
    info: ObjectInfo = yield from from_store.head(source)
    descriptor: int = yield Call(functools.partial(os.open, source.key, os.O_RDONLY | os.O_CLOEXEC))
    try:
        body = FileRange(descriptor, 0, info.size)
        result: ObjectInfo = yield from store_body(to_store, destination, body, WriteOptions(), session.write_plan, moved)
    finally:
        os.close(descriptor)
    after: ObjectInfo = yield from from_store.head(source)
    if after.etag != info.etag:
        raise ObjectChanged("the file was changed while it was sent", uri=source.uri, operation="copy")
    return result


def _send_whole(
    session: Session, from_store: Store, source: Location, to_store: Store, destination: Location, moved: Moved | None
) -> Operation[ObjectInfo]:
    """Copy what its server sends only whole, by way of a temporary file: it comes once, however many parts it goes in."""
    fetched: Fetched = yield from from_store.get(source, Landing(spooled))
    options = _kept(fetched.info, to_store)
    return (yield from store_body(to_store, destination, fetched.data, options, session.write_plan, moved))


def _stream(
    session: Session,
    from_store: Store,
    source: Location,
    to_store: Store,
    destination: Location,
    info: ObjectInfo,
    options: WriteOptions,
    moved: Moved | None,
) -> Operation[ObjectInfo]:
    """Ranges of the source are the parts of the destination; at most a few are in memory."""
    part_size = part_size_for(to_store, info.size, session.write_plan.part_size)

    def part(upload: Upload, number: int, start: int) -> Operation[Part]:
        length = min(part_size, info.size - start)
        fetched: Fetched = yield from from_store.get(source, Landing(), start=start, length=length, if_match=info.etag)
        if info.etag is None:
            require_same_version(fetched.info, info)
        written: Part = yield from to_store.put_part(upload, number, start, [fetched.data])
        if moved is not None:
            moved(length)
        return written

    def parts(upload: Upload) -> Iterator[Operation[Part]]:
        return (part(upload, number, start) for number, start in enumerate(range(0, info.size, part_size), start=1))

    def run(upload: Upload) -> Operation[ObjectInfo]:
        done: list[Part] = yield Parallel(parts(upload), _PARTS_AT_ONCE)
        return (yield from publish(to_store, upload, done, info.size, options))

    return (yield from with_undo(to_store.start_upload(destination, options), run, to_store.abort_upload))
