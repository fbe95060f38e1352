"""Reading an object, or a range of it: what is asked for, and whether what comes is that."""

from __future__ import annotations

import functools
import hashlib
import re
from collections.abc import Mapping
from typing import Protocol

import crc32c

from headrace.backends.protocol import Fetched, Landing
from headrace.errors import HeadraceError, IntegrityError, InvalidOption, ObjectChanged, ProtocolError
from headrace.http.codec import Placement, Reply
from headrace.http.effects import Call, Operation
from headrace.models import ObjectInfo
from headrace.uri import Location

__all__ = ["Readable", "check_range", "content_range", "fetch", "range_header"]

_CHECKSUM_ELSEWHERE_FROM = 1 << 20


class Readable(Protocol):
    """What `fetch` needs of a service."""

    def ask(self, location: Location, headers: Mapping[str, str], place: Placement, limit: int | None) -> Operation[Reply]:
        """Send a GET for the object; see `Send` for ``place`` and ``limit``. The reply may have any status."""

    def describe(self, location: Location, headers: Mapping[str, str], size: int) -> ObjectInfo:
        """The object of ``size`` bytes, by the headers of a reply."""

    def head(self, location: Location) -> Operation[ObjectInfo]:
        """See `Backend.head`."""

    def error_from(self, reply: Reply) -> HeadraceError:
        """The error that a failing reply stands for."""


def fetch(
    service: Readable,
    location: Location,
    landing: Landing,
    headers: Mapping[str, str],
    start: int | None,
    length: int | None,
) -> Operation[Fetched]:
    """Perform `Backend.get`. A checksum of the whole object is verified when the whole object comes in one reply."""
    if start is not None or length is not None:
        wanted = range_header(start or 0, length)
        if wanted:
            headers = {**headers, "range": wanted}
    arriving: Reply | None = None

    def place(reply: Reply) -> memoryview:
        nonlocal arriving
        first, count, size = content_range(reply)
        check_range(first, count, size, start, length)
        arriving = reply
        return landing.place(service.describe(location, reply.headers, size), first, count)

    try:
        reply = yield from service.ask(location, headers, place, length)
    except HeadraceError:
        landing.received = arriving.received if arriving is not None else 0
        raise
    finally:
        # The reply refers to the placement and this back to it: the memory would live until the garbage collector came.
        arriving = None
    if reply.status == 416:
        return (yield from _beyond_end(service, location, landing, reply, start))
    if reply.status == 412:
        request_id = service.error_from(reply).request_id
        hint = "Read it again from the start."
        raise ObjectChanged("the object was replaced while it was read", status=412, request_id=request_id, hint=hint)
    if reply.status >= 300:
        raise service.error_from(reply)
    assert landing.info is not None
    if landing.info.checksum and reply.received == landing.info.size:
        yield from _verify(reply.body, landing.info.checksum)
    return Fetched(reply.body, landing.info, landing.start)


def _beyond_end(service: Readable, location: Location, landing: Landing, reply: Reply, start: int | None) -> Operation[Fetched]:
    info: ObjectInfo = yield from service.head(location)
    if start is not None and start > info.size:
        raise InvalidOption(
            f"the range begins at byte {start}, but the object has {info.size} bytes",
            status=416,
            code="InvalidRange",
            request_id=service.error_from(reply).request_id,
        )
    return Fetched(landing.place(info, info.size, 0), info, info.size)


def range_header(start: int, length: int | None) -> str | None:
    """``Range`` (RFC 9110, section 14.2) for ``length`` bytes from ``start``; None for the whole object."""
    if start < 0:
        return f"bytes={start}"
    if length is None:
        return f"bytes={start}-" if start else None
    return f"bytes={start}-{start + length - 1}"


def check_range(first: int, count: int, size: int, start: int | None, length: int | None) -> None:
    """Refuse a reply that holds other bytes than those that were asked for: a short one must not pass for the whole."""
    wanted_first = max(0, size + start) if start is not None and start < 0 else start or 0
    wanted = size - wanted_first if length is None else min(length, size - wanted_first)
    if first != wanted_first or count != wanted:
        raise ProtocolError(
            f"the service sent {count} bytes from {first} of {size}, where {wanted} from {wanted_first} were asked for",
            hint="Does the server, or a proxy before it, support ranges?",
        )


_CONTENT_RANGE = re.compile(r"bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18})")


def content_range(reply: Reply) -> tuple[int, int, int]:
    """Start, length and size of the whole object, from the reply to a GET (RFC 9110, section 14.4).

    Raises:
        ProtocolError: the reply is partial and does not say validly of what, or contradicts its own length.
    """
    if reply.status != 206:
        return 0, reply.length, reply.length
    match = _CONTENT_RANGE.fullmatch(reply.headers.get("content-range", ""))
    if match is None:
        raise ProtocolError("a partial reply without a valid Content-Range", status=206)
    first, last, size = int(match[1]), int(match[2]), int(match[3])
    if first == size == last + 1 and not reply.length:
        # Azurite says so where nothing is left; others refuse the range.
        return first, 0, size
    if not first <= last < size or last - first + 1 != reply.length:
        raise ProtocolError(f"Content-Range {match[0]!r} contradicts itself or the {reply.length} bytes that follow", status=206)
    return first, reply.length, size


def _verify(body: memoryview, promised: str) -> Operation[None]:
    kind = promised.partition(":")[0]
    computed = functools.partial(_checksum, body, kind)
    value = computed() if body.nbytes < _CHECKSUM_ELSEWHERE_FROM else (yield Call(computed))
    if value != promised:
        raise IntegrityError(f"the bytes received have checksum {value}, the service promised {promised}")


def _checksum(body: memoryview, kind: str) -> str:
    if kind == "crc32c":
        return f"crc32c:{crc32c.crc32c(body):08x}"
    return f"md5:{hashlib.md5(body, usedforsecurity=False).hexdigest()}"
