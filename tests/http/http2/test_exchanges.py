"""What passes over an HTTP/2 connection, and what becomes of it when an exchange, or the connection, ends early."""

from __future__ import annotations

import asyncio
import logging
import threading
from pathlib import Path
from typing import Any

import pytest
from h2.errors import ErrorCodes
from h2.events import DataReceived, PingAckReceived, StreamReset

from headrace.errors import ConnectionFailed, ProtocolError, Stalled
from headrace.http.blocking import Lane
from headrace.http.crew import run_blocking
from headrace.http.effects import Cancelled, Send
from headrace.http.http2 import asynchronous
from headrace.http.messages import FileRange, Request, Secret
from tests.http.http2.conftest import Host, _perform, echo


def get(origin: Any, target: str = "/", **options: Any) -> Send:
    return Send(Request("GET", origin, target, {}), **options)


def test_heads_and_bodies_pass_both_ways(host: Any, driver: Any) -> None:
    def script(host: Host) -> None:
        asked = host.request()
        assert asked.body == b"abcdef"
        host.begin(asked.stream, 201, etag='"x"', x_amz_meta_a="\xe9", content_length=5)
        host.data(asked.stream, b"hello")

    server = host(script)
    headers = {"authorization": Secret("AWS4 key"), "X-Amz-Date": " now", "connection": "close", "host": "elsewhere"}
    reply = driver.exchange(server.origin, "/a%20b?c=d", "PUT", headers=headers, body=[memoryview(b"abc"), memoryview(b"def")])
    assert (reply.status, bytes(reply.body), reply.received, reply.length) == (201, b"hello", 5, 5)
    assert reply.headers == {"etag": '"x"', "x-amz-meta-a": "\xe9", "content-length": "5"}
    assert server.received[0].headers == {
        ":method": "PUT",
        ":scheme": "http",
        ":authority": server.origin.authority,
        ":path": "/a%20b?c=d",
        "authorization": "AWS4 key",
        "x-amz-date": "now",
        "content-length": "6",
    }


def test_replies_without_a_body(host: Any, driver: Any) -> None:
    def script(host: Host) -> None:
        while True:
            asked = host.request()
            host.begin(asked.stream, int(asked.headers[":path"][1:]), end=True, content_length=9)

    server = host(script)
    for method, status, length in (("HEAD", 200, "9"), ("GET", 304, "9"), ("HEAD", 404, "9")):
        reply = driver.exchange(server.origin, f"/{status}", method)
        assert (reply.status, reply.headers["content-length"], bytes(reply.body)) == (status, length, b"")


def test_a_body_goes_where_it_is_placed(host: Any, driver: Any) -> None:
    def script(host: Host) -> None:
        host.reply(host.request().stream, b"0123456789")

    memory = memoryview(bytearray(10))
    reply = driver.send(get(host(script).origin, place=lambda reply: memory[: reply.length]))
    assert bytes(memory) == b"0123456789"
    assert reply.body.obj is memory.obj


@pytest.mark.parametrize("told", [True, False])
@pytest.mark.parametrize(("first", "count", "wanted"), [(0, 3, b"012"), (4, 3, b"456"), (4, None, b"456789"), (9, 5, b"9"), (20, 1, b"")])
def test_an_excerpt_is_cut_out_of_a_body(host: Any, driver: Any, first: int, count: int | None, wanted: bytes, *, told: bool) -> None:
    """And the rest of the body harms nobody: the connection serves the next exchange."""

    def script(host: Host) -> None:
        for _ in range(2):
            stream = host.request().stream
            host.begin(stream, **({"content_length": 10} if told else {}))
            for piece in (b"01", b"2345", b"6789"):
                host.data(stream, piece, end=piece == b"6789")

    server = host(script)
    for _ in range(2):
        reply = driver.send(get(server.origin, excerpt=(first, count)))
        assert (bytes(reply.body), reply.length, reply.received) == (wanted, len(wanted), len(wanted))
    assert len(server.peers) == 1


def test_interim_replies_lengths_that_are_not_told_and_trailers(host: Any, driver: Any) -> None:
    def script(host: Host) -> None:
        stream = host.request().stream
        host.begin(stream, 103)
        host.begin(stream)
        host.data(stream, b"abc", end=False)
        host.h2.send_headers(stream, [("x-checksum", "1")], end_stream=True)
        host.flush()

    reply = driver.exchange(host(script).origin)
    assert (bytes(reply.body), reply.length, reply.interim) == (b"abc", 3, 1)
    assert "x-checksum" not in reply.headers


def test_a_body_of_unknown_length_has_a_limit(host: Any, driver: Any) -> None:
    def script(host: Host) -> None:
        stream = host.request().stream
        host.begin(stream)
        host.data(stream, bytes(2000))

    with pytest.raises(ProtocolError, match="more than 1000 bytes"):
        driver.send(get(host(script).origin, limit=1000))


def test_many_exchanges_share_one_connection(host: Any, driver: Any) -> None:
    """As many at a time as the server allows."""
    together = 4 if driver.__class__.__name__.startswith("Async") else 3

    def script(host: Host) -> None:
        while True:
            asked = [host.request() for _ in range(together)]
            for each in reversed(asked):
                host.reply(each.stream, each.headers[":path"].encode())

    server = host(script, max_concurrent_streams=together)
    replies = driver.at_once([get(server.origin, f"/{number}") for number in range(12)], 12 if together == 4 else 3)
    assert [bytes(reply.body) for reply in replies] == [b"/%d" % number for number in range(12)]
    assert len(server.peers) == 1


def test_bodies_larger_than_every_window(host: Any, driver: Any) -> None:
    def script(host: Host) -> None:
        while True:
            asked = host.request()
            host.reply(asked.stream, asked.body)

    sent = memoryview(bytes(range(256)) * (72 << 10))  # 18 MiB
    server = host(script)
    for _ in range(2):
        assert driver.exchange(server.origin, method="PUT", body=[sent]).body == sent


def test_a_body_is_sent_as_the_server_opens_its_windows(host: Any, driver: Any, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(bytes(range(250)))

    def script(host: Host) -> None:
        stream = host.head().stream
        body = b""
        while len(body) < 750:
            event = host.wait(DataReceived)
            assert len(event.data) <= 100
            body += event.data
            if event.data:
                host.h2.increment_flow_control_window(len(event.data), stream)
                host.flush()
        host.reply(stream, body)

    with (tmp_path / "file").open("rb") as file:
        body = [memoryview(bytes(500)), FileRange(file.fileno(), 0, 250)]
        reply = driver.exchange(host(script, initial_window_size=100).origin, method="PUT", body=body)
    assert bytes(reply.body) == bytes(500) + bytes(range(250))


def test_a_reply_before_the_end_of_the_request(host: Any, driver: Any) -> None:
    def script(host: Host) -> None:
        stream = host.head().stream
        host.reply(stream, b"denied", 403)
        assert host.wait(StreamReset, stream).error_code == ErrorCodes.CANCEL
        echo(host)

    server = host(script, initial_window_size=100)
    reply = driver.exchange(server.origin, method="PUT", body=[memoryview(bytes(1000))])
    assert (reply.status, bytes(reply.body)) == (403, b"denied")
    assert bytes(driver.exchange(server.origin, "/next").body) == b"/next"
    assert len(server.peers) == 1


def test_an_explanation_that_is_too_long_is_not_received(host: Any, driver: Any) -> None:
    def script(host: Host) -> None:
        stream = host.request().stream
        host.begin(stream, 500, content_length=2 << 20)
        host.h2.send_data(stream, bytes(100))
        host.flush()
        host.wait(StreamReset, stream)
        echo(host)

    server = host(script)
    assert driver.exchange(server.origin).status == 500
    assert bytes(driver.exchange(server.origin, "/next").body) == b"/next"


def test_pings_are_answered(host: Any, driver: Any) -> None:
    def script(host: Host) -> None:
        stream = host.request().stream
        host.h2.ping(b"12345678")
        host.flush()
        assert host.wait(PingAckReceived).ping_data == b"12345678"
        host.reply(stream, b"alive")

    assert bytes(driver.exchange(host(script).origin).body) == b"alive"


# Ends.


def test_after_a_goaway_what_was_begun_ends_and_the_rest_is_sent_elsewhere(host: Any, driver: Any) -> None:
    """Even what must not be repeated: it was not begun."""
    first = threading.Event()

    def script(host: Host) -> None:
        if host.peer.number:
            return echo(host)
        asked = [host.request() for _ in range(3)]
        host.begin(asked[0].stream, content_length=len(asked[0].headers[":path"]))
        host.go_away(asked[0].stream)
        host.data(asked[0].stream, asked[0].headers[":path"].encode())
        return host.wait(StreamReset) and first.set()

    server = host(script)
    sends = [Send(Request("POST", server.origin, f"/{number}", {}, repeatable=False)) for number in range(3)]
    assert [bytes(reply.body) for reply in driver.at_once(sends, 3)] == [b"/0", b"/1", b"/2"]
    assert len(server.peers) == 2


def test_a_refused_stream_is_sent_again_but_not_for_ever(host: Any, driver: Any) -> None:
    refusals = [2, 99]

    def script(host: Host) -> None:
        while True:
            asked = host.request()
            if refusals[0] == 0:
                host.reply(asked.stream, b"done")
                refusals.pop(0)
            else:
                refusals[0] -= 1
                host.reset(asked.stream, ErrorCodes.REFUSED_STREAM)

    server = host(script)
    assert bytes(driver.exchange(server.origin, method="POST").body) == b"done"
    with pytest.raises(ConnectionFailed, match="refused the request before") as caught:
        driver.exchange(server.origin, method="POST")
    assert (caught.value.code, refusals, len(server.peers)) == ("refused", [96], 1)


def test_a_stream_that_is_broken_off_breaks_no_other(host: Any, driver: Any) -> None:
    def script(host: Host) -> None:
        stream = host.request().stream
        host.begin(stream, content_length=10)
        host.data(stream, b"0123", end=False)
        host.reset(stream, ErrorCodes.INTERNAL_ERROR)
        echo(host)

    server = host(script)
    with pytest.raises(ConnectionFailed, match="after 4 bytes of the body of 10: INTERNAL_ERROR"):
        driver.exchange(server.origin)
    assert bytes(driver.exchange(server.origin, "/next").body) == b"/next"
    assert len(server.peers) == 1


def test_a_connection_that_breaks_fails_all_that_is_under_way(host: Any, driver: Any) -> None:
    def script(host: Host) -> None:
        for _ in range(2):
            host.begin(host.request().stream, content_length=10)
        host.peer.reset()

    server = host(script)
    with pytest.raises(ConnectionFailed, match="after 0 bytes of the body of 10"):
        driver.at_once([get(server.origin), get(server.origin)], 2)


def test_a_kept_connection_that_the_server_has_closed_is_replaced(host: Any, driver: Any) -> None:
    def script(host: Host) -> None:
        asked = host.request()
        host.reply(asked.stream, b"%d" % host.peer.number)

    server = host(script)
    for number in range(3):
        assert bytes(driver.exchange(server.origin).body) == b"%d" % number
        assert server.peers[-1].closed.wait(20)


def test_a_connection_that_breaks_when_it_is_used_again_is_replaced_once(host: Any, driver: Any) -> None:
    def script(host: Host) -> None:
        if host.peer.number == 0:
            host.reply(host.request().stream)
        host.request()
        if host.peer.number == 0:
            host.peer.reset()
        else:
            host.reply(1, b"again")

    server = host(script)
    driver.exchange(server.origin)
    assert bytes(driver.exchange(server.origin).body) == b"again"


def test_a_connection_that_was_idle_for_long_is_replaced(host: Any, driver: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    server = host()
    driver.exchange(server.origin)
    monkeypatch.setattr(asynchronous, "IDLE_SECONDS", 0.0)
    driver.exchange(server.origin)
    assert len(server.peers) == 2
    assert server.peers[0].closed.wait(20)


@pytest.mark.parametrize("begun", [False, True])
def test_a_stream_in_which_nothing_moves_stalls(host: Any, driver: Any, *, begun: bool) -> None:
    """What comes on the connection beside it is not its progress."""

    def script(host: Host) -> None:
        if host.peer.number:
            return echo(host)
        stream = host.request().stream
        if begun:
            host.begin(stream, content_length=10)
            host.data(stream, b"0123", end=False)
        while not host.peer.server.stopped.wait(0.02):
            host.raw(6, bytes(8))
        return None

    driver.configure(stall_timeout=0.4)
    server = host(script)
    with pytest.raises(Stalled, match="after 4 bytes" if begun else "before the reply"):
        driver.exchange(server.origin)
    assert bytes(driver.exchange(server.origin, "/next").body) == b"/next"


@pytest.mark.parametrize("setting", [{"initial_window_size": 0}, {"max_concurrent_streams": 0}], ids=["no window", "no streams"])
def test_a_server_that_takes_nothing_stalls(host: Any, driver: Any, setting: dict[str, int]) -> None:
    driver.configure(stall_timeout=0.4)
    server = host(lambda host: host.wait(StreamReset), **setting)
    with pytest.raises((Stalled, ConnectionFailed)):
        driver.exchange(server.origin, method="PUT", body=[memoryview(b"data")])


def test_what_a_placement_raises_fails_that_exchange_alone(host: Any, driver: Any) -> None:
    def refuse(reply: Any) -> memoryview:
        raise LookupError("no memory")

    server = host()
    with pytest.raises(LookupError, match="no memory"):
        driver.send(get(server.origin, place=refuse))
    assert bytes(driver.exchange(server.origin, "/next").body) == b"/next"
    assert len(server.peers) == 1


def until_asked_twice(host: Host) -> None:
    """Begin the first reply, answer the second, then see the first being given up."""
    stream = host.request().stream
    host.begin(stream, content_length=10)
    host.data(stream, b"0123", end=False)
    host.peer.server.begun.set()
    assert host.wait(StreamReset, stream).error_code == ErrorCodes.CANCEL
    # What was on its way is no fault of the server's.
    host.raw(0, b"45", stream=stream)
    echo(host)


def test_a_cancelled_task_ends_its_stream_alone(host: Any, on_loop: Any) -> None:
    server = host(until_asked_twice)
    server.begun = threading.Event()

    async def cancel() -> None:
        task = asyncio.create_task(on_loop.perform(_perform(get(server.origin))))
        await asyncio.to_thread(server.begun.wait)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    on_loop.runner.run(cancel())
    assert bytes(on_loop.exchange(server.origin, "/next").body) == b"/next"
    assert len(server.peers) == 1


def test_a_stopped_lane_ends_its_stream_alone(host: Any, blocking: Any) -> None:
    server = host(until_asked_twice)
    server.begun = threading.Event()
    lane = Lane()
    stopper = threading.Thread(target=lambda: (server.begun.wait(), lane.stop()))
    stopper.start()
    with pytest.raises(Cancelled):
        run_blocking(_perform(get(server.origin)), blocking.transport, blocking.crew, lane)
    stopper.join()
    assert bytes(blocking.exchange(server.origin, "/next").body) == b"/next"
    assert len(server.peers) == 1


def test_closing_the_client_ends_what_others_wait_for(host: Any, blocking: Any) -> None:
    server = host(lambda host: (host.request(), begun.set(), host.peer.stall()))
    begun = threading.Event()
    closer = threading.Thread(target=lambda: (begun.wait(), blocking.loops.close()))
    _ = blocking.transport
    closer.start()
    with pytest.raises(ConnectionFailed):
        blocking.exchange(server.origin)
    closer.join()


# Who does not speak HTTP/2.


def of_which_one_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    assert len([record for record in caplog.records if "HTTP/1.1 is used with" in record.getMessage()]) == 1


def answer_or_refuse(peer: Any) -> None:
    """Answer as HTTP/1.1 does: what begins an HTTP/2 connection is a request that makes no sense."""
    while (asked := peer.head()).method == "GET":
        peer.reply(asked.target.encode())
    peer.reply(b"what?", "400 Bad Request", "connection: close\r\n")


@pytest.mark.parametrize("secure", ["plain", "tls"])
def test_a_server_that_speaks_http_1_is_served_with_that(
    serve: Any, tls: Any, driver: Any, authority: Any, caplog: pytest.LogCaptureFixture, secure: str
) -> None:
    driver.configure(ca_bundle=authority.ca_bundle)
    server = serve(answer_or_refuse, tls=tls() if secure == "tls" else None)
    with caplog.at_level(logging.INFO, "headrace"):
        for target in ("/1", "/2"):
            assert bytes(driver.exchange(server.origin, target).body) == target.encode()
    of_which_one_is_logged(caplog)
    assert [each.target for each in server.received if each.method == "GET"] == ["/1", "/2"]


def test_a_server_that_closes_is_spoken_to_in_http_1(serve: Any, driver: Any, caplog: pytest.LogCaptureFixture) -> None:
    def script(peer: Any) -> None:
        if peer.head().method == "GET":
            peer.reply(b"as ever")

    server = serve(script)
    with caplog.at_level(logging.INFO, "headrace"):
        assert bytes(driver.exchange(server.origin).body) == b"as ever"
    of_which_one_is_logged(caplog)


def test_a_server_that_is_silent_is_not_waited_for(serve: Any, driver: Any) -> None:
    driver.configure(connect_timeout=0.3)
    with pytest.raises(Stalled) as caught:
        driver.exchange(serve(lambda peer: peer.stall()).origin)
    assert caught.value.code == "connect"


def test_nobody_listens(driver: Any, host: Any) -> None:
    server = host()
    server.stop()
    with pytest.raises(ConnectionFailed) as caught:
        driver.at_once([get(server.origin), get(server.origin)], 2)
    assert caught.value.code == "refused"


def test_through_a_proxy(serve: Any, host: Any, tls: Any, driver: Any, authority: Any, caplog: pytest.LogCaptureFixture) -> None:
    """By a tunnel over TLS; without one, requests to a proxy are those of HTTP/1.1."""
    inside = host(tls=tls())

    def tunnel(peer: Any) -> None:
        if (asked := peer.head()).method == "CONNECT":
            peer.send(b"HTTP/1.1 200 OK\r\n\r\n")
            peer.relay_to("127.0.0.1", inside.port)
        else:
            peer.reply(asked.target.encode())

    proxy = serve(tunnel)
    driver.configure(ca_bundle=authority.ca_bundle, proxy=f"http://127.0.0.1:{proxy.port}")
    assert bytes(driver.exchange(inside.origin, "/tunnelled").body) == b"/tunnelled"
    assert inside.received[0].headers[":scheme"] == "https"
    with caplog.at_level(logging.INFO, "headrace"):
        reply = driver.exchange(inside.origin._replace(scheme="http"), "/plain")
    assert bytes(reply.body).endswith(b"/plain")
    of_which_one_is_logged(caplog)


def test_closing_ends_what_is_under_way_for_good(host: Any, on_loop: Any) -> None:
    """Also over a connection that was kept, and also while it is being made."""

    def script(host: Host) -> None:
        host.reply(host.request().stream)
        host.request()
        host.peer.server.begun.set()
        host.peer.rest()

    server = host(script)
    server.begun = threading.Event()
    on_loop.exchange(server.origin)

    async def close_amid(ready: Any) -> None:
        transport = await on_loop.transport_here()
        task = asyncio.create_task(transport.exchange(get(server.origin)))
        await ready()
        transport.close()
        with pytest.raises(ConnectionFailed):
            await task
        assert transport._connections == {}

    on_loop.runner.run(close_amid(lambda: asyncio.to_thread(server.begun.wait)))
    on_loop.runner.run(close_amid(lambda: asyncio.sleep(0)))
    assert len(server.peers) <= 2
