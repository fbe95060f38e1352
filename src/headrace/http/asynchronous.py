"""HTTP exchanges on an asyncio event loop: few Python instructions each, for thousands of small requests."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import math
import socket
import ssl
from collections import defaultdict, deque
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Any, Protocol, TypeVar

from headrace.errors import ConnectionFailed, HeadraceError
from headrace.http.codec import Reply, scratch
from headrace.http.connecting import Settings, avoid, connect_error, connect_request, resolve, tunnel_refused
from headrace.http.effects import FINISH_SECONDS, Call, Effect, Finish, Operation, Parallel, Send, Sleep
from headrace.http.loop_connection import SWEEPS_PER_STALL, AsyncConnection, in_executor
from headrace.http.messages import Origin
from headrace.http.pool import Pool
from headrace.http.proxy import Proxy, choose_proxy
from headrace.http.tls import client_context

__all__ = ["AsyncTransport", "cancel_all", "run_async", "wait_undisturbed"]

T = TypeVar("T")
P = TypeVar("P", bound=asyncio.BaseProtocol)

_FINISHING = "headrace-finish"


class _Swept(Protocol):
    """A connection with exchanges under way."""

    def sweep(self, stall_timeout: float) -> None:
        """Called `SWEEPS_PER_STALL` times in each stall timeout: fail what does not move."""

    def close(self) -> None:
        """Close at once."""


class AsyncTransport:
    """Performs `Send` effects on one event loop, over pooled connections; made and used inside that loop."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._loop = asyncio.get_running_loop()
        self._pool: Pool[AsyncConnection] = Pool(settings.max_connections)
        self._waiters: defaultdict[Origin, deque[asyncio.Future[None]]] = defaultdict(deque)
        self._busy: set[_Swept] = set()
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
        settings = self.settings
        proxy = choose_proxy(origin, settings.proxy)
        context = client_context(settings.ca_bundle, verify=settings.verify_tls) if origin.scheme == "https" else None
        connection = await self._establish(origin, proxy, context, AsyncConnection)
        if proxy and not context:
            connection.prefix = str(origin)
            connection.proxy_headers = {"proxy-authorization": proxy.authorization} if proxy.authorization else {}
        return connection

    async def _establish(self, origin: Origin, proxy: Proxy | None, context: ssl.SSLContext | None, protocol: Callable[[], P]) -> P:
        settings, loop = self.settings, self._loop
        host, port = (proxy.host, proxy.port) if proxy else (origin.host, origin.port)
        try:
            sock = await _open_socket(loop, host, port, settings.connect_timeout)
            async with asyncio.timeout(settings.connect_timeout):
                try:
                    if proxy and context:
                        await _open_tunnel(loop, sock, origin, proxy)
                    server_hostname = origin.host if context else None
                    _, connection = await loop.create_connection(protocol, sock=sock, ssl=context, server_hostname=server_hostname)
                except BaseException:
                    sock.close()
                    raise
        except HeadraceError:
            raise
        except (OSError, UnicodeError) as error:
            raise connect_error(error, origin, proxy, settings) from error
        return connection

    def _schedule_sweep(self) -> None:
        self._sweeper = self._loop.call_later(self.settings.stall_timeout / SWEEPS_PER_STALL, self._sweep)

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


async def _open_socket(loop: asyncio.AbstractEventLoop, host: str, port: int, timeout: float) -> socket.socket:
    """See `blocking._open_socket`."""
    failure: OSError | None = None
    try:
        async with asyncio.timeout(timeout):
            found = await in_executor(loop, functools.partial(resolve, host, port))
        for info in found:
            family, kind, protocol, _, address = info
            sock = socket.socket(family, kind, protocol)
            try:
                sock.settimeout(0)
                async with asyncio.timeout(timeout):
                    await loop.sock_connect(sock, address)
            except BaseException as error:
                sock.close()
                if not isinstance(error, OSError):
                    raise
                avoid(info)
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
    if isinstance(effect, Parallel):
        return await _run_parallel(effect, transport)
    assert isinstance(effect, Finish)
    return await _finish(effect, transport)


async def _call(function: Callable[[], T]) -> T:
    """Run a blocking call in a thread. Cancelled, wait for a call that has begun: it may be writing into the caller's memory."""
    # The thread outlives the call by a moment, in which the caller could not release memory that the thread still refers to.
    pending, results = [function], list[T]()

    def perform() -> None:
        if pending:
            results.append(pending.pop()())

    call = in_executor(asyncio.get_running_loop(), perform)
    try:
        await asyncio.shield(call)
        return results.pop()
    except asyncio.CancelledError:
        pending.clear()
        await wait_undisturbed(call)
        if not call.cancelled():
            # Seen, so that asyncio does not report it.
            call.exception()
        raise
    finally:
        # As in `AsyncConnection.exchange`.
        del call


async def _finish(effect: Finish[T], transport: AsyncTransport) -> T:
    """Run an operation in a task of its own, which is not cancelled with this one."""

    async def run() -> T:
        effect.end(await run_async(effect.operation, transport))
        return effect.result

    task = asyncio.create_task(run(), name=_FINISHING)
    # Seen, so that asyncio does not report it.
    task.add_done_callback(lambda task: task.cancelled() or task.exception())
    try:
        if effect.interrupted:
            await wait_undisturbed(task, FINISH_SECONDS)
            if not task.done():
                raise TimeoutError("it took too long")
            return task.result()
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            await wait_undisturbed(task, FINISH_SECONDS)
            raise
    finally:
        task.cancel()
        # As in `AsyncConnection.exchange`.
        del task


async def wait_undisturbed(task: asyncio.Future[Any], seconds: float = math.inf) -> None:
    """Wait for the end of a task, at most so long, even if the task that waits is cancelled meanwhile, once or more.

    The cancellation is not raised: this is for those who have one to raise already.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    while not task.done() and (left := deadline - loop.time()) > 0:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait([task], timeout=None if left == math.inf else left)


async def cancel_all(seconds: float) -> None:
    """Cancel all other tasks of the running loop, and wait at most so long until they have cleaned up behind themselves."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        if task.get_name() != _FINISHING:
            task.cancel()
    if others:
        await asyncio.wait(others, timeout=seconds)


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
