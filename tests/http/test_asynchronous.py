"""What only the asyncio transport must do: cancellation anywhere, and loops that end without being asked."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Callable
from typing import Any

import pytest

from headrace.errors import ConnectionFailed
from headrace.http.asynchronous import AsyncTransport, run_async
from headrace.http.blocking import Settings
from headrace.http.effects import Call, Operation, Send
from headrace.http.messages import FileRange, Request

LARGE = 32 << 20


async def until(condition: Callable[[], object]) -> None:
    """Wait for something that a server's thread does."""
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.001)


def get(origin: Any, target: str = "/", **options: Any) -> Send:
    return Send(Request("GET", origin, target, {}, **options))


def put(origin: Any, length: int, **options: Any) -> Send:
    return Send(Request("PUT", origin, "/", {}, [memoryview(bytes(length))], **options))


async def body_of(transport: AsyncTransport, send: Send) -> str:
    return bytes((await transport.exchange(send)).body).decode()


def test_many_tasks_share_the_connections(on_loop: Any, serve: Any) -> None:
    async def main() -> None:
        transport = await on_loop.transport_here()
        targets = [f"/{number}" for number in range(50)]
        assert await asyncio.gather(*[body_of(transport, get(server.origin, target)) for target in targets]) == targets

    on_loop.configure(max_connections=4)
    server = serve()
    on_loop.runner.run(main())
    assert server.most_at_once == len(server.peers) == 4


def test_tasks_that_stop_waiting_for_a_connection_do_not_keep_others_waiting(on_loop: Any, serve: Any) -> None:
    def script(peer: Any) -> None:
        while True:
            target = peer.request().target
            peer.pause(0.002)
            peer.reply(target.encode())

    async def main() -> None:
        transport = await on_loop.transport_here()
        tasks = [asyncio.ensure_future(body_of(transport, get(server.origin, f"/{number}"))) for number in range(60)]
        for number, task in enumerate(tasks):
            if number % 3:
                await asyncio.sleep(0.001 if number % 2 else 0)
                task.cancel()
        async with asyncio.timeout(10):
            results = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(result == f"/{number}" for number, result in enumerate(results) if number % 3 == 0)

    on_loop.configure(max_connections=2)
    server = serve(script)
    on_loop.runner.run(main())
    assert server.most_at_once <= 3, "a cancelled one may still be open at the server"


# Cancellation.


def stalling_before_the_reply(peer: Any) -> None:
    peer.request()
    peer.rest()


def stalling_in_the_head(peer: Any) -> None:
    peer.request()
    peer.send(b"HTTP/1.1 200 OK\r\nx")
    peer.rest()


def stalling_in_the_body(peer: Any) -> None:
    peer.request()
    peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf")
    peer.rest()


def stalling_in_a_chunk(peer: Any) -> None:
    peer.request()
    peer.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n10\r\nhalf")
    peer.rest()


def stalling_before_the_request_body(peer: Any) -> None:
    peer.head()
    peer.stall()


@pytest.mark.parametrize("secure", ["plain", "tls"])
@pytest.mark.parametrize(
    ("script", "request_of"),
    [
        (stalling_before_the_reply, get),
        (stalling_in_the_head, get),
        (stalling_in_the_body, get),
        (stalling_in_a_chunk, get),
        (stalling_before_the_request_body, lambda origin: put(origin, LARGE)),
        (stalling_before_the_request_body, lambda origin: put(origin, 100, expect_continue=True)),
    ],
    ids=["reply", "head", "body", "chunk", "request body", "continue"],
)
def test_an_exchange_can_be_cancelled_while_it_waits(
    on_loop: Any, serve: Any, tls: Any, authority: Any, script: Any, request_of: Any, secure: str
) -> None:
    async def main() -> None:
        transport = await on_loop.transport_here()
        task = asyncio.ensure_future(transport.exchange(request_of(server.origin)))
        await until(lambda: server.received)
        await asyncio.sleep(0.02)
        assert not task.done()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert transport._pool.in_use == 0
        assert await body_of(transport, get(other.origin, "/next")) == "/next"
        if script is not stalling_before_the_request_body:
            await until(server.peers[0].closed.is_set)

    on_loop.configure(ca_bundle=authority.ca_bundle)
    options = {"tls": tls()} if secure == "tls" else {}
    server, other = serve(script, **options), serve(**options)
    on_loop.runner.run(main())


@pytest.mark.parametrize("secure", ["plain", "tls"])
@pytest.mark.parametrize("kind", ["get", "put", "file", "continue"])
def test_an_exchange_can_be_cancelled_after_any_number_of_steps(
    on_loop: Any, serve: Any, tls: Any, authority: Any, kind: str, secure: str
) -> None:
    def script(peer: Any) -> None:
        while True:
            received = peer.head()
            if "expect" in received.headers:
                peer.send(b"HTTP/1.1 100 Continue\r\n\r\n")
            peer.body(int(received.headers.get("content-length", 0)))
            peer.reply(received.target.encode())

    def send(descriptor: int) -> Send:
        if kind == "file":
            return Send(Request("PUT", server.origin, "/x", {}, [FileRange(descriptor, 0, 1000)]))
        return get(server.origin, "/x") if kind == "get" else put(server.origin, 3 << 20, expect_continue=kind == "continue")

    async def main() -> None:
        transport = await on_loop.transport_here()
        with open(__file__, "rb") as file:
            for steps in range(30):
                task = asyncio.ensure_future(transport.exchange(send(file.fileno())))
                for step in range(steps):
                    # Steps of the loop alone would be over before the server has done anything.
                    await asyncio.sleep(0.0002 if step > 6 else 0)
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
                assert transport._pool.in_use == 0
                assert await body_of(transport, get(server.origin, f"/{steps}")) == f"/{steps}"

    on_loop.configure(ca_bundle=authority.ca_bundle, max_connections=1)
    server = serve(script, **({"tls": tls()} if secure == "tls" else {}))
    on_loop.runner.run(main())


def test_a_cancelled_call_is_waited_for(on_loop: Any) -> None:
    """It may be writing into memory that its caller is about to use otherwise."""
    begun, may_end = threading.Event(), threading.Event()
    memory = bytearray(1)

    def write() -> None:
        begun.set()
        may_end.wait(10)
        memory[0] = 1

    def operation() -> Operation[None]:
        yield Call(write)

    async def main() -> None:
        task = asyncio.ensure_future(run_async(operation(), await on_loop.transport_here()))
        await until(begun.is_set)
        task.cancel()
        await asyncio.sleep(0.02)
        assert not task.done()
        may_end.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert memory[0] == 1

    on_loop.runner.run(main())


def test_a_call_that_is_cancelled_before_it_began_is_not_made(on_loop: Any) -> None:
    made = []

    def operation() -> Operation[None]:
        yield Call(lambda: made.append(1))

    async def main() -> None:
        loop, release = asyncio.get_running_loop(), threading.Event()
        fillers = [loop.run_in_executor(None, release.wait, 10) for _ in range(64)]
        task = asyncio.ensure_future(run_async(operation(), await on_loop.transport_here()))
        await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.sleep(0.01)
        release.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.gather(*fillers)

    on_loop.runner.run(main())
    assert made == []


# The end of a loop.


@pytest.mark.parametrize("secure", ["plain", "tls"])
def test_a_loop_may_end_without_close(serve: Any, tls: Any, authority: Any, secure: str) -> None:
    """A socket that is left open would warn, and warnings are errors here."""

    async def main(before: int) -> None:
        transport = AsyncTransport(Settings(ca_bundle=authority.ca_bundle))
        tasks = [body_of(transport, get(server.origin, f"/{number}")) for number in range(5)]
        assert await asyncio.gather(*tasks) == [f"/{number}" for number in range(5)]
        # One more is in the middle of an exchange.
        asyncio.ensure_future(transport.exchange(get(stalling.origin)))  # noqa: RUF006 - the end of the loop cancels it
        await until(lambda: len(stalling.received) > before)

    options = {"tls": tls()} if secure == "tls" else {}
    server, stalling = serve(**options), serve(stalling_before_the_reply, **options)
    for before in range(2):
        asyncio.run(main(before))
    gc.collect()
    for peer in [*server.peers, *stalling.peers]:
        assert peer.closed.wait(10)
    assert len(server.peers) >= 2


def test_closing_ends_exchanges_in_progress_and_does_not_repeat_them(on_loop: Any, serve: Any) -> None:
    def script(peer: Any) -> None:
        peer.reply(peer.request().target.encode())
        peer.request()
        peer.rest()

    async def main() -> None:
        transport = await on_loop.transport_here()
        assert await body_of(transport, get(server.origin, "/first")) == "/first"
        task = asyncio.ensure_future(transport.exchange(get(server.origin, "/second")))
        await until(lambda: len(server.received) == 2)
        transport.close()
        with pytest.raises(ConnectionFailed, match="it was closed"):
            await task
        assert await body_of(transport, get(server.origin, "/third")) == "/third"

    server = serve(script)
    on_loop.runner.run(main())
    assert [received.target for received in server.received] == ["/first", "/second", "/third"]
