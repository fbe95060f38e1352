"""Where the operations of a batch are performed: on an event loop, or in threads.

Small exchanges belong on a loop, which does the fewest instructions for each. Large bodies and system calls belong in threads,
which spend their time in the kernel, without the GIL.
"""

from __future__ import annotations

import asyncio
import itertools
import queue
import resource
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol, TypeAlias

from headrace.http.asynchronous import AsyncTransport
from headrace.http.blocking import Lane
from headrace.http.codec import Reply
from headrace.http.crew import run_abreast, run_blocking
from headrace.http.effects import Cancelled, Operation
from headrace.http.flight import Flight
from headrace.models import Item
from headrace.transfer.session import Session

__all__ = ["CallerEngine", "Deliver", "Engine", "LoopEngine", "Perform", "RemoteLoopEngine", "ThreadEngine"]

Perform: TypeAlias = Callable[[int, Any], Operation[Item]]
"""Gives the operation for one input and its index. It turns failures into items and raises only `Cancelled`."""

Deliver: TypeAlias = "Callable[[list[Item]], object]"

_CHUNK = 16
_CHUNK_SECONDS = 2e-3
_WORTH_A_THREAD = 150e-6


if hasattr(resource, "RUSAGE_THREAD"):

    def _waits() -> int:
        """How often this thread has waited for something so far: a disk, a network file system, a lock."""
        return resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw

else:
    _seen = itertools.count()

    def _waits() -> int:
        """More each time: where the system does not tell, every operation may have waited."""
        return next(_seen)


class Engine(Protocol):
    """Performs operations and delivers their items."""

    def feed(self, tasks: list[tuple[int, Any]], at_once: int) -> None:
        """Take more work; perform at most ``at_once`` operations at the same time."""

    def stop(self) -> None:
        """Stop what is in flight, and drop the rest; returns at once."""


class ThreadEngine:
    """Performs operations in daemon threads, with blocking I/O."""

    def __init__(self, session: Session, perform: Perform, deliver: Deliver) -> None:
        self._session = session
        self._perform = perform
        self._deliver = deliver
        self._todo: queue.SimpleQueue[tuple[int, Any] | None] = queue.SimpleQueue()
        self._lanes: list[Lane] = []
        self._lock = threading.Lock()
        self._fed = 0
        self._at_once = 0

    def feed(self, tasks: list[tuple[int, Any]], at_once: int) -> None:
        """See `Engine.feed`."""
        self._at_once = at_once
        for task in tasks:
            self._todo.put(task)
        self._fed += len(tasks)
        while len(self._lanes) < min(at_once, self._fed):
            lane = Lane()
            self._lanes.append(lane)
            threading.Thread(target=self._work, args=(lane,), name="headrace-batch", daemon=True).start()

    def _work(self, lane: Lane) -> None:
        session, perform = self._session, self._perform
        while not self._leaves(lane) and (task := self._todo.get()) is not None and not lane.stopped.is_set():
            try:
                self._deliver([run_blocking(perform(*task), session.transport, session.crew, lane)])
            except Cancelled:
                return

    def _leaves(self, lane: Lane) -> bool:
        """Whether there are more threads than there may be, and this is the one to go."""
        with self._lock:
            surplus = len(self._lanes) > self._at_once
            if surplus:
                self._lanes.remove(lane)
            return surplus

    def stop(self) -> None:
        """See `Engine.stop`."""
        lanes = list(self._lanes)
        for lane in lanes:
            lane.stop()
        for _ in lanes:
            self._todo.put(None)


class CallerEngine:
    """Performs system calls in the consumer's own thread when it asks for results, until they turn out to wait for something.

    A small file in the page cache is read in less time than it takes to hand it from one thread to another. What really waits, for a
    disk or a network file system, goes to threads from then on.
    """

    def __init__(self, session: Session, perform: Perform, deliver: Deliver) -> None:
        self._session = session
        self._perform = perform
        self._threads = ThreadEngine(session, perform, deliver)
        self._todo: deque[tuple[int, Any]] = deque()
        self._at_once = self._chunk = 1
        self._slow_chunks = 0

    def feed(self, tasks: list[tuple[int, Any]], at_once: int) -> None:
        """See `Engine.feed`."""
        self._at_once = at_once
        if self._slow_chunks >= 2:
            self._threads.feed(tasks, at_once)
        else:
            self._todo.extend(tasks)

    def work(self) -> list[Item]:
        """Perform some operations now; nothing if there are none, or threads have them."""
        todo = self._todo
        if not todo:
            return []
        perform, session = self._perform, self._session
        begun, waits = time.perf_counter(), _waits()
        operations = [perform(*todo.popleft()) for _ in range(min(len(todo), self._chunk))]
        items = run_abreast(operations, session.transport, session.crew)
        self._judge(time.perf_counter() - begun, len(items), waited=_waits() > waits)
        return items

    def _judge(self, elapsed: float, count: int, *, waited: bool) -> None:
        # Twice in a row, because anybody waits now and then, for a page or a lock.
        self._slow_chunks = self._slow_chunks + 1 if waited and elapsed > _WORTH_A_THREAD * count else 0
        self._chunk = min(2 * self._chunk, _CHUNK) if elapsed < _CHUNK_SECONDS / 2 else max(1, self._chunk // 2)
        if self._slow_chunks == 2 and self._todo:
            rest, self._todo = list(self._todo), deque()
            self._threads.feed(rest, self._at_once)

    def stop(self) -> None:
        """See `Engine.stop`."""
        self._todo.clear()
        self._threads.stop()


class LoopEngine:
    """Performs operations on the running event loop; all methods are called in it."""

    def __init__(self, transport: AsyncTransport, perform: Perform, deliver: Deliver) -> None:
        self._transport = transport
        self._perform = perform
        self._deliver = deliver
        self._todo: deque[tuple[int, Any]] = deque()
        self._flights: set[Flight] = set()
        self._arrived: list[tuple[Flight, Reply]] = []
        self._landed: list[Item] = []
        self._at_once = 1
        self._holding = False

    def feed(self, tasks: list[tuple[int, Any]], at_once: int) -> None:
        """See `Engine.feed`."""
        self._at_once = at_once
        self._todo.extend(tasks)
        self._start()

    def arrived(self, flight: Flight, reply: Reply) -> None:
        """See `Control.arrived`."""
        if not self._arrived:
            asyncio.get_running_loop().call_soon(self._take_turn)
        self._arrived.append((flight, reply))

    def _take_turn(self) -> None:
        """Resume all flights whose replies came in this turn, then start others in the places of those that landed."""
        arrived, self._arrived = self._arrived, []
        self._holding = True
        for flight, reply in arrived:
            flight.resume(reply)
        self._holding = False
        self._start()

    def landed(self, flight: Flight, result: Any, error: BaseException | None) -> None:
        """See `Control.landed`."""
        self._flights.discard(flight)
        if error is None:
            if not self._landed:
                # All that land in this turn of the loop are delivered at once: waking a consumer costs more than an exchange.
                asyncio.get_running_loop().call_soon(self._deliver_all)
            self._landed.append(result)
        self._start()

    def _start(self) -> None:
        # A flight may land before `start` returns: then this very loop goes on, instead of one inside of it.
        if self._holding:
            return
        self._holding = True
        todo, flights = self._todo, self._flights
        while todo and len(flights) < self._at_once:
            flight = Flight(self._perform(*todo.popleft()), self._transport, self)
            flights.add(flight)
            flight.start()
        self._holding = False

    def _deliver_all(self) -> None:
        landed, self._landed = self._landed, []
        self._deliver(landed)

    def stop(self) -> None:
        """See `Engine.stop`."""
        self._todo.clear()
        for flight in list(self._flights):
            flight.cancel()


class RemoteLoopEngine:
    """A `LoopEngine` on the client's own loop thread, for a consumer in another thread."""

    def __init__(self, session: Session, perform: Perform, deliver: Deliver) -> None:
        self._thread = session.loop_thread
        self._engine = LoopEngine(self._thread.start(), perform, deliver)

    def feed(self, tasks: list[tuple[int, Any]], at_once: int) -> None:
        """See `Engine.feed`."""
        self._thread.call_soon(self._engine.feed, tasks, at_once)

    def stop(self) -> None:
        """See `Engine.stop`."""
        self._thread.call_soon(self._engine.stop)
