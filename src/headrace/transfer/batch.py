"""Many operations in flight, in a sliding window: never more ahead of the consumer than the window holds.

The consumer's own thread draws the inputs, so that a generator of inputs runs where its author expects it. Which engine an
operation goes to, and how many are in flight, is judged by the sizes seen so far.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import queue
import sys
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Generic, TypeAlias, TypeVar

from headrace import memory
from headrace.config import Options
from headrace.errors import HeadraceError, NotSupported
from headrace.http.effects import FINISH_SECONDS, Operation
from headrace.models import Item
from headrace.transfer.concurrency import LARGE, LOCAL, SMALL, Concurrency
from headrace.transfer.engines import CallerEngine, LoopEngine, RemoteLoopEngine, ThreadEngine
from headrace.transfer.session import Session

__all__ = ["Batch", "run_batch", "run_batch_async"]

Input = TypeVar("Input")
Result = TypeVar("Result")

_LARGE = 1 << 20
_FIRST = 8
_CHUNK = 16
_DEFAULT_BUDGET = 256 << 20
_NO_LIMIT = sys.maxsize
_LOOK_UP_SECONDS = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch(Generic[Input, Result]):
    """What a batch does.

    Attributes:
        operation: gives the operation for one input.
        item: makes of the index, the input and the operation's result what goes to the consumer.
        uri_of: the URI of an input, for items of failures.
        uses_http: tells whether an input's operation is made of HTTP exchanges.
        size_of: bytes of an input where they are known before (writes), else None.
        concurrency: operations in flight; None leaves the choice to the library.
        ordered: hand results over in the order of the inputs.
        raise_errors: raise the first failure; otherwise failures are items.
    """

    operation: Callable[[Input], Operation[Result]]
    item: Callable[[int, Input, Result], Item]
    uri_of: Callable[[Input], str]
    uses_http: Callable[[Input], bool]
    size_of: Callable[[Input], int] | None = None
    concurrency: int | None = None
    ordered: bool = False
    raise_errors: bool = True

    def perform(self, index: int, value: Input) -> Operation[Item]:
        """The operation, with failures as items: they must travel to the consumer before it is decided what they mean."""
        try:
            return self.item(index, value, (yield from self.operation(value)))
        except HeadraceError as error:
            return Item(index, self.uri_of(value), error=error)
        except Exception as error:
            return Item(index, str(value), error=_Defect(error))


class _Defect(HeadraceError):
    """Carries an exception that is not headrace's own (a `TypeError`, say): it stops the batch, whatever is said of failures."""

    def __init__(self, cause: Exception) -> None:
        super().__init__(str(cause))
        self.cause = cause


class _Window(Generic[Input]):
    """How much may be in flight, and what of it has come back; plain state, used by the consumer alone.

    Attributes:
        mean: bytes of an object, a running mean in which the last few dozen count most.
        local: whether the last input drawn is served by system calls.
        outstanding: inputs that were drawn and whose items the consumer does not have yet.
        low_water: with fewer outstanding, it is worth drawing more.
    """

    def __init__(self, batch: Batch[Input, Any], options: Options) -> None:
        self._batch = batch
        self._budget = options.memory_budget or _DEFAULT_BUDGET
        self._max_connections = options.max_connections
        self._concurrency = Concurrency(SMALL, options.max_connections)
        self._bounds = SMALL
        self._seen = 0
        self._next_index = 0
        self._early: dict[int, Item] = {}
        self.mean = 0.0
        self.local = False
        self.outstanding = 0
        self.low_water = 1

    @property
    def large(self) -> bool:
        """Whether objects are so large that threads serve them better."""
        return self.mean >= _LARGE

    @property
    def at_once(self) -> int:
        """Operations that may be in flight."""
        return self._batch.concurrency or self._concurrency.at_once

    def room(self) -> int:
        """Inputs that may be drawn now: what the consumer does not have is bounded in number and in bytes."""
        if not self._seen:
            # Nothing is known of the sizes yet: the first few will tell.
            self.low_water = max(_FIRST, self._batch.concurrency or 1)
            return self.low_water - self.outstanding
        ahead = 2 * self.at_once if self.large else 4 * max(self.at_once, _CHUNK)
        affordable = int(self._budget / self.mean) if self.mean else ahead
        limit = max(self._batch.concurrency or 1, min(ahead, affordable))
        self.low_water = limit - limit // 4
        return limit - self.outstanding

    def draw(self, value: Input) -> type[_AnyEngine]:
        """Take note of an input; tell what kind of engine it goes to."""
        batch = self._batch
        self.outstanding += 1
        if batch.size_of is not None:
            self._learn(batch.size_of(value))
        self.local = not batch.uses_http(value)
        bounds = LOCAL if self.local else LARGE if self.large else SMALL
        if bounds is not self._bounds:
            self._bounds, self._concurrency = bounds, Concurrency(bounds, _NO_LIMIT if self.local else self._max_connections)
        return ThreadEngine if self.large else CallerEngine if self.local else RemoteLoopEngine

    def take(self, item: Item) -> None:
        """Take note of an item that the consumer gets now."""
        self.outstanding -= 1
        self._concurrency.landed()
        if item.data is not None:
            self._learn(item.data.nbytes)
        elif not self._seen:
            self._seen = 1

    def in_order(self, item: Item) -> Iterator[Item]:
        """Give, in the order of the inputs, the items that the consumer may have now that this one is there."""
        self._early[item.index] = item
        while (ready := self._early.pop(self._next_index, None)) is not None:
            self._next_index += 1
            self.take(ready)
            yield ready

    def judge(self, error: HeadraceError) -> None:
        """Raise what an item's error is to the consumer, unless failures are wanted as items."""
        if isinstance(error, _Defect):
            raise error.cause
        if self._batch.raise_errors:
            raise error

    def _learn(self, size: int) -> None:
        self._seen = min(self._seen + 1, 32)
        self.mean += (size - self.mean) / self._seen


def run_batch(session: Session, batch: Batch[Input, Any], inputs: Iterable[Input]) -> Iterator[Item]:
    """Run a batch for a blocking consumer; leaving the loop early stops what is in flight.

    Raises:
        HeadraceError: the first failure, unless failures are wanted as items.
    """
    memory.retain_heap()
    window = _Window(batch, session.options)
    delivered: queue.SimpleQueue[list[Item]] = queue.SimpleQueue()
    engines: dict[type[_AnyEngine], _AnyEngine] = {}
    source = enumerate(inputs)
    process = os.getpid()

    def feed() -> None:
        _refuse_another_process(process)
        for kind, tasks in _draw(window, source).items():
            if kind not in engines:
                engines[kind] = kind(session, batch.perform, delivered.put)
            engines[kind].feed(tasks, window.at_once)

    try:
        feed()
        while window.outstanding:
            _refuse_another_process(process)
            for item in _next_items(engines.get(CallerEngine), delivered):
                if item.error is not None:
                    window.judge(item.error)
                if batch.ordered:
                    yield from window.in_order(item)
                else:
                    window.take(item)
                    yield item
                if window.outstanding < window.low_water:
                    feed()
    finally:
        for engine in engines.values():
            engine.stop()
        if batch.size_of is not None:
            # What is being written may have something to remove.
            for engine in engines.values():
                engine.wait(FINISH_SECONDS)


def _refuse_another_process(process: int) -> None:
    if os.getpid() != process:
        raise NotSupported("a batch cannot go on in a forked child, which has none of its threads", hint="Begin one in the child.")


_AnyEngine: TypeAlias = CallerEngine | RemoteLoopEngine | ThreadEngine


def _next_items(here: _AnyEngine | None, delivered: queue.SimpleQueue[list[Item]]) -> list[Item]:
    """What others have delivered; else what this thread can do itself; else wait."""
    if isinstance(here, CallerEngine) and delivered.empty() and (items := here.work()):
        return items
    while True:
        # A signal that comes just before the wait begins does not end it: Python would raise Ctrl-C only when the next item is there.
        with contextlib.suppress(queue.Empty):
            return delivered.get(timeout=_LOOK_UP_SECONDS)


def _draw(window: _Window[Input], source: Iterator[tuple[int, Input]]) -> dict[type[_AnyEngine], list[tuple[int, Input]]]:
    """Draw as many inputs as there is room for, sorted by the kind of engine that they go to."""
    tasks: dict[type[_AnyEngine], list[tuple[int, Input]]] = {}
    for _ in range(window.room()):
        task = next(source, None)
        if task is None:
            break
        tasks.setdefault(window.draw(task[1]), []).append(task)
    return tasks


async def run_batch_async(
    session: Session, batch: Batch[Input, Any], inputs: Iterable[Input] | AsyncIterable[Input]
) -> AsyncIterator[Item]:
    """Run a batch in the running event loop; see `run_batch`."""
    memory.retain_heap()
    window = _Window(batch, session.options)
    delivered: asyncio.Queue[list[Item]] = asyncio.Queue()
    engine = LoopEngine(session.transport_here(), batch.perform, delivered.put_nowait)
    source = _drawn_from(inputs)
    index = 0

    async def feed() -> None:
        nonlocal index
        tasks: list[tuple[int, Input]] = []
        for _ in range(window.room()):
            try:
                value = await anext(source)
            except StopAsyncIteration:
                break
            window.draw(value)
            tasks.append((index, value))
            index += 1
        engine.feed(tasks, window.at_once)

    try:
        await feed()
        while window.outstanding:
            for item in await delivered.get():
                if item.error is not None:
                    window.judge(item.error)
                for ready in window.in_order(item) if batch.ordered else (item,):
                    if not batch.ordered:
                        window.take(ready)
                    yield ready
                if window.outstanding < window.low_water:
                    await feed()
    finally:
        await engine.end()


async def _drawn_from(inputs: Iterable[Input] | AsyncIterable[Input]) -> AsyncIterator[Input]:
    if isinstance(inputs, AsyncIterable):
        async for value in inputs:
            yield value
    else:
        for value in inputs:
            yield value
