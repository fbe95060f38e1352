"""The event loop in a thread of its own."""

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import CancelledError
from typing import Any

import pytest

from headrace.http.blocking import Settings
from headrace.http.effects import Operation, Send
from headrace.http.loop_thread import LoopThread
from headrace.http.messages import Origin, Request


def get(origin: Origin, target: str = "/") -> Operation[str]:
    reply = yield Send(Request("GET", origin, target, {}))
    return bytes(reply.body).decode()


@pytest.fixture
def thread() -> Iterator[LoopThread]:
    thread = LoopThread(Settings(stall_timeout=20))
    yield thread
    thread.close(wait=10)
    gc.collect()


def test_operations_run_in_it(thread: LoopThread, serve: Any) -> None:
    server = serve()
    futures = [thread.submit(get(server.origin, f"/{number}")) for number in range(20)]
    assert [future.result(10) for future in futures] == [f"/{number}" for number in range(20)]


def test_it_starts_when_it_is_used_and_again_after_it_was_closed(thread: LoopThread, serve: Any) -> None:
    server = serve()
    before = {running for running in threading.enumerate() if running.name == "headrace-loop"}
    for _ in range(2):
        assert {running for running in threading.enumerate() if running.name == "headrace-loop"} <= before
        assert thread.submit(get(server.origin, "/x")).result(10) == "/x"
        assert thread.start() is thread.start()
        thread.close(wait=10)
    assert len(server.peers) == 2
    thread.call_soon(print, "nobody is there to do this")


def test_an_operation_can_be_cancelled(thread: LoopThread, serve: Any) -> None:
    server = serve(lambda peer: (peer.request(), arrived.set(), peer.rest()))
    arrived = threading.Event()
    future = thread.submit(get(server.origin))
    assert arrived.wait(10)
    future.cancel()
    with pytest.raises(CancelledError):
        future.result(10)
    assert server.peers[0].closed.wait(10)


def test_a_loop_that_cannot_start_says_why(thread: LoopThread, serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def refusing(*arguments: Any, **options: Any) -> None:
        raise OSError(24, "Too many open files")

    server = serve()
    with monkeypatch.context() as patched:
        patched.setattr(asyncio.events, "new_event_loop", refusing)
        with pytest.raises(OSError, match="Too many open files"):
            thread.start()
    assert thread.submit(get(server.origin, "/now")).result(10) == "/now"


FORKING = """
import os, sys
from headrace.http.blocking import Settings
from headrace.http.effects import Send
from headrace.http.loop_thread import LoopThread
from headrace.http.messages import Origin, Request

origin = Origin("http", "127.0.0.1", int(sys.argv[1]))

def get(target):
    reply = yield Send(Request("GET", origin, target, {}))
    return bytes(reply.body).decode()

def work(who):
    futures = [thread.submit(get(f"/{who}/{number}")) for number in range(20)]
    assert [future.result(10) for future in futures] == [f"/{who}/{number}" for number in range(20)]

thread = LoopThread(Settings(max_connections=2))
work("before")
child = os.fork()
work("child" if child == 0 else "parent")
thread.close(wait=10)
if child == 0:
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
print("done")
"""


def test_a_forked_child_and_its_parent_both_go_on(serve: Any) -> None:
    server = serve()
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-X", "dev", "-W", "ignore::DeprecationWarning", "-c", FORKING, str(server.port)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=20, check=False)
    assert (done.stdout, done.stderr, done.returncode) == ("done\n", "", 0)
    assert len(server.received) == 60
