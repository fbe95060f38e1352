"""What is run to its end though something interrupts: the beginning of what must be undone, and the undoing."""

from __future__ import annotations

import asyncio
import logging
import signal
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from headrace.errors import ServiceError
from headrace.http import asynchronous, crew
from headrace.http.blocking import Lane
from headrace.http.crew import run_blocking
from headrace.http.effects import Call, Cancelled, Finish, Operation, Parallel, Send, Sleep, with_cleanup, with_undo
from headrace.http.messages import Origin, Request


def call(function: Callable[[], Any]) -> Operation[Any]:
    return (yield Call(function))


def finishing(operation: Operation[Any], **options: Any) -> Operation[Any]:
    return (yield Finish(operation, **options))


def pausing(seconds: float = 60) -> Operation[None]:
    yield Sleep(seconds)


def failing() -> None:
    raise ServiceError("why")


def exchange(origin: Origin, method: str) -> Operation[str]:
    reply = yield Send(Request(method, origin, "/", {}))
    return bytes(reply.body).decode()


class Undone:
    """An operation that makes a thing on a server, uses it for ever, and has it removed when it is interrupted.

    Attributes:
        server: makes things by POST, slowly, and removes them by DELETE.
        used: set when the thing is in use.
    """

    def __init__(self, serve: Any, seconds: float = 0.1) -> None:
        self.server = serve(self._script)
        self.used = threading.Event()
        self._seconds = seconds

    def _script(self, peer: Any) -> None:
        while True:
            peer.pause(self._seconds if peer.request().method == "POST" else 0)
            peer.reply(b"thing")

    def operation(self) -> Operation[None]:
        return with_undo(exchange(self.server.origin, "POST"), self._use, lambda thing: exchange(self.server.origin, "DELETE"))

    def _use(self, thing: str) -> Operation[None]:
        assert thing == "thing"
        yield Call(self.used.set)
        while True:
            yield Sleep(60)

    @property
    def methods(self) -> list[str]:
        return [received.method for received in self.server.received]


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_its_result_is_that_of_the_operation(driver: Any) -> None:
    assert driver.run(finishing(call(lambda: 5))) == 5
    assert driver.run(finishing(call(lambda: 6), interrupted=True)) == 6
    assert driver.run(finishing(finishing(call(lambda: 7)))) == 7


@pytest.mark.parametrize("options", [{}, {"interrupted": True}])
def test_its_failure_is_that_of_the_operation(driver: Any, options: dict[str, Any]) -> None:
    with pytest.raises(ServiceError, match="why"):
        driver.run(finishing(call(failing), **options))


def test_what_cleans_up_after_an_interruption_has_not_for_ever(
    driver: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for module in (crew, asynchronous):
        monkeypatch.setattr(module, "FINISH_SECONDS", 0.05)

    def interrupted() -> Operation[None]:
        yield Call(lambda: None)
        raise Cancelled

    with caplog.at_level(logging.WARNING, "headrace"), pytest.raises(Cancelled):
        driver.run(with_cleanup(interrupted(), pausing))
    assert ["took too long" in record.message for record in caplog.records] == [True]


class TestCtrlC:
    """In the main thread, at a moment that the test chooses."""

    @pytest.fixture
    def interrupt_when(self) -> Any:
        """``interrupt_when(condition)`` sends SIGINT to this thread once the condition holds."""
        main, threads = threading.get_ident(), []

        def start(condition: Callable[[], object]) -> None:
            def send() -> None:
                until(condition)
                time.sleep(0.02)
                signal.pthread_kill(main, signal.SIGINT)

            threads.append(threading.Thread(target=send))
            threads[-1].start()

        yield start
        for thread in threads:
            thread.join(10)

    def test_while_the_thing_is_made(self, blocking: Any, serve: Any, interrupt_when: Any) -> None:
        thing = Undone(serve)
        interrupt_when(lambda: thing.methods)
        with pytest.raises(KeyboardInterrupt):
            blocking.run(thing.operation())
        assert thing.methods == ["POST", "DELETE"]

    def test_while_it_is_used(self, blocking: Any, serve: Any, interrupt_when: Any) -> None:
        thing = Undone(serve)
        interrupt_when(thing.used.is_set)
        with pytest.raises(KeyboardInterrupt):
            blocking.run(thing.operation())
        assert thing.methods == ["POST", "DELETE"]

    def test_while_a_server_does_not_answer(self, blocking: Any, serve: Any, interrupt_when: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(crew, "FINISH_SECONDS", 0.05)
        server = serve(lambda peer: peer.request() and peer.rest())
        interrupt_when(lambda: server.received)
        with pytest.raises(KeyboardInterrupt):
            blocking.run(with_undo(exchange(server.origin, "POST"), lambda _: pausing(), lambda _: pausing()))
        assert server.peers[0].closed.wait(5)

    def test_between_two_effects(self, blocking: Any) -> None:
        """Python may raise it in any line of the driver: the operation is told all the same."""
        done = []

        def cleanup() -> Operation[None]:
            done.append((yield Call(lambda: "cleaned")))

        class Interrupting(Call[Any]):
            """Interrupts just where the driver looks what kind of effect this is."""

            @property
            def __class__(self) -> Any:
                raise KeyboardInterrupt

        def operation() -> Operation[None]:
            yield Interrupting(lambda: None)

        with pytest.raises(KeyboardInterrupt):
            blocking.run(with_cleanup(operation(), cleanup))
        assert done == ["cleaned"]


@pytest.mark.parametrize("at", ["making", "using"])
def test_what_another_thread_stops_is_undone(blocking: Any, serve: Any, at: str) -> None:
    thing, lane, errors = Undone(serve), Lane(), []

    def work() -> None:
        try:
            run_blocking(thing.operation(), blocking.transport, blocking.crew, lane)
        except BaseException as error:
            errors.append(type(error))

    thread = threading.Thread(target=work)
    thread.start()
    until((lambda: thing.methods) if at == "making" else thing.used.is_set)
    lane.stop()
    thread.join(10)
    assert errors == [Cancelled]
    assert thing.methods == ["POST", "DELETE"]


@pytest.mark.parametrize("at", ["making", "using"])
def test_what_a_sibling_s_failure_stops_is_undone(driver: Any, serve: Any, at: str) -> None:
    thing = Undone(serve)

    def failing_soon() -> Operation[None]:
        yield Call(lambda: until((lambda: thing.methods) if at == "making" else thing.used.is_set))
        raise ServiceError("no more")

    def both() -> Operation[Any]:
        return (yield Parallel([thing.operation(), failing_soon()], 2))

    with pytest.raises(ServiceError, match="no more"):
        driver.run(both())
    assert thing.methods == ["POST", "DELETE"]


@pytest.mark.parametrize("times", [1, 2, 3])
@pytest.mark.parametrize("at", ["making", "using"])
def test_what_is_cancelled_is_undone(on_loop: Any, serve: Any, at: str, times: int) -> None:
    """However often it is cancelled, as by a group of tasks within another."""
    thing = Undone(serve)

    async def main() -> None:
        task = asyncio.ensure_future(on_loop.perform(thing.operation()))
        while not (thing.methods if at == "making" else thing.used.is_set()):
            await asyncio.sleep(0.001)
        for _ in range(times):
            task.cancel()
            await asyncio.sleep(0.01)
        with pytest.raises(asyncio.CancelledError):
            await task

    on_loop.runner.run(main())
    assert thing.methods == ["POST", "DELETE"]


def test_what_was_not_made_is_not_undone(driver: Any, serve: Any) -> None:
    server = serve()
    with pytest.raises(ServiceError, match="why"):
        driver.run(with_undo(call(failing), lambda _: pausing(), lambda _: exchange(server.origin, "DELETE")))
    assert server.received == []
