"""Replies that a hostile or broken server sends: refused at once, and never at the cost of memory."""

from __future__ import annotations

import tracemalloc

import pytest

from fuzz.oracle import feed, fresh_memory
from headrace.errors import ConnectionFailed, ProtocolError
from headrace.http import codec
from headrace.http.codec import HEAD_LIMIT, METADATA_LIMIT, Placement, Reply, scratch

FIXED = b'HTTP/1.1 200 OK\r\nContent-Length: 5\r\nETag: "x"\r\n\r\nhello'
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"

# Heads that are refused.


@pytest.mark.parametrize(
    "lengths",
    [
        "content-length: -1",
        "content-length: +1",
        "content-length: 1.0",
        "content-length: 0x10",
        "content-length: ",
        "content-length: 1 1",
        "content-length: 1, 1",
        "content-length: 1, 2",
        "content-length: \N{SUPERSCRIPT TWO}",
        "content-length: 9999999999999999999",
        "content-length: 1\r\ncontent-length: 2",
        "content-length: 1\r\ncontent-length: 01",
        "content-length: 1\r\ntransfer-encoding: chunked",
        "transfer-encoding: chunked\r\ncontent-length: 1",
        "transfer-encoding: gzip",
        "transfer-encoding: gzip, chunked",
        "transfer-encoding: chunked, chunked",
        "transfer-encoding: chunked\r\ntransfer-encoding: chunked",
        "transfer-encoding: identity",
        "transfer-encoding:",
    ],
)
def test_doubtful_lengths_are_refused(lengths: str) -> None:
    with pytest.raises(ProtocolError):
        feed(f"HTTP/1.1 200 OK\r\n{lengths}\r\n\r\n".encode("latin-1") + b"0\r\n\r\n")


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"garbage",
        b"HTTP/1.1  200 OK",
        b"HTTP/1.1 20 OK",
        b"HTTP/1.1 2000 OK",
        b"HTTP/1.1 099 OK",
        b"HTTP/1.1 200OK",
        b"HTTP/1.2 200 OK",
        b"HTTP/2 200",
        b"http/1.1 200 OK",
        b" HTTP/1.1 200 OK",
        b"ICY 200 OK",
        b"HTTP/1.1 200 O\0K",
        b"HTTP/1.1 200 O\x0bK",
        b"HTTP/1.1 200 O\nK",
        b"HTTP/1.1 200 OK\r\nno colon",
        b"HTTP/1.1 200 OK\r\ndate",
        b"HTTP/1.1 200 OK\r\n: no name",
        b"HTTP/1.1 200 OK\r\nwith space : 1",
        b"HTTP/1.1 200 OK\r\na: 1\r\n folded",
        b"HTTP/1.1 200 OK\r\n\tfolded: 1",
        b"HTTP/1.1 200 OK\r\na: 1\nb: 2",
        b"HTTP/1.1 200 OK\r\na: 1\rb: 2",
        b"HTTP/1.1 200 OK\r\na: \0",
        b"HTTP/1.1 200 OK\r\na: \x0b",
        b"HTTP/1.1 200 OK\r\n\xe4: 1",
    ],
)
def test_heads_that_are_not_http_are_refused(head: bytes) -> None:
    # Once well-formed, so that nothing is accepted because it was seen before.
    feed(b"HTTP/1.1 200 OK\r\ndate: now\r\na: 1\r\n\r\n")
    with pytest.raises(ProtocolError):
        feed(head + b"\r\n\r\n")


# Chunks that are refused.


@pytest.mark.parametrize(
    "chunks",
    [
        b"\r\n",
        b"x\r\n",
        b"-1\r\n",
        b"+5\r\nhello\r\n",
        b"0x5\r\nhello\r\n",
        b" 5\r\nhello\r\n",
        b"5 hello\r\n",
        b"5_0\r\n",
        b"5\nhello\r\n",
        b"10000000000000000\r\n",
        b"4\r\nhello\r\n0\r\n\r\n",
        b"5\r\nhelloX\r\n0\r\n\r\n",
        b"5\r\nhello\r\n0\r\nno trailer\r\n\r\n",
        b"5\r\nhello\r\n0\r\na: 1\nb: 2\r\n\r\n",
        b"5;\0\r\nhello\r\n0\r\n\r\n",
    ],
)
def test_chunks_that_are_not_http_are_refused(chunks: bytes) -> None:
    for pieces in ([1 << 20], [1], [7]):
        with pytest.raises(ProtocolError):
            feed(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + chunks, pieces=pieces)


@pytest.mark.parametrize("size", [b"ffffffffffffffff", b"8000000000000000", b"ffffffff"])
def test_an_enormous_chunk_is_not_believed_until_it_comes(size: bytes) -> None:
    with pytest.raises(ConnectionFailed, match="at byte 5 of the body"):
        feed(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + size + b"\r\nhello", place=fresh_memory)


def test_white_space_before_a_chunk_extension_is_allowed() -> None:
    assert feed(CHUNKED.replace(b"5\r\n", b"5 ;a=b\r\n")).answer.body == b"hello"


# Bounds.


def endless(start: bytes, again: bytes, method: str = "GET", place: Placement | None = None, limit: int = 4 << 20) -> Reply:
    """Feed something that does not end, until the codec has had enough."""
    reply = Reply(method, scratch(), place)
    data = start
    for _ in range(limit // len(again) + 1):
        while data and not reply.complete:
            count = min(len(reply.buffer()), len(data))
            reply.buffer()[:count] = data[:count]
            reply.advance(count)
            data = data[count:]
        data = again
    return reply


@pytest.mark.parametrize(
    "line", [b"a: b\r\n", b"a" * 1000, b": ", b"x-long: " + b"y" * 9000 + b"\r\n"], ids=["lines", "name", "colons", "values"]
)
def test_a_head_that_does_not_end_is_refused(line: bytes) -> None:
    with pytest.raises(ProtocolError, match=f"longer than {HEAD_LIMIT} bytes"):
        endless(b"HTTP/1.1 200 OK\r\n", line, limit=2 * HEAD_LIMIT)


def test_the_longest_head_is_accepted() -> None:
    start, end = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nx: ", b"\r\n\r\n"
    fed = feed(start + b"y" * (HEAD_LIMIT - len(start) - len(end)) + end, pieces=[1000])
    assert fed.reply.reusable


@pytest.mark.parametrize(
    ("start", "line"),
    [(b"", b"1" * 100), (b"", b"1;" + b"a" * 40_000), (b"0\r\n", b"a: b\r\n"), (b"0\r\n", b"a:" + b"b" * 40_000)],
    ids=["size", "extension", "trailer lines", "trailer line"],
)
def test_framing_that_does_not_end_is_refused(start: bytes, line: bytes) -> None:
    with pytest.raises(ProtocolError, match="does not end"):
        endless(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + start, line, place=fresh_memory)


def test_what_a_peer_sends_is_not_remembered_for_good() -> None:
    def bomb(number: int) -> bytes:
        return f"HTTP/1.1 200 {number}{'r' * 20_000}\r\nx-{number}-{'n' * 20_000}: v\r\ncontent-length: 0\r\n\r\n".encode()

    feed(bomb(0))
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for number in range(300):
            feed(bomb(number))
        assert tracemalloc.get_traced_memory()[0] - before < 1 << 20
    finally:
        tracemalloc.stop()


def test_a_reply_without_placement_is_metadata_and_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ProtocolError, match=f"{METADATA_LIMIT + 1} bytes where at most {METADATA_LIMIT} make sense"):
        feed(f"HTTP/1.1 200 OK\r\ncontent-length: {METADATA_LIMIT + 1}\r\n\r\n".encode())
    monkeypatch.setattr(codec, "METADATA_LIMIT", 100_000)
    chunk = b"2000\r\n" + bytes(0x2000) + b"\r\n"
    with pytest.raises(ProtocolError, match="more than 100000 bytes"):
        endless(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", chunk)
    with pytest.raises(ProtocolError, match="more than 100000 bytes"):
        endless(b"HTTP/1.1 200 OK\r\n\r\n", bytes(1000))


def test_a_placed_body_may_be_longer_than_metadata(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codec, "METADATA_LIMIT", 1000)
    fed = feed(b"HTTP/1.1 200 OK\r\ncontent-length: 5000\r\n\r\n" + bytes(5000), place=fresh_memory)
    assert len(fed.reply.body) == 5000


@pytest.mark.parametrize("framing", [b"transfer-encoding: chunked\r\n\r\n", b"\r\n"], ids=["chunked", "until close"])
@pytest.mark.parametrize("place", [None, fresh_memory], ids=["fresh", "placed"])
def test_a_body_of_unknown_length_may_be_as_long_as_was_asked_for(framing: bytes, place: Placement | None) -> None:
    body = b"1388\r\n" + bytes(5000) + b"\r\n0\r\n\r\n" if b"chunked" in framing else bytes(5000)
    data = b"HTTP/1.1 200 OK\r\n" + framing + body
    assert len(feed(data, place=place, limit=5000).reply.body) == 5000
    with pytest.raises(ProtocolError, match="more than 4999 bytes"):
        feed(data, place=place, limit=4999)


def test_a_long_explanation_of_an_error_is_not_fetched() -> None:
    head = b"HTTP/1.1 503 Slow Down\r\ncontent-length: 2000000\r\nretry-after: 3\r\n\r\n"
    for data in (head, head + b"x" * 1000):
        fed = feed(data, place=fresh_memory)
        assert fed.reply.complete
        assert not fed.reply.reusable
        assert (fed.reply.status, len(fed.reply.body), fed.reply.headers["retry-after"]) == (503, 0, "3")


@pytest.mark.parametrize("framing", [b"transfer-encoding: chunked\r\n\r\n", b"\r\n"], ids=["chunked", "until close"])
def test_an_endless_explanation_of_an_error_is_refused(framing: bytes) -> None:
    chunk = b"1000\r\n" + bytes(0x1000) + b"\r\n" if b"chunked" in framing else bytes(0x1000)
    with pytest.raises(ProtocolError, match="more than 1048576 bytes") as caught:
        endless(b"HTTP/1.1 500 Oops\r\n" + framing, chunk, place=fresh_memory)
    assert caught.value.status == 500


# What the codec holds, whatever comes.


def held_at_most(start: bytes, again: bytes, *, limit: int, place: Placement | None = None) -> int:
    """Feed something that does not end until it is refused; the bytes that were allocated at the worst moment."""
    endless(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", b"x", limit=0)
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        with pytest.raises(ProtocolError):
            endless(start, again, place=place, limit=limit)
        return tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()


OK_CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    ("start", "again"),
    [
        (b"", b"HTTP/1.1 200 OK"),
        (b"HTTP/1.1 200 OK\r\n", b"a:\r\n"),
        (b"HTTP/1.1 200 OK\r\nx: ", b"y" * 1000),
        (b"", b"HTTP/1.1 100 Continue\r\nx: " + b"y" * 2000 + b"\r\n\r\n"),
        (b"HTTP/1.1 103 Hints\r\n", b"link: x\r\n"),
        (OK_CHUNKED + b"1", b"0" * 1000),
        (OK_CHUNKED + b"1;", b"a" * 1000),
        (OK_CHUNKED + b"0\r\n", b"a:\r\n"),
        (OK_CHUNKED + b"0\r\na: ", b"b" * 1000),
    ],
    ids=["status", "headers", "header", "interim", "interim head", "size", "extension", "trailers", "trailer"],
)
def test_what_does_not_end_is_refused_within_little_memory(start: bytes, again: bytes) -> None:
    # Three times: the memory for heads itself, and a copy or two of a line that may fill it.
    assert held_at_most(start, again, limit=1 << 20) < 4 * HEAD_LIMIT


@pytest.mark.parametrize("chunk", [b"1\r\nx\r\n" * 500, b"1000\r\n" + bytes(0x1000) + b"\r\n"], ids=["small chunks", "large chunks"])
@pytest.mark.parametrize("place", [None, fresh_memory], ids=["fresh", "placed"])
def test_a_body_that_does_not_end_is_refused_at_its_limit(monkeypatch: pytest.MonkeyPatch, chunk: bytes, place: Placement | None) -> None:
    monkeypatch.setattr(codec, "METADATA_LIMIT", 20_000)
    assert held_at_most(OK_CHUNKED, chunk, limit=200_000, place=place) < 20_000 * 2 + 4 * HEAD_LIMIT


def test_a_head_of_as_many_headers_as_fit_is_read() -> None:
    data = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n" + b"".join(b"%x:\r\n" % number for number in range(8000))
    fed = feed(data + b"\r\n", pieces=[700])
    assert len(fed.reply.headers) == 8001


# Doubts about where a body ends: two readers that resolve them differently can be made to see different replies.


@pytest.mark.parametrize(
    "lengths",
    [
        b"content-length: 5\r\ncontent-length: 5\r\ncontent-length: 6",
        b"content-length: 5, 5",
        b"content-length: 1_0",
        b"content-length: 5;",
        b"content-length: 5 5",
        b"content-length: 0x5",
        b"content-length: 5e0",
        b"content-length: \xd9\xa5",
        b"content-length: \xb2",
        b"content-length: " + b"0" * 30 + b"5",
        b"content-length: " + b"9" * 5000,
        b"content-length : 5",
        b"content-length:\r\n 5",
        b"content-length: 5\r\n\tcontent-length: 6",
        b"\x00content-length: 5",
        b"content-length: 5\rx: y",
        b"content-length: 5\nx: y",
        b"content-length: 5\r\ntransfer-encoding: chunked",
        b"transfer-encoding: chunked\r\ncontent-length: 5",
        b"transfer-encoding: xchunked",
        b"transfer-encoding: chunked;q=1",
        b'transfer-encoding: "chunked"',
        b"transfer-encoding: \x0bchunked",
        b"transfer-encoding:\r\n chunked",
        b"transfer-encoding : chunked",
        b"transfer-encoding: chunked, identity",
        b"transfer-encoding: \r\ntransfer-encoding: chunked",
    ],
)
def test_a_length_that_could_be_read_in_two_ways_is_refused(lengths: bytes) -> None:
    for method in ("GET", "HEAD"):
        with pytest.raises(ProtocolError):
            feed(b"HTTP/1.1 200 OK\r\n" + lengths + b"\r\n\r\n5\r\nhello\r\n0\r\n\r\n", method=method)


@pytest.mark.parametrize(
    "chunks",
    [
        b"5_\r\nhello\r\n0\r\n\r\n",
        b"\xd9\xa5\r\nhello\r\n0\r\n\r\n",
        b"5\r\nhello0\r\n\r\n",
        b"5\r\nhello\n0\r\n\r\n",
        b"5\r\nhello\r\n0\n\r\n\r\n",
        b"5;a\nb\r\nhello\r\n0\r\n\r\n",
        b"5;a\rb\r\nhello\r\n0\r\n\r\n",
        b"5\r\nhello\r\n\r\n0\r\n\r\n",
        b"5\r\nhello\r\n-0\r\n\r\n",
        b"5\r\nhello\r\n0\r\n folded: x\r\n\r\n",
        b"5\r\nhello\r\n0\r\na : x\r\n\r\n",
        b"5\r\nhello\r\n0\r\n: x\r\n\r\n",
        b"5\r\nhello\r\n0\r\na: \x00\r\n\r\n",
        b"5\r\nhello\r\n0\r\nContent-Length: 5\r\n\r\n",
        b"5\r\nhello\r\n0\r\na: b\r\ntransfer-encoding: chunked\r\n\r\n",
    ],
)
def test_chunks_that_could_be_read_in_two_ways_are_refused(chunks: bytes) -> None:
    for pieces in ([1 << 20], [1], [3]):
        with pytest.raises(ProtocolError):
            feed(OK_CHUNKED + chunks, pieces=pieces)


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("status", [204, 304])
@pytest.mark.parametrize("framing", [b"content-length: 5\r\n\r\n", b"transfer-encoding: chunked\r\n\r\n", b"\r\n"])
@pytest.mark.parametrize("surplus", [b"hello", b"5\r\nhello\r\n0\r\n\r\n"], ids=["plain", "chunked"])
def test_a_body_where_none_may_be_is_not_the_next_reply(method: str, status: int, framing: bytes, surplus: bytes) -> None:
    fed = feed(b"HTTP/1.1 %d -\r\n" % status + framing + surplus, method=method, place=fresh_memory)
    assert (fed.reply.length, bytes(fed.reply.body), fed.reply.reusable) == (0, b"", False)


def test_an_interim_reply_has_no_body_whatever_it_says() -> None:
    interim = b"HTTP/1.1 100 Continue\r\ncontent-length: 5\r\n\r\n"
    assert feed(interim + FIXED).answer.body == b"hello"
    with pytest.raises(ProtocolError):
        feed(interim + b"hello" + FIXED)
    with pytest.raises(ProtocolError, match="interim reply with a transfer encoding"):
        feed(interim.replace(b"content-length: 5", b"transfer-encoding: chunked") + FIXED)
