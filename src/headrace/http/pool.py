"""Which connection serves the next request: plain state, no I/O, no locks; the blocking and asyncio transports own one each."""

from __future__ import annotations

from collections import defaultdict, deque
from typing import Generic, Protocol, TypeVar

from headrace.http.messages import Origin

__all__ = ["IDLE_SECONDS", "Pool", "Pooled"]

IDLE_SECONDS = 55.0
"""Idle connections are closed after this long: services close theirs after 60 seconds and more."""


class Pooled(Protocol):
    """A connection as the pool sees it."""

    idle_since: float

    def close(self) -> None:
        """Close at once; never blocks, never raises."""


C = TypeVar("C", bound=Pooled)


class Pool(Generic[C]):
    """Open connections by origin, at most ``limit`` to each.

    The most recently used connection is taken first: it is the likeliest to be alive, and the others grow idle and are closed.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._closed = False
        self._idle: defaultdict[Origin, deque[C]] = defaultdict(deque)
        self._open: defaultdict[Origin, int] = defaultdict(int)

    @property
    def in_use(self) -> int:
        """Connections that are taken, and rights to open one."""
        return sum(self._open.values()) - sum(len(idle) for idle in self._idle.values())

    def take(self, origin: Origin) -> C | None:
        """An idle connection, which the caller now owns, or None."""
        idle = self._idle[origin]
        return idle.pop() if idle else None

    def reserve(self, origin: Origin, now: float) -> bool:
        """Claim the right to open one more connection; False at the limit. Closes what has been idle for too long, anywhere."""
        if self._open[origin] >= self.limit:
            return False
        self._open[origin] += 1
        for other in self._idle:
            self._close_idle(other, now)
        return True

    def give_back(self, origin: Origin, connection: C, now: float) -> None:
        """Return a connection that can serve another request; close those that have been idle for too long.

        After `close` it is closed instead.
        """
        if self._closed:
            self.discard(origin, connection)
            return
        idle = self._idle[origin]
        connection.idle_since = now
        idle.append(connection)
        if idle[0].idle_since < now - IDLE_SECONDS:
            self._close_idle(origin, now)

    def _close_idle(self, origin: Origin, now: float) -> None:
        idle = self._idle[origin]
        while idle and idle[0].idle_since < now - IDLE_SECONDS:
            self.discard(origin, idle.popleft())

    def discard(self, origin: Origin, connection: C | None) -> None:
        """Give up a taken connection, or (None) the right to open one."""
        self._open[origin] -= 1
        if connection is not None:
            connection.close()

    def close(self) -> None:
        """Close all idle connections, and from now on each one that is given back."""
        self._closed = True
        for origin, idle in self._idle.items():
            while idle:
                self.discard(origin, idle.pop())
