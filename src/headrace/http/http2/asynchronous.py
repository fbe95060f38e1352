"""Exchanges on an event loop over HTTP/2 where a server offers it, and over HTTP/1.1 where it does not."""

from __future__ import annotations

import asyncio
import copy
import logging

from headrace.errors import ConnectionFailed, HeadraceError, ProtocolError
from headrace.http.asynchronous import AsyncTransport
from headrace.http.codec import Reply
from headrace.http.connecting import Settings, connect_error
from headrace.http.effects import Send
from headrace.http.http2.connection import Http2Connection
from headrace.http.loop_connection import AsyncConnection
from headrace.http.messages import Origin
from headrace.http.pool import IDLE_SECONDS, Pool
from headrace.http.proxy import choose_proxy
from headrace.http.tls import client_context

__all__ = ["AsyncHttp2Transport"]

_log = logging.getLogger("headrace")

_REPLAYS = 2
_OFFERED = ("h2", "http/1.1")


class AsyncHttp2Transport(AsyncTransport):
    """Performs `Send` effects on one event loop, over one connection to each origin; made and used inside that loop.

    An origin that turns out not to speak HTTP/2 is served as `AsyncTransport` does, from then on.

    Attributes:
        loop: the loop that it belongs to.
    """

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.loop = self._loop
        self._connections: dict[Origin, Http2Connection] = {}
        self._connecting: dict[Origin, asyncio.Task[Http2Connection | None]] = {}
        self._without: set[Origin] = set()

    def goes_without(self, origin: Origin) -> bool:
        """Whether an origin is known not to speak HTTP/2. May be asked from any thread."""
        return origin in self._without

    def lend(self, origin: Origin) -> AsyncConnection | None:
        """See `AsyncTransport.lend`; none where connections are not lent to one exchange at a time."""
        return super().lend(origin) if origin in self._without else None

    async def exchange(self, send: Send) -> Reply:
        """Perform one exchange; see `AsyncTransport.exchange`.

        What a server says it has not begun with is sent again, whatever it does; and what failed on a kept connection, if that can do no
        harm.
        """
        origin, replays = send.request.origin, 0
        while origin not in self._without and (connection := await self._connection(origin)) is not None:
            kept, pool = connection.served > 0, self._pool
            self._busy.add(connection)
            if self._sweeper is None:
                self._schedule_sweep()
            try:
                return await connection.exchange(send)
            except ConnectionFailed as error:
                again = pool is self._pool if error.code == "refused" else kept and self.may_repeat(send, pool)
                if replays == _REPLAYS or not again:
                    raise
                replays += 1
            finally:
                if connection.is_idle:
                    self._busy.discard(connection)
        return await super().exchange(send)

    async def _connection(self, origin: Origin) -> Http2Connection | None:
        """The connection to an origin; None if that does not speak HTTP/2."""
        connection = self._connections.get(origin)
        if connection is not None:
            await connection.hear()
            if connection.is_usable(self._loop.time() - IDLE_SECONDS):
                return connection
        connecting = self._connecting.get(origin)
        if connecting is None:
            connecting = self._connecting[origin] = self._loop.create_task(self._replace(origin, self._pool))
            # Seen, so that asyncio does not report it: whoever waits may be cancelled.
            connecting.add_done_callback(lambda task: task.cancelled() or task.exception())
        try:
            return await asyncio.shield(connecting)
        except HeadraceError as error:
            # Several may wait for it, and each says in its error what it was about.
            raise copy.copy(error) from error.__cause__
        finally:
            del connecting

    async def _replace(self, origin: Origin, pool: Pool[AsyncConnection]) -> Http2Connection | None:
        """A new connection; ``pool`` is the transport's, or was until it was closed."""
        try:
            self._retire_idle(origin)
            if self._closer is None:
                await self._close_with_loop()
            connection = await self._negotiate(origin)
            if connection is not None and pool is not self._pool:
                connection.close()
                raise ConnectionFailed("the client was closed while it connected")
            if connection is not None:
                self._connections[origin] = connection
            return connection
        finally:
            del self._connecting[origin]

    def _retire_idle(self, origin: Origin) -> None:
        """Let go of this origin's connection, and of all that have been idle for too long."""
        idle_before = self._loop.time() - IDLE_SECONDS
        for other, connection in list(self._connections.items()):
            if other == origin or not connection.is_usable(idle_before):
                del self._connections[other]
                connection.retire()

    async def _negotiate(self, origin: Origin) -> Http2Connection | None:
        """Connect, and wait until the server has shown that it speaks HTTP/2; None if it does not."""
        settings = self.settings
        proxy, context = choose_proxy(origin, settings.proxy), None
        if origin.scheme == "https":
            context = client_context(settings.ca_bundle, verify=settings.verify_tls, protocols=_OFFERED)
        elif proxy is not None:
            self._go_without(origin, "there is a proxy before it")
            return None
        connection = await self._establish(origin, proxy, context, Http2Connection)
        if not connection.is_offered:
            connection.close()
            self._go_without(origin, "the server does not offer it")
            return None
        try:
            async with asyncio.timeout(settings.connect_timeout):
                await connection.greeted
        except BaseException as error:
            connection.close()
            if isinstance(error, TimeoutError):
                raise connect_error(error, origin, proxy, settings) from error
            if context is None and isinstance(error, (ConnectionFailed, ProtocolError)):
                self._go_without(origin, "the server answers in another way")
                return None
            raise
        return connection

    def _go_without(self, origin: Origin, reason: str) -> None:
        self._without.add(origin)
        _log.info("HTTP/1.1 is used with %s, not HTTP/2: %s", origin, reason)

    def close(self) -> None:
        """Close all connections; exchanges in progress fail. New exchanges open new connections."""
        for connection in list(self._connections.values()):
            connection.close()
        self._connections.clear()
        super().close()
