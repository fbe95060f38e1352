"""``file://``: local files through the page cache."""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from dataclasses import dataclass

from headrace import memory
from headrace.backends.filesystem.backend import FilesystemBackend
from headrace.backends.filesystem.objects import describe, open_object, stat_object
from headrace.backends.protocol import Body, Fetched, Landing, resolve_range
from headrace.errors import ObjectChanged
from headrace.http.messages import FileRange
from headrace.models import ObjectInfo
from headrace.uri import Location

__all__ = ["FileBackend"]

# A system call on a file does not end for Ctrl-C: this is what a slow disk moves in less than a second.
_AT_ONCE = 64 << 20
_COPY_BUFFER = 1 << 20
_BUFFERS_AT_ONCE = 1024
_CANNOT_COPY = frozenset({errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM})


@dataclass(frozen=True, slots=True, kw_only=True)
class FileBackend(FilesystemBackend):
    """Files, read by the kernel straight into the memory that the caller will use."""

    scheme = "file"

    def _read(self, location: Location, landing: Landing, start: int | None, length: int | None, if_match: str | None) -> Fetched:
        descriptor, status = open_object(location.key)
        try:
            info = describe(location.uri, status)
            if if_match is not None and if_match != info.etag:
                raise ObjectChanged("another version of the file is there")
            start, length = resolve_range(info.size, start, length)
            view = landing.place(info, start, length)
            received = landing.received = os.preadv(descriptor, [view if length <= _AT_ONCE else view[:_AT_ONCE]], start)
            while received < length:
                count = os.preadv(descriptor, [view[received : received + _AT_ONCE]], start + received)
                if count == 0:
                    raise ObjectChanged("the file became shorter while it was read")
                received = landing.received = received + count
        finally:
            os.close(descriptor)
        return Fetched(view, info, start)

    def _describe(self, location: Location) -> ObjectInfo:
        return describe(location.uri, stat_object(location.key))

    def _write(self, location: Location, descriptor: int, offset: int, body: Body) -> None:
        pending: list[memoryview] = []
        for part in body:
            if isinstance(part, FileRange):
                offset = _write_buffers(descriptor, offset, pending)
                offset = _copy_range(descriptor, offset, part)
                pending = []
            else:
                pending.append(part)
        _write_buffers(descriptor, offset, pending)


def _write_buffers(descriptor: int, offset: int, buffers: Sequence[memoryview]) -> int:
    """Write all bytes of the buffers; give the offset behind them."""
    while buffers:
        written = os.pwritev(descriptor, _some_of(buffers), offset)
        offset += written
        buffers = _unwritten(buffers, written)
    return offset


def _some_of(buffers: Sequence[memoryview]) -> Sequence[memoryview]:
    """As much of the buffers as one system call is to write."""
    some: list[memoryview] = []
    room = _AT_ONCE
    for buffer in buffers[:_BUFFERS_AT_ONCE]:
        some.append(buffer[:room])
        room -= buffer.nbytes
        if room <= 0:
            break
    return some


def _unwritten(buffers: Sequence[memoryview], written: int) -> Sequence[memoryview]:
    for index, buffer in enumerate(buffers):
        if written < buffer.nbytes:
            return [buffer[written:], *buffers[index + 1 :]]
        written -= buffer.nbytes
    return []


def _copy_range(descriptor: int, offset: int, source: FileRange) -> int:
    """Copy a piece of another file; give the offset behind it. The kernel does it, or shares the blocks, where it can."""
    copied = 0
    try:
        while hasattr(os, "copy_file_range") and copied < source.length:
            wanted = min(source.length - copied, _AT_ONCE)
            count = os.copy_file_range(source.descriptor, descriptor, wanted, source.offset + copied, offset + copied)
            if count == 0:
                break
            copied += count
    except OSError as error:
        if error.errno not in _CANNOT_COPY:
            raise
    return _copy_through_memory(descriptor, offset + copied, source._replace(offset=source.offset + copied, length=source.length - copied))


def _copy_through_memory(descriptor: int, offset: int, source: FileRange) -> int:
    buffer = memory.fresh(min(source.length, _COPY_BUFFER))
    begin, end = source.offset, source.offset + source.length
    while begin < end:
        count = os.preadv(source.descriptor, [buffer[: end - begin]], begin)
        if count == 0:
            raise ObjectChanged("the file that is copied became shorter meanwhile")
        offset = _write_buffers(descriptor, offset, [buffer[:count]])
        begin += count
    return offset
