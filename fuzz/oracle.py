"""What a reply's bytes mean: to headrace's codec, and to h11, which is the oracle."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import h11

from headrace.errors import ConnectionFailed, ProtocolError
from headrace.http.codec import Excerpt, Placement, Reply, scratch

__all__ = ["Answer", "Fed", "Oracle", "agree", "ask_h11", "feed", "fresh_memory", "outcome"]


class Answer(NamedTuple):
    """What a reader made of the bytes of a connection."""

    status: int
    headers: dict[str, str]
    body: bytes
    interim: int


class Fed(NamedTuple):
    """A reply after it was fed, and how many bytes it took."""

    reply: Reply
    taken: int

    @property
    def answer(self) -> Answer:
        """What headrace made of it."""
        headers = dict(self.reply.headers)
        if "transfer-encoding" in headers:
            # h11 gives the name of the encoding in lower case.
            headers["transfer-encoding"] = headers["transfer-encoding"].lower()
        return Answer(self.reply.status, headers, bytes(self.reply.body), self.reply.interim)


class Oracle(NamedTuple):
    """What h11 says, and what it left for the next reply."""

    answer: Answer
    rest: bytes
    keeps_alive: bool


def fresh_memory(reply: Reply) -> memoryview:
    """A placement: memory of its own for each body."""
    return memoryview(bytearray(reply.length))


def feed(
    data: bytes,
    *,
    method: str = "GET",
    place: Placement | None = None,
    limit: int | None = None,
    excerpt: Excerpt | None = None,
    pieces: Sequence[int] = (),
) -> Fed:
    """Feed bytes, in pieces of the given sizes over and over, as a socket would; then close."""
    reply = Reply(method, scratch(), place, limit, excerpt)
    position, turn = 0, 0
    while not reply.complete and position < len(data):
        buffer = reply.buffer()
        assert len(buffer) > 0, "an incomplete reply must take more"
        count = min(len(buffer), len(data) - position, pieces[turn % len(pieces)] if pieces else len(data))
        buffer[:count] = data[position : position + count]
        assert reply.advance(count) == reply.complete
        position, turn = position + count, turn + 1
    if not reply.complete:
        reply.end()
    assert reply.complete
    assert len(reply.body) == reply.length == reply.received
    return Fed(reply, position)


def outcome(data: bytes, *, method: str, place: Placement | None, pieces: Sequence[int] = ()) -> Answer | str:
    """What feeding comes to: an answer, or the name of the error that refuses it."""
    try:
        return feed(data, method=method, place=place, pieces=pieces).answer
    except (ProtocolError, ConnectionFailed) as error:
        return type(error).__name__


def ask_h11(data: bytes, method: str) -> Oracle:
    """What h11 makes of the same bytes.

    Raises:
        h11.RemoteProtocolError: it refuses them.
    """
    client = h11.Connection(h11.CLIENT, max_incomplete_event_size=1 << 20)
    target = b"host:443" if method == "CONNECT" else b"/"
    client.send(h11.Request(method=method, target=target, headers=[("host", "host")]))
    client.send(h11.EndOfMessage())
    client.receive_data(data)
    client.receive_data(b"")
    interim, body, final = 0, bytearray(), None
    # A tunnel begins where the head of the reply to CONNECT ends.
    while not isinstance(event := client.next_event(), h11.EndOfMessage) and event is not h11.PAUSED:
        if isinstance(event, h11.InformationalResponse):
            interim += 1
        elif isinstance(event, h11.Response):
            final = event
        elif isinstance(event, h11.Data):
            body += event.data
        else:
            raise h11.RemoteProtocolError(f"unexpected {event}")
    if final is None:
        raise h11.RemoteProtocolError("no final reply")
    headers: dict[str, str] = {}
    for raw_name, raw_value in final.headers:
        name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    keeps_alive = client.their_state is h11.DONE
    return Oracle(Answer(final.status_code, headers, bytes(body), interim), client.trailing_data[0], keeps_alive)


def agree(fed: Fed, data: bytes, method: str) -> None:
    """Assert that h11 reads what headrace has accepted in the same way, and that no byte of the next reply is lost.

    Raises:
        h11.RemoteProtocolError: h11 refuses what headrace has accepted.
    """
    oracle = ask_h11(data, method)
    assert fed.answer == oracle.answer
    if fed.reply.reusable and method != "CONNECT":
        assert oracle.keeps_alive
        assert data[fed.taken :] == oracle.rest
