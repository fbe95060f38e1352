"""One request and its reply on their way through the proxy."""

from __future__ import annotations

import asyncio
import contextlib
import http
import socket
import struct
import time
from collections.abc import Awaitable, Callable
from typing import NoReturn, TypeAlias

from headrace.http.progress import unsent_bytes
from headrace.testing.faults.framing import Head, pieces, read_head
from headrace.testing.faults.kinds import Fault
from headrace.testing.faults.record import Passage

__all__ = ["Ended", "Exchange", "Streams", "reset"]

Streams: TypeAlias = tuple[asyncio.StreamReader, asyncio.StreamWriter]

_ARRIVAL_SECONDS = 1.0
_LINGER_SECONDS = 1.0
_LOOK_SECONDS = 0.02


class Ended(Exception):
    """The client's connection has been dealt with; nothing more is to be done on it."""


class Exchange:
    """One request and its reply; the `Wire` of the fault that strikes it.

    Args:
        client: the client's connection.
        number: of the client's connection.
        request: the request's head, already read.
        fault: what strikes it, if anything does.
        connect: opens a connection to the service. Each exchange gets one of its own: what a fault leaves unread there must not
            reach the next.
    """

    def __init__(self, client: Streams, number: int, request: Head, fault: Fault | None, connect: Callable[[], Awaitable[Streams]]) -> None:
        self.method, self.target, _ = request.first
        self.reply_length: int | None = None
        self._reader, self._writer = client
        self._number = number
        self._request = request
        self._fault = fault
        self._connect = connect
        self._service: asyncio.StreamWriter | None = None
        self._began = time.monotonic()
        self._status: int | None = None
        self._uploaded = self._downloaded = 0

    def passage(self) -> Passage:
        """How it stands now."""
        return Passage(
            connection=self._number,
            method=self.method,
            target=self.target,
            status=self._status,
            fault=self._fault.name if self._fault else None,
            uploaded=self._uploaded,
            downloaded=self._downloaded,
            began=self._began,
        )

    async def run(self) -> bool:
        """Pass it; False if the client's connection ends with it.

        Raises:
            Ended: the connection has ended already.
            OSError: either side left.
        """
        fault = self._fault or Fault()
        try:
            await fault.begin(self)
        except _Answered as answered:
            return answered.goes_on
        reader, self._service = await self._connect()
        try:
            return await self._pass(fault, reader)
        finally:
            self._service.transport.abort()

    async def _pass(self, fault: Fault, reader: asyncio.StreamReader) -> bool:
        assert self._service is not None
        self._service.write(self._request.raw)
        upload = asyncio.ensure_future(self._upload(fault))
        try:
            goes_on = await self._download(fault, reader)
            await asyncio.wait([upload], timeout=_LOOK_SECONDS)
            if upload.done() and not upload.exception():
                return goes_on and not self._request.closes
            # The reply came before the whole request: what the client still sends would be taken for its next.
            await self.end()
        finally:
            upload.cancel()
            await asyncio.gather(upload, return_exceptions=True)

    async def _upload(self, fault: Fault) -> None:
        assert self._service is not None
        try:
            async for piece, is_content in pieces(self._reader, self._request, until_close=False):
                passed = await fault.upload(self, self._uploaded, piece) if is_content else piece
                if passed:
                    await self._to_service(passed, is_content=is_content)
        except OSError:
            # One of them left: the service must not wait for the rest, nor the client for a reply.
            self._service.transport.abort()
            raise

    async def _to_service(self, data: bytes, *, is_content: bool) -> None:
        assert self._service is not None
        self._service.write(data)
        await self._service.drain()
        if is_content:
            self._uploaded += len(data)

    async def _download(self, fault: Fault, reader: asyncio.StreamReader) -> bool:
        reply = await self._final_head(reader)
        self._status = int(reply.first[1])
        self.reply_length = reply.length
        await self._to_client(await fault.reply(self, reply.raw))
        if self.method == "HEAD" or self._status in (204, 304):
            return not reply.closes
        async for piece, is_content in pieces(reader, reply, until_close=True):
            if not is_content:
                await self._to_client(piece)
            elif passed := await fault.download(self, self._downloaded, piece):
                await self.send(passed)
        return not reply.closes and (reply.chunked or reply.length is not None)

    async def _final_head(self, reader: asyncio.StreamReader) -> Head:
        """The head of the reply; interim ones before it are passed on."""
        while True:
            head = await read_head(reader)
            if head is None:
                raise ConnectionError("the service closed the connection before it replied")
            if not head.first[1].startswith("1"):
                return head
            await self._to_client(head.raw)

    async def _to_client(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    # What faults do.

    async def send(self, data: bytes) -> None:
        """See `Wire.send`."""
        self._downloaded += len(data)
        await self._to_client(data)

    async def pass_on(self, data: bytes) -> None:
        """See `Wire.pass_on`."""
        await self._to_service(data, is_content=True)

    async def answer(self, status: int, head: bytes, body: bytes, *, at_once: bool) -> NoReturn:
        """See `Wire.answer`."""
        asks_first = "expect" in self._request.headers
        goes_on = not (at_once or asks_first or self._request.closes)
        if not (at_once or asks_first):
            async for _ in pieces(self._reader, self._request, until_close=False):
                pass
        self._status = status
        phrase = http.HTTPStatus(status).phrase if status in set(http.HTTPStatus) else "Injected"
        start = f"HTTP/1.1 {status} {phrase}\r\ncontent-length: {len(body)}\r\n".encode()
        closing = b"" if goes_on else b"connection: close\r\n"
        await self._to_client(start + head + closing + b"\r\n" + (b"" if self.method == "HEAD" else body))
        if at_once:
            await self.reset()
        if not goes_on:
            await self.end()
        raise _Answered(goes_on=goes_on)

    async def reset(self) -> NoReturn:
        """See `Wire.reset`."""
        await self._arrival()
        reset(self._writer)
        self._leave_service()
        raise Ended

    async def end(self) -> NoReturn:
        """See `Wire.end`."""
        with contextlib.suppress(OSError, TimeoutError):
            await self._linger()
        self._writer.transport.abort()
        self._leave_service()
        raise Ended

    async def hold(self, seconds: float | None) -> None:
        """See `Wire.hold`."""
        if seconds is not None:
            await asyncio.sleep(seconds)
            return
        while not (self._reader.at_eof() or self._writer.transport.is_closing()):
            await asyncio.sleep(_LOOK_SECONDS)
        self._leave_service()
        raise Ended

    def _leave_service(self) -> None:
        # That also ends the other direction, which may be waiting there.
        if self._service is not None:
            self._service.transport.abort()

    async def _arrival(self) -> None:
        """Wait until the client's kernel has what was sent: a reset throws away what is still on the way."""
        deadline = time.monotonic() + _ARRIVAL_SECONDS
        while _unsent(self._writer) and time.monotonic() < deadline:
            await asyncio.sleep(0.001)

    async def _linger(self) -> None:
        """Close, and read on for a while: with bytes unread the kernel would reset, and the client might lose the reply."""
        if self._writer.can_write_eof():
            self._writer.write_eof()
        else:
            # TLS says that it ends, and then closes by itself.
            await self._arrival()
            self._writer.close()
        async with asyncio.timeout(_LINGER_SECONDS):
            while await self._reader.read(1 << 16):
                pass


def _unsent(writer: asyncio.StreamWriter) -> int:
    sock = writer.get_extra_info("socket")
    # Over TLS there is none any more once the client has left; and it may be closed already.
    return unsent_bytes(sock.fileno()) if sock is not None and sock.fileno() >= 0 else 0


class _Answered(Exception):
    def __init__(self, *, goes_on: bool) -> None:
        super().__init__()
        self.goes_on = goes_on


def reset(writer: asyncio.StreamWriter) -> None:
    """Close a connection by RST."""
    sock = writer.get_extra_info("socket")
    if sock is not None:
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
