"""Where the messages of HTTP/1.1 begin and end (RFC 9112), without changing a byte of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import NamedTuple

__all__ = ["HEAD_LIMIT", "Head", "pieces", "read_head"]

HEAD_LIMIT = 16 << 10
_PIECE = 64 << 10


class Head(NamedTuple):
    """The head of a message: its bytes, the three words of its first line, and its headers by lower-case name."""

    raw: bytes
    first: tuple[str, str, str]
    headers: dict[str, str]

    @property
    def chunked(self) -> bool:
        """Whether the body comes in chunks."""
        return "chunked" in self.headers.get("transfer-encoding", "").lower()

    @property
    def length(self) -> int | None:
        """Bytes of the body, where the head says it."""
        value = self.headers.get("content-length", "")
        return int(value) if value.isascii() and value.isdigit() and not self.chunked else None

    @property
    def closes(self) -> bool:
        """Whether the connection ends with this message."""
        connection = self.headers.get("connection", "").lower()
        return "close" in connection or ("HTTP/1.0" in self.first and "keep-alive" not in connection)


async def read_head(reader: asyncio.StreamReader) -> Head | None:
    """The next head; None if the connection was closed in good order before it.

    Raises:
        ConnectionError: it is cut, too long, or not HTTP.
    """
    try:
        raw = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as error:
        if error.partial:
            raise ConnectionError("the head of a message is cut") from None
        return None
    except asyncio.LimitOverrunError:
        raise ConnectionError("the head of a message is too long") from None
    first, *lines = raw[:-4].decode("latin-1").split("\r\n")
    words = first.split(" ", 2)
    if len(words) < 2:
        raise ConnectionError("not a message of HTTP")
    parts = (line.partition(":") for line in lines)
    return Head(raw, (words[0], words[1], words[2] if len(words) > 2 else ""), {name.lower(): value.strip() for name, _, value in parts})


async def pieces(reader: asyncio.StreamReader, head: Head, *, until_close: bool) -> AsyncIterator[tuple[bytes, bool]]:
    """The body that follows a head: its bytes as they come, and for each piece whether it is content or framing.

    Args:
        reader: where it comes from.
        head: what says how it is framed.
        until_close: whether a body without length or chunks lasts until the connection is closed; otherwise there is none.

    Raises:
        ConnectionError: it is cut, or its chunks are not valid.
    """
    if head.chunked:
        async for piece in _chunks(reader):
            yield piece
    elif head.length is not None:
        async for content in _exactly(reader, head.length):
            yield content, True
    elif until_close:
        while content := await reader.read(_PIECE):
            yield content, True


async def _exactly(reader: asyncio.StreamReader, length: int) -> AsyncIterator[bytes]:
    while length:
        piece = await reader.read(min(length, _PIECE))
        if not piece:
            raise ConnectionError("a body is cut")
        length -= len(piece)
        yield piece


async def _chunks(reader: asyncio.StreamReader) -> AsyncIterator[tuple[bytes, bool]]:
    size = -1
    while size:
        line = await _line(reader)
        yield line, False
        try:
            size = int(line.partition(b";")[0], 16)
        except ValueError:
            raise ConnectionError("the size of a chunk is not valid") from None
        if size:
            async for content in _exactly(reader, size):
                yield content, True
            yield await _line(reader), False
    while (line := await _line(reader)) != b"\r\n":
        yield line, False
    yield line, False


async def _line(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.readuntil(b"\r\n")
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        raise ConnectionError("a line of a chunked body does not end") from None
