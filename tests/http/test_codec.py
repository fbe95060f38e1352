"""The codec against h11 as an oracle, and the cases in which it must be stricter or more careful."""

from __future__ import annotations

import h11
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from fuzz.oracle import agree, ask_h11, feed, fresh_memory
from headrace.errors import ConnectionFailed, ProtocolError
from headrace.http.codec import Placement, Reply, scratch

NEXT_REPLY = b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nsecond"


# Replies, valid ones and damaged ones.

token = st.text("abcdefghijklmnopqrstuvwxyzABCXYZ0123456789-_.!~*", min_size=1, max_size=12)
visible = st.characters(min_codepoint=0x21, max_codepoint=0xFF, exclude_characters="\x7f\x85\xa0", exclude_categories=("Cc",))
value = st.text(st.one_of(visible, st.sampled_from(" \t")), max_size=20).map(lambda text: text.strip(" \t"))
reserved = frozenset({"content-length", "transfer-encoding", "connection"})
header = st.tuples(token.filter(lambda name: name.lower() not in reserved), value, st.sampled_from(["", " ", "\t", "  "]))
body_bytes = st.one_of(st.binary(max_size=60), st.sampled_from([b"\r\n\r\n", b"0\r\n\r\n", NEXT_REPLY]))


@st.composite
def chunked(draw: st.DrawFn, body: bytes) -> bytes:
    encoded = bytearray()
    while body:
        size = draw(st.integers(1, len(body)))
        spelled = draw(st.sampled_from([f"{size:x}", f"{size:X}", f"{size:05x}"]))
        extension = draw(st.sampled_from(["", ";a", ";a=b", ';a="b c"']))
        encoded += f"{spelled}{extension}\r\n".encode() + body[:size] + b"\r\n"
        body = body[size:]
    return bytes(encoded) + b"0\r\n" + draw(st.sampled_from([b"", b"etag: x\r\n", b"a: 1\r\nb:\r\n"])) + b"\r\n"


@st.composite
def exchanges(draw: st.DrawFn) -> tuple[str, bytes]:
    """A method, and the bytes that a correct server replies to it."""
    method = draw(st.sampled_from(["GET", "GET", "GET", "PUT", "HEAD", "DELETE"]))
    status = draw(st.sampled_from([200, 200, 206, 204, 304, 301, 404, 503]))
    version = draw(st.sampled_from(["1.1", "1.1", "1.1", "1.0"]))
    lines = [f"HTTP/{version} {status}{draw(st.sampled_from(['', ' ', ' OK', ' Not Found at all']))}"]
    lines += [f"{name}:{space}{text}{space}" for name, text, space in draw(st.lists(header, max_size=5))]
    lines += draw(st.sampled_from([[], [], ["Connection: close"], ["connection: Keep-Alive"], ["connection: x, Close"]]))
    body = draw(body_bytes)
    framing = draw(st.sampled_from(["length", "length", "chunked", "close"]))
    bodiless = method == "HEAD" or status in (204, 304)
    if framing == "length" and status != 204:
        lines += [f"Content-Length: {len(body)}"] * draw(st.sampled_from([1, 1, 1, 2]))
    if framing == "chunked":
        lines.append("Transfer-Encoding: chunked")
        body = draw(chunked(body))
    interim = b"".join(
        draw(st.lists(st.sampled_from([b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Hints\r\nlink: x\r\n\r\n"]), max_size=2))
    )
    head = "\r\n".join([*draw(st.permutations(lines[:1])), *lines[1:]]).encode("latin-1") + b"\r\n\r\n"
    return method, interim + head + (b"" if bodiless else body) + draw(st.sampled_from([b"", b"", NEXT_REPLY]))


sizes = st.lists(st.integers(1, 40), min_size=1, max_size=8)
placements = st.sampled_from([None, fresh_memory])


@given(exchanges(), sizes, placements)
def test_valid_replies_read_as_h11_reads_them(exchange: tuple[str, bytes], pieces: list[int], place: Placement | None) -> None:
    method, data = exchange
    agree(feed(data, method=method, place=place, pieces=pieces), data, method)


@st.composite
def damaged(draw: st.DrawFn) -> tuple[str, bytes]:
    """A valid exchange, and then something happened to its bytes."""
    method, data = draw(exchanges())
    for _ in range(draw(st.integers(1, 3))):
        place = draw(st.integers(0, len(data)))
        length = draw(st.integers(1, 8))
        inserted = draw(
            st.one_of(st.binary(min_size=1, max_size=4), st.sampled_from([b"\r", b"\n", b"\r\n", b" ", b"\t", b":", b"0", b"\0"]))
        )
        lines = data.split(b"\r\n")
        line = draw(st.integers(0, len(lines) - 1))
        data = draw(
            st.sampled_from(
                [
                    data[:place] + inserted + data[place + len(inserted) :],
                    data[:place] + inserted + data[place:],
                    data[:place] + data[place + length :],
                    data[:place],
                    b"\r\n".join([*lines[:line], lines[line], *lines[line:]]),
                    b"\r\n".join([*lines[:line], *lines[line + 1 :]]),
                    data.replace(b"Content-Length: ", b"Content-Length: 1"),
                    data.replace(b"\r\n", b"\n", 1),
                    data[:place] + data[place : place + 1].swapcase() + data[place + 1 :],
                ]
            )
        )
    return method, data


@given(damaged(), sizes, placements)
@example(("GET", b"HTTP/1.1 200 OK\r\nConnection\r\nContent-Length: 0\r\n\r\n"), [99], None)
@example(("GET", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), [99], None)
@example(("GET", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\na b: c\r\n\r\n"), [99], None)
def test_damaged_replies_are_read_as_h11_does_or_refused(exchange: tuple[str, bytes], pieces: list[int], place: Placement | None) -> None:
    method, data = exchange
    try:
        fed = feed(data, method=method, place=place, pieces=pieces)
    except (ProtocolError, ConnectionFailed):
        return
    try:
        agree(fed, data, method)
    except h11.RemoteProtocolError:
        # RFC 9112, section 7.1.1, allows white space before a chunk extension; h11 does not.
        assert b"chunked" in data.lower()
        assert fed.answer == ask_h11(data.replace(b" ;", b";").replace(b"\t;", b";"), method).answer


@settings(max_examples=50)
@given(exchanges(), sizes, placements)
def test_a_close_before_the_end_is_noticed_wherever_it_comes(
    exchange: tuple[str, bytes], pieces: list[int], place: Placement | None
) -> None:
    method, data = exchange
    whole = feed(data, method=method, place=place, pieces=[1])
    # Nothing else than the close tells the end of the others.
    assume({"content-length", "transfer-encoding"} & whole.reply.headers.keys() or whole.reply.length == 0)
    for end in range(whole.taken):
        with pytest.raises(ConnectionFailed):
            feed(data[:end], method=method, place=place, pieces=pieces)


@given(st.binary(max_size=300), sizes)
def test_noise_is_never_a_reply(noise: bytes, pieces: list[int]) -> None:
    with pytest.raises((ProtocolError, ConnectionFailed)):
        feed(noise, pieces=pieces)


FIXED = b'HTTP/1.1 200 OK\r\nContent-Length: 5\r\nETag: "x"\r\n\r\nhello'
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"


# Where a reply ends.


@pytest.mark.parametrize("data", [FIXED, CHUNKED], ids=["length", "chunked"])
@pytest.mark.parametrize("place", [None, fresh_memory], ids=["fresh", "placed"])
def test_an_early_close_is_noticed_at_every_byte(data: bytes, place: Placement | None) -> None:
    for end in range(len(data)):
        with pytest.raises(ConnectionFailed, match="closed the connection"):
            feed(data[:end], place=place)
    fed = feed(data, place=place)
    assert (bytes(fed.reply.body), fed.reply.reusable) == (b"hello", True)


def test_an_early_close_says_how_far_it_came() -> None:
    with pytest.raises(ConnectionFailed, match="before it sent a reply"):
        feed(b"")
    with pytest.raises(ConnectionFailed, match="middle of a reply's head"):
        feed(FIXED[:20])
    with pytest.raises(ConnectionFailed, match="at byte 2 of 5 of the body"):
        feed(FIXED[:-3])


@pytest.mark.parametrize("data", [FIXED, CHUNKED], ids=["length", "chunked"])
@pytest.mark.parametrize("surplus", [b"!", NEXT_REPLY], ids=["byte", "reply"])
def test_surplus_bytes_end_the_connection_and_stay_out_of_the_body(data: bytes, surplus: bytes) -> None:
    fed = feed(data + surplus)
    assert bytes(fed.reply.body) == b"hello"
    assert not fed.reply.reusable


def test_a_body_of_known_length_never_takes_a_byte_too_many() -> None:
    fed = feed(FIXED + NEXT_REPLY, pieces=[len(FIXED) - 3, 1 << 20])
    assert bytes(fed.reply.body) == b"hello"
    assert fed.taken == len(FIXED)


@pytest.mark.parametrize(
    ("method", "head"),
    [
        ("HEAD", "200 OK\r\ncontent-length: 1000"),
        ("HEAD", "200 OK\r\ntransfer-encoding: chunked"),
        ("GET", "304 Not Modified\r\ncontent-length: 1000"),
        ("DELETE", "204 No Content"),
        ("DELETE", "204 No Content\r\ncontent-length: 0"),
        ("CONNECT", "200 Connection established"),
        ("CONNECT", "200 Connection established\r\ntransfer-encoding: chunked"),
    ],
)
def test_replies_without_a_body_end_with_their_head(method: str, head: str) -> None:
    fed = feed(f"HTTP/1.1 {head}\r\n\r\n".encode(), method=method, place=fresh_memory)
    assert fed.reply.complete
    assert fed.reply.reusable
    assert (fed.reply.length, fed.reply.received, len(fed.reply.body)) == (0, 0, 0)


@pytest.mark.parametrize("framing", ["content-length: 5", "transfer-encoding: chunked"])
def test_content_that_should_not_be_there_ends_the_connection(framing: str) -> None:
    """The content may follow later, where the next reply is expected."""
    assert not feed(f"HTTP/1.1 204 No Content\r\n{framing}\r\n\r\n".encode()).reply.reusable


@pytest.mark.parametrize("connection", ["close", "Close", "keep-alive, close", "a,close ,b"])
def test_connection_close_is_found_among_several_tokens(connection: str) -> None:
    assert not feed(f"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nConnection: {connection}\r\n\r\n".encode()).reply.reusable


def test_connection_close_is_found_in_the_second_of_two_headers() -> None:
    assert not feed(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: te\r\nconnection: close\r\n\r\n").reply.reusable


@pytest.mark.parametrize("extra", ["", "connection: keep-alive\r\n"])
def test_http_1_0_connections_serve_one_reply(extra: str) -> None:
    fed = feed(f"HTTP/1.0 200 OK\r\n{extra}content-length: 2\r\n\r\nhi".encode())
    assert (bytes(fed.reply.body), fed.reply.reusable) == (b"hi", False)


def test_a_body_without_length_lasts_until_the_close() -> None:
    fed = feed(b"HTTP/1.1 200 OK\r\n\r\n" + NEXT_REPLY, place=fresh_memory, pieces=[7])
    assert bytes(fed.reply.body) == NEXT_REPLY
    assert (fed.reply.length, fed.reply.reusable) == (len(NEXT_REPLY), False)


# Interim replies.


def test_interim_replies_are_counted_and_leave_nothing_behind() -> None:
    reply = Reply("PUT", scratch())
    data = b"HTTP/1.1 100 Continue\r\nx-a: 1\r\n\r\n"
    reply.buffer()[: len(data)] = data
    reply.advance(len(data))
    assert (reply.interim, reply.status, reply.headers, reply.begun) == (1, 0, {}, True)


def test_endless_interim_replies_are_refused() -> None:
    with pytest.raises(ProtocolError, match="more than 16 interim replies"):
        feed(b"HTTP/1.1 100 Continue\r\n\r\n" * 50, pieces=[11])


def test_a_switch_of_protocols_is_refused() -> None:
    with pytest.raises(ProtocolError, match="protocol that nobody asked for"):
        feed(b"HTTP/1.1 101 Switching Protocols\r\nupgrade: h2c\r\n\r\n")


# Placement.


def test_the_body_is_received_in_the_memory_that_the_placement_gave() -> None:
    given_memory = memoryview(bytearray(5))
    fed = feed(FIXED, place=lambda reply: given_memory, pieces=[len(FIXED) - 4, 3])
    assert fed.reply.body is given_memory
    assert bytes(given_memory) == b"hello"


def test_the_placement_knows_head_and_length() -> None:
    seen: list[tuple[int, int, str]] = []

    def place(reply: Reply) -> memoryview:
        seen.append((reply.status, reply.length, reply.headers.get("etag", "")))
        return fresh_memory(reply)

    feed(FIXED, place=place, pieces=[3])
    feed(CHUNKED, place=place, pieces=[3])
    assert seen == [(200, 5, '"x"'), (200, 5, "")]


@pytest.mark.parametrize("status", [301, 404, 503])
def test_what_explains_an_error_is_not_placed(status: int) -> None:
    def place(reply: Reply) -> memoryview:
        raise AssertionError("not for errors")

    fed = feed(f"HTTP/1.1 {status} No\r\ncontent-length: 4\r\n\r\nwhy?".encode(), place=place)
    assert bytes(fed.reply.body) == b"why?"


@pytest.mark.parametrize("data", [FIXED, CHUNKED, b"HTTP/1.1 200 OK\r\n\r\nhello"], ids=["length", "chunked", "until close"])
def test_a_placement_that_fails_is_heard_and_the_connection_is_not_reused(data: bytes) -> None:
    def place(reply: Reply) -> memoryview:
        raise MemoryError("no room")

    reply = Reply("GET", scratch(), place)
    reply.buffer()[: len(data)] = data

    def receive() -> None:
        reply.advance(len(data))
        reply.end()

    with pytest.raises(MemoryError, match="no room"):
        receive()
    assert not reply.complete


@pytest.mark.parametrize("data", [FIXED, CHUNKED], ids=["length", "chunked"])
@pytest.mark.parametrize("length", [0, 4, 6])
def test_a_placement_of_another_length_is_refused(data: bytes, length: int) -> None:
    for pieces in ([1 << 20], [len(data) - 4, 1 << 20]):
        with pytest.raises(ValueError, match=f"memory of {length} bytes was given for a body of 5"):
            feed(data + NEXT_REPLY, place=lambda reply: memoryview(bytearray(length)), pieces=pieces)


# Headers.


def test_headers_are_lower_case_joined_and_stripped() -> None:
    fed = feed(b'HTTP/1.1 200 OK\r\nETag:\t"a" \r\nX-A: 1\r\nx-a:2\r\nX-Empty:\r\nCONTENT-LENGTH: 0\r\ncontent-length: 0\r\n\r\n')
    assert fed.reply.headers == {"etag": '"a"', "x-a": "1, 2", "x-empty": "", "content-length": "0"}


def test_one_scratch_memory_serves_one_reply_after_another() -> None:
    memory_for_heads = scratch()
    bodies = []
    for data in (FIXED, CHUNKED, FIXED.replace(b"hello", b"world")):
        reply = Reply("GET", memory_for_heads)
        reply.buffer()[: len(data)] = data
        reply.advance(len(data))
        bodies.append(reply.body)
    assert [bytes(body) for body in bodies] == [b"hello", b"hello", b"world"]


# Excerpts of bodies that come whole.


def framed(body: bytes, framing: str) -> bytes:
    if framing == "length":
        return b"HTTP/1.1 200 -\r\ncontent-length: %d\r\n\r\n" % len(body) + body
    if framing == "until close":
        return b"HTTP/1.1 200 -\r\n\r\n" + body
    pieces = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in (body[:7], body[7:8], body[8:]) if piece)
    return b"HTTP/1.1 200 -\r\ntransfer-encoding: chunked\r\n\r\n" + pieces + b"0\r\n\r\n"


@given(
    st.binary(max_size=60),
    st.sampled_from(["length", "chunked", "until close"]),
    st.integers(0, 70),
    st.one_of(st.none(), st.integers(0, 70)),
    sizes,
    placements,
)
def test_an_excerpt_is_what_a_slice_of_the_body_is(
    body: bytes, framing: str, first: int, count: int | None, pieces: list[int], place: Placement | None
) -> None:
    fed = feed(framed(body, framing) + NEXT_REPLY * (framing == "length"), place=place, excerpt=(first, count), pieces=pieces)
    expected = body[first:] if count is None else body[first : first + count]
    assert bytes(fed.reply.body) == expected
    assert fed.reply.total in ((len(body),) if framing == "length" else (len(body), -1))
    if fed.reply.reusable:
        # Only where nothing of it is left on the connection.
        assert framing != "until close"
        assert fed.taken == len(framed(body, framing))
    if count is not None and first + count < len(body):
        assert not fed.reply.reusable


@pytest.mark.parametrize("status", [206, 203, 404])
def test_an_excerpt_is_taken_of_no_other_reply(status: int) -> None:
    data = framed(b"0123456789", "length").replace(b"200", b"%d" % status)
    fed = feed(data, excerpt=(5, 2))
    assert (bytes(fed.reply.body), fed.reply.reusable) == (b"0123456789", True)


def test_a_body_that_breaks_before_its_excerpt() -> None:
    with pytest.raises(ConnectionFailed):
        feed(framed(bytes(100), "length")[:-10], excerpt=(95, 2))
