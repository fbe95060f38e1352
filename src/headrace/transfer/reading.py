"""Reading objects: whole, in part, and in many parts at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from headrace import memory
from headrace.backends.protocol import Allocate, Fetched, Landing, allocate_fresh
from headrace.errors import InvalidOption, NotSupported, ObjectChanged
from headrace.http.effects import Operation, Parallel
from headrace.models import ObjectInfo
from headrace.stores.store import Store
from headrace.uri import Location

__all__ = ["ReadPlan", "fetch", "fetch_ranges", "require_same_version"]

_LARGEST_RANGE = 32 << 20
_BRIDGED_GAP = 128 << 10


class ReadPlan(NamedTuple):
    """How large reads are cut up.

    Attributes:
        threshold: bytes that are asked for in the first request; what is longer is read in parallel.
        at_once: requests in flight for one object.
    """

    threshold: int
    at_once: int

    def range_size(self, rest: int) -> int:
        """Bytes of each parallel range, when ``rest`` bytes are left after the first request."""
        return max(self.threshold, min(_LARGEST_RANGE, -(-rest // self.at_once)))


def fetch(
    store: Store,
    location: Location,
    plan: ReadPlan,
    *,
    start: int | None = None,
    length: int | None = None,
    into: memoryview | None = None,
    if_match: str | None = None,
) -> Operation[Fetched]:
    """Read an object or a range of it. The first request asks for no more than ``plan.threshold`` bytes and tells the size."""
    if length is not None and length < 0:
        raise InvalidOption(f"length must not be negative, got {length}", uri=location.uri, operation="get")
    if not store.uses_http:
        return store.get(location, _landing(into), start=start, length=length, if_match=if_match)
    return _fetch_in_requests(store, location, plan, start, length, into, if_match)


def _fetch_in_requests(
    store: Store,
    location: Location,
    plan: ReadPlan,
    start: int | None,
    length: int | None,
    into: memoryview | None,
    if_match: str | None,
) -> Operation[Fetched]:
    if length == 0 or (start is not None and start < 0):
        start, length, etag = yield from _resolve_range(store, location, start, length)
        # Of another version these would be other bytes than those that were asked for.
        if_match = if_match or etag
    first = plan.threshold if length is None else min(length, plan.threshold)
    landing = _FirstLanding(length, into)
    if first == 0:
        info: ObjectInfo = yield from store.head(location)
        return Fetched(landing.place(info, start or 0, 0), info, start or 0)
    fetched: Fetched = yield from store.get(location, landing, start=start, length=first, if_match=if_match)
    whole = landing.whole
    assert whole is not None
    if len(fetched.data) < len(whole):
        yield Parallel(_remaining(store, location, plan, fetched, whole), plan.at_once)
    return Fetched(whole, fetched.info, fetched.start)


def _resolve_range(
    store: Store, location: Location, start: int | None, length: int | None
) -> Operation[tuple[int, int | None, str | None]]:
    """Turn a range that counts from the end, or is empty, into one from the beginning; this needs the size. Last comes the ETag."""
    info: ObjectInfo = yield from store.head(location)
    start = start or 0
    if info.size < 0:
        return _without_size(start, info), length, info.etag
    first = max(0, info.size + start) if start < 0 else start
    if first > info.size:
        raise _beyond_end(first, info)
    left = info.size - first
    return first, left if length is None else min(length, left), info.etag


def _without_size(start: int, info: ObjectInfo) -> int:
    if start < 0:
        raise NotSupported(
            "the server does not tell the size, so that nothing counts from the end",
            uri=info.uri,
            operation="get",
            hint="Read the whole, or open() it.",
        )
    return start


def require_same_version(found: ObjectInfo, expected: ObjectInfo) -> None:
    """Refuse another version of an object, as far as its description tells: not every service has tags to ask for one version by.

    Raises:
        ObjectChanged: it is another one.
    """
    if found.size != expected.size or found.last_modified != expected.last_modified:
        raise ObjectChanged("the object was replaced while it was read", uri=expected.uri, operation="get", hint="Read it again.")


def _beyond_end(start: int, info: ObjectInfo) -> InvalidOption:
    return InvalidOption(f"the range begins at byte {start}, but the object has {info.size} bytes", uri=info.uri, operation="get")


class _FirstLanding(Landing):
    """Where the first request's bytes go: the beginning of memory for all that is wanted, made when the reply tells the size."""

    __slots__ = ("_into", "_length", "whole")

    def __init__(self, length: int | None, into: memoryview | None) -> None:
        super().__init__()
        self._length = length
        self._into = into
        self.whole: memoryview | None = None

    def reach(self, length: int | None) -> int | None:
        """See `Landing.reach`."""
        return self._length

    def place(self, info: ObjectInfo, start: int, length: int, *, default: Allocate = allocate_fresh) -> memoryview:
        """See `Landing.place`."""
        # Without a size all that is wanted has come, or as much of it as there is.
        total = info.size - start if info.size >= 0 else length
        if self._length is not None and self._length < total:
            total = self._length
        whole = self.whole
        if whole is None or len(whole) != total:
            whole = self.whole = default(info, start, total) if self._into is None else _fitting(self._into, total)
        self.info, self.start, self.received = info, start, 0
        self.view = view = whole if length == total else whole[:length]
        return view


def _landing(into: memoryview | None) -> Landing:
    return Landing() if into is None else Landing(lambda info, start, length: _fitting(into, length))


def _fitting(into: memoryview, length: int) -> memoryview:
    if len(into) < length:
        raise InvalidOption(f"`into` has {len(into)} bytes, {length} are to be read", hint="Give a larger buffer, or a `length`.")
    return into[:length]


def _remaining(store: Store, location: Location, plan: ReadPlan, fetched: Fetched, whole: memoryview) -> Iterator[Operation[Fetched]]:
    done = len(fetched.data)
    size = plan.range_size(len(whole) - done)
    for offset in range(done, len(whole), size):
        piece = whole[offset : offset + size]
        yield store.get(
            location,
            Landing(_within(piece, fetched.info)),
            start=fetched.start + offset,
            length=len(piece),
            if_match=fetched.info.etag,
        )


def _within(piece: memoryview, whole: ObjectInfo) -> Allocate:
    """The memory of a piece, for bytes of the version that was begun."""

    def allocate(info: ObjectInfo, start: int, length: int) -> memoryview:
        if whole.etag is None:
            require_same_version(info, whole)
        return piece[:length]

    return allocate


class _Span(NamedTuple):
    start: int
    length: int


def fetch_ranges(store: Store, location: Location, plan: ReadPlan, ranges: Sequence[tuple[int, int]]) -> Operation[list[memoryview]]:
    """Read several ranges; neighbours with small gaps are read in one request, and all come from one version of the object."""
    spans = _merged(ranges)
    for start, length in ranges:
        if start < 0 or length < 0:
            raise InvalidOption(f"a range is (start, length), neither negative, got {(start, length)}", uri=location.uri)
    if not spans:
        return [memory.fresh(0) for _ in ranges]
    first: Fetched = yield from fetch(store, location, plan, start=spans[0].start, length=spans[0].length)
    beyond = next((start for start, length in ranges if length and start > first.info.size >= 0), None)
    if beyond is not None:
        raise _beyond_end(beyond, first.info)
    etag = first.info.etag
    rest: list[Fetched] = yield Parallel(
        (fetch(store, location, plan, start=span.start, length=span.length, if_match=etag) for span in spans[1:]), plan.at_once
    )
    fetched = {span.start: found.data for span, found in zip(spans, [first, *rest], strict=True)}
    return [_cut(fetched, spans, start, length) for start, length in ranges]


def _merged(ranges: Sequence[tuple[int, int]]) -> list[_Span]:
    spans: list[_Span] = []
    for start, length in sorted((start, length) for start, length in ranges if length > 0):
        if spans and start <= spans[-1].start + spans[-1].length + _BRIDGED_GAP:
            end = max(spans[-1].start + spans[-1].length, start + length)
            spans[-1] = _Span(spans[-1].start, end - spans[-1].start)
        else:
            spans.append(_Span(start, length))
    return spans


def _cut(fetched: dict[int, memoryview], spans: Sequence[_Span], start: int, length: int) -> memoryview:
    if length == 0:
        return memory.fresh(0)
    import bisect

    span = spans[bisect.bisect_right(spans, start, key=lambda span: span.start) - 1]
    return fetched[span.start][start - span.start : start - span.start + length]
