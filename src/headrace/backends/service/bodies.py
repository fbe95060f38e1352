"""The bytes that are sent, where something is computed of them."""

from __future__ import annotations

import os
from collections.abc import Iterator

from headrace.backends.protocol import Body

__all__ = ["pieces"]

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
