"""Parallel effects, cleaning up, and being stopped: with both drivers where both can."""

from __future__ import annotations

import asyncio
import functools
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from headrace.errors import ConnectionFailed, ServiceError
from headrace.http import crew
from headrace.http.blocking import Lane
from headrace.http.crew import Crew, run_blocking
from headrace.http.effects import Call, Cancelled, Operation, Parallel, Send, Sleep, with_cleanup
from headrace.http.messages import Origin, Request


def call(function: Callable[[], Any]) -> Operation[Any]:
    return (yield Call(function))


def get(origin: Origin, target: str = "/") -> Operation[str]:
    reply = yield Send(Request("GET", origin, target, {}))
    return bytes(reply.body).decode()


def parallel(operations: Any, limit: int) -> Operation[list[Any]]:
    return (yield Parallel(operations, limit))


def failing(error: BaseException) -> Callable[[], None]:
    def function() -> None:
        raise error

    return function


def until(condition: Callable[[], object]) -> None:
    """Wait for something that another thread does."""
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


class Gauge:
    """Counts how many calls go on at the same time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._now = 0
        self.most = 0

    def __call__(self) -> None:
        with self._lock:
            self._now += 1
            self.most = max(self.most, self._now)
        time.sleep(0.005)
        with self._lock:
            self._now -= 1


# Results.


def test_results_are_in_the_order_of_the_operations(driver: Any, serve: Any) -> None:
    def script(peer: Any) -> None:
        while True:
            target = peer.request().target
            peer.pause(0.03 if target == "/0" else 0)
            peer.reply(target.encode())

    server = serve(script)
    assert driver.run(parallel([get(server.origin, f"/{number}") for number in range(20)], 4)) == [f"/{number}" for number in range(20)]


def test_operations_may_come_from_a_generator_and_be_of_any_kind(driver: Any) -> None:
    def numbered(number: int) -> Operation[int]:
        yield Sleep(0)
        return (yield Call(lambda: number))

    assert driver.run(parallel((numbered(number) for number in range(30)), 3)) == list(range(30))


def test_nothing_to_do_is_done(driver: Any) -> None:
    assert driver.run(parallel([], 5)) == []
    assert driver.run(parallel(iter(()), 5)) == []


@pytest.mark.parametrize("limit", [1, 3])
def test_the_limit_is_respected(driver: Any, limit: int) -> None:
    gauge = Gauge()
    driver.run(parallel([call(gauge) for _ in range(20)], limit))
    assert gauge.most <= limit


@pytest.mark.parametrize("limit", [0, -1])
def test_a_limit_that_allows_nothing_is_refused(limit: int) -> None:
    with pytest.raises(ValueError, match="at least one"):
        Parallel([], limit)


def test_nested_operations_with_every_helper_busy(driver: Any) -> None:
    def nested(depth: int) -> Operation[int]:
        if depth == 0:
            return (yield Call(lambda: 1))
        return sum((yield Parallel([nested(depth - 1) for _ in range(4)], 4)))

    assert driver.run(nested(4)) == 4**4


def test_several_threads_may_share_a_small_crew(blocking: Any) -> None:
    shared, results = Crew(1), []

    def work() -> None:
        operation = parallel([parallel([call(lambda: 1) for _ in range(5)], 5) for _ in range(5)], 5)
        results.append(run_blocking(operation, blocking.transport, shared))

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert results == [[[1] * 5] * 5] * 6
    shared.close()


# Failures.


def test_the_first_failure_is_raised_and_the_rest_does_not_begin(driver: Any) -> None:
    begun = []

    def numbered(number: int) -> Operation[None]:
        yield Call(lambda: begun.append(number))
        if number == 3:
            raise ServiceError("number 3 failed")
        yield Call(lambda: time.sleep(0.01))

    with pytest.raises(ServiceError, match="number 3"):
        driver.run(parallel((numbered(number) for number in range(1000)), 2))
    assert 3 in begun
    assert len(begun) < 20


def test_a_failure_interrupts_exchanges_in_progress(driver: Any, serve: Any) -> None:
    """They would stall for much longer than this test may take."""

    def failing_soon() -> Operation[None]:
        yield Call(lambda: until(lambda: len(server.received) == 3))
        raise ServiceError("no more")

    server = serve(lambda peer: peer.request() and peer.rest())
    with pytest.raises(ServiceError, match="no more"):
        driver.run(parallel([get(server.origin), get(server.origin), get(server.origin), failing_soon()], 4))
    for peer in server.peers:
        assert peer.closed.wait(5)


def test_a_failure_ends_pauses_in_progress(driver: Any) -> None:
    def pausing() -> Operation[None]:
        yield Sleep(60)

    with pytest.raises(ServiceError):
        driver.run(parallel([pausing(), pausing(), call(failing(ServiceError("at once")))], 3))


def test_calls_in_progress_are_waited_for(driver: Any) -> None:
    """They may write into memory that the caller uses for something else after the failure."""
    begun, ended = threading.Event(), []

    def slow() -> None:
        begun.set()
        time.sleep(0.05)
        ended.append(1)

    def failing_soon() -> Operation[None]:
        yield Call(lambda: begun.wait(10))
        raise ServiceError("no more")

    with pytest.raises(ServiceError):
        driver.run(parallel([call(slow), failing_soon()], 2))
    assert ended == [1]


def test_operations_that_cannot_be_made_are_a_failure(driver: Any) -> None:
    def operations() -> Iterator[Operation[None]]:
        yield call(lambda: None)
        raise ServiceError("there is no second one")

    with pytest.raises(ServiceError, match="no second one"):
        driver.run(parallel(operations(), 3))


def test_a_failure_can_be_handled(driver: Any) -> None:
    def operation() -> Operation[Any]:
        try:
            yield Parallel([call(failing(ServiceError("once")))], 1)
        except ServiceError:
            return (yield Parallel([call(lambda: "instead")], 1))

    assert driver.run(operation()) == ["instead"]


@pytest.mark.parametrize("place", [0, 1, 2])
def test_ctrl_c_in_a_call_is_raised(blocking: Any, place: int) -> None:
    functions: list[Callable[[], None]] = [lambda: time.sleep(0.01)] * 3
    functions[place] = failing(KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        blocking.run(parallel([call(function) for function in functions], 3))
    assert blocking.run(parallel([call(lambda: 1)], 3)) == [1]


# Cleaning up.


def cleaned(operation: Operation[Any], done: list[str], *effects: Any) -> Operation[Any]:
    def cleanup() -> Operation[None]:
        for effect in effects or (Sleep(0), Call(lambda: None)):
            results.append((yield effect))
        done.append("cleaned")

    results: list[Any] = []

    return with_cleanup(operation, cleanup)


def test_success_needs_no_cleaning_up(driver: Any) -> None:
    done: list[str] = []
    assert driver.run(cleaned(call(lambda: 5), done)) == 5
    assert done == []


@pytest.mark.parametrize("error", [ServiceError("why"), KeyError("why")])
def test_a_failure_is_cleaned_up_after(driver: Any, serve: Any, error: Exception) -> None:
    server, done = serve(), []
    with pytest.raises(type(error), match="why"):
        driver.run(cleaned(call(failing(error)), done, Send(Request("DELETE", server.origin, "/part", {}))))
    assert done == ["cleaned"]
    assert [received.target for received in server.received] == ["/part"]


def test_ctrl_c_is_cleaned_up_after(blocking: Any) -> None:
    done: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        blocking.run(cleaned(call(failing(KeyboardInterrupt())), done))
    assert done == ["cleaned"]


def test_those_that_are_interrupted_clean_up_too(driver: Any, serve: Any) -> None:
    def failing_soon() -> Operation[None]:
        yield Call(lambda: until(lambda: len(stalling.received) == 2))
        raise ServiceError("no more")

    stalling, server, done = serve(lambda peer: peer.request() and peer.rest()), serve(), []
    abort = Send(Request("DELETE", server.origin, "/part", {}))
    operations = [cleaned(get(stalling.origin), done, abort, Sleep(0.01)) for _ in range(2)]
    with pytest.raises(ServiceError, match="no more"):
        driver.run(parallel([*operations, failing_soon()], 3))
    assert done == ["cleaned"] * 2
    assert len(server.received) == 2


@pytest.mark.parametrize("trouble", [ConnectionFailed("trouble"), OSError("trouble")])
def test_trouble_with_cleaning_up_does_not_hide_the_failure(driver: Any, caplog: pytest.LogCaptureFixture, trouble: Exception) -> None:
    with caplog.at_level(logging.WARNING, "headrace"), pytest.raises(ServiceError, match="first"):
        driver.run(cleaned(call(failing(ServiceError("first"))), [], Call(failing(trouble))))
    assert ["clean-up after a failure" in record.message for record in caplog.records] == [True]


def test_an_operation_that_is_dropped_is_not_cleaned_up() -> None:
    """There is nobody left to perform what that would take."""
    done: list[str] = []
    operation = cleaned(call(lambda: None), done)
    next(operation)
    operation.close()
    assert done == []


# Being stopped.


class Stoppable:
    """An operation in a thread of its own, with a lane."""

    def __init__(self, operation: Operation[Any], driver: Any) -> None:
        self.lane = Lane()
        self.error: BaseException | None = None
        self.result: Any = None
        self._work = functools.partial(run_blocking, operation, driver.transport, driver.crew, self.lane)
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            self.result = self._work()
        except BaseException as error:
            self.error = error

    def ended(self) -> bool:
        self._thread.join(5)
        return not self._thread.is_alive()


@pytest.mark.parametrize("secure", ["plain", "tls"])
@pytest.mark.parametrize("reply", [b"", b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf"], ids=["waiting", "receiving"])
@pytest.mark.parametrize("form", ["single", "parallel", "nested"])
def test_an_exchange_is_stopped_at_once(blocking: Any, serve: Any, tls: Any, authority: Any, secure: str, reply: bytes, form: str) -> None:
    def script(peer: Any) -> None:
        peer.request()
        peer.send(reply)
        peer.rest()

    blocking.configure(ca_bundle=authority.ca_bundle)
    server = serve(script, **({"tls": tls()} if secure == "tls" else {}))
    operation: Operation[Any] = get(server.origin)
    if form != "single":
        operation = parallel([operation, get(server.origin)], 2)
    if form == "nested":
        operation = parallel([operation, call(lambda: None)], 2)
    running = Stoppable(operation, blocking)
    until(lambda: len(server.received) == (1 if form == "single" else 2))
    time.sleep(0.02)
    running.lane.stop()
    assert running.ended()
    assert isinstance(running.error, Cancelled)


def test_sending_is_stopped_at_once(blocking: Any, serve: Any) -> None:
    def put() -> Operation[Any]:
        return (yield Send(Request("PUT", server.origin, "/", {}, [memoryview(bytes(32 << 20))])))

    server = serve(lambda peer: peer.head() and peer.stall())
    running = Stoppable(put(), blocking)
    until(lambda: server.received)
    time.sleep(0.05)
    running.lane.stop()
    assert running.ended()
    assert isinstance(running.error, Cancelled)


def test_connecting_is_stopped_at_once(blocking: Any, unanswering: Origin) -> None:
    running = Stoppable(get(unanswering), blocking)
    time.sleep(0.05)
    running.lane.stop()
    assert running.ended()
    assert isinstance(running.error, Cancelled)


def test_a_tls_handshake_is_stopped_at_once(blocking: Any, serve: Any) -> None:
    server = serve(lambda peer: peer.rest())
    running = Stoppable(get(Origin("https", "localhost", server.port)), blocking)
    until(lambda: server.peers)
    time.sleep(0.05)
    running.lane.stop()
    assert running.ended()
    assert isinstance(running.error, Cancelled)


def test_waiting_for_a_connection_is_stopped_soon(blocking: Any, serve: Any) -> None:
    blocking.configure(max_connections=1)
    server = serve(lambda peer: peer.request() and peer.rest())
    first, second = Stoppable(get(server.origin), blocking), Stoppable(get(server.origin), blocking)
    until(lambda: server.received)
    time.sleep(0.02)
    waiting, busy = (second, first) if first.lane._interrupt else (first, second)
    waiting.lane.stop()
    assert waiting.ended()
    assert isinstance(waiting.error, Cancelled)
    busy.lane.stop()
    assert busy.ended()


def test_a_pause_is_stopped_at_once(blocking: Any) -> None:
    def pausing() -> Operation[None]:
        yield Sleep(60)
        yield Sleep(60)

    running = Stoppable(pausing(), blocking)
    running.lane.stop()
    assert running.ended()
    assert isinstance(running.error, Cancelled)


def test_what_was_stopped_before_it_began_does_nothing(blocking: Any, serve: Any) -> None:
    server, lane = serve(), Lane()
    lane.stop()
    for operation in (get(server.origin), parallel([get(server.origin)] * 2, 2)):
        with pytest.raises(Cancelled):
            run_blocking(operation, blocking.transport, blocking.crew, lane)
    assert server.received == []


def test_what_is_stopped_cleans_up_undisturbed(blocking: Any, serve: Any) -> None:
    def script(peer: Any) -> None:
        peer.request()
        running.lane.stop()
        peer.pause(0.05)
        peer.reply()

    stalling, server, done = serve(lambda peer: peer.request() and peer.rest()), serve(script), []
    abort = Send(Request("DELETE", server.origin, "/part", {}))
    running = Stoppable(cleaned(get(stalling.origin), done, abort, Sleep(0.01), abort), blocking)
    until(lambda: stalling.received)
    running.lane.stop()
    assert running.ended()
    assert isinstance(running.error, Cancelled)
    assert done == ["cleaned"]
    assert [received.target for received in server.received] == ["/part"] * 2


def test_stopping_never_touches_a_connection_that_serves_somebody_else(blocking: Any, serve: Any) -> None:
    def gets() -> Operation[int]:
        for number in range(300):
            assert (yield from get(server.origin, f"/{number}")) == f"/{number}"
        return 300

    def stopped_soon() -> Operation[None]:
        for number in range(1_000_000):
            yield from get(server.origin, f"/stopped/{number}")

    blocking.configure(max_connections=2)
    server = serve()
    # Not repeatable, so that a broken exchange would show.
    steady = Stoppable(gets(), blocking)
    for _ in range(30):
        other = Stoppable(stopped_soon(), blocking)
        time.sleep(0.003)
        other.lane.stop()
        assert other.ended()
        assert isinstance(other.error, Cancelled)
    assert steady.ended()
    assert (steady.error, steady.result) == (None, 300)


def test_ctrl_c_is_not_lost_when_the_work_is_stopped_at_the_same_time(blocking: Any) -> None:
    lane = Lane()

    def interrupted() -> None:
        lane.stop()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_blocking(call(interrupted), blocking.transport, blocking.crew, lane)


INTERRUPTED = """
import sys
from headrace.http.blocking import BlockingTransport, Settings
from headrace.http.crew import Crew, run_blocking
from headrace.http.effects import Parallel, Send
from headrace.http.messages import Origin, Request

origin = Origin("http", "127.0.0.1", int(sys.argv[1]))

def get():
    return (yield Send(Request("GET", origin, "/", {})))

def parallel():
    return (yield Parallel([get() for _ in range(4)], 4))

try:
    run_blocking(parallel(), BlockingTransport(Settings(stall_timeout=300)), Crew(8))
except KeyboardInterrupt:
    print("interrupted")
"""


def test_ctrl_c_ends_stalled_exchanges(serve: Any) -> None:
    server = serve(lambda peer: peer.request() and peer.rest())
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", INTERRUPTED, str(server.port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        until(lambda: len(server.received) == 4 or process.poll() is not None)
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=10) == ("interrupted\n", None)
        assert process.returncode == 0


# The threads.


@pytest.fixture
def crew_threads() -> Callable[[], int]:
    """How many threads of crews there are now, without those of other tests, which may be idle for a minute."""
    before = set(threading.enumerate())
    return lambda: sum(thread.name == "headrace-crew" for thread in set(threading.enumerate()) - before)


def test_threads_start_only_when_there_is_work_for_them(blocking: Any, crew_threads: Callable[[], int]) -> None:
    blocking.run(parallel([call(lambda: 1)], 8))
    assert crew_threads() == 0
    blocking.run(parallel([call(lambda: 1)] * 1 + [call(lambda: 2)], 8))
    assert crew_threads() <= 1


def test_threads_end_when_the_crew_is_closed_and_start_again(blocking: Any, crew_threads: Callable[[], int]) -> None:
    for _ in range(2):
        gauge = Gauge()
        blocking.run(parallel([call(gauge) for _ in range(12)], 4))
        assert gauge.most > 1
        blocking.crew.close()
        until(lambda: crew_threads() == 0)


def test_threads_end_when_they_have_long_been_idle(blocking: Any, crew_threads: Callable[[], int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crew, "_IDLE_SECONDS", 0.05)
    for _ in range(2):
        gauge = Gauge()
        blocking.run(parallel([call(gauge) for _ in range(12)], 4))
        assert gauge.most > 1
        until(lambda: crew_threads() == 0)


def test_without_threads_the_caller_does_the_work(blocking: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def refusing(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refusing)
    assert blocking.run(parallel([call(lambda: 1) for _ in range(5)], 4)) == [1] * 5


# Cancelling a task does what stopping a lane does.


def test_a_cancelled_task_cleans_up(on_loop: Any, serve: Any) -> None:
    async def main() -> None:
        operation = parallel([cleaned(get(stalling.origin), done, abort) for _ in range(2)], 2)
        task = asyncio.ensure_future(on_loop.perform(operation))
        async with asyncio.timeout(10):
            while len(stalling.received) < 2:
                await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    stalling, server, done = serve(lambda peer: peer.request() and peer.rest()), serve(), []
    abort = Send(Request("DELETE", server.origin, "/part", {}))
    on_loop.runner.run(main())
    assert done == ["cleaned"] * 2
    assert len(server.received) == 2
