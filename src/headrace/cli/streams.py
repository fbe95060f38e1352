"""Objects from and to the standard streams, in bounded memory."""

from __future__ import annotations

import shutil
import sys
from typing import BinaryIO

from headrace import memory
from headrace.client import Client
from headrace.errors import HeadraceError
from headrace.uri import Location

__all__ = ["STANDARD_STREAM", "receive", "send"]

STANDARD_STREAM = "-"
"""The word that stands for standard input or output."""

_AT_ONCE = 32 << 20
_FROM_PIPE = 1 << 20


def send(client: Client, location: Location) -> None:
    """Write an object to standard output; what is larger than 32 MiB is read piece by piece, each by parallel ranges.

    Raises:
        BrokenPipeError: the reader has had enough.
        HeadraceError: the read failed, or there is no standard output.
    """
    output = _binary(sys.stdout, "output")
    with client.open(location.uri) as source:
        size = source.seek(0, 2)
        source.seek(0)
        buffer = memory.fresh(min(size, _AT_ONCE))
        while count := source.readinto(buffer):
            _write_all(output, buffer[:count])


def receive(client: Client, location: Location) -> None:
    """Write standard input to an object, which becomes visible at the end, and only if there was no error.

    Raises:
        HeadraceError: the write failed, or there is no standard input.
    """
    with client.open(location.uri, "wb") as sink:
        shutil.copyfileobj(_binary(sys.stdin, "input"), sink, _FROM_PIPE)


def _write_all(output: BinaryIO, data: memoryview) -> None:
    # A stream without a buffer (PYTHONUNBUFFERED) may take less than it is given.
    while data:
        data = data[output.write(data) :]


def _binary(stream: object, name: str) -> BinaryIO:
    buffer: BinaryIO | None = getattr(stream, "buffer", None)
    if buffer is None:
        raise HeadraceError(f"standard {name} is closed")
    return buffer
