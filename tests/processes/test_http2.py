"""One connection that carries all: in forked children, when Ctrl-C comes, and when a program ends."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from headrace import Client
from headrace.testing.servers import Server
from tests.processes.reading import expected, read_all
from tests.processes.scripts import run_script
from tests.processes.throttle import WATCHDOG


@pytest.fixture
def options(nginx: Server, options: dict[str, Any]) -> dict[str, Any]:
    return {**options, "endpoint_url": nginx.tls_endpoint, "ca_bundle": nginx.ca_bundle, "http2": True}


@pytest.fixture
def reading(client: Client, uris: list[str]) -> Iterator[Client]:
    """A client with which another thread reads, all the time."""
    stop, sizes = threading.Event(), []

    def read() -> None:
        while not stop.is_set():
            sizes.append(client.get(uris[-1]).nbytes)

    thread = threading.Thread(target=read)
    thread.start()
    yield client
    stop.set()
    thread.join(WATCHDOG)
    assert not thread.is_alive()
    assert set(sizes) == {3_000_000}


def test_forked_children_have_connections_of_their_own(reading: Client, uris: list[str]) -> None:
    children = []
    for _ in range(3):
        child = os.fork()
        if child == 0:
            os._exit(0 if read_all(reading, uris) == expected(uris) else 1)
        children.append(child)
    assert read_all(reading, uris) == expected(uris)
    assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0, 0, 0]
    assert read_all(reading, uris) == expected(uris)


def test_an_interrupted_read_leaves_the_connection_to_others(options: dict[str, Any], uris: list[str]) -> None:
    """And the program ends without a word, though nobody closed the client."""
    script = """
    import os, signal, sys, threading, time
    import headrace
    client = headrace.Client(endpoint_url=sys.argv[1], ca_bundle=sys.argv[2], http2=True)
    into = bytearray(3_000_000)
    client.get(sys.argv[3], into=into)
    interrupted = 0
    for pause in (0.0, 0.001, 0.002, 0.005, 0.01) * 4:
        timer = threading.Timer(pause, os.kill, (os.getpid(), signal.SIGINT))
        try:
            timer.start()
            while timer.is_alive():
                client.get(sys.argv[3], into=into)
            time.sleep(10)
        except KeyboardInterrupt:
            interrupted += 1
        timer.join()
        into.extend(b"x"), into.pop()
    assert interrupted == 20
    assert client.get(sys.argv[3]).nbytes == 3_000_000
    assert len(client._session.loop_thread.start()._connections) == 1
    """
    done = run_script(script, options["endpoint_url"], options["ca_bundle"], uris[-1])
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_asyncio_ends_without_closing_the_client(options: dict[str, Any], uris: list[str]) -> None:
    script = """
    import asyncio, sys
    from headrace import aio
    client = aio.Client(endpoint_url=sys.argv[1], ca_bundle=sys.argv[2], http2=True)
    async def main():
        await asyncio.gather(*[client.get(uri) for uri in sys.argv[3:]])
        task = asyncio.create_task(client.get(sys.argv[-1]))
        await asyncio.sleep(0.001)
    for _ in range(2):
        asyncio.run(main())
    """
    # Without asyncio's debug mode, which reports what takes a while.
    done = run_script(script, options["endpoint_url"], options["ca_bundle"], *uris, flags=("-W", "error"))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
