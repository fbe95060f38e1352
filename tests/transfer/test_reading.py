"""Which requests a read makes, and that their bytes come together right."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headrace.errors import InvalidOption, NotFound, ObjectChanged
from headrace.http.messages import Request
from headrace.stores.store import Store
from headrace.testing.contract.stepping import Answer, Script
from headrace.transfer.reading import ReadPlan, fetch, fetch_ranges
from headrace.uri import Location

PLACE = Location("s3", "bucket", "key")
DATA = bytes(range(256)) * 4
FAR = 300_000

stateless = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


def asked(script: Script) -> list[tuple[str, str | None, str | None]]:
    return [(request.method, request.headers.get("range"), request.headers.get("if-match")) for request in script.requests]


@stateless
@given(
    size=st.integers(0, 1024),
    threshold=st.integers(1, 400),
    start=st.none() | st.integers(-1100, 1100),
    length=st.none() | st.integers(0, 1100),
    at_once=st.integers(1, 8),
)
def test_every_range(store: Store, bucket: Any, size: int, threshold: int, start: int | None, length: int | None, at_once: int) -> None:
    bucket.objects["key"] = DATA[:size]
    script = Script(server=bucket)
    operation = fetch(store, PLACE, ReadPlan(threshold, at_once), start=start, length=length)
    if start is not None and start > size:
        with pytest.raises(InvalidOption):
            script.run(operation)
        return
    begin = max(0, size + start) if start is not None and start < 0 else start or 0
    expected = DATA[begin:size] if length is None else DATA[begin : min(size, begin + length)]
    fetched = script.run(operation)
    assert (fetched.data, fetched.start, fetched.info.size) == (expected, begin, size)


def test_the_first_request_tells_the_size(store: Store, bucket: Any) -> None:
    """None asks only for that, and what follows is bound to the version that it saw."""
    bucket.objects["key"] = DATA
    script = Script(server=bucket)
    script.run(fetch(store, PLACE, ReadPlan(400, 2)))
    assert asked(script) == [("GET", "bytes=0-399", None), ("GET", "bytes=400-799", '"v1"'), ("GET", "bytes=800-1023", '"v1"')]


def test_a_small_object_is_one_request(store: Store, bucket: Any) -> None:
    bucket.objects["key"] = DATA
    script = Script(server=bucket)
    script.run(fetch(store, PLACE, ReadPlan(2048, 8)))
    assert asked(script) == [("GET", "bytes=0-2047", None)]


def test_ranges_grow_with_the_object_up_to_a_limit() -> None:
    plan = ReadPlan(8 << 20, 8)
    assert plan.range_size(10 << 20) == 8 << 20
    assert plan.range_size(100 << 20) == 100 << 17
    assert plan.range_size(10 << 30) == 32 << 20


def replaced_after(bucket: Any, count: int) -> Callable[[Request], Answer]:
    """The bucket, in which everything is replaced after so many requests."""
    left = count

    def server(request: Request) -> Answer:
        nonlocal left
        bucket.version = 1 if left > 0 else 2
        left -= 1
        answer: Answer = bucket(request)
        return answer

    return server


@pytest.mark.parametrize("arguments", [{}, {"start": 10}, {"length": 900}, {"start": -900}, {"start": -10}])
def test_an_object_that_is_replaced_in_between(store: Store, bucket: Any, arguments: dict[str, int]) -> None:
    bucket.objects["key"] = DATA
    with pytest.raises(ObjectChanged):
        Script(server=replaced_after(bucket, 1)).run(fetch(store, PLACE, ReadPlan(400, 2), **arguments))


def test_memory_that_is_given(store: Store, bucket: Any) -> None:
    bucket.objects["key"] = DATA
    buffer = bytearray(2000)
    fetched = Script(server=bucket).run(fetch(store, PLACE, ReadPlan(400, 2), into=memoryview(buffer)))
    assert (fetched.data.obj, fetched.data) == (buffer, DATA)
    script = Script(server=bucket)
    with pytest.raises(InvalidOption, match="1023 bytes, 1024 are to be read"):
        script.run(fetch(store, PLACE, ReadPlan(400, 2), into=memoryview(buffer)[:1023]))
    assert len(script.requests) == 1


def test_a_negative_length_is_refused_before_any_request(store: Store) -> None:
    with pytest.raises(InvalidOption):
        Script().run(fetch(store, PLACE, ReadPlan(400, 2), length=-1))


def test_a_missing_object(store: Store, bucket: Any) -> None:
    for arguments in ({}, {"start": -5}, {"length": 0}):
        with pytest.raises(NotFound):
            Script(server=bucket).run(fetch(store, PLACE, ReadPlan(400, 2), **arguments))


@stateless
@given(st.lists(st.tuples(st.integers(0, 1024), st.integers(0, 1100)), max_size=8), st.integers(1, 400))
def test_every_set_of_ranges(store: Store, bucket: Any, ranges: list[tuple[int, int]], threshold: int) -> None:
    bucket.objects["key"] = DATA
    views = Script(server=bucket).run(fetch_ranges(store, PLACE, ReadPlan(threshold, 4), ranges))
    assert views == [DATA[start : start + length] for start, length in ranges]


def test_near_ranges_are_one_request_and_far_ones_are_bound_to_the_same_version(store: Store, bucket: Any) -> None:
    bucket.objects["key"] = bytes(3 * FAR)
    script = Script(server=bucket)
    script.run(fetch_ranges(store, PLACE, ReadPlan(1 << 20, 4), [(2 * FAR, 5), (0, 10), (100, 10)]))
    assert asked(script) == [("GET", "bytes=0-109", None), ("GET", f"bytes={2 * FAR}-{2 * FAR + 4}", '"v1"')]


def test_ranges_of_an_object_that_is_replaced_in_between(store: Store, bucket: Any) -> None:
    bucket.objects["key"] = bytes(3 * FAR)
    with pytest.raises(ObjectChanged):
        Script(server=replaced_after(bucket, 1)).run(fetch_ranges(store, PLACE, ReadPlan(1 << 20, 4), [(0, 5), (2 * FAR, 5)]))


def test_ranges_without_a_byte_need_no_request(store: Store) -> None:
    script = Script()
    assert [len(view) for view in script.run(fetch_ranges(store, PLACE, ReadPlan(400, 2), [(0, 0), (5, 0)]))] == [0, 0]
    assert script.run(fetch_ranges(store, PLACE, ReadPlan(400, 2), [])) == []


@pytest.mark.parametrize("wrong", [(-1, 5), (5, -1), (-5, 0)])
def test_ranges_that_are_none(store: Store, wrong: tuple[int, int]) -> None:
    with pytest.raises(InvalidOption):
        Script().run(fetch_ranges(store, PLACE, ReadPlan(400, 2), [(0, 5), wrong]))
