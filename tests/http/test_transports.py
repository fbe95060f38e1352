"""What both drivers must do, against servers that follow a script."""

from __future__ import annotations

import contextlib
import gc
import os
import re
import socket
import ssl
import threading
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from headrace.errors import ConnectionFailed, InvalidOption, ObjectChanged, ProtocolError, Stalled
from headrace.http import asynchronous, blocking
from headrace.http.codec import Reply
from headrace.http.effects import Parallel, Send
from headrace.http.messages import FileRange, Origin, Request

LARGE = 32 << 20
STALL = 0.3

FIXED = b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
UNTIL_CLOSE = b"HTTP/1.1 200 OK\r\n\r\n"


def fresh_memory(reply: Reply) -> memoryview:
    return memoryview(bytearray(reply.length))


@pytest.fixture(params=["plain", "tls"])
def secure(request: pytest.FixtureRequest) -> bool:
    return bool(request.param == "tls")


@pytest.fixture
def serve_either(serve: Any, tls: Any, driver: Any, authority: Any, secure: bool) -> Callable[..., Any]:
    """As ``serve``, once plain and once with TLS that the driver trusts."""

    def start(script: Any = None, *, receive_buffer: int = 0, **settings: Any) -> Any:
        driver.configure(ca_bundle=authority.ca_bundle, **settings)
        options = {"tls": tls()} if secure else {}
        return serve(script, receive_buffer=receive_buffer, **options) if script else serve(**options)

    return start


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
def test_other_requests_are_not_sent_again(driver: Any, serve: Any, method: str, repeatable: bool | None) -> None:
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


@pytest.mark.parametrize(("method", "head"), [("HEAD", "200 OK\r\ncontent-length: 5"), ("GET", "304 Same\r\ncontent-length: 5"), ("GET", "204 No")])
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
    with pytest.raises(Stalled, match=r"no byte moved for 0\.3 s"):
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


@pytest.mark.parametrize("length", [200_000, LARGE], ids=["joined", "large"])
def test_a_request_that_stalls_is_given_up(driver: Any, serve_either: Any, length: int) -> None:
    def script(peer: Any) -> None:
        peer.head()
        peer.stall()

    server = serve_either(script, stall_timeout=STALL, receive_buffer=4096)
    with pytest.raises(Stalled):
        driver.exchange(server.origin, method="PUT", body=[memoryview(bytes(length))])


@pytest.mark.parametrize("length", [240_000, 600_000], ids=["joined", "large"])
def test_a_request_that_the_kernel_still_sends_is_not_given_up(driver: Any, serve: Any, length: int) -> None:
    """All of it fits into the kernel's memory, from where it goes out more slowly than the time limit allows for the reply."""

    def script(peer: Any) -> None:
        left = int(peer.head().headers["content-length"])
        while left:
            left -= len(peer.body(min(left, length // 6)))
            peer.pause(0.15)
        peer.reply(b"done")

    driver.configure(stall_timeout=0.4)
    server = serve(script, receive_buffer=4096)
    assert bytes(driver.exchange(server.origin, method="PUT", body=[memoryview(bytes(length))]).body) == b"done"


# Connecting.


@pytest.fixture
def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@pytest.fixture
def unanswering() -> Iterator[Origin]:
    """A server whose queue of connections is full: the kernel drops further ones."""
    with socket.socket() as listener, contextlib.ExitStack() as fillers:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            filler = fillers.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        yield Origin("http", "127.0.0.1", listener.getsockname()[1])


def test_a_refused_connection_says_so(driver: Any, closed_port: int) -> None:
    with pytest.raises(ConnectionFailed, match=f"127.0.0.1:{closed_port} refused the connection") as caught:
        driver.exchange(Origin("http", "127.0.0.1", closed_port))
    assert caught.value.code == "refused"


def test_a_name_with_several_addresses_is_tried_at_each(driver: Any, serve: Any, closed_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    server = serve()
    addresses = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port)) for port in (closed_port, server.port)]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *arguments, **options: addresses)
    assert bytes(driver.exchange(Origin("http", "several.example", 80), "/x").body) == b"/x"
    monkeypatch.setattr(socket, "getaddrinfo", lambda *arguments, **options: addresses[:1] * 2)
    with pytest.raises(ConnectionFailed, match="refused"):
        driver.exchange(Origin("http", "refusing.example", 80))


@pytest.mark.parametrize("host", ["::1%nowhere", "a..b", "x" * 64])
def test_a_name_that_cannot_be_resolved_says_so(driver: Any, host: str) -> None:
    with pytest.raises(ConnectionFailed, match="cannot resolve") as caught:
        driver.exchange(Origin("http", host, 80))
    assert caught.value.code == "resolve"


def test_a_connection_that_does_not_come_up_is_given_up(driver: Any, unanswering: Origin) -> None:
    driver.configure(connect_timeout=STALL)
    with pytest.raises(Stalled, match=r"no connection to .* within 0\.3 s") as caught:
        driver.exchange(unanswering)
    assert caught.value.code == "connect"


def test_tls_that_does_not_come_up_is_given_up(driver: Any, serve: Any) -> None:
    driver.configure(connect_timeout=STALL)
    server = serve(lambda peer: peer.rest())
    with pytest.raises(Stalled, match="no connection"):
        driver.exchange(Origin("https", "localhost", server.port))
    assert server.peers[0].closed.wait(10)


def test_ipv6_addresses_work(driver: Any, serve: Any) -> None:
    try:
        server = serve(host="::1")
    except OSError:
        pytest.skip("this machine has no IPv6")
    assert bytes(driver.exchange(server.origin, "/six").body) == b"/six"
    assert server.received[0].headers["host"] == f"[::1]:{server.port}"


# Asking before sending a body.


@pytest.fixture
def short_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait less long for a server's permission than is sensible outside of tests."""
    for module in (blocking, asynchronous):
        monkeypatch.setattr(module, "_CONTINUE_SECONDS", 0.2)


def put(driver: Any, origin: Origin, length: int = 3 << 20, **options: Any) -> Reply:
    reply: Reply = driver.exchange(origin, method="PUT", body=[memoryview(bytes(length))], expect_continue=True, **options)
    return reply


def test_a_body_is_sent_when_the_server_agrees(driver: Any, serve_either: Any) -> None:
    def script(peer: Any) -> None:
        while True:
            received = peer.head()
            assert received.headers["expect"] == "100-continue"
            peer.pause(0.05)
            assert peer._ahead == b""
            peer.send(b"HTTP/1.1 100 Continue\r\n\r\n")
            peer.body(int(received.headers["content-length"]))
            peer.reply(b"taken")

    server = serve_either(script)
    assert [bytes(put(driver, server.origin).body) for _ in range(2)] == [b"taken"] * 2
    assert len(server.peers) == 1


@pytest.mark.parametrize("explanation", [b"", b"no"])
def test_a_body_is_kept_back_when_the_server_refuses(driver: Any, serve_either: Any, explanation: bytes) -> None:
    bodies = []

    def script(peer: Any) -> None:
        peer.head()
        peer.reply(explanation, status="403 Forbidden")
        bodies.append(peer.rest())

    server = serve_either(script)
    reply = put(driver, server.origin)
    assert (reply.status, bytes(reply.body)) == (403, explanation)
    assert server.peers[0].closed.wait(10)
    assert bodies == [b""]


@pytest.mark.usefixtures("short_wait")
def test_a_body_is_sent_to_a_server_that_never_answers_the_question(driver: Any, serve_either: Any) -> None:
    server = serve_either(lambda peer: peer.reply(b"%d" % len(peer.request().body)))
    assert bytes(put(driver, server.origin).body) == b"%d" % (3 << 20)


@pytest.mark.usefixtures("short_wait")
def test_a_refusal_that_comes_late_is_noticed(driver: Any, serve: Any) -> None:
    def script(peer: Any) -> None:
        peer.head()
        peer.pause(0.3)
        peer.reply(status="403 Forbidden")
        peer.stall()

    driver.configure(stall_timeout=1)
    assert put(driver, serve(script).origin, LARGE).status == 403


@pytest.mark.parametrize("act", ["close", "reset"])
def test_a_server_that_leaves_instead_of_agreeing_is_an_error(driver: Any, serve_either: Any, act: str) -> None:
    def script(peer: Any) -> None:
        peer.head()
        if act == "reset":
            peer.reset()

    server = serve_either(script)
    with pytest.raises(ConnectionFailed):
        put(driver, server.origin)


# Replies that come before the whole body was sent.


def refuse(peer: Any) -> None:
    peer.head()
    peer.reply(b"<Error/>", status="403 Forbidden")


def refuse_and_stop_reading(peer: Any) -> None:
    refuse(peer)
    peer.stall()


def refuse_and_drain(peer: Any) -> None:
    refuse(peer)
    peer.rest()


@pytest.mark.parametrize("script", [refuse_and_stop_reading, refuse_and_drain])
@pytest.mark.parametrize("length", [200_000, LARGE], ids=["joined", "large"])
def test_an_early_refusal_is_the_reply(driver: Any, serve_either: Any, script: Any, length: int) -> None:
    server = serve_either(script, stall_timeout=0.5)
    reply = driver.exchange(server.origin, method="PUT", body=[memoryview(bytes(length))])
    assert (reply.status, bytes(reply.body)) == (403, b"<Error/>")
    if length == LARGE:
        assert not reply.reusable


@pytest.mark.parametrize("length", [200_000, LARGE], ids=["joined", "large"])
def test_an_early_refusal_is_the_reply_though_the_connection_breaks(driver: Any, serve: Any, length: int) -> None:
    """The server closes with the body unread, which resets the connection."""
    server = serve(refuse)
    for _ in range(5):
        assert driver.exchange(server.origin, method="PUT", body=[memoryview(bytes(length))]).status == 403
    assert len(server.peers) == 5


@pytest.mark.parametrize("source", ["memory", "file"])
def test_an_early_refusal_spares_the_rest_of_the_body(driver: Any, serve_either: Any, source: str, tmp_path: Path) -> None:
    taken = []

    def script(peer: Any) -> None:
        peer.head()
        peer.body(1 << 20)
        peer.reply(status="503 Slow Down")
        peer.pause(0.1)
        taken.append(len(peer.rest()))

    server = serve_either(script)
    with sparse_file(tmp_path, LARGE) as descriptor:
        body = memoryview(bytes(LARGE)) if source == "memory" else FileRange(descriptor, 0, LARGE)
        assert driver.exchange(server.origin, method="PUT", body=[body]).status == 503
    assert server.peers[0].closed.wait(10)
    assert taken[0] < LARGE - (1 << 20)


def test_interim_replies_that_nobody_asked_for_do_not_stop_a_body(driver: Any, serve_either: Any) -> None:
    def script(peer: Any) -> None:
        received = peer.head()
        peer.send(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n")
        peer.pause(0.05)
        peer.reply(b"%d" % len(peer.body(int(received.headers["content-length"]))))

    server = serve_either(script)
    assert bytes(driver.exchange(server.origin, method="PUT", body=[memoryview(bytes(LARGE))]).body) == b"%d" % LARGE


# Bodies.


@contextlib.contextmanager
def sparse_file(folder: Path, length: int) -> Iterator[int]:
    descriptor = os.open(folder / "sparse", os.O_RDWR | os.O_CREAT)
    try:
        os.truncate(descriptor, length)
        yield descriptor
    finally:
        os.close(descriptor)


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


def test_a_body_until_the_close_may_not_be_cut(driver: Any, serve_either: Any, secure: bool) -> None:
    """Plain, only a reset tells; with TLS, an end without notice does."""

    def script(peer: Any) -> None:
        peer.request()
        peer.send(UNTIL_CLOSE + b"incompl")
        peer.pause(0.05)
        peer.socket.close() if secure else peer.reset()

    server = serve_either(script)
    with pytest.raises(ConnectionFailed, match="after 7 bytes of the body"):
        driver.exchange(server.origin)


def test_replies_without_bodies(driver: Any, serve_either: Any) -> None:
    def script(peer: Any) -> None:
        while True:
            received = peer.request()
            status = {"HEAD": "200 OK", "DELETE": "204 No Content", "GET": "304 Not Modified"}[received.method]
            peer.send(f"HTTP/1.1 {status}\r\n{'' if received.method == 'DELETE' else 'content-length: 12345'}\r\n\r\n".replace("\r\n\r\n\r\n", "\r\n\r\n").encode())

    server = serve_either(script)
    for method, status in [("HEAD", 200), ("DELETE", 204), ("GET", 304), ("HEAD", 200)]:
        reply = driver.exchange(server.origin, method=method, place=fresh_memory)
        assert (reply.status, len(reply.body)) == (status, 0)
    assert len(server.peers) == 1


@pytest.mark.parametrize(
    "parts",
    [[], [b""], [b"small"], [b"several", b"", b"small ones"], [bytes(300_000)], [b"head", os.urandom(3 << 20), b"tail"]],
    ids=["none", "empty", "small", "several", "large", "mixed"],
)
def test_bodies_of_memory(driver: Any, serve_either: Any, parts: list[bytes]) -> None:
    server = serve_either()
    for _ in range(2):
        driver.exchange(server.origin, method="PUT", body=[memoryview(part) for part in parts])
    assert {received.body for received in server.received} == {b"".join(parts)}
    assert server.received[0].headers["content-length"] == str(sum(len(part) for part in parts))
    assert len(server.peers) == 1


@pytest.mark.parametrize("length", [0, 5, 100_000, 5_000_000])
def test_bodies_of_files(driver: Any, serve_either: Any, tmp_path: Path, length: int) -> None:
    content = os.urandom(6_000_000)
    (tmp_path / "file").write_bytes(content)
    server = serve_either()
    with open(tmp_path / "file", "rb") as file:
        driver.exchange(server.origin, method="PUT", body=[FileRange(file.fileno(), 777, length)])
        driver.exchange(server.origin, method="PUT", body=[memoryview(b"before"), FileRange(file.fileno(), 0, length), memoryview(b"after")])
        assert file.tell() == 0
    assert [received.body for received in server.received] == [content[777 : 777 + length], b"before" + content[:length] + b"after"]


def test_a_file_that_the_kernel_cannot_send_is_sent_all_the_same(driver: Any, serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def refusing(*arguments: Any) -> int:
        raise OSError(22, "Invalid argument")

    monkeypatch.setattr(os, "sendfile", refusing)
    server = serve()
    with open(__file__, "rb") as file:
        content = file.read()
        driver.exchange(server.origin, method="PUT", body=[FileRange(file.fileno(), 10, len(content) - 10)])
    assert server.received[0].body == content[10:]


def test_a_file_that_becomes_shorter_is_an_error(driver: Any, serve_either: Any, tmp_path: Path) -> None:
    server = serve_either()
    with sparse_file(tmp_path, 1000) as descriptor, pytest.raises(ObjectChanged, match="became shorter"):
        driver.exchange(server.origin, method="PUT", body=[FileRange(descriptor, 0, 2000)])


# Trust.


def trusting(driver: Any, origin: Origin, **settings: Any) -> bytes:
    driver.configure(**settings)
    return bytes(driver.exchange(origin, "/trusted").body)


def test_an_authority_of_ones_own_is_trusted_when_named(driver: Any, serve: Any, tls: Any, authority: Any) -> None:
    server = serve(tls=tls())
    assert trusting(driver, server.origin, ca_bundle=authority.ca_bundle) == b"/trusted"


def test_an_authority_of_ones_own_is_trusted_by_address(driver: Any, serve: Any, tls: Any, authority: Any) -> None:
    server = serve(tls=tls())
    assert trusting(driver, Origin("https", "127.0.0.1", server.port), ca_bundle=authority.ca_bundle) == b"/trusted"


def test_ssl_cert_file_names_an_authority(driver: Any, serve: Any, tls: Any, authority: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", authority.ca_bundle)
    assert trusting(driver, serve(tls=tls()).origin) == b"/trusted"


def test_an_unknown_authority_is_refused(driver: Any, serve: Any, tls: Any, authority: Any) -> None:
    stranger = authority.self_signed("localhost")
    for settings in ({}, {"ca_bundle": stranger.certificate}):
        with pytest.raises(ConnectionFailed, match="not trusted") as caught:
            trusting(driver, serve(tls=tls()).origin, **settings)
        assert caught.value.code == "certificate"
        assert "ca_bundle" in str(caught.value)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda authority: authority.issue("elsewhere.example"), "Hostname mismatch"),
        (lambda authority: authority.issue("localhost", expired=True), "expired"),
        (lambda authority: authority.self_signed("localhost"), "self-signed"),
    ],
    ids=["wrong host", "expired", "self-signed"],
)
def test_a_certificate_that_is_not_right_is_refused(driver: Any, serve: Any, tls: Any, authority: Any, make: Any, reason: str) -> None:
    server = serve(tls=tls(make(authority)))
    with pytest.raises(ConnectionFailed, match=reason) as caught:
        trusting(driver, server.origin, ca_bundle=authority.ca_bundle)
    assert caught.value.code == "certificate"
    assert server.received == []


def test_unverified_tls_works_and_warns_once(driver: Any, serve: Any, tls: Any, authority: Any, caplog: pytest.LogCaptureFixture) -> None:
    server = serve(lambda peer: peer.reply(peer.request().target.encode(), headers="connection: close\r\n"), tls=tls(authority.self_signed("x.example")))
    driver.configure(verify_tls=False)
    assert [bytes(driver.exchange(server.origin, "/seen").body) for _ in range(2)] == [b"/seen"] * 2
    assert [record.message.partition(":")[0] for record in caplog.records] == ["TLS certificates are not verified (verify_tls=False)"]


@pytest.mark.parametrize("content", [None, "", "no certificate"])
def test_a_bundle_that_cannot_be_used_says_so(driver: Any, serve: Any, tls: Any, tmp_path: Path, content: str | None) -> None:
    bundle = tmp_path / "bundle.pem"
    if content is not None:
        bundle.write_text(content)
    with pytest.raises(InvalidOption, match=re.escape(str(bundle))):
        trusting(driver, serve(tls=tls()).origin, ca_bundle=str(bundle))


def test_a_plain_server_where_tls_is_meant_says_so(driver: Any, serve: Any) -> None:
    def script(peer: Any) -> None:
        peer.socket.recv(1000)
        peer.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        peer.rest()

    with pytest.raises(ConnectionFailed, match="TLS with .* failed") as caught:
        driver.exchange(Origin("https", "localhost", serve(script).port))
    assert caught.value.code == "tls"


# Proxies.


def forwarding(peer: Any) -> None:
    """A proxy: opens tunnels, and says what it was asked for in plain requests."""
    while True:
        received = peer.request()
        if received.method == "CONNECT":
            host, _, port = received.target.rpartition(":")
            peer.send(b"HTTP/1.1 200 Connection established\r\n\r\n")
            peer.relay_to(host, int(port))
            return
        peer.reply(f"proxy: {received.target}".encode())


@pytest.fixture(params=["option", "environment"])
def through(request: pytest.FixtureRequest, driver: Any, monkeypatch: pytest.MonkeyPatch, authority: Any) -> Callable[[str], None]:
    """Make the driver use a proxy."""

    def configure(proxy: str) -> None:
        if request.param == "environment":
            monkeypatch.setenv("ALL_PROXY", proxy)
        driver.configure(ca_bundle=authority.ca_bundle, stall_timeout=5, **({"proxy": proxy} if request.param == "option" else {}))

    return configure


@pytest.mark.parametrize(("user", "authorization"), [("", None), ("me:p%40ss@", "Basic bWU6cEBzcw==")], ids=["anonymous", "password"])
def test_plain_requests_through_a_proxy(driver: Any, serve: Any, through: Any, user: str, authorization: str | None) -> None:
    proxy = serve(forwarding)
    through(f"http://{user}127.0.0.1:{proxy.port}")
    replies = [driver.exchange(Origin("http", "storage.example", 81), f"/key{number}?q") for number in range(2)]
    assert [bytes(reply.body) for reply in replies] == [b"proxy: http://storage.example:81/key0?q", b"proxy: http://storage.example:81/key1?q"]
    assert proxy.received[0].headers["host"] == "storage.example:81"
    assert proxy.received[0].headers.get("proxy-authorization") == authorization
    assert len(proxy.peers) == 1


@pytest.mark.parametrize(("user", "authorization"), [("", None), ("me:p%40ss@", "Basic bWU6cEBzcw==")], ids=["anonymous", "password"])
def test_tls_through_a_proxy(driver: Any, serve: Any, tls: Any, through: Any, user: str, authorization: str | None) -> None:
    proxy, server = serve(forwarding), serve(tls=tls())
    through(f"http://{user}127.0.0.1:{proxy.port}")
    assert [bytes(driver.exchange(server.origin, f"/{number}").body) for number in range(2)] == [b"/0", b"/1"]
    assert [received.target for received in proxy.received] == [f"localhost:{server.port}"]
    assert proxy.received[0].headers.get("proxy-authorization") == authorization
    assert "proxy-authorization" not in server.received[0].headers


def test_a_server_asked_through_a_proxy_before_a_body(driver: Any, serve: Any, through: Any) -> None:
    def script(peer: Any) -> None:
        received = peer.head()
        assert received.headers["expect"] == "100-continue"
        peer.reply(status="403 Forbidden")
        assert peer.rest() == b""

    proxy = serve(script)
    through(f"http://me:secret@127.0.0.1:{proxy.port}")
    assert put(driver, Origin("http", "storage.example", 80)).status == 403
    assert proxy.peers[0].closed.wait(10)


def test_a_proxy_that_wants_a_password_says_so(driver: Any, serve: Any, through: Any) -> None:
    proxy = serve(lambda peer: peer.request() and peer.reply(b"who?", status="407 Proxy Authentication Required"))
    through(f"http://me:wrong-secret@127.0.0.1:{proxy.port}")
    with pytest.raises(ConnectionFailed, match="refused a tunnel") as caught:
        driver.exchange(Origin("https", "storage.example", 443))
    assert caught.value.status == 407
    assert "user name and password" in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("act", "error", "reason"),
    [
        (lambda peer: None, ConnectionFailed, "closed the connection before it sent a reply"),
        (lambda peer: peer.reset(), ConnectionFailed, "cannot connect to .* through the proxy"),
        (lambda peer: peer.send(b"SSH-2.0-x\r\n\r\n"), ProtocolError, "not an HTTP/1.1 reply"),
        (lambda peer: peer.reply(status="502 Bad Gateway"), ConnectionFailed, "refused a tunnel"),
        (lambda peer: peer.rest(), Stalled, "through the proxy"),
    ],
    ids=["close", "reset", "garbage", "gateway", "stall"],
)
def test_a_proxy_that_fails(driver: Any, serve: Any, act: Any, error: type[Exception], reason: str) -> None:
    proxy = serve(lambda peer: peer.request() and act(peer))
    driver.configure(proxy=f"http://127.0.0.1:{proxy.port}", connect_timeout=STALL)
    with pytest.raises(error, match=reason):
        driver.exchange(Origin("https", "storage.example", 443))


def test_a_proxy_that_is_not_there(driver: Any, closed_port: int) -> None:
    driver.configure(proxy=f"http://127.0.0.1:{closed_port}")
    with pytest.raises(ConnectionFailed, match="through the proxy 127.0.0.1.* refused the connection"):
        driver.exchange(Origin("http", "storage.example", 80))


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
