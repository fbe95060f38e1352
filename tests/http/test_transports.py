"""What both drivers must do, against servers that follow a script."""

from __future__ import annotations

import contextlib
import gc
import os
import ssl
import threading
import weakref
from typing import Any

import pytest

from headrace.errors import ConnectionFailed, InvalidOption, ProtocolError, Stalled
from headrace.http.codec import Reply
from headrace.http.effects import Parallel, Send
from headrace.http.messages import Request

LARGE = 32 << 20
STALL = 0.1

FIXED = b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
UNTIL_CLOSE = b"HTTP/1.1 200 OK\r\n\r\n"


def fresh_memory(reply: Reply) -> memoryview:
    return memoryview(bytearray(reply.length))


# Connections that are kept.


def test_a_connection_serves_one_request_after_another(driver: Any, serve_either: Any) -> None:
    server = serve_either()
    assert [bytes(driver.exchange(server.origin, f"/{number}").body) for number in range(5)] == [b"/0", b"/1", b"/2", b"/3", b"/4"]
    assert len(server.peers) == 1


@pytest.mark.parametrize("ending", ["connection: close\r\n", "connection: keep-alive, close\r\n"])
def test_a_connection_that_is_to_be_closed_is_not_kept(driver: Any, serve: Any, ending: str) -> None:
    def script(peer: Any) -> None:
        peer.request()
        peer.reply(b"x", headers=ending)
        assert peer.rest() == b""

    server = serve(script)
    assert [bytes(driver.exchange(server.origin).body) for _ in range(3)] == [b"x"] * 3
    assert len(server.peers) == 3


def test_a_connection_that_was_closed_while_idle_is_not_used(driver: Any, serve_either: Any) -> None:
    def script(peer: Any) -> None:
        peer.reply(peer.request().body)

    server = serve_either(script)
    for number in range(3):
        body = memoryview(b"%d" % number)
        assert driver.exchange(server.origin, method="POST", body=[body]).body == body
        assert server.peers[number].closed.wait(10)
    assert len(server.received) == 3


def replying_once(peer: Any) -> None:
    """A server that takes a second request on the first connection, and closes without a word."""
    peer.reply(peer.request().target.encode())
    peer.request()
    if peer.number > 0:
        peer.reply(b"again")


def test_a_repeatable_request_is_sent_again_if_a_kept_connection_ends(driver: Any, serve_either: Any) -> None:
    server = serve_either(replying_once)
    driver.exchange(server.origin, "/first")
    assert bytes(driver.exchange(server.origin, "/second").body) == b"/second"
    assert [received.target for received in server.received] == ["/first", "/second", "/second"]


def test_it_is_sent_again_with_its_body(driver: Any, serve: Any) -> None:
    server = serve(replying_once)
    driver.exchange(server.origin)
    driver.exchange(server.origin, method="PUT", body=[memoryview(b"con"), memoryview(b"tent")])
    assert [received.body for received in server.received] == [b"", b"content", b"content"]


@pytest.mark.parametrize(("method", "repeatable"), [("POST", None), ("PUT", False)])
def test_other_requests_are_not_sent_again(driver: Any, serve: Any, method: str, repeatable: Any) -> None:
    server = serve(replying_once)
    driver.exchange(server.origin)
    with pytest.raises(ConnectionFailed, match="before it sent a reply"):
        driver.exchange(server.origin, method=method, repeatable=repeatable)
    assert len(server.received) == 2


def test_it_is_sent_again_only_once(driver: Any, serve: Any) -> None:
    def script(peer: Any) -> None:
        if peer.number == 0:
            peer.reply(b"", headers=f"x: {peer.request().target}\r\n")
        peer.request()

    server = serve(script)
    driver.exchange(server.origin)
    with pytest.raises(ConnectionFailed):
        driver.exchange(server.origin)
    assert len(server.peers) == 2


def test_a_reply_that_had_begun_is_not_asked_for_again(driver: Any, serve: Any) -> None:
    def script(peer: Any) -> None:
        peer.reply(peer.request().target.encode())
        peer.request()
        peer.send(FIXED + b"half")

    server = serve(script)
    driver.exchange(server.origin)
    with pytest.raises(ConnectionFailed, match="at byte 4 of 10"):
        driver.exchange(server.origin, place=fresh_memory)
    assert len(server.received) == 2


FORGED = b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nforged"


@pytest.mark.parametrize("length", [0, 10, 200_000])
@pytest.mark.parametrize("pause", [0.0, 0.05], ids=["at once", "later"])
def test_surplus_bytes_are_never_the_next_reply(driver: Any, serve_either: Any, length: int, pause: float) -> None:
    def script(peer: Any) -> None:
        target = peer.request().target.encode()
        peer.reply(bytes(length) if target == b"/first" else target)
        if target == b"/first":
            peer.pause(pause)
            peer.send(FORGED)
            sent.set()
            peer.rest()

    sent = threading.Event()
    server = serve_either(script)
    driver.exchange(server.origin, "/first", place=fresh_memory)
    assert sent.wait(10)
    assert bytes(driver.exchange(server.origin, "/second").body) == b"/second"


@pytest.mark.parametrize(
    ("method", "head"), [("HEAD", "200 OK\r\ncontent-length: 5"), ("GET", "304 Same\r\ncontent-length: 5"), ("GET", "204 No")]
)
def test_a_body_where_none_belongs_is_not_the_next_reply(driver: Any, serve: Any, method: str, head: str) -> None:
    def script(peer: Any) -> None:
        if peer.request().target == "/odd":
            peer.send(f"HTTP/1.1 {head}\r\n\r\n".encode() + FORGED)
            peer.rest()
        else:
            peer.reply(b"right")

    server = serve(script)
    driver.exchange(server.origin, "/odd", method=method)
    assert bytes(driver.exchange(server.origin).body) == b"right"


def test_idle_connections_are_closed_with_the_transport_and_it_can_be_used_again(driver: Any, serve: Any) -> None:
    server = serve()
    driver.exchange(server.origin)
    driver.transport.close() if hasattr(driver, "transport") else driver.runner.run(close_on_loop(driver))
    assert server.peers[0].closed.wait(10)
    for _ in range(2):
        assert bytes(driver.exchange(server.origin, "/again").body) == b"/again"
    assert len(server.peers) == 2


async def close_on_loop(driver: Any) -> None:
    (await driver.transport_here()).close()


# How many connections.


def test_no_more_connections_than_allowed_to_one_server(driver: Any, serve: Any) -> None:
    def script(peer: Any) -> None:
        while True:
            target = peer.request().target
            peer.pause(0.005)
            peer.reply(target.encode())

    driver.configure(max_connections=2)
    server, other = serve(script), serve(script)
    sends = [Send(Request("GET", origin, f"/{number}", {})) for number in range(20) for origin in (server.origin, other.origin)]
    replies = driver.at_once(sends, limit=8)
    assert [bytes(reply.body).decode() for reply in replies] == [send.request.target for send in sends]
    assert server.most_at_once == other.most_at_once == 2


def test_a_connection_that_fails_makes_room_for_another(driver: Any, serve: Any) -> None:
    driver.configure(max_connections=1)
    server = serve(lambda peer: peer.request() and peer.send(b"garbage\r\n\r\n"))
    for _ in range(3):
        with pytest.raises(ProtocolError):
            driver.exchange(server.origin)
    assert len(server.peers) == 3


# Progress, and the lack of it.


@pytest.mark.parametrize(
    ("begun", "received"),
    [(b"", 0), (b"HTTP/1.1 200 OK\r\nx:", 0), (FIXED, 0), (FIXED + b"half", 4), (CHUNKED + b"a\r\nhalf", 4), (UNTIL_CLOSE + b"half", 4)],
    ids=["nothing", "half a head", "head", "half a body", "half a chunk", "until close"],
)
def test_a_reply_that_stalls_is_given_up(driver: Any, serve_either: Any, begun: bytes, received: int) -> None:
    def script(peer: Any) -> None:
        peer.request()
        peer.send(begun)
        assert peer.rest() == b""

    server = serve_either(script, stall_timeout=STALL)
    send = Send(Request("GET", server.origin, "/", {}), fresh_memory)
    with pytest.raises(Stalled, match=r"no byte moved for 0\.1 s"):
        driver.send(send)
    assert send.reply is not None
    assert send.reply.received == received
    assert server.peers[0].closed.wait(10)


def test_a_slow_reply_is_not_given_up(driver: Any, serve_either: Any) -> None:
    def script(peer: Any) -> None:
        peer.request()
        peer.send(b"HTTP/1.1 200 OK\r\n", b"content-length: 20\r\n\r\n", *[b"0123456789"] * 2, pause=0.2)

    server = serve_either(script, stall_timeout=0.6)
    assert bytes(driver.exchange(server.origin, place=fresh_memory).body) == b"0123456789" * 2


# Bodies.


def test_a_large_body_is_received_in_the_memory_that_was_given(driver: Any, serve_either: Any) -> None:
    content = os.urandom(1 << 20) * 9

    def script(peer: Any) -> None:
        peer.request()
        peer.reply(content)

    memory = memoryview(bytearray(len(content)))
    reply = driver.exchange(serve_either(script).origin, place=lambda reply: memory)
    assert reply.body is memory
    assert memory == content


def test_chunked_replies(driver: Any, serve_either: Any) -> None:
    content = os.urandom(300_000)

    def script(peer: Any) -> None:
        while True:
            peer.request()
            peer.send(CHUNKED, *[b"%x\r\n%b\r\n" % (len(part), part) for part in (content[:5], content[5:])], b"0\r\nx: y\r\n\r\n")

    server = serve_either(script)
    for place in (None, fresh_memory):
        assert driver.exchange(server.origin, place=place).body == content
    assert len(server.peers) == 1


def close_politely(peer: Any) -> None:
    """End TLS as its specification says."""
    if isinstance(peer.socket, ssl.SSLSocket):
        peer.socket = peer.socket.unwrap()


def test_a_body_until_the_close(driver: Any, serve_either: Any) -> None:
    content = os.urandom(300_000)

    def script(peer: Any) -> None:
        peer.request()
        peer.send(UNTIL_CLOSE + content)
        close_politely(peer)

    server = serve_either(script)
    for place in (None, fresh_memory):
        assert driver.exchange(server.origin, place=place).body == content


def test_a_body_until_the_close_may_not_be_cut(driver: Any, serve_either: Any, secure: str) -> None:
    """Plain, only a reset tells; with TLS, an end without notice does."""

    def script(peer: Any) -> None:
        peer.request()
        peer.send(UNTIL_CLOSE + b"incompl")
        peer.pause(0.05)
        peer.socket.close() if secure == "tls" else peer.reset()

    server = serve_either(script)
    with pytest.raises(ConnectionFailed, match="after 7 bytes of the body"):
        driver.exchange(server.origin)


def test_replies_without_bodies(driver: Any, serve_either: Any) -> None:
    def script(peer: Any) -> None:
        while True:
            received = peer.request()
            heads = {
                "HEAD": "200 OK\r\ncontent-length: 12345",
                "DELETE": "204 No Content",
                "GET": "304 Not Modified\r\ncontent-length: 12345",
            }
            peer.send(f"HTTP/1.1 {heads[received.method]}\r\n\r\n".encode())

    server = serve_either(script)
    for method, status in [("HEAD", 200), ("DELETE", 204), ("GET", 304), ("HEAD", 200)]:
        reply = driver.exchange(server.origin, method=method, place=fresh_memory)
        assert (reply.status, len(reply.body)) == (status, 0)
    assert len(server.peers) == 1


# Errors leave everything in order.


@pytest.mark.parametrize("garbage", [b"SSH-2.0-OpenSSH\r\n\r\n", b"HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n", b"\0" * 70_000])
def test_garbage_is_an_error_and_the_connection_ends(driver: Any, serve_either: Any, garbage: bytes) -> None:
    def script(peer: Any) -> None:
        peer.request()
        peer.send(garbage)
        peer.rest()

    server = serve_either(script)
    for number in range(2):
        with pytest.raises(ProtocolError):
            driver.exchange(server.origin)
        assert server.peers[number].closed.wait(10)


@pytest.mark.parametrize("kind", [MemoryError, ValueError, OSError, TimeoutError, BlockingIOError, KeyboardInterrupt])
def test_a_placement_that_fails_is_not_taken_for_the_network(driver: Any, serve: Any, kind: type[BaseException]) -> None:
    failure = kind("the placement's own")

    def place(reply: Reply) -> memoryview:
        raise failure

    server = serve()
    driver.exchange(server.origin)
    with pytest.raises(kind) as caught:
        driver.exchange(server.origin, "/body", place=place)
    assert caught.value is failure
    assert server.peers[0].closed.wait(10)
    assert bytes(driver.exchange(server.origin, "/next").body) == b"/next"
    assert len(server.received) == 3


def test_a_request_that_cannot_be_sent_is_refused(driver: Any, serve: Any) -> None:
    server = serve()
    driver.exchange(server.origin)
    with pytest.raises(InvalidOption):
        driver.exchange(server.origin, headers={"x": "a\r\nhost: elsewhere"})
    assert bytes(driver.exchange(server.origin, "/next").body) == b"/next"
    assert len(server.received) == 2


class Memory(bytearray):
    """A bytearray that can be watched."""


def surviving(effect: Any) -> Any:
    with contextlib.suppress(ConnectionFailed):
        yield effect


def test_a_failure_does_not_keep_the_body_alive(driver: Any, serve: Any) -> None:
    """A reference cycle through the traceback would, until the garbage collector comes."""
    memories: list[weakref.ref[Memory]] = []

    def place(reply: Reply) -> memoryview:
        memory = Memory(reply.length)
        memories.append(weakref.ref(memory))
        return memoryview(memory)

    def get() -> Any:
        return (yield Send(Request("GET", server.origin, "/", {}), place))

    server = serve(lambda peer: peer.request() and peer.send(FIXED + b"half"))
    gc.disable()
    try:
        driver.run(surviving(Send(Request("GET", server.origin, "/", {}), place)))
        driver.run(surviving(Parallel([get() for _ in range(4)], 2)))
        # The last frames of the loop and of the helpers are left by doing something else.
        assert bytes(driver.exchange(serve().origin, "/else").body) == b"/else"
        assert [memory() for memory in memories] == [None] * len(memories)
    finally:
        gc.enable()
    assert len(memories) >= 2
