"""Objects from and to the standard streams, in bounded memory."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, BinaryIO, TypeAlias

from headrace import memory
from headrace.errors import HeadraceError, InvalidOption
from headrace.uri import Location

if TYPE_CHECKING:
    from headrace.client import Client

__all__ = ["STANDARD_STREAM", "receive", "send"]

STANDARD_STREAM = "-"
"""The word that stands for standard input or output."""

Moved: TypeAlias = Callable[[int], object]

_AT_ONCE = 32 << 20
_FROM_PIPE = 1 << 20


def send(
    client: Client, location: Location, *, start: int = 0, length: int | None = None, without_last: int = 0, moved: Moved | None = None
) -> None:
    """Write an object to standard output; what is larger than 32 MiB is read piece by piece, each by parallel ranges.

    Args:
        client: reads it.
        location: the object.
        start: the first byte; negative counts from the end.
        length: bytes to write, at most; None writes to the end.
        without_last: bytes at the end to leave out.
        moved: is told how many bytes have been written so far.

    Raises:
        BrokenPipeError: the reader has had enough.
        InvalidOption: ``start`` is beyond the end.
        HeadraceError: the read failed, or there is no standard output.
    """
    output = _binary(sys.stdout, "output")
    if length is not None and length <= _AT_ONCE and not without_last:
        _write_all(output, client.get(location.uri, start=start, length=length))
        return
    with client.open(location.uri) as source:
        size = source.seek(0, io.SEEK_END)
        begin = source.seek(_first(start, size, location))
        left = min(size - without_last, size if length is None else begin + length) - begin
        _copy(source, output, max(left, 0), moved)


def receive(client: Client, location: Location, *, moved: Moved | None = None) -> None:
    """Write standard input to an object, which becomes visible at the end, and only if there was no error.

    Args:
        client: writes it.
        location: the object.
        moved: is told how many bytes have been taken so far.

    Raises:
        HeadraceError: the write failed, or there is no standard input.
    """
    source = _binary(sys.stdin, "input")
    with client.open(location.uri, "wb") as sink:
        taken = 0
        while piece := source.read(_FROM_PIPE):
            taken += sink.write(piece)
            if moved is not None:
                moved(taken)


def _first(start: int, size: int, location: Location) -> int:
    if start > size:
        raise InvalidOption(f"the range begins at {start}, beyond the end at {size}", uri=location.uri)
    return max(size + start, 0) if start < 0 else start


def _copy(source: io.BufferedIOBase | io.RawIOBase, output: BinaryIO, size: int, moved: Moved | None) -> None:
    buffer = memory.fresh(min(size, _AT_ONCE))
    left = size
    while left and (count := source.readinto(buffer[:left])):
        _write_all(output, buffer[:count])
        left -= count
        if moved is not None:
            moved(size - left)


def _write_all(output: BinaryIO, data: memoryview) -> None:
    # A stream without a buffer (PYTHONUNBUFFERED) may take less than it is given.
    while data:
        data = data[output.write(data) :]


def _binary(stream: object, name: str) -> BinaryIO:
    buffer: BinaryIO | None = getattr(stream, "buffer", None)
    if buffer is None:
        raise HeadraceError(f"standard {name} is closed")
    return buffer
