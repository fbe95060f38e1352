"""Reads that go on where they broke, and writes whose reply was lost."""

from __future__ import annotations

import pytest

from headrace.backends.protocol import Landing, Part, Upload, WriteOptions
from headrace.backends.s3 import S3Backend
from headrace.config import Options
from headrace.errors import (
    AlreadyExists,
    ConnectionFailed,
    IntegrityError,
    NotFound,
    ObjectChanged,
    ProtocolError,
    ServiceError,
    Stalled,
    Throttled,
)
from headrace.stores.retry import RetryPolicy
from headrace.stores.store import Store
from headrace.testing.contract.stepping import Answer, Script
from headrace.uri import Location

DATA = bytes(range(200))
TAG = {"etag": '"v1"'}
COMPLETED = b"<CompleteMultipartUploadResult><ETag>&quot;tag-2&quot;</ETag></CompleteMultipartUploadResult>"
SLOW_DOWN = Answer(status=503, body=b"<Error><Code>SlowDown</Code><Message>Slow down.</Message></Error>")


def part_of(first: int, last: int, headers: dict[str, str] | None = None, *, cut: int | None = None) -> Answer:
    """A partial reply with the bytes from first to last, both included."""
    shown = {"content-range": f"bytes {first}-{last}/{len(DATA)}", **(TAG if headers is None else headers)}
    return Answer(status=206, headers=shown, body=DATA[first : last + 1], cut=cut)


def ranges(script: Script) -> list[tuple[str | None, str | None]]:
    return [(request.headers.get("range"), request.headers.get("if-match")) for request in script.requests]


def test_a_whole_object_goes_on_at_the_byte_that_it_reached(store: Store, location: Location) -> None:
    script = Script(Answer(headers=TAG, body=DATA, cut=70), part_of(70, 199, cut=30), part_of(100, 199))
    fetched = script.run(store.get(location, Landing()))
    assert (fetched.data, fetched.start, fetched.info.size, fetched.info.etag) == (DATA, 0, 200, '"v1"')
    assert ranges(script) == [(None, None), ("bytes=70-199", '"v1"'), ("bytes=100-199", '"v1"')]


def test_a_range_goes_on_at_the_byte_that_it_reached(store: Store, location: Location) -> None:
    script = Script(part_of(50, 149, cut=10), part_of(60, 149))
    fetched = script.run(store.get(location, Landing(), start=50, length=100))
    assert (fetched.data, fetched.start) == (DATA[50:150], 50)
    assert ranges(script) == [("bytes=50-149", None), ("bytes=60-149", '"v1"')]


def test_a_range_from_the_end_goes_on_from_the_beginning(store: Store, location: Location) -> None:
    script = Script(part_of(150, 199, cut=10), part_of(160, 199))
    assert script.run(store.get(location, Landing(), start=-50)).data == DATA[150:]
    assert ranges(script) == [("bytes=-50", None), ("bytes=160-199", '"v1"')]


def test_the_memory_is_asked_for_once(store: Store, location: Location) -> None:
    views: list[memoryview] = []

    def allocate(info: object, start: int, length: int) -> memoryview:
        views.append(memoryview(bytearray(length)))
        return views[-1]

    script = Script(Answer(headers=TAG, body=DATA, cut=70), part_of(70, 199))
    fetched = script.run(store.get(location, Landing(allocate)))
    assert len(views) == 1
    assert fetched.data.obj is views[0].obj
    assert views[0] == DATA


def test_without_a_version_a_read_begins_anew(store: Store, location: Location) -> None:
    """The rest of what may be another object is not to be joined to it."""
    script = Script(Answer(body=DATA, cut=70), Answer(body=DATA))
    assert script.run(store.get(location, Landing())).data == DATA
    assert ranges(script) == [(None, None), (None, None)]


def test_beginning_anew_is_no_progress(store: Store, location: Location) -> None:
    script = Script(*[Answer(body=DATA, cut=70)] * 3)
    with pytest.raises(ConnectionFailed) as caught:
        script.run(store.get(location, Landing()))
    assert caught.value.attempts == 3


def test_progress_is_not_an_attempt(store: Store, location: Location) -> None:
    """Three attempts are allowed, but each of these ten brings the read forward."""
    answers = [Answer(headers=TAG, body=DATA, cut=20), *(part_of(start, 199, cut=20) for start in range(20, 180, 20)), part_of(180, 199)]
    script = Script(*answers)
    assert script.run(store.get(location, Landing())).data == DATA
    assert len(script.requests) == 10


def test_attempts_without_progress_are_counted(store: Store, location: Location) -> None:
    script = Script(
        Answer(headers=TAG, body=DATA, cut=20), ConnectionFailed("reset"), Stalled("nothing moved"), server=lambda _: Answer(status=500)
    )
    with pytest.raises(Stalled) as caught:
        script.run(store.get(location, Landing()))
    assert caught.value.attempts == 3
    assert len(script.requests) == 3


def test_a_replaced_object_is_not_mixed_with_the_old_one(store: Store, location: Location) -> None:
    script = Script(Answer(headers=TAG, body=DATA, cut=70), Answer(status=412))
    with pytest.raises(ObjectChanged) as caught:
        script.run(store.get(location, Landing()))
    assert (caught.value.uri, caught.value.operation) == ("s3://bucket/key", "get")


def test_a_deleted_object(store: Store, location: Location) -> None:
    with pytest.raises(NotFound):
        Script(Answer(headers=TAG, body=DATA, cut=70), Answer(status=404)).run(store.get(location, Landing()))


def test_a_rest_that_is_none(store: Store, location: Location) -> None:
    """The server sends the whole object, or other bytes, where the rest was asked for."""
    for wrong in (Answer(headers=TAG, body=DATA), part_of(69, 199), part_of(70, 198)):
        script = Script(Answer(headers=TAG, body=DATA, cut=70), *[wrong] * 3)
        with pytest.raises(ProtocolError):
            script.run(store.get(location, Landing()))


def test_refusals_are_waited_out(store: Store, location: Location) -> None:
    script = Script(SLOW_DOWN, Answer(status=503, headers={"retry-after": "3"}), Answer(headers=TAG, body=DATA))
    assert script.run(store.get(location, Landing())).data == DATA
    assert script.pauses[0] < 3 <= script.pauses[1]


def test_refusals_for_ever(store: Store, location: Location) -> None:
    script = Script(server=lambda _: SLOW_DOWN)
    with pytest.raises(Throttled, match=r"Slow down \(503 SlowDown, 3 attempts"):
        script.run(store.get(location, Landing()))


def test_a_wrong_checksum_is_read_again_and_never_handed_out() -> None:
    store = Store(S3Backend(Options(endpoint_url="http://s3.test", anonymous=True), None), RetryPolicy(max_attempts=3))
    checked = {**TAG, "x-amz-checksum-crc32c": "yZRlqg=="}
    location = Location("s3", "bucket", "key")
    script = Script(Answer(headers=checked, body=b"hello worle"), Answer(headers=checked, body=b"hello world"))
    assert script.run(store.get(location, Landing())).data == b"hello world"
    assert ranges(script) == [(None, None)] * 2
    with pytest.raises(IntegrityError, match="checksum"):
        Script(server=lambda _: Answer(headers=checked, body=b"hello worle")).run(store.get(location, Landing()))


def test_a_put_is_repeated(store: Store, location: Location) -> None:
    script = Script(ConnectionFailed("reset"), Answer(headers=TAG))
    assert script.run(store.put(location, [memoryview(DATA)], WriteOptions())).etag == '"v1"'
    assert [bytes(request.body[0]) for request in script.requests] == [DATA] * 2  # type: ignore[arg-type]


def test_a_conditional_put_is_not_repeated_when_it_may_have_happened(store: Store, location: Location) -> None:
    script = Script(ConnectionFailed("reset"))
    with pytest.raises(ConnectionFailed, match="look before trying again"):
        script.run(store.put(location, [memoryview(DATA)], WriteOptions(create_only=True)))


def test_a_conditional_put_that_was_refused_is_repeated(store: Store, location: Location) -> None:
    script = Script(SLOW_DOWN, Answer(status=412))
    with pytest.raises(AlreadyExists):
        script.run(store.put(location, [memoryview(DATA)], WriteOptions(create_only=True)))


@pytest.mark.parametrize(
    "first", [ConnectionFailed("reset"), Answer(status=200, body=b"<Error><Code>InternalError</Code></Error>"), Answer(status=500)]
)
def test_a_completion_is_repeated(store: Store, location: Location, first: Answer | Exception) -> None:
    parts = [Part(1, '"a"', 150), Part(2, '"b"', 50)]
    script = Script(first, Answer(body=COMPLETED))
    info = script.run(store.complete_upload(Upload(location, "id"), parts, WriteOptions()))
    assert (info.etag, info.size) == ('"tag-2"', 200)
    assert script.requests[0].repeatable is False


NO_UPLOAD = Answer(status=404, body=b"<Error><Code>NoSuchUpload</Code></Error>")


def test_a_completion_whose_reply_was_lost(store: Store, location: Location) -> None:
    """The upload is then unknown, because it is complete: the object itself tells."""
    parts = [Part(1, '"a"', 150), Part(2, '"b"', 50)]
    script = Script(ConnectionFailed("reset"), NO_UPLOAD, Answer(headers={"etag": '"tag-2"', "content-length": "200"}))
    assert script.run(store.complete_upload(Upload(location, "id"), parts, WriteOptions())).etag == '"tag-2"'
    assert script.requests[2].method == "HEAD"


@pytest.mark.parametrize("other", [{"etag": '"tag-3"', "content-length": "200"}, {"etag": '"tag-2"', "content-length": "199"}])
def test_a_completion_that_was_lost_with_its_upload(store: Store, location: Location, other: dict[str, str]) -> None:
    """Another object is there: this one was never completed."""
    parts = [Part(1, '"a"', 150), Part(2, '"b"', 50)]
    script = Script(ConnectionFailed("reset"), NO_UPLOAD, Answer(headers=other))
    with pytest.raises(NotFound, match="NoSuchUpload"):
        script.run(store.complete_upload(Upload(location, "id"), parts, WriteOptions()))


def test_an_upload_that_never_was(store: Store, location: Location) -> None:
    with pytest.raises(NotFound, match="NoSuchUpload"):
        Script(NO_UPLOAD).run(store.complete_upload(Upload(location, "id"), [], WriteOptions()))


def test_creating_a_bucket_is_not_repeated_when_it_may_have_happened(store: Store, location: Location) -> None:
    for operation in (store.create_container(location.at("")), store.delete_container(location.at(""))):
        with pytest.raises(ConnectionFailed, match="look before"):
            Script(ConnectionFailed("reset")).run(operation)


def test_a_failure_that_lasts_is_not_repeated(store: Store, location: Location) -> None:
    script = Script(Answer(status=400, body=b"<Error><Code>InvalidArgument</Code><Message>No.</Message></Error>"))
    with pytest.raises(ServiceError, match="400 InvalidArgument"):
        script.run(store.delete(location))
    assert script.pauses == []
