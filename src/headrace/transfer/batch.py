"""Many operations in flight, in a sliding window: never more ahead of the consumer than the window holds.

The consumer's own thread draws the inputs, so that a generator of inputs runs where its author expects it. Small exchanges run
on the event loop's thread, which does the fewest instructions for each; large bodies and system calls run on threads, which
spend their time in the kernel, without the GIL. Which it is to be is judged by the sizes seen so far.
"""

from __future__ import annotations

import asyncio
import collections
import logging
import queue
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from headrace.errors import HeadraceError
from headrace.http.asynchronous import run_async
from headrace.http.blocking import Lane
from headrace.http.crew import run_blocking
from headrace.http.effects import Cancelled, Operation
from headrace.models import Item
from headrace.transfer.session import Session

__all__ = ["Batch", "run_batch", "run_batch_async"]

I = TypeVar("I")  # noqa: E741 - the input of one operation

_log = logging.getLogger("headrace")

_LARGE = 1 << 20
_SMALL_AT_ONCE = 32
_LARGE_AT_ONCE = 8
_DEFAULT_BUDGET = 256 << 20
_CHUNK = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch(Generic[I]):
    """What a batch does.

    Attributes:
        operation: gives the operation for one input and its index; its result goes to the consumer.
        size_of: bytes of an input where they are known before (writes), else None.
        uses_http: tells whether an input's operation is made of HTTP exchanges.
        concurrency: operations in flight; None leaves the choice to the library.
        ordered: hand results over in the order of the inputs.
        raise_errors: raise the first failure; otherwise failures are items.
        uri_of: the URI of an input, for items of failures.
    """

    operation: Callable[[int, I], Operation[Item]]
    size_of: Callable[[I], int] | None = None
    uses_http: Callable[[I], bool]
    concurrency: int | None = None
    ordered: bool = False
    raise_errors: bool = True
    uri_of: Callable[[I], str]


class _Sizes:
    """A running mean of sizes, in which the last few dozen count most."""

    def __init__(self) -> None:
        self.mean = 0.0
        self._seen = 0

    def add(self, size: int) -> None:
        self._seen = min(self._seen + 1, 32)
        self.mean += (size - self.mean) / self._seen


class _Window(Generic[I]):
    """Decides what may begin: plain state, used by the consumer alone."""

    def __init__(self, batch: Batch[I], budget: int | None) -> None:
        self.batch = batch
        self.sizes = _Sizes()
        self.outstanding = 0
        self.next_index = 0
        self._budget = budget or _DEFAULT_BUDGET

    @property
    def large(self) -> bool:
        return self.sizes.mean >= _LARGE

    def at_once(self) -> int:
        """Operations that may be in flight."""
        return self.batch.concurrency or (_LARGE_AT_ONCE if self.large else _SMALL_AT_ONCE)

    def limit(self) -> int:
        """Items that may be in flight or waiting for the consumer."""
        ahead = 2 * self.at_once() if self.large else 8 * self.at_once()
        affordable = int(self._budget / self.sizes.mean) if self.sizes.mean else ahead
        return max(self.at_once(), min(ahead, affordable))

    def note(self, item: Item) -> None:
        self.outstanding -= 1
        if item.data is not None:
            self.sizes.add(item.data.nbytes)


class _Engine(Protocol):
    """Performs operations somewhere and puts the results into a common queue."""

    def feed(self, tasks: list[tuple[int, Any]], at_once: int) -> None: ...

    def stop(self) -> None: ...


class _Threads:
    """Performs operations in daemon threads, with blocking I/O."""

    def __init__(self, session: Session, perform: Callable[[int, Any], Operation[Item]], finished: queue.SimpleQueue[list[Item]]) -> None:
        self._session = session
        self._perform = perform
        self._finished = finished
        self._todo: queue.SimpleQueue[list[tuple[int, Any]] | None] = queue.SimpleQueue()
        self._lanes: list[Lane] = []
        self._fed = 0

    def feed(self, tasks: list[tuple[int, Any]], at_once: int) -> None:
        # Handing over in chunks spares a switch of threads for each small file.
        chunk = max(1, min(_CHUNK, len(tasks) // (2 * at_once)))
        for start in range(0, len(tasks), chunk):
            self._todo.put(tasks[start : start + chunk])
            self._fed += 1
        while len(self._lanes) < min(at_once, self._fed):
            lane = Lane()
            self._lanes.append(lane)
            threading.Thread(target=self._work, args=(lane,), name="headrace-batch", daemon=True).start()

    def _work(self, lane: Lane) -> None:
        session, perform, finished = self._session, self._perform, self._finished
        while (tasks := self._todo.get()) is not None and not lane.stopped.is_set():
            try:
                finished.put([run_blocking(perform(*task), session.transport, session.crew, lane) for task in tasks])
            except Cancelled:
                return

    def stop(self) -> None:
        for lane in self._lanes:
            lane.stop()
        for _ in self._lanes:
            self._todo.put(None)


class _Loop:
    """Performs operations on the client's event loop thread."""

    def __init__(self, session: Session, perform: Callable[[int, Any], Operation[Item]], finished: queue.SimpleQueue[list[Item]]) -> None:
        self._thread = session.loop_thread
        self._transport = self._thread.start()
        self._perform = perform
        self._finished = finished
        self._todo: collections.deque[tuple[int, Any]] = collections.deque()
        self._done: list[Item] = []
        self._workers: set[asyncio.Task[None]] = set()
        self._stopped = False

    def feed(self, tasks: list[tuple[int, Any]], at_once: int) -> None:
        self._todo.extend(tasks)
        self._thread.call_soon(self._begin, at_once)

    def _begin(self, at_once: int) -> None:
        for _ in range(min(at_once - len(self._workers), len(self._todo))):
            if self._stopped:
                return
            worker = asyncio.ensure_future(self._work())
            self._workers.add(worker)
            worker.add_done_callback(self._workers.discard)

    async def _work(self) -> None:
        todo, perform, transport = self._todo, self._perform, self._transport
        while todo:
            index, value = todo.popleft()
            item = await run_async(perform(index, value), transport)
            done = self._done
            if not done:
                # Everything that ends in this turn of the loop is handed over at once: waking the consumer costs more than an exchange.
                asyncio.get_running_loop().call_soon(self._hand_over)
            done.append(item)

    def _hand_over(self) -> None:
        done, self._done = self._done, []
        self._finished.put(done)

    def stop(self) -> None:
        self._stopped = True
        self._todo.clear()
        self._thread.call_soon(self._cancel)

    def _cancel(self) -> None:
        for worker in list(self._workers):
            worker.cancel()


def run_batch(session: Session, batch: Batch[I], inputs: Iterable[I]) -> Iterator[Item]:
    """Run a batch for a blocking consumer; leaving the loop early stops what is in flight.

    Raises:
        HeadraceError: the first failure, unless failures are wanted as items.
    """
    window = _Window(batch, session.options.memory_budget)
    finished: queue.SimpleQueue[list[Item]] = queue.SimpleQueue()
    perform = _reporting(batch)
    engines: dict[bool, _Engine] = {}
    source = enumerate(inputs)

    def feed() -> bool:
        """Begin as much as may begin; False when nothing is outstanding or left."""
        room = window.limit() - window.outstanding
        if room < max(1, window.limit() // 4) and window.outstanding:
            return True
        for on_loop, tasks in _sorted_by_engine(batch, window, source, room).items():
            engine = engines.get(on_loop)
            if engine is None:
                engine = engines[on_loop] = (_Loop if on_loop else _Threads)(session, perform, finished)
                _log.debug("batch: %d at once on %s", window.at_once(), "the event loop" if on_loop else "threads")
            engine.feed(tasks, window.at_once())
            window.outstanding += len(tasks)
        return window.outstanding > 0

    waiting: dict[int, Item] = {}
    try:
        while feed():
            for item in finished.get():
                yield from _release(window, waiting, item, batch)
                feed()
    finally:
        for engine in engines.values():
            engine.stop()


def _release(window: _Window[Any], waiting: dict[int, Item], item: Item, batch: Batch[Any]) -> Iterator[Item]:
    """Give what the consumer may have now: the item itself or, in order, those that it completes."""
    if item.error is not None:
        if isinstance(item.error, _Defect):
            raise item.error.cause
        if batch.raise_errors:
            raise item.error
    if not batch.ordered:
        window.note(item)
        yield item
        return
    waiting[item.index] = item
    while window.next_index in waiting:
        ready = waiting.pop(window.next_index)
        window.next_index += 1
        window.note(ready)
        yield ready


def _sorted_by_engine(batch: Batch[I], window: _Window[I], source: Iterator[tuple[int, I]], room: int) -> dict[bool, list[tuple[int, I]]]:
    """Draw up to ``room`` inputs; True: for the event loop, False: for threads."""
    tasks: dict[bool, list[tuple[int, I]]] = {}
    for _ in range(room):
        task = next(source, None)
        if task is None:
            break
        if batch.size_of is not None:
            window.sizes.add(batch.size_of(task[1]))
        on_loop = not window.large and batch.uses_http(task[1])
        tasks.setdefault(on_loop, []).append(task)
    return tasks


def _reporting(batch: Batch[I]) -> Callable[[int, I], Operation[Item]]:
    """The batch's operation, with failures as items: they must travel to the consumer whatever becomes of them there."""

    def perform(index: int, value: I) -> Operation[Item]:
        try:
            return (yield from batch.operation(index, value))
        except HeadraceError as error:
            return Item(index, batch.uri_of(value), error=error)
        except Exception as error:
            # A mistake in the program (a TypeError, say) stops the batch, whatever `on_error` says of failures.
            return Item(index, batch.uri_of(value), error=_Defect(error))

    return perform


class _Defect(HeadraceError):
    """Carries an exception that is not headrace's own to the consumer."""

    def __init__(self, cause: Exception) -> None:
        super().__init__(str(cause))
        self.cause = cause


async def run_batch_async(session: Session, batch: Batch[I], inputs: Iterable[I] | AsyncIterator[I]) -> AsyncIterator[Item]:
    """Run a batch in the running event loop; see `run_batch`."""
    window = _Window(batch, session.options.memory_budget)
    perform = _reporting(batch)
    transport = session.transport_here()
    finished: asyncio.Queue[Item] = asyncio.Queue()
    todo: collections.deque[tuple[int, I]] = collections.deque()
    workers: set[asyncio.Task[None]] = set()
    waiting: dict[int, Item] = {}
    exhausted = False
    source = inputs.__aiter__() if isinstance(inputs, AsyncIterator) else iter(inputs)
    drawn = 0

    async def work() -> None:
        while todo:
            finished.put_nowait(await run_async(perform(*todo.popleft()), transport))

    async def draw() -> bool:
        nonlocal exhausted, drawn
        try:
            value = await source.__anext__() if isinstance(source, AsyncIterator) else next(source)
        except (StopIteration, StopAsyncIteration):
            exhausted = True
            return False
        if batch.size_of is not None:
            window.sizes.add(batch.size_of(value))
        todo.append((drawn, value))
        drawn += 1
        window.outstanding += 1
        return True

    try:
        while True:
            while not exhausted and window.outstanding < window.limit() and await draw():
                if len(workers) < window.at_once():
                    worker = asyncio.ensure_future(work())
                    workers.add(worker)
                    worker.add_done_callback(workers.discard)
            if not window.outstanding:
                return
            item = await finished.get()
            for ready in _release(window, waiting, item, batch):
                yield ready
    finally:
        for worker in list(workers):
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
