"""The blocking driver, and the threads that help it with `Parallel` effects."""

from __future__ import annotations

import contextlib
import os
import queue
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeAlias, TypeVar

from headrace.http.blocking import BlockingTransport, Lane
from headrace.http.effects import FINISH_SECONDS, Call, Cancelled, Effect, Finish, Operation, Parallel, Send, Sleep

__all__ = ["Crew", "run_abreast", "run_blocking"]

T = TypeVar("T")

_IDLE_SECONDS = 60.0
_LOOK_UP_SECONDS = 0.5


def run_blocking(operation: Operation[T], transport: BlockingTransport, crew: Crew, lane: Lane | None = None) -> T:
    """Perform an operation in this thread; with a ``lane``, other threads can stop it, which raises `Cancelled` in it."""
    try:
        return _drive(operation, operation.send, None, transport, crew, lane)
    except BaseException as error:
        if not getattr(operation, "gi_suspended", False):
            raise
        # Ctrl-C came here, between two effects: the operation does not know of it, and may have something to clean up.
        return _drive(operation, operation.throw, error, transport, crew, None)


def _drive(
    operation: Operation[T],
    step: Callable[[Any], Effect],
    value: Any,
    transport: BlockingTransport,
    crew: Crew,
    lane: Lane | None,
) -> T:
    """Take the first step with ``value``, and then one effect after another to the end."""
    try:
        effect = step(value)
        while True:
            try:
                if lane is not None and lane.stopped.is_set():
                    raise Cancelled
                result = _perform(effect, transport, crew, lane)
            except BaseException as error:
                if lane is not None and lane.stopped.is_set() and isinstance(error, (Exception, Cancelled)):
                    # Told once, the operation may clean up behind itself, and no longer be stopped in that.
                    lane = None
                    effect = operation.throw(Cancelled())
                else:
                    effect = operation.throw(error)
            else:
                effect = operation.send(result)
    except StopIteration as stop:
        outcome: T = stop.value
        return outcome


def run_abreast(operations: Sequence[Operation[T]], transport: BlockingTransport, crew: Crew) -> list[T]:
    """Perform operations in this thread, one step of all, then the next step of all; give their results in order.

    A step is faster when its code and data are in the processor's caches because the same step was done just before. What one
    operation raises (Ctrl-C among it) ends the others where they are, without a clean-up: they must not need one.
    """
    results: list[Any] = [None] * len(operations)
    ready: list[_Ready] = [(index, operation.send, None) for index, operation in enumerate(operations)]
    try:
        while ready:
            effects: list[tuple[int, Effect]] = []
            for index, resume, value in ready:
                try:
                    effects.append((index, resume(value)))
                except StopIteration as stop:
                    results[index] = stop.value
            ready = [_outcome(index, operations[index], effect, transport, crew) for index, effect in effects]
    except BaseException:
        for operation in operations:
            operation.close()
        raise
    return results


_Ready: TypeAlias = "tuple[int, Callable[[Any], Effect], Any]"


def _outcome(index: int, operation: Operation[Any], effect: Effect, transport: BlockingTransport, crew: Crew) -> _Ready:
    try:
        return index, operation.send, effect.function() if type(effect) is Call else _perform(effect, transport, crew, None)
    except BaseException as error:
        return index, operation.throw, error


def _perform(effect: Effect, transport: BlockingTransport, crew: Crew, lane: Lane | None) -> Any:
    if isinstance(effect, Send):
        return transport.exchange(effect, lane)
    if isinstance(effect, Call):
        return effect.function()
    if isinstance(effect, Parallel):
        return crew.perform(effect, transport, lane)
    if isinstance(effect, Sleep):
        return time.sleep(effect.seconds) if lane is None else lane.stopped.wait(effect.seconds)
    return _Finishing(effect, transport, crew).run(lane)


class _Finishing:
    """An operation in a thread of its own, where what interrupts the thread that asks for it does not reach it."""

    def __init__(self, effect: Finish[Any], transport: BlockingTransport, crew: Crew) -> None:
        self._effect = effect
        self._transport = transport
        self._crew = crew
        self._lane = Lane()
        self._failure: BaseException | None = None
        self._ended = threading.Event()
        self._ended_or_stopped = threading.Event()

    def run(self, outer: Lane | None) -> Any:
        """See `Finish`."""
        interruption: BaseException | None = TimeoutError("it took too long") if self._effect.interrupted else None
        try:
            self._start()
            if interruption is None:
                self._wait(outer)
        except BaseException as error:
            interruption = error
        if interruption is None or (self._ends_soon() and self._effect.interrupted):
            return self._outcome()
        self._lane.stop()
        try:
            raise interruption
        finally:
            # As in `_Group.run`.
            del interruption

    def _start(self) -> None:
        try:
            threading.Thread(target=self._work, name="headrace-finish", daemon=True).start()
        except RuntimeError:
            # As in `Crew._call_helpers`.
            self._work()

    def _work(self) -> None:
        try:
            self._effect.end(run_blocking(self._effect.operation, self._transport, self._crew, self._lane))
        except BaseException as error:
            self._failure = error
        finally:
            self._ended.set()
            self._ended_or_stopped.set()

    def _wait(self, outer: Lane | None) -> None:
        """Wait for the end. Raises `Cancelled` when ``outer`` is stopped before."""
        try:
            if outer is not None:
                outer.enter(self._ended_or_stopped.set)
            self._ended_or_stopped.wait()
        finally:
            if outer is not None:
                outer.leave()
        if not self._ended.is_set():
            raise Cancelled

    def _ends_soon(self) -> bool:
        """Wait for the end, at most `FINISH_SECONDS`; Ctrl-C, once more, changes nothing."""
        deadline = time.monotonic() + FINISH_SECONDS
        while not self._ended.is_set() and (left := deadline - time.monotonic()) > 0:
            with contextlib.suppress(BaseException):
                self._ended.wait(left)
        return self._ended.is_set()

    def _outcome(self) -> Any:
        failure, self._failure = self._failure, None
        if failure is None:
            return self._effect.result
        try:
            raise failure
        finally:
            del failure


class Crew:
    """Up to ``size`` daemon threads that share the work of parallel effects; they start when needed and end when long idle.

    The thread that asks takes part itself, so that nested parallel effects cannot wait for each other: when every helper
    is busy, the caller does all of its work alone.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._start_empty()
        _crews.add(self)

    def _start_empty(self) -> None:
        self._tickets: queue.SimpleQueue[_Group | None] = queue.SimpleQueue()
        self._threads = 0
        self._idle = 0
        self._lock = threading.Lock()

    def perform(self, effect: Parallel, transport: BlockingTransport, lane: Lane | None = None) -> list[Any]:
        """Run the operations of ``effect``; see `Parallel`."""
        group = _Group(effect, transport, self)
        self._call_helpers(group, effect.workers - 1)
        return group.run(lane)

    def _call_helpers(self, group: _Group, count: int) -> None:
        count = min(count, self.size)
        with self._lock:
            missing = min(count - self._idle, self.size - self._threads)
            for _ in range(missing):
                try:
                    threading.Thread(target=self._help, args=(self._tickets,), name="headrace-crew", daemon=True).start()
                except RuntimeError:
                    # The system has no more threads, or the interpreter is ending: the caller does the work.
                    break
                self._threads += 1
            tickets = self._tickets
        for _ in range(count):
            tickets.put(group)

    def _help(self, tickets: queue.SimpleQueue[_Group | None]) -> None:
        while True:
            with self._lock:
                self._idle += 1
            try:
                group = tickets.get(timeout=_IDLE_SECONDS)
            except queue.Empty:
                group = None
            with self._lock:
                self._idle -= 1
                if group is None and tickets is self._tickets:
                    self._threads -= 1
            if group is None:
                return
            group.work(Lane())
            del group

    def close(self) -> None:
        """Let the threads end when they have nothing left to do."""
        with self._lock:
            threads, self._threads = self._threads, 0
            tickets, self._tickets = self._tickets, queue.SimpleQueue()
        for _ in range(threads):
            tickets.put(None)


class _Group:
    """The operations of one parallel effect, and the lanes that work on them."""

    def __init__(self, effect: Parallel, transport: BlockingTransport, crew: Crew) -> None:
        self._pending: Iterator[tuple[int, Operation[Any]]] = iter(enumerate(effect.operations))
        self._transport = transport
        self._crew = crew
        self._results: dict[int, Any] = {}
        self._failure: BaseException | None = None
        self._lanes: set[Lane] = set()
        self._changed = threading.Condition(threading.Lock())

    def run(self, outer: Lane | None) -> list[Any]:
        """Take part, then wait for the others; give the results in order or raise the first failure."""
        lane = Lane()
        try:
            if outer is not None:
                outer.enter(self._cancel)
            self.work(lane)
            self._wait()
        except BaseException as error:
            self._fail(error)
            # Ctrl-C may have come just where this thread's own lane was about to be taken off.
            self._lanes.discard(lane)
            self._wait()
        finally:
            if outer is not None:
                outer.leave()
        results, failure = self._results, self._failure
        self._forget()
        if failure is None:
            return [results[index] for index in range(len(results))]
        try:
            raise failure
        finally:
            # An exception that its own traceback refers to would live, with all its memory, until the garbage collector comes.
            del failure

    def _forget(self) -> None:
        """Let go of what the operations hold: helpers may find this group in their queue much later."""
        with self._changed:
            self._pending, self._results, self._failure = iter(()), {}, None

    def _wait(self) -> None:
        with self._changed:
            while self._lanes:
                # Not without end: a signal that comes just before a wait begins does not end it.
                self._changed.wait(_LOOK_UP_SECONDS)

    def _cancel(self) -> None:
        self._fail(Cancelled())

    def work(self, lane: Lane) -> None:
        """Take one operation after another until none is left."""
        while True:
            try:
                task = self._take(lane)
                if task is None:
                    return
                index, operation = task
                self._results[index] = run_blocking(operation, self._transport, self._crew, lane)
            except BaseException as error:
                self._fail(error)
            finally:
                with self._changed:
                    self._lanes.discard(lane)
                    self._changed.notify_all()

    def _take(self, lane: Lane) -> tuple[int, Operation[Any]] | None:
        with self._changed:
            if self._failure is not None:
                return None
            task = next(self._pending, None)
            if task is not None:
                self._lanes.add(lane)
            return task

    def _fail(self, error: BaseException) -> None:
        with self._changed:
            first = self._failure is None
            if first:
                self._failure = error
            others = list(self._lanes) if first else []
        for lane in others:
            lane.stop()


_crews: weakref.WeakSet[Crew] = weakref.WeakSet()


def _start_empty_after_fork() -> None:
    for crew in list(_crews):
        crew._start_empty()


os.register_at_fork(after_in_child=_start_empty_after_fork)
