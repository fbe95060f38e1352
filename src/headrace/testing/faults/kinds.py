"""The faults: frozen values, each with what it does at the moments of one exchange.

A moment is a hook of `Fault`: the request's head, its body, the reply's head, the reply's body. What a hook returns goes on; what it
does to the `Wire` besides is the fault.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from typing import ClassVar, NoReturn, Protocol

from headrace.errors import InvalidOption
from headrace.testing.faults import checks

__all__ = [
    "KINDS",
    "Corrupt",
    "CorruptUpload",
    "Cut",
    "Delay",
    "Drip",
    "DripUpload",
    "Fault",
    "Garbage",
    "Redirect",
    "Reset",
    "ResetUpload",
    "ShortBody",
    "Stall",
    "StallUpload",
    "Status",
    "Wire",
    "WrongLength",
]

_FLIPPED = 0x55
_DRIPS_A_SECOND = 20


class Wire(Protocol):
    """What a fault can do to the exchange that it strikes.

    Attributes:
        method: the request's method.
        reply_length: bytes of the reply's body by its ``Content-Length``; None before the reply, and without one.
    """

    method: str
    reply_length: int | None

    async def send(self, data: bytes) -> None:
        """Send bytes to the client, and return when they have left this process."""

    async def pass_on(self, data: bytes) -> None:
        """Send bytes of the request's body to the service."""

    async def answer(self, status: int, head: bytes, body: bytes, *, at_once: bool) -> NoReturn:
        """Answer in the service's place, which hears nothing of the request; ``at_once``: before its body is read, then reset."""

    async def reset(self) -> NoReturn:
        """Break the client's connection off (RST), after what was sent to it has arrived; the service's too."""

    async def end(self) -> NoReturn:
        """Close the client's connection in good order (FIN)."""

    async def hold(self, seconds: float | None) -> None:
        """Do nothing for so long; None: until the client has left or the proxy is closed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """The base of all faults; by itself it does nothing.

    Raises:
        InvalidOption: a value that makes no sense.
    """

    name: ClassVar[str] = ""

    async def begin(self, wire: Wire) -> None:
        """The request's head is there; nothing has been passed on."""

    async def upload(self, wire: Wire, offset: int, piece: bytes) -> bytes:
        """``piece``, from byte ``offset`` of the request's body, is about to be passed on; gives what is passed on of it."""
        return piece

    async def reply(self, wire: Wire, head: bytes) -> bytes:
        """The head of the reply is about to be passed on; gives what is passed on in its place."""
        return head

    async def download(self, wire: Wire, offset: int, piece: bytes) -> bytes:
        """As `upload`, for the reply's body."""
        return piece


def _reached(at: int, offset: int, piece: bytes) -> int | None:
    """Where byte ``at`` is within the piece, its end included; None if it is elsewhere."""
    return at - offset if offset <= at <= offset + len(piece) else None


def _flipped(at: int, offset: int, piece: bytes) -> bytes:
    if not offset <= at < offset + len(piece):
        return piece
    changed = bytearray(piece)
    changed[at - offset] ^= _FLIPPED
    return bytes(changed)


# What comes in the place of the service's reply.


@dataclass(frozen=True, slots=True, kw_only=True)
class Status(Fault):
    """Answer with a status, and an S3 error document, in the service's place.

    Args:
        status: the status code, 200 to 599.
        code: the word in the document, such as ``"SlowDown"``; without one there is no document.
        retry_after: the value of a ``Retry-After`` header (seconds, or an HTTP date); None for no such header.
        at_once: answer as soon as the request's head is there, and reset the connection: what an overloaded server does.
    """

    name: ClassVar[str] = "status"
    status: int
    code: str | None = None
    retry_after: int | str | None = None
    at_once: bool = False

    def __post_init__(self) -> None:
        checks.count("status", self.status, least=200)
        if self.status > 599:
            raise InvalidOption(f"status must be from 200 to 599, got {self.status}")
        if self.code is not None and not (type(self.code) is str and re.fullmatch(r"\w+", self.code, re.ASCII)):
            raise InvalidOption(f"code must be one word, got {self.code!r}")
        if type(self.retry_after) is int:
            checks.count("retry_after", self.retry_after)
        elif self.retry_after is not None:
            checks.text("retry_after", self.retry_after)
        checks.truth("at_once", self.at_once)

    async def begin(self, wire: Wire) -> None:
        """Answer."""
        document = f"<Error><Code>{self.code}</Code><Message>injected fault</Message></Error>" if self.code else ""
        head = "content-type: application/xml\r\n"
        if self.retry_after is not None:
            head += f"retry-after: {self.retry_after}\r\n"
        await wire.answer(self.status, head.encode(), document.encode(), at_once=self.at_once)


@dataclass(frozen=True, slots=True, kw_only=True)
class Redirect(Fault):
    """Answer with a redirect in the service's place.

    Args:
        location: the URL that the client is sent to.
        status: 301, 302, 303, 307 or 308.
    """

    name: ClassVar[str] = "redirect"
    location: str
    status: int = 307

    def __post_init__(self) -> None:
        checks.text("location", self.location)
        if self.status not in (301, 302, 303, 307, 308):
            raise InvalidOption(f"status must be that of a redirect, got {self.status!r}")

    async def begin(self, wire: Wire) -> None:
        """Answer."""
        await wire.answer(self.status, f"location: {self.location}\r\n".encode(), b"", at_once=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Garbage(Fault):
    """Let the service do what is asked, and send text that is not HTTP instead of its reply; then close.

    Args:
        text: what is sent.
    """

    name: ClassVar[str] = "garbage"
    text: str = "SSH-2.0-this_is_not_HTTP\r\n\r\n"

    def __post_init__(self) -> None:
        if type(self.text) is not str or not self.text or not self.text.isascii():
            raise InvalidOption(f"text must be ASCII and not empty, got {self.text!r}")

    async def reply(self, wire: Wire, head: bytes) -> bytes:
        """Send the garbage."""
        await wire.send(self.text.encode("ascii"))
        await wire.end()


# What happens to the request.


@dataclass(frozen=True, slots=True, kw_only=True)
class Delay(Fault):
    """Pass everything on, the request only after ``seconds``."""

    name: ClassVar[str] = "delay"
    seconds: float

    def __post_init__(self) -> None:
        checks.seconds("seconds", self.seconds)

    async def begin(self, wire: Wire) -> None:
        """Wait."""
        await wire.hold(self.seconds)


@dataclass(frozen=True, slots=True, kw_only=True)
class ResetUpload(Fault):
    """Reset the connection when ``at`` bytes of the request's body have come; 0: when its head has, whether it has a body or not."""

    name: ClassVar[str] = "reset-upload"
    at: int = 0

    def __post_init__(self) -> None:
        checks.count("at", self.at)

    async def begin(self, wire: Wire) -> None:
        """Reset, if that does not wait for a byte of the body."""
        if self.at == 0:
            await wire.reset()

    async def upload(self, wire: Wire, offset: int, piece: bytes) -> bytes:
        """Reset, if the byte is in this piece."""
        if (here := _reached(self.at, offset, piece)) is not None:
            await wire.pass_on(piece[:here])
            await wire.reset()
        return piece


@dataclass(frozen=True, slots=True, kw_only=True)
class StallUpload(Fault):
    """Stop reading the request when ``at`` bytes of its body have come.

    Args:
        at: the byte.
        seconds: go on after so long; None: never.
    """

    name: ClassVar[str] = "stall-upload"
    at: int = 0
    seconds: float | None = None

    def __post_init__(self) -> None:
        checks.count("at", self.at)
        if self.seconds is not None:
            checks.seconds("seconds", self.seconds)

    async def upload(self, wire: Wire, offset: int, piece: bytes) -> bytes:
        """Stop, if the byte is in this piece."""
        here = _reached(self.at, offset, piece)
        if here is None or here == len(piece):
            return piece
        await wire.pass_on(piece[:here])
        await wire.hold(self.seconds)
        return piece[here:]


@dataclass(frozen=True, slots=True, kw_only=True)
class DripUpload(Fault):
    """Read the request's body slowly: ``rate`` bytes a second."""

    name: ClassVar[str] = "drip-upload"
    rate: int

    def __post_init__(self) -> None:
        checks.count("rate", self.rate, least=1)

    async def upload(self, wire: Wire, offset: int, piece: bytes) -> bytes:
        """Pass the piece on in drips."""
        for drip in _drips(piece, self.rate):
            await asyncio.sleep(len(drip) / self.rate)
            await wire.pass_on(drip)
        return b""


@dataclass(frozen=True, slots=True, kw_only=True)
class CorruptUpload(Fault):
    """Change byte ``at`` of the request's body."""

    name: ClassVar[str] = "corrupt-upload"
    at: int = 0

    def __post_init__(self) -> None:
        checks.count("at", self.at)

    async def upload(self, wire: Wire, offset: int, piece: bytes) -> bytes:
        """Change the byte, if it is in this piece."""
        return _flipped(self.at, offset, piece)


def _drips(piece: bytes, rate: int) -> list[bytes]:
    size = max(1, rate // _DRIPS_A_SECOND)
    return [piece[start : start + size] for start in range(0, len(piece), size)]


# What happens to the service's reply.


@dataclass(frozen=True, slots=True, kw_only=True)
class Reset(Fault):
    """Let the service do what is asked, and reset the connection instead of passing its reply on: a lost reply."""

    name: ClassVar[str] = "reset"

    async def reply(self, wire: Wire, head: bytes) -> bytes:
        """Reset."""
        await wire.reset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Stall(Fault):
    """Stop in the middle.

    Args:
        at: pass ``at`` bytes of the reply's body on first; None: stop before the reply.
        seconds: go on after so long; None: never.
    """

    name: ClassVar[str] = "stall"
    at: int | None = None
    seconds: float | None = None

    def __post_init__(self) -> None:
        if self.at is not None:
            checks.count("at", self.at)
        if self.seconds is not None:
            checks.seconds("seconds", self.seconds)

    async def reply(self, wire: Wire, head: bytes) -> bytes:
        """Stop, if it is before the reply."""
        if self.at is None:
            await wire.hold(self.seconds)
        return head

    async def download(self, wire: Wire, offset: int, piece: bytes) -> bytes:
        """Stop, if the byte is in this piece."""
        here = None if self.at is None else _reached(self.at, offset, piece)
        if here is None or here == len(piece):
            return piece
        await wire.send(piece[:here])
        await wire.hold(self.seconds)
        return piece[here:]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut(Fault):
    """Close the connection when ``at`` bytes of the reply's body were passed on.

    Args:
        at: the byte.
        reset: break it off (RST); otherwise close it in good order (FIN).
    """

    name: ClassVar[str] = "cut"
    at: int
    reset: bool = True

    def __post_init__(self) -> None:
        checks.count("at", self.at)
        checks.truth("reset", self.reset)

    async def download(self, wire: Wire, offset: int, piece: bytes) -> bytes:
        """Cut, if the byte is in this piece."""
        if (here := _reached(self.at, offset, piece)) is not None:
            await wire.send(piece[:here])
            if self.reset:
                await wire.reset()
            await wire.end()
        return piece


@dataclass(frozen=True, slots=True, kw_only=True)
class ShortBody(Fault):
    """Leave the last ``missing`` bytes of the reply's body out, and keep the connection open. It needs a ``Content-Length``."""

    name: ClassVar[str] = "short-body"
    missing: int = 1

    def __post_init__(self) -> None:
        checks.count("missing", self.missing, least=1)

    async def download(self, wire: Wire, offset: int, piece: bytes) -> bytes:
        """Leave out what of the piece is too much."""
        return piece if wire.reply_length is None else piece[: max(0, wire.reply_length - self.missing - offset)]


@dataclass(frozen=True, slots=True, kw_only=True)
class WrongLength(Fault):
    """Add ``by``, which may be negative, to the reply's ``Content-Length``, and leave its body as it is."""

    name: ClassVar[str] = "wrong-length"
    by: int

    def __post_init__(self) -> None:
        if type(self.by) is not int or self.by == 0:
            raise InvalidOption(f"by must be a whole number and not 0, got {self.by!r}")

    async def reply(self, wire: Wire, head: bytes) -> bytes:
        """Change the header."""
        return _LENGTH.sub(lambda match: match[1] + str(int(match[2]) + self.by).encode(), head)


_LENGTH = re.compile(rb"(?i)(\r\ncontent-length:[ \t]*)([0-9]+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Drip(Fault):
    """Pass the reply's body on slowly: ``rate`` bytes a second."""

    name: ClassVar[str] = "drip"
    rate: int

    def __post_init__(self) -> None:
        checks.count("rate", self.rate, least=1)

    async def download(self, wire: Wire, offset: int, piece: bytes) -> bytes:
        """Pass the piece on in drips."""
        for drip in _drips(piece, self.rate):
            await asyncio.sleep(len(drip) / self.rate)
            await wire.send(drip)
        return b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Corrupt(Fault):
    """Change byte ``at`` of the reply's body."""

    name: ClassVar[str] = "corrupt"
    at: int = 0

    def __post_init__(self) -> None:
        checks.count("at", self.at)

    async def download(self, wire: Wire, offset: int, piece: bytes) -> bytes:
        """Change the byte, if it is in this piece."""
        return _flipped(self.at, offset, piece)


KINDS: dict[str, type[Fault]] = {
    kind.name: kind
    for kind in (
        Status,
        Redirect,
        Garbage,
        Delay,
        ResetUpload,
        StallUpload,
        DripUpload,
        CorruptUpload,
        Reset,
        Stall,
        Cut,
        ShortBody,
        WrongLength,
        Drip,
        Corrupt,
    )
}
"""Every fault, by the name that it has in a file of rules and in the record."""
