"""Where the operations of a batch are performed: what only computes stays in the consumer's thread, what waits goes to others."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import pytest

from headrace.http.effects import Call, Operation
from headrace.models import Item
from headrace.transfer.engines import CallerEngine
from headrace.transfer.session import Session

HERE = threading.get_ident()


@pytest.fixture
def session() -> Iterator[Session]:
    session = Session({})
    yield session
    session.close()


def threads_of(session: Session, act: Callable[[], object], count: int) -> list[int]:
    """In which threads ``act`` was called, by operation."""
    delivered: list[Item] = []

    def perform(index: int, value: str) -> Operation[Item]:
        def called() -> int:
            act()
            return threading.get_ident()

        thread = yield Call(called)
        return Item(thread, value)

    everything = threading.Event()

    def deliver(items: list[Item]) -> None:
        delivered.extend(items)
        if len(delivered) == count:
            everything.set()

    engine = CallerEngine(session, perform, deliver)
    try:
        engine.feed([(index, str(index)) for index in range(count)], 2)
        while items := engine.work():
            deliver(items)
        assert everything.wait(30)
        assert sorted(item.uri for item in delivered) == sorted(map(str, range(count)))
        return [item.index for item in delivered]
    finally:
        engine.stop()


def compute() -> None:
    sum(range(20_000))


def test_what_does_not_wait_stays_in_the_callers_thread_however_long_it_takes(session: Session) -> None:
    assert set(threads_of(session, compute, 40)) == {HERE}


def test_what_waits_goes_to_threads(session: Session) -> None:
    threads = threads_of(session, lambda: time.sleep(2e-3), 40)
    assert threads[0] == HERE
    assert HERE not in threads[10:]
