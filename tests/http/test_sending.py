"""Sending bodies, with both drivers: asking first, from memory and files, and being interrupted by the reply."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from headrace.errors import ConnectionFailed, ObjectChanged, Stalled
from headrace.http import blocking, loop_connection
from headrace.http.codec import Reply
from headrace.http.messages import FileRange, Origin

LARGE = 32 << 20
STALL = 0.15


@contextlib.contextmanager
def sparse_file(folder: Path, length: int) -> Iterator[int]:
    descriptor = os.open(folder / "sparse", os.O_RDWR | os.O_CREAT)
    try:
        os.truncate(descriptor, length)
        yield descriptor
    finally:
        os.close(descriptor)


# What is sent.


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
        driver.exchange(
            server.origin, method="PUT", body=[memoryview(b"before"), FileRange(file.fileno(), 0, length), memoryview(b"after")]
        )
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


# How slowly.


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


# Asking before sending a body.


@pytest.fixture
def short_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait less long for a server's permission than is sensible outside of tests."""
    for module in (blocking, loop_connection):
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
