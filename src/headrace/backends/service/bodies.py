"""The bytes that are sent, where something is computed of them."""

from __future__ import annotations

import base64
import hashlib
import os
import zlib
from collections.abc import Callable, Iterator

import crc32c

from headrace.backends.protocol import Body
from headrace.http.messages import FileRange

__all__ = ["digest", "pieces", "rest_of"]

_READ_AT_ONCE = 1 << 20


def pieces(body: Body) -> Iterator[memoryview | bytes]:
    """The bytes of a body, of files a piece at a time: what the kernel sends by itself must be hashed all the same."""
    for part in body:
        if isinstance(part, memoryview):
            yield part
            continue
        offset, end = part.offset, part.offset + part.length
        while offset < end and (piece := os.pread(part.descriptor, min(_READ_AT_ONCE, end - offset), offset)):
            yield piece
            offset += len(piece)


def digest(body: Body, kind: str) -> str:
    """The ``"crc32c"``, ``"crc32"`` or ``"md5"`` of a body in base64. Reads the body's files."""
    if kind == "md5":
        md5 = hashlib.md5(usedforsecurity=False)
        for piece in pieces(body):
            md5.update(piece)
        return base64.b64encode(md5.digest()).decode()
    checksum: Callable[[memoryview | bytes, int], int] = zlib.crc32 if kind == "crc32" else crc32c.crc32c
    value = 0
    for piece in pieces(body):
        value = checksum(piece, value)
    return base64.b64encode(value.to_bytes(4, "big")).decode()


def rest_of(body: Body, offset: int) -> Body:
    """What follows the first ``offset`` bytes of a body; nothing is copied."""
    rest: list[memoryview | FileRange] = []
    for part in body:
        length = part.nbytes if isinstance(part, memoryview) else part.length
        skipped = min(offset, length)
        offset -= skipped
        if skipped < length:
            if isinstance(part, memoryview):
                rest.append(part[skipped:])
            else:
                rest.append(FileRange(part.descriptor, part.offset + skipped, length - skipped))
    return rest
