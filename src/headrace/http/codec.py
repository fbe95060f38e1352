"""HTTP/1.1 replies (RFC 9112) as a state machine that does no I/O.

A `Reply` says where the next bytes belong (`Reply.buffer`) and is told how many came (`Reply.advance`), so the kernel receives
a body straight into its final memory. It is stricter than the RFC where leniency would hide a damaged or forged reply:
no folded headers, no bare line feeds, no reply with both a length and chunks.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TypeAlias

from headrace import memory
from headrace.errors import ConnectionFailed, ProtocolError

__all__ = ["HEAD_LIMIT", "METADATA_LIMIT", "Excerpt", "Placement", "Reply", "add_header", "scratch"]

HEAD_LIMIT = 64 << 10
"""Bytes that the status line and headers of a reply may have."""

METADATA_LIMIT = 64 << 20
"""Bytes that a reply may have, if nobody says otherwise: without a placement it is a listing or the like, not an object."""

_ERROR_BODY_LIMIT = 1 << 20
_INTERIM_LIMIT = 16
_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_STATUS_LINE = re.compile(r"HTTP/1\.([01]) ([1-9][0-9][0-9])(?: [^\x00-\x08\x0a-\x1f\x7f]*)?")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
# RFC 9112, section 7.1.1, allows white space before an extension; extensions are dropped.
_CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,16})[ \t]*(?:;[^\x00\r\n]*)?")
_TRAILER_LINE = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[^\x00-\x08\x0a-\x1f\x7f]*")
# RFC 9110, section 6.5.1: what says where a body ends comes too late after it.
_NOT_IN_TRAILERS = (b"transfer-encoding", b"content-length")
_LENGTH = re.compile(r"[0-9]{1,18}")

# Most header lines were seen before. A peer can make the process remember so many of them, and status lines, of so many characters.
_MEMO_LIMIT = 512
_MEMO_LENGTH = 96
_REPEATED = frozenset(
    {
        "accept-ranges",
        "connection",
        "content-length",
        "content-type",
        "date",
        "keep-alive",
        "last-modified",
        "server",
        "x-amz-checksum-type",
        "x-amz-server-side-encryption",
        "x-amz-storage-class",
        "x-ms-access-tier",
        "x-ms-blob-type",
        "x-ms-lease-state",
        "x-ms-lease-status",
        "x-ms-server-encrypted",
        "x-ms-version",
    }
)
_headers: dict[str, tuple[str, str]] = {}
_status_lines: dict[str, tuple[int, int]] = {}

_HEAD, _FIXED, _CHUNKED, _UNTIL_CLOSE, _DROPPING, _COMPLETE = range(6)

# What `_chunk` holds when it is not the number of bytes left of a chunk; 0 means that its closing line break is due.
# In the trailer it goes down from _TRAILER by the bytes that have come.
_SIZE_LINE, _TRAILER = -1, -2

Placement: TypeAlias = "Callable[[Reply], memoryview]"
"""Gives the memory, of exactly ``reply.length`` bytes (flat, format ``B``), for the body of a successful reply."""

Excerpt: TypeAlias = "tuple[int, int | None]"
"""What is wanted of a body that comes whole (status 200): so many bytes from this one, or (None) all from it."""


def scratch() -> memoryview:
    """Memory that a connection lends to one reply after another, for heads and for small bodies."""
    return memoryview(bytearray(HEAD_LIMIT + 2048))


class Reply:
    """One HTTP reply, as it arrives.

    Args:
        method: what was asked with; a reply to HEAD or CONNECT has no body.
        memory_for_head: see `scratch`.
        place: see `Placement`; without it a body gets fresh memory.
        limit: bytes that a successful body may have whose length the head does not tell; by default `METADATA_LIMIT`.
        excerpt: what is wanted of a whole body. What comes before is dropped as it arrives; what would come after is not waited for, at
            the cost of the connection. ``length``, ``body`` and ``received`` are then those of the excerpt.

    Attributes:
        status: the status code; 0 until the head is complete.
        headers: lower-case names; the values of a repeated header are joined by ``", "``.
        length: bytes of the body, or -1 while unknown.
        total: bytes of the whole body, of which ``body`` may be an excerpt; -1 while, or for good if, it is unknown.
        body: writable memory of the body; complete only when the exchange succeeded.
        received: bytes of the body that are in place.
        interim: how many 1xx replies came before.
        reusable: whether the connection can serve another request afterwards.
    """

    __slots__ = (
        "_chunk",
        "_excerpt",
        "_filled",
        "_grown",
        "_limit",
        "_method",
        "_place",
        "_scratch",
        "_skip",
        "_state",
        "body",
        "headers",
        "interim",
        "length",
        "received",
        "reusable",
        "status",
        "total",
    )

    def __init__(
        self,
        method: str,
        memory_for_head: memoryview,
        place: Placement | None = None,
        limit: int | None = None,
        excerpt: Excerpt | None = None,
    ) -> None:
        self._method = method
        self._limit = METADATA_LIMIT if limit is None else limit
        self._scratch = memory_for_head
        self._place = place
        self._excerpt = excerpt
        self._skip = 0
        self._state = _HEAD
        self._filled = 0
        self._grown: bytearray | None = None
        self._chunk = _SIZE_LINE
        self.status = 0
        self.headers: dict[str, str] = {}
        self.length = self.total = -1
        self.body = _EMPTY
        self.received = 0
        self.interim = 0
        self.reusable = False

    @property
    def begun(self) -> bool:
        """Whether any byte of the reply has arrived."""
        return self._filled > 0 or self._state != _HEAD or self.interim > 0

    @property
    def complete(self) -> bool:
        """Whether the whole reply is there."""
        return self._state == _COMPLETE

    @property
    def exact(self) -> bool:
        """Whether `buffer` ends just where the reply ends, so that waiting for all of it cannot wait for too much."""
        return self._state == _FIXED

    @property
    def dropping(self) -> bool:
        """Whether the next bytes come before those that are wanted."""
        return self._state == _DROPPING

    def buffer(self) -> memoryview:
        """Where the next bytes from the connection belong. Never empty while the reply is incomplete."""
        if self._state == _FIXED:
            return self.body[self.received :]
        if self._state == _DROPPING:
            return self._scratch[: self._skip]
        return self._scratch[self._filled :]

    def advance(self, count: int) -> bool:
        """Take note of ``count`` more bytes in `buffer`; tell whether the reply is complete.

        Raises:
            ProtocolError: the peer does not speak valid HTTP/1.1, or sends more than it may.
            Exception: what the placement raised; the reply is then incomplete for good.
        """
        if self._state == _FIXED:
            self.received += count
            if self.received == self.length:
                self._state = _COMPLETE
        elif self._state == _HEAD:
            searched = self._filled
            self._filled += count
            self._read_heads(max(0, searched - 3))
        elif self._state == _CHUNKED:
            self._filled += count
            self._read_chunks()
        elif self._state == _UNTIL_CLOSE:
            self._grow(self._scratch[:count])
        elif self._state == _DROPPING:
            self._skip -= count
            if self._skip == 0:
                self._state = _FIXED
        return self._state == _COMPLETE

    def end(self) -> None:
        """The peer closed the connection.

        Raises:
            ConnectionFailed: the reply is incomplete.
        """
        if self._state == _UNTIL_CLOSE:
            self._finish_grown()
        elif self._state == _HEAD:
            where = "in the middle of a reply's head" if self._filled else "before it sent a reply"
            raise ConnectionFailed(f"the server closed the connection {where}")
        elif self._state != _COMPLETE:
            promised = f" of {self.length}" if self.length >= 0 else ""
            raise ConnectionFailed(f"the server closed the connection at byte {self.received}{promised} of the body")

    def _read_heads(self, searched: int) -> None:
        """Read the head, and any interim reply before it, if they are complete."""
        data = self._scratch.obj
        assert isinstance(data, bytearray)
        while (end := data.find(b"\r\n\r\n", searched, self._filled)) >= 0:
            status, headers, minor = parse_head(data[:end].decode("latin-1"))
            start = end + 4
            if status >= 200:
                self.status, self.headers = status, headers
                self._begin_body(start, minor)
                return
            if status == 101:
                raise ProtocolError("the server switched to a protocol that nobody asked for", status=101)
            if "transfer-encoding" in headers:
                # RFC 9112, section 6.1, forbids it; a reader that minds it would look for a body here.
                raise ProtocolError("an interim reply with a transfer encoding", status=status)
            self._count_interim()
            self._keep_from(start)
            searched = 0
        if self._filled >= HEAD_LIMIT:
            raise ProtocolError(f"the reply's head is longer than {HEAD_LIMIT} bytes")

    def _count_interim(self) -> None:
        self.interim += 1
        if self.interim > _INTERIM_LIMIT:
            raise ProtocolError(f"the server sent more than {_INTERIM_LIMIT} interim replies")

    def _begin_body(self, start: int, minor: int) -> None:
        headers = self.headers
        connection = headers.get("connection")
        self.reusable = minor == 1 and (connection is None or "close" not in connection.lower())
        if self._excerpt is not None and self.status != 200:
            self._excerpt = None
        if chunked := "transfer-encoding" in headers:
            self._check_transfer_encoding()
        if self._method == "HEAD" or self.status in (204, 304) or (self._method == "CONNECT" and self.status < 300):
            self._finish_empty(start)
        elif chunked:
            self._begin_chunks(start)
        elif (length := headers.get("content-length")) is not None:
            self._begin_fixed(start, int(length))
        else:
            self.reusable = False
            self._state, surplus = _UNTIL_CLOSE, self._filled - start
            self._begin_to_grow()
            self._filled = 0
            if self._state == _UNTIL_CLOSE:
                self._grow(self._scratch[start : start + surplus])

    def _check_transfer_encoding(self) -> None:
        if "content-length" in self.headers:
            raise ProtocolError("the reply has both a length and a transfer encoding", status=self.status)
        if self.headers["transfer-encoding"].lower() != "chunked":
            raise ProtocolError(f"unknown transfer encoding {self.headers['transfer-encoding'][:80]!r}", status=self.status)

    def _begin_fixed(self, start: int, length: int) -> None:
        if self.status >= 300 and length > _ERROR_BODY_LIMIT:
            # An explanation of this size is not worth the transfer; the connection is given up with it.
            self.reusable = False
            length = 0
        here = self._filled - start
        if here > length:
            self.reusable = False
            here = length
        self.length = self.total = length
        if self._excerpt is not None:
            dropped = self._cut_out(*self._excerpt, here)
            length = self.length
            start, here = start + dropped, min(here - dropped, length)
        if self._place is not None and self.status < 300:
            self.body = self._placed(self._place)
        elif length > METADATA_LIMIT:
            raise ProtocolError(f"a reply of {length} bytes where at most {METADATA_LIMIT} make sense", status=self.status)
        elif here == length:
            self.body = memoryview(bytearray(self._scratch[start : start + length]))
            self.received, self._state = length, _COMPLETE
            return
        else:
            self.body = memory.fresh(length)
        self.body[:here] = self._scratch[start : start + here]
        self.received = here
        self._state = _COMPLETE if here == length else _DROPPING if self._skip else _FIXED

    def _cut_out(self, first: int, count: int | None, here: int) -> int:
        """Let the length be that of the excerpt; tell how many of the bytes that are ``here`` come before it."""
        first = min(first, self.total)
        self.length = self.total - first if count is None else min(count, self.total - first)
        if first + self.length < self.total or (not self.length and here < self.total):
            self.reusable = False
        dropped = min(first, here)
        self._skip = first - dropped if self.length else 0
        return dropped

    def _placed(self, place: Placement) -> memoryview:
        # Used once and let go of: what it refers to may well refer to this reply.
        self._place = None
        body = place(self)
        if len(body) != self.length:
            # Longer memory would take in bytes of the next reply.
            raise ValueError(f"memory of {len(body)} bytes was given for a body of {self.length}")
        return body

    def _begin_chunks(self, start: int) -> None:
        self._state = _CHUNKED
        self._begin_to_grow()
        self._keep_from(start)
        self._read_chunks()

    def _begin_to_grow(self) -> None:
        self._grown = bytearray()
        if self._excerpt is not None:
            self._skip = self._excerpt[0]
            if self._excerpt[1] == 0:
                self._finish_excerpt()

    def _read_chunks(self) -> None:
        """Decode what has arrived of a chunked body (RFC 9112, section 7.1); it is copied once more than a fixed one."""
        data = self._scratch.obj
        assert isinstance(data, bytearray)
        position = 0
        while self._state == _CHUNKED:
            if self._chunk > 0:
                piece = min(self._chunk, self._filled - position)
                self._grow(self._scratch[position : position + piece])
                position += piece
                self._chunk -= piece
                if self._chunk or self._state != _CHUNKED:
                    break
            end = data.find(b"\r\n", position, self._filled)
            if end < 0:
                if self._filled - position > HEAD_LIMIT // 2:
                    raise ProtocolError("a line of a chunked body does not end")
                break
            line = bytes(data[position:end])
            position = end + 2
            self._read_chunk_line(line, position)
        if self._state == _CHUNKED:
            self._keep_from(position)

    def _read_chunk_line(self, line: bytes, position: int) -> None:
        if self._chunk == 0:
            if line:
                raise ProtocolError("a chunk is longer than it says")
            self._chunk = _SIZE_LINE
        elif self._chunk <= _TRAILER:
            # Trailer fields are dropped: nothing that headrace asks for comes in them.
            self._chunk -= len(line) + 2
            if not line:
                self.reusable = self.reusable and position == self._filled
                self._finish_grown()
            elif _TRAILER_LINE.fullmatch(line) is None or line.partition(b":")[0].lower() in _NOT_IN_TRAILERS:
                raise ProtocolError("a trailer of a chunked body is not valid")
            elif self._chunk < _TRAILER - HEAD_LIMIT:
                raise ProtocolError("the trailer of a chunked body does not end")
        else:
            match = _CHUNK_SIZE.fullmatch(line)
            if match is None:
                raise ProtocolError("the size of a chunk is not valid")
            self._chunk = int(match[1], 16) or _TRAILER

    def _grow(self, piece: memoryview) -> None:
        assert self._grown is not None
        if self._skip:
            dropped = min(self._skip, len(piece))
            self._skip -= dropped
            piece = piece[dropped:]
        most = self._excerpt[1] if self._excerpt is not None else None
        if most is not None:
            piece = piece[: most - len(self._grown)]
        limit = self._limit if self.status < 300 else _ERROR_BODY_LIMIT
        if len(self._grown) + len(piece) > limit:
            raise ProtocolError(f"a reply of more than {limit} bytes where so many make no sense", status=self.status)
        self._grown += piece
        self.received = len(self._grown)
        if self.received == most:
            self._finish_excerpt()

    def _finish_excerpt(self) -> None:
        """All that is wanted is there: what follows is not waited for."""
        self.reusable = False
        self._complete_grown()

    def _finish_grown(self) -> None:
        """The body has ended by itself, so that its length is known."""
        assert self._grown is not None
        self.total = len(self._grown) + (self._excerpt[0] - self._skip if self._excerpt is not None else 0)
        self._complete_grown()

    def _complete_grown(self) -> None:
        assert self._grown is not None
        grown, self._grown = self._grown, None
        self.length = self.received = len(grown)
        if self._place is not None and self.status < 300:
            self.body = self._placed(self._place)
            self.body[:] = grown
        else:
            self.body = memoryview(grown)
        self._state = _COMPLETE

    def _finish_empty(self, start: int) -> None:
        # What says that it has no content and announces some may send it yet, where the next reply is expected.
        contradicts = self.status == 204 and ("transfer-encoding" in self.headers or self.headers.get("content-length", "0") != "0")
        if self._filled > start or contradicts:
            self.reusable = False
        self.length = self.total = 0
        self._state = _COMPLETE

    def _keep_from(self, start: int) -> None:
        """Move what follows ``start`` to the front of the scratch memory."""
        rest = self._filled - start
        self._scratch[:rest] = bytes(self._scratch[start : self._filled])
        self._filled = rest


_EMPTY = memoryview(bytearray())


def parse_head(text: str) -> tuple[int, dict[str, str], int]:
    """Parse a status line and headers, without the empty line; give status, headers, and the minor HTTP version.

    Raises:
        ProtocolError: not valid, or with two different lengths or two transfer encodings.
    """
    lines = text.split("\r\n")
    first = lines[0]
    known = _status_lines.get(first)
    status, minor = known if known is not None else _parse_status_line(first)
    headers: dict[str, str] = {}
    for line in lines[1:]:
        name, value = _headers.get(line) or _parse_header(line)
        headers[name] = value if name not in headers else _combined(name, headers[name], value)
    return status, headers, minor


def add_header(headers: dict[str, str], name: str, value: str) -> None:
    """Add a header that did not come as a line, by the same rules. ``name`` is in lower case.

    Raises:
        ProtocolError: not valid, or a second, different length.
    """
    if _NAME.fullmatch(name) is None or _CONTROL.search(value):
        raise ProtocolError(f"not a header: {name[:40]!r}")
    _check_length(name, value)
    headers[name] = value if name not in headers else _combined(name, headers[name], value)


def _check_length(name: str, value: str) -> None:
    if name == "content-length" and _LENGTH.fullmatch(value) is None:
        raise ProtocolError(f"content-length {value[:40]!r} is not a number of bytes")


def _combined(name: str, before: str, value: str) -> str:
    if name == "transfer-encoding" or (name == "content-length" and before != value):
        raise ProtocolError(f"two {name} headers")
    return value if name == "content-length" else f"{before}, {value}"


def _parse_status_line(line: str) -> tuple[int, int]:
    match = _STATUS_LINE.fullmatch(line)
    if match is None:
        raise ProtocolError(f"not an HTTP/1.1 reply: it begins with {line[:40]!r}")
    parsed = int(match[2]), int(match[1])
    if len(_status_lines) < _MEMO_LIMIT and len(line) <= _MEMO_LENGTH:
        _status_lines[line] = parsed
    return parsed


def _parse_header(line: str) -> tuple[str, str]:
    spelled, colon, value = line.partition(":")
    if not colon or _NAME.fullmatch(spelled) is None or _CONTROL.search(value):
        raise ProtocolError(f"not a header: {spelled[:40]!r}")
    header = spelled.lower(), value.strip(" \t")
    _check_length(*header)
    if header[0] in _REPEATED and len(line) <= _MEMO_LENGTH:
        if len(_headers) >= _MEMO_LIMIT:
            _headers.clear()
        _headers[line] = header
    return header
