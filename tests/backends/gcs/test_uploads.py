"""Large writes of one piece: a session goes on at the byte that it reached."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from headrace.backends.gcs import GcsBackend
from headrace.backends.gcs.uploads import RESUMABLE_FROM
from headrace.backends.protocol import WriteOptions
from headrace.errors import AlreadyExists, ConnectionFailed, HeadraceError, NotFound, ProtocolError, ServiceError, Throttled
from headrace.http.messages import FileRange
from headrace.testing.contract.stepping import Answer, Script
from headrace.uri import Location
from tests.backends.gcs.conftest import refusal, stored

PLACE = Location("gs", "bucket", "key")
LENGTH = RESUMABLE_FROM + 5
DATA = memoryview(bytes(LENGTH))
PLAIN = WriteOptions()
BEGUN = Answer(headers={"location": "http://elsewhere.example/upload/session?upload_id=MARKED"})
BROKEN = ConnectionFailed("the connection broke")
DONE = stored(size=LENGTH)


def reached(count: int) -> Answer:
    """The service says how many bytes it has."""
    return Answer(status=308, headers={"range": f"bytes=0-{count - 1}"} if count else {})


def put(backend: GcsBackend, script: Script, options: WriteOptions = PLAIN) -> None:
    info = script.run(backend.put(PLACE, [DATA], options))
    assert (info.size, info.etag) == (LENGTH, '"7"')


def ranges(script: Script) -> list[tuple[str, int]]:
    """What was said of the range and sent, after the beginning."""
    return [(request.headers.get("content-range", request.method), request.length) for request in script.requests[1:]]


def test_a_session_without_trouble(backend: GcsBackend) -> None:
    script = Script(BEGUN, DONE)
    put(backend, script, WriteOptions(content_type="text/x", metadata={"a": "b"}))
    begun, sent = script.requests
    assert (begun.method, begun.target) == ("POST", "/upload/storage/v1/b/bucket/o?name=key&uploadType=resumable")
    assert begun.headers["x-upload-content-length"] == str(LENGTH)
    described = json.loads(bytes(begun.body[0]))  # type: ignore[arg-type]
    assert described == {"contentType": "text/x", "metadata": {"a": "b"}, "crc32c": described["crc32c"]}
    assert (sent.method, sent.target, sent.length) == ("PUT", "/upload/session?upload_id=MARKED", LENGTH)
    # The address is of the service that was asked, and a session needs no token.
    assert sent.origin == begun.origin
    assert "authorization" not in sent.headers
    assert "MARKED" not in repr(sent)


@pytest.mark.parametrize("trouble", [BROKEN, refusal(503, "backendError"), refusal(500, "backendError"), Answer(status=408)])
def test_a_session_goes_on_where_it_broke(backend: GcsBackend, trouble: Answer | Exception) -> None:
    script = Script(BEGUN, trouble, reached(262144), trouble, reached(1 << 20), DONE)
    put(backend, script)
    assert ranges(script) == [
        (f"bytes 0-{LENGTH - 1}/{LENGTH}", LENGTH),
        (f"bytes */{LENGTH}", 0),
        (f"bytes 262144-{LENGTH - 1}/{LENGTH}", LENGTH - 262144),
        (f"bytes */{LENGTH}", 0),
        (f"bytes {1 << 20}-{LENGTH - 1}/{LENGTH}", LENGTH - (1 << 20)),
    ]
    assert script.requests[3].body[0].obj is DATA.obj  # type: ignore[union-attr]


def test_what_was_taken_but_for_the_reply_is_known_to_be_written(backend: GcsBackend) -> None:
    """Even a write with a condition, which could not be done again."""
    script = Script(BEGUN, BROKEN, DONE)
    put(backend, script, WriteOptions(create_only=True))
    assert "ifGenerationMatch=0" in script.requests[0].target


def test_a_service_that_took_less_than_was_sent(backend: GcsBackend) -> None:
    put(backend, Script(BEGUN, reached(262144), reached(262144), DONE))


@pytest.mark.parametrize(
    ("answers", "kind"),
    [
        ((BROKEN, reached(0)), ConnectionFailed),
        ((refusal(503, "backendError"), reached(0)), Throttled),
        ((refusal(500, "backendError"), reached(0)), ServiceError),
        ((reached(0), reached(0)), ProtocolError),
        ((BROKEN, reached(5), BROKEN, reached(5)), ConnectionFailed),
        ((BROKEN, BROKEN), ConnectionFailed),
        ((BROKEN, reached(LENGTH + 1)), ProtocolError),
        ((BROKEN, Answer(status=308, headers={"range": "bytes=5-9"})), ProtocolError),
    ],
)
def test_a_session_that_does_not_come_forward_is_given_up(
    backend: GcsBackend, answers: tuple[Answer | Exception, ...], kind: type[HeadraceError]
) -> None:
    script = Script(BEGUN, *answers, Answer(status=499))
    with pytest.raises(kind):
        put(backend, script)
    assert (script.requests[-1].method, script.requests[-1].target) == ("DELETE", "/upload/session?upload_id=MARKED")


def test_a_session_that_is_gone(backend: GcsBackend) -> None:
    with pytest.raises(NotFound):
        put(backend, Script(BEGUN, BROKEN, refusal(404, "notFound")))


def test_a_session_that_is_refused(backend: GcsBackend) -> None:
    for answers in ((refusal(412, "conditionNotMet"),), (BEGUN, refusal(412, "conditionNotMet"))):
        with pytest.raises(AlreadyExists):
            put(backend, Script(*answers), WriteOptions(create_only=True))


@pytest.mark.parametrize("location", ["", "https://storage.googleapis.com/upload"])
def test_a_session_without_an_address(backend: GcsBackend, location: str) -> None:
    with pytest.raises(ProtocolError, match="Location"):
        put(backend, Script(Answer(headers={"location": location})))


def test_the_rest_of_a_file_and_of_several_buffers(make_backend: Callable[..., GcsBackend]) -> None:
    body = [memoryview(b"0123"), FileRange(0, 100, LENGTH - 8), memoryview(b"4567")]
    backend = make_backend(checksum="none")
    script = Script(BEGUN, BROKEN, reached(2), BROKEN, reached(14), BROKEN, reached(LENGTH - 1), DONE)
    script.run(backend.put(PLACE, body, PLAIN))
    assert [list(request.body) for request in script.requests[3::2]] == [
        [memoryview(b"23"), *body[1:]],
        [FileRange(0, 110, LENGTH - 18), body[2]],
        [memoryview(b"7")],
    ]
