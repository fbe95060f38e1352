"""What only the blocking transport must do: serve threads, and survive a fork."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import pytest

from headrace.errors import ConnectionFailed
from headrace.http import blocking as transports
from headrace.http.blocking import Lane
from headrace.http.effects import Send
from headrace.http.messages import Request

LARGE = 32 << 20


def get(transport: Any, origin: Any, target: str) -> str:
    return bytes(transport.exchange(Send(Request("GET", origin, target, {}))).body).decode()


def until(condition: Callable[[], object]) -> None:
    """Wait for something that another thread does."""
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_threads_share_the_connections(blocking: Any, serve: Any) -> None:
    def script(peer: Any) -> None:
        while True:
            target = peer.request().target
            peer.pause(0.001)
            peer.reply(target.encode())

    blocking.configure(max_connections=3)
    server = serve(script)
    targets = [f"/{number}" for number in range(200)]
    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(lambda target: get(blocking.transport, server.origin, target), targets)) == targets
    assert server.most_at_once == len(server.peers) == 3


def test_a_free_connection_goes_to_a_thread_that_waits_for_that_server(blocking: Any, serve: Any) -> None:
    def waiting_for(event: threading.Event) -> Callable[[Any], None]:
        def script(peer: Any) -> None:
            while True:
                target = peer.request().target
                event.wait(10)
                peer.reply(target.encode())

        return script

    blocking.configure(max_connections=1)
    events = [threading.Event(), threading.Event()]
    servers = [serve(waiting_for(event)) for event in events]
    transport = blocking.transport
    with ThreadPoolExecutor(8) as threads:
        asked: list[list[Future[str]]] = [[], []]
        for place in (0, 1, 0, 1, 0, 1):
            asked[place].append(threads.submit(get, transport, servers[place].origin, "/"))
            time.sleep(0.02)
        events[1].set()
        assert [future.result(10) for future in asked[1]] == ["/"] * 3
        assert not any(future.done() for future in asked[0])
        events[0].set()
        assert [future.result(10) for future in asked[0]] == ["/"] * 3


def test_many_open_files_are_no_obstacle(blocking: Any, serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """select() would fail on descriptors from 1024 on."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 2048:
        pytest.skip("this machine allows too few open files")
    monkeypatch.setattr(transports, "_CONTINUE_SECONDS", 0.05)
    server = serve(lambda peer: [peer.reply(peer.request().target.encode()) for _ in range(3)])
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 2048), hard))
    try:
        with ExitStack() as opened:
            for _ in range(1100):
                opened.callback(os.close, os.open(os.devnull, os.O_RDONLY))
            assert [get(blocking.transport, server.origin, target) for target in ("/1", "/2")] == ["/1", "/2"]
            body = [memoryview(b"x")]
            assert bytes(blocking.exchange(server.origin, "/3", "PUT", body=body, expect_continue=True).body) == b"/3"
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert len(server.peers) == 1


def test_an_early_refusal_over_tls_is_the_reply_though_the_connection_breaks(blocking: Any, serve: Any, tls: Any, authority: Any) -> None:
    """With asyncio nobody can promise this: it forgets what it received when a write fails."""

    def script(peer: Any) -> None:
        peer.head()
        peer.reply(b"<Error/>", status="403 Forbidden")

    blocking.configure(ca_bundle=authority.ca_bundle)
    server = serve(script, tls=tls())
    for _ in range(5):
        assert blocking.exchange(server.origin, method="PUT", body=[memoryview(bytes(LARGE))]).status == 403


def test_an_interrupted_connection_of_tls_gives_no_ciphertext(blocking: Any, serve: Any, tls: Any, authority: Any) -> None:
    """What had arrived when the connection was interrupted may be read, but only through TLS."""
    content = b"plaintext!" * 100_000

    def script(peer: Any) -> None:
        peer.request()
        peer.reply(content)
        peer.stall()

    blocking.configure(ca_bundle=authority.ca_bundle)
    server = serve(script, tls=tls())
    memories = []

    def place(reply: Any) -> memoryview:
        lane.stop()
        memories.append(memoryview(bytearray(reply.length)))
        return memories[-1]

    for _ in range(20):
        lane = Lane()
        with pytest.raises(ConnectionFailed):
            blocking.transport.exchange(Send(Request("GET", server.origin, "/", {}), place), lane)
        assert content.startswith(bytes(memories[-1]).rstrip(b"\0"))


FORKING = """
import os, sys, threading
from headrace.http.blocking import BlockingTransport, Settings
from headrace.http.crew import Crew, run_blocking
from headrace.http.effects import Parallel, Send
from headrace.http.messages import Origin, Request

fast, slow = (Origin(*argument.split(",")[:2], int(argument.split(",")[2])) for argument in sys.argv[1:3])
transport, crew = BlockingTransport(Settings(ca_bundle=sys.argv[3] or None, max_connections=4)), Crew(4)

def get(origin, target):
    reply = yield Send(Request("GET", origin, target, {}))
    return bytes(reply.body).decode()

def work(who):
    targets = [f"/{who}/{number}" for number in range(50)]
    assert run_blocking(get(fast, targets[0]), transport, crew) == targets[0]
    def parallel():
        return (yield Parallel([get(fast, target) for target in targets], 3))
    assert run_blocking(parallel(), transport, crew) == targets

work("before")
# Another thread is in the middle of an exchange, and others wait for a connection, when the process forks.
threads = [threading.Thread(target=run_blocking, args=(get(slow, "/slow"), transport, crew), daemon=True) for _ in range(6)]
for thread in threads:
    thread.start()
sys.stdin.readline()
child = os.fork()
if child == 0:
    work("child")
    transport.close()
    crew.close()
    sys.stdout.flush()
    os._exit(0)
work("parent")
assert os.waitpid(child, 0)[1] == 0
work("after")
print("go on", flush=True)
for thread in threads:
    thread.join()
transport.close()
"""


@pytest.mark.parametrize("secure", ["plain", "tls"])
def test_a_forked_child_and_its_parent_both_go_on(serve: Any, tls: Any, authority: Any, secure: str) -> None:
    going_on = threading.Event()

    def slow(peer: Any) -> None:
        while True:
            peer.request()
            going_on.wait(20)
            peer.reply(b"late")

    trusted = {"tls": tls()} if secure == "tls" else {}
    servers = [serve(**trusted), serve(slow, **trusted)]
    arguments = [",".join(str(part) for part in server.origin) for server in servers]
    # Since 3.12 Python warns of every fork beside threads, which is what this is about.
    options = ["-X", "dev", "-W", "ignore::DeprecationWarning"]
    command = [sys.executable, *options, "-c", FORKING, *arguments, authority.ca_bundle if secure == "tls" else ""]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment())
    with process:
        until(lambda: len(servers[1].received) == 4 or process.poll() is not None)
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdin.write("fork\n")
        process.stdin.flush()
        said = process.stdout.readline()
        going_on.set()
        assert (said, process.stderr.read(), process.wait(20)) == ("go on\n", "", 0)
    targets = [received.target for received in servers[0].received]
    assert sorted(targets) == sorted(f"/{who}/{number}" for who in ("before", "child", "parent", "after") for number in [0, *range(50)])


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
