"""``http://`` and ``https://``: what any web server has, read only (RFC 9110)."""

from __future__ import annotations

import base64
import functools
import re
from collections.abc import Mapping
from typing import ClassVar, NamedTuple
from urllib.parse import unquote

from headrace.backends.protocol import Fetched, Landing
from headrace.backends.service.documents import parse, text_of
from headrace.backends.service.read_only import ReadOnly
from headrace.backends.service.reading import check_range, content_range, range_header
from headrace.backends.service.replies import ERRORS_BY_STATUS, MESSAGES_BY_STATUS, parse_http_date, retry_after, shortened
from headrace.errors import (
    CredentialsError,
    HeadraceError,
    InvalidOption,
    NotFound,
    NotSupported,
    ObjectChanged,
    ProtocolError,
    ServiceError,
)
from headrace.http.codec import Excerpt, Placement, Reply
from headrace.http.effects import Operation, Send
from headrace.http.messages import Origin, Request, Secret
from headrace.http.redirects import REDIRECTS, Redirects
from headrace.http.urls import URL, split_url
from headrace.models import ObjectInfo
from headrace.uri import Location

__all__ = ["LONGEST_UNTOLD", "WebBackend"]

LONGEST_UNTOLD = 1 << 30
"""Bytes that a body may have if the server does not tell its length: it has to be held in memory until it ends."""

_COMMON = {"user-agent": "headrace", "accept": "*/*", "accept-encoding": "identity"}
# Of these the same request may go better later; any other refusal of HEAD may be one of the method alone.
_TRANSIENT = frozenset({429, 500, 502, 503, 504})
_EMPTY_RANGE = re.compile(r"bytes \*/([0-9]{1,18})")
_UNTOLD_RANGE = re.compile(r"bytes [0-9]{1,18}-[0-9]{1,18}/\*")


class _Target(NamedTuple):
    """Where a URL leads, and what is sent with each request there."""

    origin: Origin
    path: str
    headers: Mapping[str, str]


class WebBackend(ReadOnly):
    """Reads what web servers have.

    A server that knows no ranges sends everything: what was asked for is taken out of it as it passes. A body that comes encoded though
    none was asked for (``Content-Encoding``) is handed out as it comes, never decoded: its size and its ranges are those of the encoded
    form, and ``metadata`` tells the encoding.

    Args:
        scheme: ``"http"`` or ``"https"``.
        redirects: what is done with those.
    """

    cannot_write: ClassVar[str] = "what is on the web can only be read"
    cannot_list: ClassVar[str] = "a web server does not tell what it has"
    cannot_sign: ClassVar[str] = "the URL itself is what others can use"

    uses_http = True

    def __init__(self, scheme: str, redirects: Redirects) -> None:
        self.scheme = scheme
        self._redirects = redirects

    def get(
        self, location: Location, landing: Landing, *, start: int | None = None, length: int | None = None, if_match: str | None = None
    ) -> Operation[Fetched]:
        """See `Backend.get`."""
        if start is not None and start < 0:
            start = yield from self._from_end(location, start)
        wanted = range_header(start or 0, length) if start is not None or length is not None else None
        headers = {"range": wanted} if wanted else {}
        if if_match is not None and not if_match.startswith("W/"):
            # A weak tag never holds there (RFC 9110, section 13.1.1): it is compared to that of the reply.
            headers["if-match"] = if_match
        reading = _Reading(location, landing, start or 0, length, if_match)
        try:
            reply = yield from self._ask(location, headers, reading)
        finally:
            landing.received = reading.received()
        if reply.status == 416:
            return (yield from self._beyond_end(location, landing, start or 0))
        if reply.status == 412:
            raise _changed()
        if reply.status not in (200, 206):
            raise _error_from(reply)
        assert landing.info is not None
        return Fetched(reply.body, landing.info, landing.start)

    def head(self, location: Location) -> Operation[ObjectInfo]:
        """See `Backend.head`. Where HEAD does not tell size and ranges, or is refused, as for presigned URLs, the first byte is read."""
        reply = yield from self._send(location, "HEAD", {})
        if reply.status in _TRANSIENT or reply.status in (404, 410):
            raise _error_from(reply)
        length = reply.headers.get("content-length")
        if reply.status == 200 and length is not None and reply.headers.get("accept-ranges", "").lower() == "bytes":
            return _describe(location, reply.headers, int(length))
        reply = yield from self._send(location, "GET", {"range": "bytes=0-0"}, excerpt=(0, 0))
        empty = _EMPTY_RANGE.fullmatch(reply.headers.get("content-range", "")) if reply.status == 416 else None
        if empty is not None:
            return _describe(location, reply.headers, int(empty[1]))
        if reply.status not in (200, 206):
            raise _error_from(reply)
        if reply.status == 200 or _tells_no_size(reply):
            return _describe(location, reply.headers, reply.total if reply.status == 200 else -1, whole_only=True)
        return _describe(location, reply.headers, content_range(reply)[2])

    def _ask(self, location: Location, headers: Mapping[str, str], reading: _Reading) -> Operation[Reply]:
        try:
            return (yield from self._send(location, "GET", headers, reading.place, LONGEST_UNTOLD, reading.excerpt))
        except _SizeUntold:
            headers = {name: value for name, value in headers.items() if name != "range"}
        return (yield from self._send(location, "GET", headers, reading.place, LONGEST_UNTOLD, reading.excerpt))

    def _from_end(self, location: Location, start: int) -> Operation[int]:
        info: ObjectInfo = yield from self.head(location)
        if info.size < 0:
            raise NotSupported("the server does not tell the size, so that nothing counts from the end", hint="Read it whole.")
        return max(0, info.size + start)

    def _beyond_end(self, location: Location, landing: Landing, start: int) -> Operation[Fetched]:
        info: ObjectInfo = yield from self.head(location)
        if start > info.size:
            raise _starts_beyond(start, info.size)
        return Fetched(landing.place(info, info.size, 0), info, info.size)

    def _send(
        self,
        location: Location,
        method: str,
        headers: Mapping[str, str],
        place: Placement | None = None,
        limit: int | None = None,
        excerpt: Excerpt | None = None,
    ) -> Operation[Reply]:
        """One exchange, redirects included."""
        origin, path, common = _target(location)
        send = Send(Request(method, origin, path, {**common, **headers}), place, limit, excerpt)
        reply: Reply = yield send
        if reply.status in REDIRECTS:
            reply = yield from self._redirects.answer(send, reply)
        return reply


class _SizeUntold(Exception):
    """A part came that does not say of how many bytes: the whole, whose end shows it, is to be asked for."""


class _Reading:
    """One try of a get: what is expected of the reply, and where its bytes go."""

    def __init__(self, location: Location, landing: Landing, start: int, length: int | None, if_match: str | None) -> None:
        self._location = location
        self._landing = landing
        self._start, self._length = start, length
        self._if_match = if_match
        self._repeated = False
        self._reply: Reply | None = None
        reach = landing.reach(length)
        self.excerpt: Excerpt | None = (start, reach) if start or reach is not None else None

    def place(self, reply: Reply) -> memoryview:
        """See `Placement`."""
        if reply.status not in (200, 206):
            raise ServiceError("a successful reply without the object", status=reply.status)
        if self._if_match is not None and not _same_tag(reply.headers.get("etag"), self._if_match):
            raise _changed()
        if reply.status == 200:
            first, size = self._start, reply.total
            if 0 <= size < first:
                raise _starts_beyond(first, size)
        else:
            if _tells_no_size(reply) and not self._repeated:
                self._repeated = True
                raise _SizeUntold
            first, count, size = content_range(reply)
            check_range(first, count, size, self._start, self._length)
        self._reply = reply
        info = _describe(self._location, reply.headers, size, whole_only=reply.status == 200 and self.excerpt is not None)
        return self._landing.place(info, first, reply.length)

    def received(self) -> int:
        """Bytes that are in place when the exchange has ended; what it refers to is let go of."""
        reply, self._reply = self._reply, None
        return reply.received if reply is not None else 0


@functools.lru_cache(maxsize=1024)
def _target(location: Location) -> _Target:
    user, at, host = location.container.rpartition("@")
    origin, path = split_url(f"{location.scheme}://{host}/{location.key}")
    if not at:
        return _Target(origin, path, _COMMON)
    pair = base64.b64encode(unquote(user).encode(errors="surrogatepass")).decode()
    return _Target(origin, path, {**_COMMON, "authorization": Secret(f"Basic {pair}")})


def _describe(location: Location, headers: Mapping[str, str], size: int, *, whole_only: bool = False) -> ObjectInfo:
    modified, encoding = headers.get("last-modified"), headers.get("content-encoding", "identity")
    return ObjectInfo(
        uri=URL(location.uri),
        size=size,
        etag=headers.get("etag") or None,
        last_modified=parse_http_date(modified) if modified is not None else None,
        content_type=headers.get("content-type"),
        metadata={"content-encoding": encoding} if encoding.lower() != "identity" else {},
        whole_only=whole_only or None,
    )


def _tells_no_size(reply: Reply) -> bool:
    return _UNTOLD_RANGE.fullmatch(reply.headers.get("content-range", "")) is not None


def _same_tag(found: str | None, wanted: str) -> bool:
    """The weak comparison (RFC 9110, section 8.8.3.2)."""
    return found is not None and found.removeprefix("W/") == wanted.removeprefix("W/")


def _changed() -> ObjectChanged:
    return ObjectChanged("the object was replaced while it was read", hint="Read it again from the start.")


def _starts_beyond(start: int, size: int) -> InvalidOption:
    return InvalidOption(f"the range begins at byte {start}, but the object has {size} bytes")


def _error_from(reply: Reply) -> HeadraceError:
    status = reply.status
    code, message = _explanation(reply.body)
    kind = NotFound if status == 410 else ERRORS_BY_STATUS.get(status, ServiceError)
    hint = None
    if kind is CredentialsError:
        hint = "Write the URL with user:password@ before the host, or use one that is signed."
    return kind(
        message or _MESSAGES.get(status) or MESSAGES_BY_STATUS.get(status) or "the web server reports an error",
        status=status,
        code=code,
        retry_after=retry_after(reply.headers.get("retry-after")),
        hint=hint,
    )


_MESSAGES = {
    401: "the server asks for a user name and a password",
    404: "there is nothing at this URL",
    410: "there is nothing at this URL any more",
}


def _explanation(body: memoryview) -> tuple[str | None, str | None]:
    """Code and message, where a storage service explains in XML what is wrong with a URL that it signed; pages are not shown."""
    if b"<Error>" not in bytes(body[:512]):
        return None, None
    try:
        document = parse(body)
    except ProtocolError:
        return None, None
    return text_of(document, "Code")[:100] or None, shortened(text_of(document, "Message")) or None
