"""One HTTP connection on an asyncio event loop: bytes go from the socket to their final memory without passing a stream."""

from __future__ import annotations

import asyncio
import functools
import os
import select
import ssl
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol, TypeVar

from headrace.errors import ConnectionFailed, Stalled
from headrace.http.codec import Reply, scratch
from headrace.http.effects import Send
from headrace.http.messages import FileRange, Request, encode_head
from headrace.http.progress import file_became_shorter, progress, unsent_bytes

if TYPE_CHECKING:
    from headrace.http.pool import Pool

__all__ = ["SWEEPS_PER_STALL", "AsyncConnection", "Completion", "fits_one_write", "in_executor"]

T = TypeVar("T")

SWEEPS_PER_STALL = 4
"""How often in each stall timeout `AsyncConnection.sweep` is to be called."""

_JOIN_BELOW = 256 << 10
_WRITE_AT_ONCE = 256 << 10
_CONTINUE_SECONDS = 1.0


class Completion(Protocol):
    """Who is told how an exchange ended; an `asyncio.Future` is one."""

    def done(self) -> bool:
        """Whether nobody wants to be told any more."""

    def set_result(self, result: Reply, /) -> None:
        """The whole reply is there."""

    def set_exception(self, exception: BaseException, /) -> None:
        """The exchange failed; the connection is closed."""


def fits_one_write(request: Request) -> bool:
    """Whether head and body go out joined: one segment train instead of two is cheaper for both ends than the copy it takes."""
    body = request.body
    return not body or (request.length <= _JOIN_BELOW and not request.expect_continue and FileRange not in map(type, body))


def in_executor(loop: asyncio.AbstractEventLoop, function: Callable[[], T]) -> asyncio.Future[T]:
    """Begin a blocking call in the loop's executor; in this thread when the program ends, and Python takes no more work for others."""
    try:
        return loop.run_in_executor(None, function)
    except RuntimeError:
        future: asyncio.Future[T] = loop.create_future()
        try:
            future.set_result(function())
        except Exception as error:
            future.set_exception(error)
        return future


class AsyncConnection(asyncio.BufferedProtocol):
    """One connection to an origin, serving one exchange at a time."""

    def __init__(self) -> None:
        self.idle_since = 0.0
        self.served = 0
        self.prefix = ""
        self.proxy_headers: dict[str, str] = {}
        self.moved = True
        self.quiet_sweeps = 0
        self.closed = False
        self.lender: Pool[AsyncConnection] | None = None
        self._scratch = scratch()
        self._reply: Reply | None = None
        self._done: Completion | None = None
        self._woken: asyncio.Event | None = None
        self._paused = False
        self._unsent = 0
        self._readable = select.poll()

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection is open."""
        self.transport: asyncio.Transport = transport  # type: ignore[assignment]
        self._tls: ssl.SSLObject | None = transport.get_extra_info("ssl_object")
        self._descriptor: int = transport.get_extra_info("socket").fileno()
        self._readable.register(self._descriptor, select.POLLIN)

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where the next bytes belong."""
        reply = self._reply
        return self._scratch if reply is None else reply.buffer()

    def buffer_updated(self, count: int) -> None:
        """So many bytes are there."""
        self.moved = True
        reply = self._reply
        if reply is None:
            # Bytes that nobody asked for: whatever they are, they are not the next reply.
            self.close()
            return
        try:
            complete = reply.advance(count)
        except BaseException as error:
            self._fail(error)
            return
        if complete:
            self._finish(reply)
        elif self._woken is not None:
            self._woken.set()

    def eof_received(self) -> bool:
        """The server has closed its end; False: this end closes too."""
        reply = self._reply
        if reply is not None:
            try:
                if self._was_cut():
                    raise ConnectionFailed(f"the connection broke {progress(reply)}: TLS ended without notice")
                reply.end()
            except BaseException as error:
                self._fail(error)
            else:
                self._finish(reply)
        return False

    def _was_cut(self) -> bool:
        """Whether TLS ended without notice, which asyncio does not tell: a body that lasts until the end may be incomplete then."""
        try:
            return self._tls is not None and bool(self._tls.read(1))
        except ssl.SSLError:
            return True

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is closed, or broke for the reason given."""
        self.closed = True
        if exc is not None and self._tls is None:
            self._receive_leftover()
        if self._reply is not None:
            self._fail(ConnectionFailed(f"the connection broke {progress(self._reply)}: {exc or 'it was closed'}"))
        self.resume_writing()

    def _receive_leftover(self) -> None:
        """Take what the server said before it closed: asyncio stops reading when a write fails, and the reply says why it failed."""
        try:
            while (reply := self._reply) is not None:
                count = os.readv(self._descriptor, [reply.buffer()])
                if count:
                    self.buffer_updated(count)
                elif reply.status >= 300:
                    self.eof_received()
                else:
                    return
        except OSError:
            return

    def pause_writing(self) -> None:
        """The kernel takes no more for now."""
        self._paused = True

    def resume_writing(self) -> None:
        """The kernel takes more again."""
        self._paused = False
        if self._woken is not None:
            self._woken.set()

    # What the transport calls.

    def is_usable(self) -> bool:
        """Whether an idle connection is still open, and silent: bytes that nobody asked for would pass for the next reply."""
        return not self.closed and not self._readable.poll(0) and (self._tls is None or self._is_silent(self._tls))

    @staticmethod
    def _is_silent(tls: ssl.SSLObject) -> bool:
        """Whether asyncio holds nothing of the server's that it has received but not yet decrypted."""
        try:
            tls.read(1)
        except ssl.SSLWantReadError:
            return True
        except ssl.SSLError:
            return False
        return False

    def abandon(self) -> None:
        """Give up the exchange in progress, without telling anybody, and close."""
        self._reply = self._done = None
        self.close()

    def begin(self, send: Send, done: Completion) -> None:
        """Send a request that `fits_one_write`; ``done`` is told of the reply, in a callback of the event loop.

        Raises:
            InvalidOption: the request cannot be sent as HTTP; nothing was sent.
        """
        request = send.request
        head = encode_head(request, self.prefix, self.proxy_headers)
        self._expect(send, done)
        self.transport.write(b"".join([head, *request.body]) if request.body else head)  # type: ignore[list-item]

    def _expect(self, send: Send, done: Completion) -> None:
        self._reply = send.reply = Reply(send.request.method, self._scratch, send.place, send.limit, send.excerpt)
        self._done = done
        self.moved, self.quiet_sweeps = True, 0

    async def exchange(self, send: Send) -> Reply:
        """Send the request and receive the whole reply; see `blocking.Connection.exchange`."""
        request, all_sent = send.request, True
        done: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        try:
            if fits_one_write(request):
                self.begin(send, done)
            else:
                # Behind a view, since it holds secrets and a traceback may show variables.
                head = memoryview(encode_head(request, self.prefix, self.proxy_headers))
                self._expect(send, done)
                self.transport.write(head)
                assert send.reply is not None
                all_sent = await self._send_body(request, send.reply, done)
            reply = await done
        except BaseException:
            if done.done() and not done.cancelled():
                # Seen, so that asyncio does not report it a second time.
                done.exception()
            raise
        finally:
            self._reply = self._done = None
            # An exception that its own traceback refers to would live, with the body, until the garbage collector comes.
            del done
        if not all_sent:
            reply.reusable = False
        return reply

    async def _send_body(self, request: Request, reply: Reply, done: asyncio.Future[Reply]) -> bool:
        """Send the body; False if the server replied before it had taken all."""
        self._woken = asyncio.Event()
        try:
            if request.expect_continue:
                await self._wait_for_continue(reply, done)
            for part in request.body:
                if not await (self._send_file(part, done) if isinstance(part, FileRange) else self._send_memory(part, done)):
                    return False
            return True
        finally:
            self._woken = None

    async def _wait_for_continue(self, reply: Reply, done: asyncio.Future[Reply]) -> None:
        assert self._woken is not None
        try:
            async with asyncio.timeout(_CONTINUE_SECONDS):
                while not reply.interim and not done.done():
                    self._woken.clear()
                    await self._woken.wait()
        except TimeoutError:
            return

    async def _send_memory(self, part: memoryview, done: asyncio.Future[Reply]) -> bool:
        # In slices, since what a transport cannot send at once it copies.
        for start in range(0, len(part), _WRITE_AT_ONCE):
            if not await self._may_write(done):
                return False
            self.transport.write(part[start : start + _WRITE_AT_ONCE])
            self.moved = True
        return True

    async def _send_file(self, part: FileRange, done: asyncio.Future[Reply]) -> bool:
        loop = asyncio.get_running_loop()
        offset, end = part.offset, part.offset + part.length
        while offset < end:
            piece = await in_executor(loop, functools.partial(os.pread, part.descriptor, min(1 << 20, end - offset), offset))
            if not piece:
                raise file_became_shorter()
            if not await self._send_memory(memoryview(piece), done):
                return False
            offset += len(piece)
        return True

    async def _may_write(self, done: asyncio.Future[Reply]) -> bool:
        """Wait until more can be written; False if the server replied, or left, instead."""
        assert self._woken is not None
        while not self._paused and not done.done() and not self.transport.is_closing() and self._readable.poll(0):
            # Let the loop receive it: as long as the kernel takes everything, nothing else would make it look. Once is not enough, since
            # this goes on before what the loop finds readable meanwhile; and a write to a peer that has left would drop what it said.
            await asyncio.sleep(0)
        while self._paused and not done.done():
            self._woken.clear()
            await self._woken.wait()
        return not done.done() and not self.transport.is_closing()

    def sweep(self, stall_timeout: float) -> None:
        """Called some times in each stall timeout: raise `Stalled` in an exchange in which nothing moves."""
        reply = self._reply
        if reply is None:
            return
        unsent = self.transport.get_write_buffer_size() + unsent_bytes(self._descriptor)
        if self.moved or unsent < self._unsent:
            self.moved, self.quiet_sweeps, self._unsent = False, 0, unsent
            return
        self.quiet_sweeps += 1
        if self.quiet_sweeps >= SWEEPS_PER_STALL:
            self._fail(Stalled(f"no byte moved for {stall_timeout:g} s, {progress(reply)}"))

    def _finish(self, reply: Reply) -> None:
        self.served += 1
        if self.transport.get_write_buffer_size():
            # The server has replied before it has taken the whole request.
            reply.reusable = False
        if self._woken is not None:
            self._woken.set()
        # Whoever is told may begin the next exchange at once.
        done, self._reply, self._done = self._done, None, None
        if done is not None and not done.done():
            done.set_result(reply)

    def _fail(self, error: BaseException) -> None:
        if self._woken is not None:
            self._woken.set()
        self.close()
        done, self._reply, self._done = self._done, None, None
        if done is not None and not done.done():
            done.set_exception(error)

    def close(self) -> None:
        """Close at once."""
        self.closed = True
        self.transport.abort()
