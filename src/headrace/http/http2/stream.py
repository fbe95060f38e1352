"""What an HTTP/2 connection knows of each exchange that is under way."""

from __future__ import annotations

import asyncio

from headrace.http.http2.reply import StreamReply

__all__ = ["Stream"]


class Stream:
    """One exchange under way.

    Attributes:
        moved: whether a byte of it moved since the last sweep.
        quiet_sweeps: how many sweeps in a row saw nothing move.
        last_byte: how many bytes the connection had written when it wrote the last of this exchange.
        sent: whether the whole request is written.
        unsent: bytes of its body that are not.
        ended: whether the server is done with it: its reply is complete, or it has reset the stream.
        unacknowledged: bytes received for which the server's window was not opened again.
    """

    __slots__ = ("done", "ended", "last_byte", "moved", "quiet_sweeps", "reply", "sent", "unacknowledged", "unsent", "woken")

    def __init__(self, reply: StreamReply, done: asyncio.Future[StreamReply]) -> None:
        self.reply = reply
        self.done = done
        self.woken = asyncio.Event()
        self.moved = True
        self.sent = self.ended = False
        self.quiet_sweeps = self.last_byte = self.unsent = self.unacknowledged = 0
