"""HTTP exchanges on an asyncio event loop: few Python instructions each, for thousands of small requests."""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import socket
import ssl
from collections import defaultdict, deque
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Any, Protocol, TypeVar

from headrace.errors import ConnectionFailed, HeadraceError, Stalled
from headrace.http.codec import Reply, scratch
from headrace.http.connecting import Settings, connect_error, connect_request, tunnel_refused
from headrace.http.effects import Call, Effect, Operation, Parallel, Send, Sleep
from headrace.http.messages import FileRange, Origin, Request, encode_head
from headrace.http.pool import Pool
from headrace.http.progress import file_became_shorter, progress, unsent_bytes
from headrace.http.proxy import Proxy, choose_proxy
from headrace.http.tls import client_context

__all__ = ["AsyncTransport", "fits_one_write", "run_async"]

T = TypeVar("T")

_JOIN_BELOW = 256 << 10
_WRITE_AT_ONCE = 256 << 10
_CONTINUE_SECONDS = 1.0
_QUIET_SWEEPS = 4


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
        self.transport: asyncio.Transport = transport  # type: ignore[assignment]
        self._tls: ssl.SSLObject | None = transport.get_extra_info("ssl_object")
        self._descriptor: int = transport.get_extra_info("socket").fileno()
        self._readable.register(self._descriptor, select.POLLIN)

    def get_buffer(self, sizehint: int) -> memoryview:
        reply = self._reply
        return self._scratch if reply is None else reply.buffer()

    def buffer_updated(self, count: int) -> None:
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
        self._paused = True

    def resume_writing(self) -> None:
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
        self._reply = send.reply = Reply(send.request.method, self._scratch, send.place)
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
                head = encode_head(request, self.prefix, self.proxy_headers)
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
            piece = await loop.run_in_executor(None, os.pread, part.descriptor, min(1 << 20, end - offset), offset)
            if not piece:
                raise file_became_shorter()
            if not await self._send_memory(memoryview(piece), done):
                return False
            offset += len(piece)
        return True

    async def _may_write(self, done: asyncio.Future[Reply]) -> bool:
        """Wait until more can be written; False if the server replied, or left, instead."""
        assert self._woken is not None
        if not self._paused and self._readable.poll(0):
            # Let the loop receive it: as long as the kernel takes everything, nothing else would make it look.
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
        if self.quiet_sweeps >= _QUIET_SWEEPS:
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


class AsyncTransport:
    """Performs `Send` effects on one event loop, over pooled connections; made and used inside that loop."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._loop = asyncio.get_running_loop()
        self._pool: Pool[AsyncConnection] = Pool(settings.max_connections)
        self._waiters: defaultdict[Origin, deque[asyncio.Future[None]]] = defaultdict(deque)
        self._busy: set[AsyncConnection] = set()
        self._sweeper: asyncio.TimerHandle | None = None
        self._closer: AsyncGenerator[None, None] | None = None

    async def exchange(self, send: Send) -> Reply:
        """Perform one exchange; see `blocking.BlockingTransport.exchange`."""
        origin, replayed = send.request.origin, False
        while True:
            pool = self._pool
            connection = pool.take(origin)
            if connection is None or not connection.is_usable():
                connection = await self._acquire(pool, origin, connection)
            reused, healthy = connection.served > 0, False
            self._busy.add(connection)
            if self._sweeper is None:
                self._schedule_sweep()
            try:
                reply = await connection.exchange(send)
                healthy = reply.reusable and not connection.closed
                return reply
            except ConnectionFailed:
                if replayed or not reused or not self.may_repeat(send, pool):
                    raise
                replayed = True
            finally:
                self._busy.discard(connection)
                self._release(pool, origin, connection, healthy=healthy)

    def may_repeat(self, send: Send, lender: Pool[AsyncConnection]) -> bool:
        """Whether a request that failed on a kept connection may be sent again: the server may have closed it while it was idle."""
        begun = send.reply is not None and send.reply.begun
        return send.request.repeatable and not begun and lender is self._pool

    def lend(self, origin: Origin) -> AsyncConnection | None:
        """A connection for one `AsyncConnection.begin`, to be handed to `take_back` after it; None if none is at hand."""
        pool = self._pool
        connection = pool.take(origin)
        if connection is None:
            return None
        if not connection.is_usable():
            pool.discard(origin, connection)
            return None
        connection.lender = pool
        self._busy.add(connection)
        if self._sweeper is None:
            self._schedule_sweep()
        return connection

    def take_back(self, origin: Origin, connection: AsyncConnection, *, healthy: bool) -> None:
        """End what `lend` began."""
        self._busy.discard(connection)
        assert connection.lender is not None
        self._release(connection.lender, origin, connection, healthy=healthy and not connection.closed)

    def _release(self, pool: Pool[AsyncConnection], origin: Origin, connection: AsyncConnection | None, *, healthy: bool) -> None:
        if healthy and connection is not None:
            pool.give_back(origin, connection, self._loop.time())
        else:
            pool.discard(origin, connection)
        if self._waiters:
            self._wake_one(origin)

    async def _acquire(self, pool: Pool[AsyncConnection], origin: Origin, connection: AsyncConnection | None) -> AsyncConnection:
        """A live connection when none was at hand: ``connection`` is the dead one that was, or None."""
        if self._closer is None:
            await self._close_with_loop()
        while True:
            if connection is not None:
                if connection.is_usable():
                    return connection
                pool.discard(origin, connection)
            elif pool.reserve(origin, self._loop.time()):
                break
            else:
                await self._wait_for_release(origin)
            connection = pool.take(origin)
        try:
            return await self._connect(origin)
        except BaseException:
            self._release(pool, origin, None, healthy=False)
            raise

    async def _wait_for_release(self, origin: Origin) -> None:
        waiter = self._loop.create_future()
        self._waiters[origin].append(waiter)
        try:
            await waiter
        except BaseException:
            if waiter.done() and not waiter.cancelled():
                self._wake_one(origin)
            raise

    def _wake_one(self, origin: Origin) -> None:
        waiters = self._waiters.get(origin)
        while waiters:
            waiter = waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return

    async def _connect(self, origin: Origin) -> AsyncConnection:
        settings, loop = self.settings, self._loop
        proxy = choose_proxy(origin, settings.proxy)
        context = client_context(settings.ca_bundle, settings.verify_tls) if origin.scheme == "https" else None
        host, port = (proxy.host, proxy.port) if proxy else (origin.host, origin.port)
        try:
            async with asyncio.timeout(settings.connect_timeout):
                sock = await _open_socket(loop, host, port)
                try:
                    if proxy and context:
                        await _open_tunnel(loop, sock, origin, proxy)
                    server_hostname = origin.host if context else None
                    _, connection = await loop.create_connection(AsyncConnection, sock=sock, ssl=context, server_hostname=server_hostname)
                except BaseException:
                    sock.close()
                    raise
        except HeadraceError:
            raise
        except (OSError, UnicodeError) as error:
            raise connect_error(error, origin, proxy, settings) from error
        if proxy and not context:
            connection.prefix = str(origin)
            connection.proxy_headers = {"proxy-authorization": proxy.authorization} if proxy.authorization else {}
        return connection

    def _schedule_sweep(self) -> None:
        self._sweeper = self._loop.call_later(self.settings.stall_timeout / _QUIET_SWEEPS, self._sweep)

    def _sweep(self) -> None:
        self._sweeper = None
        for connection in list(self._busy):
            connection.sweep(self.settings.stall_timeout)
        if self._busy:
            self._schedule_sweep()

    async def _close_with_loop(self) -> None:
        """Close the connections when the loop shuts down, as `asyncio.run` does, though nobody closed the client."""

        async def closer() -> AsyncGenerator[None, None]:
            try:
                yield
            finally:
                self.close()

        # A loop closes the asynchronous generators that were begun on it.
        self._closer = closer()
        await self._closer.asend(None)

    def close(self) -> None:
        """Close all connections; exchanges in progress fail. New exchanges open new connections."""
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None
        self._pool.close()
        self._pool = Pool(self.settings.max_connections)
        for connection in list(self._busy):
            connection.close()


async def _open_socket(loop: asyncio.AbstractEventLoop, host: str, port: int) -> socket.socket:
    """Connect to the first address of ``host`` that answers."""
    failure: OSError | None = None
    try:
        for family, kind, protocol, _, address in await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM):
            sock = socket.socket(family, kind, protocol)
            try:
                sock.settimeout(0)
                await loop.sock_connect(sock, address)
            except BaseException as error:
                sock.close()
                if not isinstance(error, OSError):
                    raise
                failure = error
            else:
                return sock
        raise failure or OSError(f"no address for {host!r}")
    finally:
        del failure


async def _open_tunnel(loop: asyncio.AbstractEventLoop, sock: socket.socket, origin: Origin, proxy: Proxy) -> None:
    """Ask an HTTP proxy for a connection to ``origin`` (CONNECT, RFC 9110, section 9.3.6)."""
    await loop.sock_sendall(sock, connect_request(origin, proxy))
    reply = Reply("CONNECT", scratch())
    while not reply.complete:
        # Byte by byte: what follows the head belongs to the TLS layer.
        count = await loop.sock_recv_into(sock, reply.buffer()[:1])
        if count:
            reply.advance(count)
        else:
            reply.end()
        if reply.status >= 300:
            raise tunnel_refused(reply.status, origin, proxy)


async def run_async(operation: Operation[T], transport: AsyncTransport, effect: Effect | None = None) -> T:
    """Perform an operation in the running loop; cancelling the task cancels the operation, which may clean up first.

    With ``effect``, the operation has already been begun, and waits for this.
    """
    try:
        effect = operation.send(None) if effect is None else effect
        while True:
            try:
                if type(effect) is Send:
                    result: Any = await transport.exchange(effect)
                else:
                    result = await _perform(effect, transport)
            except GeneratorExit:
                operation.close()
                raise
            except BaseException as error:
                effect = operation.throw(error)
            else:
                effect = operation.send(result)
    except StopIteration as stop:
        value: T = stop.value
        return value


async def _perform(effect: Effect, transport: AsyncTransport) -> Any:
    if isinstance(effect, Call):
        return await _call(effect.function)
    if isinstance(effect, Sleep):
        return await asyncio.sleep(effect.seconds)
    assert isinstance(effect, Parallel)
    return await _run_parallel(effect, transport)


async def _call(function: Callable[[], T]) -> T:
    """Run a blocking call in a thread. Cancelled, wait for a call that has begun: it may be writing into the caller's memory."""
    pending, results = [function], list[T]()

    def perform() -> None:
        # The thread outlives the call by a moment, in which the caller could not yet release memory that the thread refers to.
        if pending:
            results.append(pending.pop()())

    call = asyncio.get_running_loop().run_in_executor(None, perform)
    try:
        await asyncio.shield(call)
        return results.pop()
    except asyncio.CancelledError:
        pending.clear()
        while not call.done():
            # Cancelled once more while waiting, as a group of tasks may be: the call is not ended by that either.
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait([call])
        if not call.cancelled():
            # Seen, so that asyncio does not report it.
            call.exception()
        raise
    finally:
        # As in `AsyncConnection.exchange`.
        del call


async def _run_parallel(effect: Parallel, transport: AsyncTransport) -> Sequence[Any]:
    pending = iter(enumerate(effect.operations))
    results: dict[int, Any] = {}

    async def work() -> None:
        for index, operation in pending:
            results[index] = await run_async(operation, transport)

    tasks = [asyncio.ensure_future(work()) for _ in range(effect.workers)]
    try:
        await asyncio.gather(*tasks)
    except BaseException:
        await _cancel(tasks)
        raise
    finally:
        # An exception that its own traceback refers to would live, with all its memory, until the garbage collector comes.
        tasks.clear()
    return [results[index] for index in range(len(results))]


async def _cancel(tasks: Sequence[asyncio.Task[None]]) -> None:
    for task in tasks:
        # One that was told already is cleaning up: told a second time, it would break that off.
        if not task.cancelling():
            task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
