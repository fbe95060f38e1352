"""``direct://``: local files past the page cache (``O_DIRECT``, open(2)).

Direct I/O moves whole blocks between the device and memory whose address is a multiple of the block. What a caller asks for seldom
is: so a get into memory of our own reads the blocks around the range and hands out the range, without a copy, and everything else
that does not fit goes through a bounce buffer of at most 8 MiB. The kernel tells the exact alignment only by statx(2), which Python
does not offer. The block size of the file system is a multiple of it, and so, on every device with blocks of up to a page, is a page.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import mmap
import os
from dataclasses import dataclass

import numpy

from headrace import memory
from headrace.backends.filesystem.backend import FilesystemBackend
from headrace.backends.filesystem.objects import describe, open_object
from headrace.backends.protocol import Body, Fetched, Landing, body_length, resolve_range
from headrace.errors import NotSupported, ObjectChanged
from headrace.http.messages import FileRange
from headrace.models import ObjectInfo
from headrace.uri import Location

__all__ = ["DirectBackend"]

_DIRECT: int = getattr(os, "O_DIRECT", 0)
_BOUNCE = 8 << 20
# A system call on a file does not end for Ctrl-C: this is what a slow disk moves in less than a second.
_AT_ONCE = 64 << 20
# Network file systems state their transfer size as the block size, far above what direct I/O needs.
_LARGEST_BLOCK = 64 << 10

_log = logging.getLogger("headrace")
_reported: set[int] = set()


@dataclass(frozen=True, slots=True, kw_only=True)
class DirectBackend(FilesystemBackend):
    """Files without the page cache, for data that is larger than memory or is read once, and for measuring devices.

    Where the file system refuses direct I/O, the page cache is used after all: the log says so, once for each file system, and
    ``ObjectInfo.buffered`` of every get, head and put. What does not fill a block at either end of a write is written through the
    page cache too. Without ``O_DIRECT`` on this platform every verb that moves bytes raises `NotSupported`.
    """

    scheme = "direct"

    def _read(self, location: Location, landing: Landing, start: int | None, length: int | None, if_match: str | None) -> Fetched:
        descriptor, status = open_object(location.key)
        try:
            file = _DirectFile(location, descriptor)
            info = describe(location.uri, status, buffered=file.buffered)
            if if_match is not None and if_match != info.etag:
                raise ObjectChanged("another version of the file is there")
            start, length = resolve_range(info.size, start, length)
            blocks = _Blocks(file.block)
            view = landing.place(info, start, length, default=blocks.allocate)
            target, origin = (view, start) if blocks.whole is None else (blocks.whole, start - start % file.block)
            if length:
                _Reader(file, target, origin).read(landing, start, start + length)
        finally:
            os.close(descriptor)
        if file.buffered and not info.buffered:
            info = landing.info = info._replace(buffered=True)
        return Fetched(view, info, start)

    def _describe(self, location: Location) -> ObjectInfo:
        descriptor, status = open_object(location.key)
        try:
            return describe(location.uri, status, buffered=_DirectFile(location, descriptor).buffered)
        finally:
            os.close(descriptor)

    def _write(self, location: Location, descriptor: int, offset: int, body: Body) -> bool:
        file = _DirectFile(location, descriptor)
        writer = _Writer(file, offset, body_length(body))
        for part in body:
            if isinstance(part, FileRange):
                writer.copy(part)
            else:
                writer.write(part)
        writer.finish()
        return file.buffered


class _DirectFile:
    """An open file, read and written past the page cache as far as its file system allows.

    Attributes:
        block: what offsets, lengths and addresses must be multiples of; bytes, 1 when nothing need be.
        buffered: whether the page cache is used after all.
    """

    __slots__ = ("_location", "block", "buffered", "descriptor")

    def __init__(self, location: Location, descriptor: int) -> None:
        if not _DIRECT:
            raise NotSupported("this platform has no O_DIRECT", hint="Use file:// instead of direct://.")
        self._location = location
        self.descriptor = descriptor
        self.block = _block_size(descriptor)
        self.buffered = False
        try:
            self._set_flag(_DIRECT)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            self._fall_back()

    def read(self, buffer: memoryview, offset: int) -> int:
        """Read once; offset, length and address are multiples of the block."""
        try:
            return os.preadv(self.descriptor, [buffer[:_AT_ONCE]], offset)
        except OSError as error:
            self._fall_back_after(error)
            return os.preadv(self.descriptor, [buffer[:_AT_ONCE]], offset)

    def write(self, buffer: memoryview, offset: int) -> None:
        """Write all of the buffer; offset, length and address are multiples of the block."""
        done = 0
        while done < buffer.nbytes:
            try:
                done += os.pwrite(self.descriptor, buffer[done : done + _AT_ONCE], offset + done)
            except OSError as error:
                self._fall_back_after(error)

    def write_unaligned(self, buffer: memoryview, offset: int) -> None:
        """Write all of the buffer through the page cache."""
        if not self.buffered:
            self._set_flag(0)
        done = 0
        while done < buffer.nbytes:
            done += os.pwrite(self.descriptor, buffer[done:], offset + done)
        if not self.buffered:
            self._set_flag(_DIRECT)

    def _set_flag(self, flag: int) -> None:
        flags = fcntl.fcntl(self.descriptor, fcntl.F_GETFL)
        fcntl.fcntl(self.descriptor, fcntl.F_SETFL, flags & ~_DIRECT | flag)

    def _fall_back_after(self, error: OSError) -> None:
        """Go on with the page cache, if that is a remedy for ``error``; else raise it."""
        if error.errno != errno.EINVAL or self.buffered:
            raise error
        self._set_flag(0)
        self._fall_back()

    def _fall_back(self) -> None:
        self.buffered = True
        self.block = 1
        device = os.fstat(self.descriptor).st_dev
        if device not in _reported:
            _reported.add(device)
            _log.warning("%s: this file system refuses direct I/O, so that direct:// uses the page cache here", self._location.uri)


def _block_size(descriptor: int) -> int:
    block = os.fstatvfs(descriptor).f_bsize
    usable = mmap.PAGESIZE <= block <= _LARGEST_BLOCK and block & (block - 1) == 0
    return block if usable else mmap.PAGESIZE


class _Blocks:
    """Allocates memory for the blocks around a range, so that the file's blocks are blocks of memory too."""

    __slots__ = ("_block", "whole")

    def __init__(self, block: int) -> None:
        self._block = block
        self.whole: memoryview | None = None

    def allocate(self, info: ObjectInfo, start: int, length: int) -> memoryview:
        """Memory for the range; that of the blocks around it is in `whole`."""
        before = start % self._block
        self.whole = memory.aligned(_round_up(before + length, self._block), self._block)
        return self.whole[before : before + length]


class _Reader:
    """Reads a range of a file into memory; ``origin`` is the offset in the file of the memory's first byte."""

    __slots__ = ("_bounce", "_file", "_memory", "_origin")

    def __init__(self, file: _DirectFile, target: memoryview, origin: int) -> None:
        self._file = file
        self._memory = target
        self._origin = origin
        self._bounce: memoryview | None = None

    def read(self, landing: Landing, start: int, end: int) -> None:
        """Read from ``start`` to ``end``, or more where the memory has room for whole blocks.

        Raises:
            ObjectChanged: the file ends before ``end``.
        """
        offset = self._origin
        while offset < end:
            count = self._step(offset, end)
            if count <= 0:
                raise ObjectChanged("the file became shorter while it was read")
            offset += count
            landing.received = max(min(offset, end) - start, 0)

    def _step(self, offset: int, end: int) -> int:
        """Read some bytes at ``offset``; give how many."""
        block = self._file.block
        room = self._memory[offset - self._origin :]
        whole = room.nbytes - room.nbytes % block
        congruent = (_address(room) - offset) % block == 0
        if whole and congruent and offset % block == 0:
            return self._file.read(room[:whole], offset)
        return self._through_bounce(room, offset, block if congruent else _round_up(end - offset + block, block))

    def _through_bounce(self, room: memoryview, offset: int, wanted: int) -> int:
        before = offset % self._file.block
        if self._bounce is None:
            self._bounce = memory.aligned(min(_BOUNCE, wanted), self._file.block)
        count = self._file.read(self._bounce[:wanted], offset - before) - before
        count = min(count, room.nbytes)
        if count > 0:
            room[:count] = self._bounce[before : before + count]
        return count


class _Writer:
    """Writes bytes one after another from an offset on: straight from where they are if they fit, else through a bounce buffer."""

    __slots__ = ("_bounce", "_file", "_filled", "_offset", "_size")

    def __init__(self, file: _DirectFile, offset: int, length: int) -> None:
        self._file = file
        self._offset = offset
        self._filled = 0
        self._size = min(_BOUNCE, _round_up(length, file.block))
        self._bounce: memoryview | None = None

    def write(self, view: memoryview) -> None:
        """Write the bytes of ``view``, or keep those that do not fill a block yet."""
        while view.nbytes:
            count = self._write_straight(view)
            if not count:
                room = self._room()
                count = min(view.nbytes, room.nbytes)
                room[:count] = view[:count]
                self._advance(count)
            view = view[count:]

    def copy(self, source: FileRange) -> None:
        """Write a piece of another file."""
        begin, end = source.offset, source.offset + source.length
        while begin < end:
            count = os.preadv(source.descriptor, [self._room()[: end - begin]], begin)
            if count == 0:
                raise ObjectChanged("the file that is copied became shorter meanwhile")
            self._advance(count)
            begin += count

    def finish(self) -> None:
        """Write what is left."""
        if self._filled:
            self._flush()

    def _write_straight(self, view: memoryview) -> int:
        """Write the whole blocks that ``view`` begins with, if direct I/O can take them; give their number of bytes."""
        block = self._file.block
        whole = view.nbytes - view.nbytes % block
        if self._filled or not whole or self._offset % block or _address(view) % block:
            return 0
        self._file.write(view[:whole], self._offset)
        self._offset += whole
        return whole

    def _room(self) -> memoryview:
        """What is free in the bounce buffer, up to where it has to be written."""
        if self._bounce is None:
            self._bounce = memory.aligned(self._size, self._file.block)
        before = self._offset % self._file.block
        return self._bounce[self._filled : self._file.block - before if before else None]

    def _advance(self, count: int) -> None:
        full = count == self._room().nbytes
        self._filled += count
        if full:
            self._flush()

    def _flush(self) -> None:
        assert self._bounce is not None
        whole = 0 if self._offset % self._file.block else self._filled - self._filled % self._file.block
        self._file.write(self._bounce[:whole], self._offset)
        if whole < self._filled:
            self._file.write_unaligned(self._bounce[whole : self._filled], self._offset + whole)
        self._offset += self._filled
        self._filled = 0


def _round_up(number: int, block: int) -> int:
    return -(-number // block) * block


def _address(view: memoryview) -> int:
    address: int = numpy.frombuffer(view, numpy.uint8).__array_interface__["data"][0]
    return address
