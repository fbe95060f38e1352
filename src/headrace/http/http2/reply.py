"""A reply that comes as the frames of a stream, and looks to its readers as one over HTTP/1.1."""

from __future__ import annotations

from headrace.errors import ProtocolError
from headrace.http.codec import Excerpt, Placement, Reply, add_header

__all__ = ["StreamReply"]

_NO_HEAD = memoryview(bytearray())


class StreamReply(Reply):
    """One reply, as its frames arrive: `begin`, then `take` and `take` again, then `finish`.

    The rules for lengths, limits and placements are those of `Reply`, and so are the errors; its `buffer` is not used.
    A body is copied once by `take`, out of the memory in which its frames were received.
    """

    __slots__ = ()

    def __init__(self, method: str, place: Placement | None = None, limit: int | None = None, excerpt: Excerpt | None = None) -> None:
        super().__init__(method, _NO_HEAD, place, limit, excerpt)

    @property
    def unwanted(self) -> bool:
        """Whether the rest of the body is not worth the transfer: of an explanation that is too long, or behind an excerpt."""
        return self.complete and not self.reusable

    def begin_interim(self) -> None:
        """A 1xx reply has come before the one that counts."""
        self._count_interim()

    def begin(self, fields: list[tuple[bytes, bytes]]) -> None:
        """Take the head: ``:status`` and the headers.

        Raises:
            ProtocolError: the head is not valid, or promises more than it may.
            Exception: what the placement raised.
        """
        for raw_name, raw_value in fields:
            name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
            if name == ":status":
                self.status = _status(value)
            else:
                add_header(self.headers, name, value)
        if not self.status:
            raise ProtocolError("a reply without a status")
        self._begin_body(0, 1)

    def take(self, data: memoryview) -> None:
        """Copy the next bytes of the body to where they belong.

        Raises:
            ProtocolError: there are more of them than there may be.
        """
        if self.dropping:
            dropped = min(len(data), self._skip)
            self.advance(dropped)
            data = data[dropped:]
        if self.exact:
            if self._excerpt is not None:
                data = data[: self.length - self.received]
            end = self.received + len(data)
            if end > self.length:
                raise ProtocolError(f"the body is longer than the {self.length} bytes it was said to have", status=self.status)
            self.body[self.received : end] = data
            self.advance(len(data))
        elif not self.complete and not self.dropping:
            self._grow(data)
        elif data:
            raise ProtocolError("the body is longer than it was said to be", status=self.status)

    def finish(self) -> None:
        """The server has ended the stream.

        Raises:
            ProtocolError: the body is shorter than its head said.
            Exception: what the placement raised.
        """
        if self.exact or self.dropping:
            raise ProtocolError(f"the body ended at byte {self.received} of {self.length}", status=self.status)
        if not self.complete:
            self._finish_grown()
        self.reusable = True


def _status(value: str) -> int:
    if len(value) != 3 or not (value.isascii() and value.isdigit()) or value < "200":
        raise ProtocolError(f"{value[:40]!r} is no status")
    return int(value)
