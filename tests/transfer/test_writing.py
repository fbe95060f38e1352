"""Writes in parts: how they are cut, and what is left of those that fail."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.backends.protocol import Part, Upload, WriteOptions
from headrace.backends.s3 import S3Backend
from headrace.config import Options
from headrace.errors import IntegrityError, InvalidOption, PermissionDenied, PreconditionFailed, ServiceError
from headrace.http.messages import Request
from headrace.stores.retry import RetryPolicy
from headrace.stores.store import Store
from headrace.testing.contract.stepping import Answer, Script
from headrace.transfer.writing import WritePlan, part_size_for, publish, store_body
from headrace.uri import Location

PLACE = Location("s3", "bucket", "key")
MIB = 1 << 20
PLAN = WritePlan(threshold=5 * MIB, part_size=5 * MIB, at_once=4)
PLAIN = WriteOptions()
LARGE = memoryview(bytes(range(256)) * (11 << 12))
S3 = Store(S3Backend(Options(endpoint_url="http://s3.test", anonymous=True), None), RetryPolicy())


@given(st.integers(0, 40 << 40), st.integers(5 * MIB, 5 << 30))
def test_parts_always_suffice(size: int, wanted: int) -> None:
    part_size = part_size_for(S3, size, wanted)
    assert S3.min_part_size <= part_size <= S3.max_part_size
    assert -(-size // part_size) <= S3.max_parts
    assert part_size == wanted or part_size % MIB == 0


def test_what_no_number_of_parts_can_hold() -> None:
    with pytest.raises(InvalidOption, match="10000 parts"):
        part_size_for(S3, 10_000 * (5 << 30) + 1, 5 * MIB)


@pytest.mark.parametrize(
    ("size", "methods"),
    [(0, ["PUT"]), (5 * MIB - 1, ["PUT"]), (5 * MIB, ["POST", "PUT", "POST"]), (11 * MIB, ["POST", *["PUT"] * 3, "POST"])],
)
def test_one_piece_or_parts(store: Store, bucket: Any, size: int, methods: list[str]) -> None:
    script = Script(server=bucket)
    info = script.run(store_body(store, PLACE, LARGE[:size], PLAIN, PLAN))
    assert [request.method for request in script.requests] == methods
    assert (info.size, bucket.objects["key"], bucket.uploads) == (size, LARGE[:size], {})


def test_a_part_that_fails_for_good_takes_the_others_with_it(store: Store, bucket: Any) -> None:
    def server(request: Request) -> Answer:
        return Answer(status=403) if "partNumber=2" in request.target else bucket(request)

    script = Script(server=server)
    with pytest.raises(PermissionDenied):
        script.run(store_body(store, PLACE, LARGE, PLAIN, PLAN))
    assert script.requests[-1].method == "DELETE"
    assert (bucket.objects, bucket.uploads) == ({}, {})


def test_a_part_that_fails_for_a_while_is_sent_again(store: Store, bucket: Any) -> None:
    failed: list[str] = []

    def server(request: Request) -> Answer:
        if "partNumber=2" in request.target and len(failed) < 2:
            failed.append(request.target)
            return Answer(status=500)
        answer: Answer = bucket(request)
        return answer

    Script(server=server).run(store_body(store, PLACE, LARGE, PLAIN, PLAN))
    assert bucket.objects["key"] == LARGE


def test_a_condition_that_fails_at_the_end_leaves_no_parts(store: Store, bucket: Any) -> None:
    def server(request: Request) -> Answer:
        return Answer(status=412) if request.headers.get("if-match") else bucket(request)

    with pytest.raises(PreconditionFailed):
        Script(server=server).run(store_body(store, PLACE, LARGE, WriteOptions(if_match='"v0"'), PLAN))
    assert (bucket.objects, bucket.uploads) == ({}, {})


def test_a_failure_to_clean_up_does_not_hide_the_first(store: Store, bucket: Any, caplog: pytest.LogCaptureFixture) -> None:
    def server(request: Request) -> Answer:
        if request.method == "DELETE":
            return Answer(status=400)
        return Answer(status=403) if request.method == "PUT" else bucket(request)

    with caplog.at_level(logging.WARNING, logger="headrace"), pytest.raises(PermissionDenied):
        Script(server=server).run(store_body(store, PLACE, LARGE, PLAIN, PLAN))
    assert "clean-up" in caplog.text


def test_an_upload_that_does_not_begin_needs_no_cleaning(store: Store) -> None:
    script = Script(Answer(status=400))
    with pytest.raises(ServiceError):
        script.run(store_body(store, PLACE, LARGE, PLAIN, PLAN))
    assert script.finished


@pytest.mark.parametrize(
    "parts",
    [
        [],
        [Part(1, '"a"', 9)],
        [Part(1, '"a"', 11)],
        [Part(2, '"a"', 10)],
        [Part(1, '"a"', 5), Part(3, '"b"', 5)],
        [Part(2, '"a"', 5), Part(1, '"b"', 5)],
        [Part(1, '"a"', 5), Part(1, '"b"', 5)],
    ],
    ids=["none", "too few bytes", "too many", "not from 1", "a gap", "out of order", "twice"],
)
def test_parts_that_are_not_the_object(store: Store, parts: list[Part]) -> None:
    script = Script()
    with pytest.raises(IntegrityError) as caught:
        script.run(publish(store, Upload(PLACE, "id"), parts, 10, PLAIN))
    assert (caught.value.uri, script.requests) == ("s3://bucket/key", [])
