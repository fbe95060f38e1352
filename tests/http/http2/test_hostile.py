"""A server that breaks the rules of HTTP/2, or keeps them and means harm: an error, in bounded memory and time."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from typing import Any

import pytest
from h2.errors import ErrorCodes

from headrace.errors import ConnectionFailed, HeadraceError, ProtocolError
from headrace.http.effects import Send
from headrace.http.messages import Request, Secret
from tests.http.http2.conftest import Host

DATA, HEADERS, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, WINDOW_UPDATE, CONTINUATION = 0, 1, 3, 4, 5, 6, 8, 9
END_STREAM, END_HEADERS = 1, 4
LITERAL = b"\x00"  # a header that neither is in a table nor goes into one, RFC 7541, section 6.2.2


def literal(name: bytes, value: bytes) -> bytes:
    return LITERAL + bytes([len(name)]) + name + bytes([len(value)]) + value


OK = b"\x88"
"""``:status: 200``, by its place in the table."""


def without_end(host: Host, send: Callable[[], object]) -> None:
    """Until the client has left; what it says is not read."""
    while True:
        send()


def longer(host: Host, stream: int) -> None:
    host.raw(HEADERS, OK + literal(b"content-length", b"4"), flags=END_HEADERS, stream=stream)
    host.raw(DATA, b"01234", flags=END_STREAM, stream=stream)


def shorter(host: Host, stream: int) -> None:
    host.raw(HEADERS, OK + literal(b"content-length", b"4"), flags=END_HEADERS, stream=stream)
    host.raw(DATA, b"012", flags=END_STREAM, stream=stream)


def nothing(host: Host, stream: int) -> None:
    host.raw(HEADERS, OK + literal(b"content-length", b"4"), flags=END_HEADERS | END_STREAM, stream=stream)


def cut_by_trailers(host: Host, stream: int) -> None:
    host.raw(HEADERS, OK + literal(b"content-length", b"4"), flags=END_HEADERS, stream=stream)
    host.raw(DATA, b"012", stream=stream)
    host.raw(HEADERS, literal(b"x-a", b"b"), flags=END_HEADERS | END_STREAM, stream=stream)


def two_lengths(host: Host, stream: int) -> None:
    lengths = literal(b"content-length", b"4") + literal(b"content-length", b"5")
    host.raw(HEADERS, OK + lengths, flags=END_HEADERS, stream=stream)


def no_status(host: Host, stream: int) -> None:
    host.raw(HEADERS, literal(b"x-a", b"b"), flags=END_HEADERS | END_STREAM, stream=stream)


def odd_status(host: Host, stream: int) -> None:
    host.raw(HEADERS, literal(b":status", b"2e2"), flags=END_HEADERS | END_STREAM, stream=stream)


def line_break(host: Host, stream: int) -> None:
    host.raw(HEADERS, OK + literal(b"x-a", b"a\r\nb"), flags=END_HEADERS | END_STREAM, stream=stream)


def chunked(host: Host, stream: int) -> None:
    host.raw(HEADERS, OK + literal(b"transfer-encoding", b"chunked"), flags=END_HEADERS | END_STREAM, stream=stream)


def many_interim(host: Host, stream: int) -> None:
    for _ in range(20):
        host.raw(HEADERS, literal(b":status", b"103"), flags=END_HEADERS, stream=stream)


def header_bomb(host: Host, stream: int) -> None:
    """One long header goes into the table, and is referred to a thousand times."""
    into_table = b"\x40" + bytes([3]) + b"x-a" + b"\x7f\x81\x1e" + b"v" * 4000
    host.raw(HEADERS, OK + into_table + b"\xbe" * 1000, flags=END_HEADERS | END_STREAM, stream=stream)


def endless_continuation(host: Host, stream: int) -> None:
    host.raw(HEADERS, OK, stream=stream)
    without_end(host, lambda: host.raw(CONTINUATION, b"", stream=stream))


def endless_pings(host: Host, stream: int) -> None:
    without_end(host, lambda: host.peer.send((b"\x00\x00\x08\x06\x00\x00\x00\x00\x00" + bytes(8)) * 1000))


def endless_settings(host: Host, stream: int) -> None:
    without_end(host, lambda: host.peer.send(b"\x00\x00\x00\x04\x00\x00\x00\x00\x00" * 1000))


def endless_empty_pieces(host: Host, stream: int) -> None:
    host.raw(HEADERS, OK, flags=END_HEADERS, stream=stream)
    without_end(host, lambda: host.peer.send((b"\x00\x00\x00\x00\x00" + stream.to_bytes(4, "big")) * 1000))


def endless_unknown(host: Host, stream: int) -> None:
    without_end(host, lambda: host.peer.send(b"\x00\x00\x00\xf0\x00\x00\x00\x00\x00" * 1000))


def huge_frame(host: Host, stream: int) -> None:
    host.peer.send(b"\xff\xff\xff\x00\x00\x00\x00\x00\x01")
    without_end(host, lambda: host.peer.send(bytes(1 << 16)))


def no_frames(host: Host, stream: int) -> None:
    host.peer.send(b"HTTP/1.1 200 OK\r\n\r\n")


def data_for_nobody(host: Host, stream: int) -> None:
    host.raw(DATA, b"01234", stream=stream + 2)


def data_before_head(host: Host, stream: int) -> None:
    host.raw(DATA, b"01234", stream=stream)


def a_push(host: Host, stream: int) -> None:
    host.raw(PUSH_PROMISE, (2).to_bytes(4, "big") + OK, flags=END_HEADERS, stream=stream)


def window_overflow(host: Host, stream: int) -> None:
    host.raw(WINDOW_UPDATE, (2**31 - 1).to_bytes(4, "big"), stream=stream)
    host.raw(WINDOW_UPDATE, (2**31 - 1).to_bytes(4, "big"), stream=stream)


def bad_settings(host: Host, stream: int) -> None:
    host.raw(SETTINGS, b"\x00\x05\x00\x00\x00\x01")


def bad_compression(host: Host, stream: int) -> None:
    host.raw(HEADERS, b"\xff\xff\xff\xff\x0f", flags=END_HEADERS, stream=stream)


def short_goaway(host: Host, stream: int) -> None:
    host.raw(7, b"\x00")


ATTACKS = [
    longer, shorter, nothing, cut_by_trailers, two_lengths, no_status, odd_status, line_break, chunked, many_interim, header_bomb,
    endless_continuation, endless_pings, endless_settings, endless_empty_pieces, endless_unknown, huge_frame, no_frames, data_for_nobody,
    data_before_head, a_push, window_overflow, bad_settings, bad_compression, short_goaway,
]  # fmt: skip

AGAINST_THE_CONNECTION = [
    endless_pings, endless_settings, endless_empty_pieces, endless_unknown, huge_frame, no_frames, data_for_nobody, bad_settings,
    short_goaway,
]  # fmt: skip


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
def test_an_attack_is_an_error(host: Any, on_loop: Any, attack: Callable[[Host, int], None]) -> None:
    def script(host: Host) -> None:
        attack(host, host.request().stream)
        host.peer.rest()

    place = memoryview(bytearray(4))
    with pytest.raises((ProtocolError, ConnectionFailed)) as caught:
        on_loop.send(Send(Request("GET", host(script).origin, "/", {}), lambda reply: place[: reply.length]))
    assert type(caught.value) is (ConnectionFailed if attack in AGAINST_THE_CONNECTION else ProtocolError)


def test_bodies_that_were_given_up_may_not_come_for_ever(host: Any, driver: Any) -> None:
    def refuse(reply: Any) -> memoryview:
        raise LookupError

    def script(host: Host) -> None:
        given_up = host.request().stream
        host.begin(given_up)
        host.raw(DATA, b"0", stream=given_up)
        host.request()
        without_end(host, lambda: host.raw(DATA, bytes(1 << 14), stream=given_up))

    server = host(script)
    with pytest.raises(ProtocolError):
        driver.send(Send(Request("GET", server.origin, "/", {}), limit=0))
    with pytest.raises(ConnectionFailed, match="bodies that nobody asked for"):
        driver.exchange(server.origin)


def test_a_large_table_for_compression_is_not_kept(host: Any, on_loop: Any) -> None:
    server = host(header_table_size=1 << 30)
    on_loop.exchange(server.origin)
    (connection,) = on_loop._transport._connections.values()
    assert connection._h2.encoder.header_table_size <= 64 << 10


SECRET = "MARKED-secret"


@pytest.mark.parametrize(
    "failure",
    [lambda host, stream: host.reset(stream, ErrorCodes.INTERNAL_ERROR), longer, line_break, "echo", "close"],
    ids=["reset", "longer", "line break", "echo", "close"],
)
def test_no_secret_is_in_an_error_or_its_variables(host: Any, driver: Any, failure: Any) -> None:
    def script(host: Host) -> None:
        asked = host.request()
        assert asked.headers["authorization"] == SECRET
        if failure == "echo":
            host.raw(HEADERS, OK + literal(b"X-" + SECRET.encode(), SECRET.encode()), flags=END_HEADERS, stream=asked.stream)
        elif failure != "close":
            failure(host, asked.stream)

    with pytest.raises(HeadraceError) as caught:
        driver.exchange(host(script).origin, "/?X-Amz-Signature=x", headers={"authorization": Secret(SECRET)}, repeatable=False)
    error: BaseException | None = caught.value
    while error is not None:
        frames = [each for each in traceback.walk_tb(error.__traceback__) if each[0].f_code.co_filename != __file__]
        shown = "".join(traceback.StackSummary.extract(iter(frames), capture_locals=True).format())
        assert SECRET not in f"{error!s} {error!r} {vars(error)} {shown}"
        error = error.__cause__ or error.__context__
