"""HTTP requests as values: where they go, what they say, and the buffers that are their body."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from headrace.errors import InvalidOption, InvalidURI

__all__ = ["FileRange", "Origin", "Request", "Secret", "encode_head", "parse_origin"]

_PORTS = {"http": 80, "https": 443}
_IDEMPOTENT = frozenset({"GET", "HEAD", "PUT", "DELETE"})
_BEYOND_LATIN_1 = re.compile(r"[^\x00-\xff]")
_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")

# Names that were found valid: checking them all anew would cost more than the rest of a head.
_MEMO_LIMIT = 512
_names: set[str] = set()


class Origin(NamedTuple):
    """A server to talk to. ``host`` is a name or an address, without brackets."""

    scheme: str
    host: str
    port: int

    @property
    def authority(self) -> str:
        """The value of the ``Host`` header (RFC 9110, section 7.2): the port only where it is not the scheme's own."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}"


def parse_origin(url: str) -> tuple[Origin, str]:
    """Split an ``http://`` or ``https://`` URL into its origin and its path (no trailing ``/``).

    Raises:
        InvalidURI: another scheme, no host, a port that is no number, or user information, a query or a fragment in the URL.
    """
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        port = parts.port
    except ValueError:
        # What urlsplit says may quote a part of a password.
        raise InvalidURI("the host or port of an endpoint's URL is not valid", uri=_without_secrets(url)) from None
    if parts.scheme not in _PORTS or not parts.hostname or port == 0 or parts.query or parts.fragment:
        hint = "An endpoint is a URL such as https://s3.example.com or http://127.0.0.1:9000."
        raise InvalidURI("not the URL of an endpoint", uri=_without_secrets(url), hint=hint)
    if parts.username is not None:
        raise InvalidURI(
            "an endpoint holds no user name or password", hint="Give credentials through the environment, a profile or `credentials=`."
        )
    return Origin(parts.scheme, parts.hostname, port or _PORTS[parts.scheme]), parts.path.rstrip("/")


def _without_secrets(url: str) -> str:
    """What may be shown of a URL that could not be parsed: neither user information nor query."""
    scheme, separator, rest = url.partition("://") if "://" in url else ("", "", url)
    return scheme + separator + rest.rpartition("@")[2].partition("?")[0]


class Secret(str):
    """A text that is sent as any other, but is not shown where variables or containers are: in a traceback, say."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'(hidden)'"


class FileRange(NamedTuple):
    """``length`` bytes from ``offset`` of an open file, as a request body: the kernel sends them itself where it can."""

    descriptor: int
    offset: int
    length: int


class Request:
    """One HTTP request.

    Attributes:
        method: the HTTP method, upper case.
        origin: the server.
        target: path and query, percent-encoded, just as it goes on the wire.
        headers: lower-case names. ``host`` and ``content-length`` are added when the request is sent.
        body: flat buffers (format ``B``) or file ranges, sent one after another, never copied or joined if large.
        length: bytes of the body.
        repeatable: whether sending it a second time can do no harm, if the first reply was lost.
        expect_continue: wait for the server's ``100 Continue`` before sending the body (RFC 9110, section 10.1.1).
    """

    __slots__ = ("body", "expect_continue", "headers", "length", "method", "origin", "repeatable", "target")

    def __init__(
        self,
        method: str,
        origin: Origin,
        target: str,
        headers: Mapping[str, str],
        body: Sequence[memoryview | FileRange] = (),
        *,
        repeatable: bool | None = None,
        expect_continue: bool = False,
    ) -> None:
        self.method = method
        self.origin = origin
        self.target = target
        self.headers = headers
        self.body = body
        self.length = sum([part.length if isinstance(part, FileRange) else part.nbytes for part in body]) if body else 0
        self.repeatable = method in _IDEMPOTENT if repeatable is None else repeatable
        self.expect_continue = expect_continue

    def __repr__(self) -> str:
        # Headers hold signatures and the query may hold one too: neither is shown.
        return f"<Request {self.method} {self.origin}{self.target.partition('?')[0]}>"


def encode_head(request: Request, prefix: str = "", proxy_headers: Mapping[str, str] | None = None) -> bytes:
    """The request line and headers as they go on the wire.

    Args:
        request: what to send.
        prefix: makes the target absolute, for a proxy.
        proxy_headers: further headers, for a proxy.

    Raises:
        InvalidOption: the target or a header holds what would change the meaning of the request, or cannot be sent.
    """
    if not request.headers.keys() <= _names:
        _check_names(request.headers)
    if " " in request.target:
        raise InvalidOption("the target of a request holds a space: it is to be percent-encoded")
    lines = [f"{request.method} {prefix}{request.target} HTTP/1.1\r\nhost: {request.origin.authority}"]
    lines += [f"{name}: {value}" for name, value in request.headers.items()]
    if proxy_headers:
        lines += [f"{name}: {value}" for name, value in proxy_headers.items()]
    if request.body or request.method in ("PUT", "POST"):
        lines.append(f"content-length: {request.length}")
    if request.expect_continue:
        lines.append("expect: 100-continue")
    text = "\r\n".join(lines)
    if text.count("\n") != len(lines) or text.count("\r") != len(lines) or "\0" in text:
        # What is refused may hold a signature: it must not be found in the traceback's variables.
        del lines, text
        raise InvalidOption("the target or a header value holds a line break or NUL: it would change the meaning of the request")
    if not text.isascii() and (odd := _BEYOND_LATIN_1.search(text)) is not None:
        del lines, text
        raise InvalidOption(f"a header value holds {odd[0]!r}, which HTTP headers cannot carry")
    return f"{text}\r\n\r\n".encode("latin-1")


def _check_names(names: Iterable[str]) -> None:
    for name in names:
        if _NAME.fullmatch(name) is None:
            raise InvalidOption(f"{name[:80]!r} cannot be the name of a header", hint="Use letters, digits and hyphens.")
        if len(_names) < _MEMO_LIMIT:
            _names.add(name)
