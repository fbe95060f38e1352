"""Children of a process that uses a client: forked, from a fork server, and spawned."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import headrace
from headrace import Client
from headrace.errors import NotSupported
from tests.processes.reading import expected, read_all
from tests.processes.scripts import run_script
from tests.processes.throttle import WATCHDOG, Throttle

WORKERS = 4
ROUNDS = int(os.environ.get("HEADRACE_TEST_FORK_ROUNDS", "1"))
"""How many pools of each kind are started, with forty tasks each; 50 of them take minutes where children are spawned."""

FORK_ROUNDS = 50


@contextlib.contextmanager
def idle(client: Client, throttle: Throttle, uris: list[str]) -> Iterator[None]:
    """The parent has used the client for all that it does: its loop thread runs, its crew has threads, and nothing is under way."""
    assert read_all(client, uris) == expected(uris)
    yield


@contextlib.contextmanager
def reading(client: Client, throttle: Throttle, uris: list[str]) -> Iterator[None]:
    """Another thread of the parent is in the middle of a GET, all the time; it gets the right bytes."""
    assert read_all(client, uris) == expected(uris)
    stop, sizes = threading.Event(), []

    def read() -> None:
        while not stop.is_set():
            sizes.append(client.get(uris[-1]).nbytes)

    thread = threading.Thread(target=read)
    throttle.rate = 4 << 20
    throttle.requests.clear()
    thread.start()
    throttle.wait_for("GET .*large")
    yield
    stop.set()
    thread.join(WATCHDOG)
    assert not thread.is_alive()
    assert set(sizes) == {3_000_000}


Parent = Callable[[Client, Throttle, list[str]], contextlib.AbstractContextManager[None]]


@pytest.fixture
def slow(options: dict[str, Any]) -> Iterator[Throttle]:
    with Throttle(options["endpoint_url"]) as throttle:
        yield throttle


@pytest.fixture
def slow_client(options: dict[str, Any], slow: Throttle) -> Iterator[Client]:
    with Client(**{**options, "endpoint_url": slow.endpoint}) as client:
        yield client


def small_ones(client: Client, uris: list[str]) -> int:
    """Bytes of some small objects, one by one, in a batch and from a file."""
    some = uris[:4]
    batch = sum(item.data.nbytes for item in client.get_many(some) if item.data is not None)
    assert sum(client.get(uri).nbytes for uri in some) == batch
    with client.open(some[0]) as file:
        assert file.read() == some[0].encode()
    return batch


def in_children(work: Callable[[], bool], count: int) -> list[int]:
    """Fork children that work at the same time; their exit statuses. One that hangs ends by an alarm."""
    children = []
    for _ in range(count):
        child = os.fork()
        if child == 0:
            status = 1
            try:
                signal.alarm(int(WATCHDOG))
                status = 0 if work() else 2
            finally:
                os._exit(status)
        children.append(child)
    return [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]


@pytest.mark.parametrize("parent", [idle, reading])
def test_forked_children(slow_client: Client, slow: Throttle, uris: list[str], parent: Parent) -> None:
    size = sum(len(uri) for uri in uris[:4])
    with parent(slow_client, slow, uris):
        for _ in range(FORK_ROUNDS):
            assert in_children(lambda: small_ones(slow_client, uris) == size, WORKERS) == [0] * WORKERS
    slow.rate = None
    assert read_all(slow_client, uris) == expected(uris)


@pytest.mark.parametrize("parent", [idle, reading])
@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_a_pool_of_processes(slow_client: Client, slow: Throttle, uris: list[str], method: str, parent: Parent) -> None:
    size = sum(len(uri) for uri in uris[:4])
    with parent(slow_client, slow, uris):
        for _ in range(ROUNDS):
            with multiprocessing.get_context(method).Pool(WORKERS) as pool:
                results = pool.starmap_async(small_ones, [(slow_client, uris)] * (WORKERS * 10), chunksize=1)
                assert results.get(WATCHDOG) == [size] * (WORKERS * 10)
    slow.rate = None
    assert read_all(slow_client, uris) == expected(uris)


def test_the_default_client_in_a_forked_child(options: dict[str, Any], uris: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_ENDPOINT_URL", options["endpoint_url"])
    monkeypatch.setattr(headrace.get.__self__, "_opened", None)
    assert len(list(headrace.get_many(uris))) == len(uris)

    def work() -> bool:
        return headrace.read_bytes(uris[0]) == uris[0].encode() and len(list(headrace.get_many(uris))) == len(uris)

    assert in_children(work, WORKERS) == [0] * WORKERS
    headrace.get.__self__.close()


def test_a_fork_while_another_thread_uses_headrace_for_the_first_time(options: dict[str, Any], uris: list[str]) -> None:
    """Modules are being imported then, and a child would wait for ever for an import that nobody finishes."""
    script = """
    import os, signal, sys, threading, time
    import headrace
    endpoint, pause, uri = sys.argv[1:]
    client = headrace.Client(endpoint_url=endpoint)
    def use():
        assert client.read_bytes(uri) == uri.encode()
        assert len(list(client.get_many([uri] * 3))) == 3
    thread = threading.Thread(target=use)
    thread.start()
    time.sleep(float(pause))
    child = os.fork()
    if child == 0:
        signal.alarm(20)
        use()
        os._exit(0)
    thread.join()
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    """
    for pause in (0.001, 0.005, 0.01, 0.02, 0.03, 0.04, 0.06, 0.08):
        done = run_script(script, options["endpoint_url"], str(pause), uris[0])
        assert (done.returncode, done.stderr) == (0, ""), pause


@pytest.mark.parametrize("size", ["small", "large"])
def test_a_batch_in_a_forked_child(client: Client, uris: list[str], size: str) -> None:
    """It cannot go on there, and says so; dropped, it does not disturb the parent's."""
    inputs = uris[:-1] * 20 if size == "small" else uris[-1:] * 40
    items = client.get_many(inputs)
    first = next(items)

    def go_on() -> bool:
        try:
            for _ in items:
                pass
        except NotSupported as error:
            return "forked child" in str(error)
        return False

    def drop() -> bool:
        items.close()  # type: ignore[attr-defined]
        return True

    assert in_children(go_on, 2) == [0, 0]
    assert in_children(drop, 2) == [0, 0]
    rest = list(items)
    assert first.data is not None
    assert 1 + len(rest) == len(inputs)
    assert {item.index for item in rest} | {first.index} == set(range(len(inputs)))


def test_an_open_file_in_a_forked_child(slow_client: Client, slow: Throttle, uris: list[str]) -> None:
    """A file that is read has its own position in each process; one that is written is the parent's alone."""
    base = uris[0].rpartition("/")[0]
    with slow_client.open(uris[-1], block_size=200_000) as source, slow_client.open(f"{base}/written", "wb") as sink:
        slow.rate = 2 << 20
        assert len(source.read(100_000)) == 100_000
        assert len(source.read(250_000)) == 250_000
        for _ in range(9):
            sink.write(bytes(1 << 20))

        def read_on() -> bool:
            return source.read() == bytes(3_000_000 - 350_000)

        def write() -> bool:
            with pytest.raises(NotSupported):
                sink.write(b"x")
            with pytest.raises(NotSupported):
                sink.close()
            sink.abort()  # type: ignore[attr-defined]
            return True

        slow.rate = None
        assert in_children(read_on, 2) == [0, 0]
        assert in_children(write, 2) == [0, 0]
        assert source.read() == bytes(3_000_000 - 350_000)
        sink.write(b"end")
    assert slow_client.stat(f"{base}/written").size == (9 << 20) + 3
