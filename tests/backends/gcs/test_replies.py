"""What replies mean: descriptions, failures, and what must not be believed."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import crc32c
import pytest

from headrace.auth.bearer import Token
from headrace.backends.gcs import GcsBackend
from headrace.backends.protocol import Landing, WriteOptions
from headrace.errors import (
    AlreadyExists,
    CredentialsError,
    HeadraceError,
    IntegrityError,
    InvalidOption,
    NotFound,
    ObjectChanged,
    PermissionDenied,
    PreconditionFailed,
    ProtocolError,
    ServiceError,
    Throttled,
)
from headrace.models import ObjectInfo, Prefix
from headrace.stores.retry import is_transient
from headrace.testing.contract.stepping import Answer, Script
from headrace.uri import Location
from tests.backends.gcs.conftest import batch_reply, document, refusal, stored

PLACE = Location("gs", "bucket", "key")
DATA = b"hello world"
CRC32C = base64.b64encode(crc32c.crc32c(DATA).to_bytes(4, "big")).decode()
HEADERS = {
    "x-goog-generation": "7",
    "x-goog-metageneration": "1",
    "x-goog-hash": f"crc32c={CRC32C}, md5=XrY7u+Ae7tCTyyK7j1rNww==",
    "x-goog-storage-class": "NEARLINE",
    "x-goog-stored-content-encoding": "identity",
    "last-modified": "Fri, 02 Jan 2026 03:04:05 GMT",
    "content-type": "text/x",
}


def read(backend: GcsBackend, *answers: Answer, **arguments: Any) -> Any:
    return Script(*answers).run(backend.get(PLACE, Landing(), **arguments))


def test_what_a_download_tells_of_the_object(backend: GcsBackend) -> None:
    fetched = read(backend, Answer(body=DATA, headers=HEADERS))
    assert fetched.data == DATA
    assert fetched.info == ObjectInfo(
        uri="gs://bucket/key",
        size=11,
        etag='"7"',
        last_modified=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
        content_type="text/x",
        version_id="7",
        storage_class="NEARLINE",
        checksum="crc32c:c99465aa",
    )


def test_what_a_description_tells_of_the_object(backend: GcsBackend) -> None:
    described = stored(contentType="text/x", metadata={"Ä": "b"}, storageClass="NEARLINE", crc32c=CRC32C, md5Hash="AAAA")
    assert Script(described).run(backend.head(PLACE)) == ObjectInfo(
        uri="gs://bucket/key",
        size=11,
        etag='"7"',
        last_modified=datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=UTC),
        content_type="text/x",
        metadata={"Ä": "b"},
        version_id="7",
        storage_class="NEARLINE",
        checksum="crc32c:c99465aa",
    )


def test_wrong_bytes_are_refused_unless_nobody_wants_to_know(make_backend: Callable[..., GcsBackend]) -> None:
    damaged = Answer(body=b"hellO world", headers=HEADERS)
    with pytest.raises(IntegrityError, match="c99465aa"):
        read(make_backend(), damaged)
    assert read(make_backend(checksum="none"), damaged).data == b"hellO world"


@pytest.mark.parametrize("hashes", [f"md5=XrY7u+Ae7tCTyyK7j1rNww==,crc32c={CRC32C}", f"crc32c={CRC32C}"])
def test_the_checksum_wherever_it_stands(backend: GcsBackend, hashes: str) -> None:
    with pytest.raises(IntegrityError):
        read(backend, Answer(body=b"hellO world", headers={**HEADERS, "x-goog-hash": hashes}))


def test_the_checksum_of_the_whole_says_nothing_of_a_range(backend: GcsBackend) -> None:
    part = Answer(status=206, body=b"ell", headers={**HEADERS, "content-range": "bytes 1-3/11"})
    assert read(backend, part, start=1, length=3).data == b"ell"


def test_what_is_stored_compressed_comes_as_it_is_stored(backend: GcsBackend) -> None:
    headers = {**HEADERS, "content-encoding": "gzip", "x-goog-hash": ""}
    assert read(backend, Answer(body=DATA, headers={**headers, "x-goog-stored-content-encoding": "gzip"})).data == DATA
    with pytest.raises(ProtocolError, match="compressed"):
        read(backend, Answer(body=DATA, headers=headers))


def test_another_version_than_the_one_that_is_read(backend: GcsBackend) -> None:
    for answer in (refusal(412, "conditionNotMet"), Answer(body=DATA, headers=HEADERS)):
        with pytest.raises(ObjectChanged):
            read(backend, answer, if_match='"6"')
    assert read(backend, Answer(body=DATA, headers=HEADERS), if_match='"7"').data == DATA


REFUSALS = [
    (401, "authError", CredentialsError, False),
    (401, "required", CredentialsError, False),
    (403, "forbidden", PermissionDenied, False),
    (403, "rateLimitExceeded", Throttled, True),
    (403, "userRateLimitExceeded", Throttled, True),
    (404, "notFound", NotFound, False),
    (408, "uploadBrokenConnection", ServiceError, True),
    (412, "conditionNotMet", PreconditionFailed, False),
    (429, "rateLimitExceeded", Throttled, True),
    (400, "invalid", ServiceError, False),
    (500, "backendError", ServiceError, True),
    (502, "backendError", ServiceError, True),
    (503, "backendError", Throttled, True),
]


@pytest.mark.parametrize(("status", "reason", "kind", "transient"), REFUSALS)
def test_refusals(backend: GcsBackend, status: int, reason: str, kind: type[HeadraceError], transient: bool) -> None:  # noqa: FBT001
    headers = {"x-guploader-uploadid": "ABC-123", "retry-after": "3"}
    with pytest.raises(kind, match="No") as caught:
        Script(refusal(status, reason, headers=headers)).run(backend.head(PLACE))
    error = caught.value
    assert type(error) is kind
    assert (error.status, error.code, error.request_id, error.retry_after) == (status, reason, "ABC-123", 3)
    assert is_transient(error) is transient


def test_a_refused_download_is_told_in_plain_text(backend: GcsBackend) -> None:
    answer = Answer(status=404, headers={"content-type": "text/plain; charset=UTF-8"}, body=b"No such object: bucket/key\n")
    with pytest.raises(NotFound, match="No such object: bucket/key"):
        read(backend, answer)


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"{}", b'{"error": 5}', b'{"error": {"errors": 7}}', b"[" * 100_000])
def test_refusals_that_say_nothing(backend: GcsBackend, body: bytes) -> None:
    with pytest.raises(PermissionDenied, match="access denied"):
        Script(Answer(status=403, body=body)).run(backend.head(PLACE))


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>", b"[]", b"{}", b'{"size": 5}', b'{"size": "-5"}', b'{"size": "5", "crc32c": "?"}', b"[" * 100_000],
)
def test_descriptions_that_are_none(backend: GcsBackend, body: bytes) -> None:
    with pytest.raises(ProtocolError):
        Script(Answer(body=body)).run(backend.head(PLACE))


@pytest.mark.parametrize(
    ("options", "answer", "kind"),
    [
        (WriteOptions(create_only=True), refusal(412, "conditionNotMet"), AlreadyExists),
        (WriteOptions(if_match='"7"'), refusal(412, "conditionNotMet"), PreconditionFailed),
        (WriteOptions(if_match='"7"'), refusal(404, "notFound", "No such object: bucket/key"), PreconditionFailed),
        (WriteOptions(if_match='"7"'), refusal(404, "notFound", "The specified bucket does not exist."), NotFound),
        (WriteOptions(), refusal(404, "notFound", "The specified bucket does not exist."), NotFound),
        (WriteOptions(), refusal(400, "invalid", 'Provided CRC32C "a" doesn\'t match calculated CRC32C "b".'), IntegrityError),
        (WriteOptions(), stored(size=10), IntegrityError),
    ],
)
def test_writes_that_fail(backend: GcsBackend, options: WriteOptions, answer: Answer, kind: type[HeadraceError]) -> None:
    with pytest.raises(kind) as caught:
        Script(answer).run(backend.put(PLACE, [memoryview(DATA)], options))
    assert type(caught.value) is kind


class Tokens:
    """Gives one token after another; each is good until it is rejected."""

    def __init__(self, *values: str) -> None:
        self._values = iter(values)
        self._token: Token | None = None

    def current(self) -> Token | None:
        return self._token

    def refresh(self) -> Token:
        self._token = self._token or Token(next(self._values))
        return self._token

    def invalidate(self, rejected: Token) -> None:
        self._token = None


def test_a_token_that_is_rejected_is_replaced_once(make_backend: Callable[..., GcsBackend]) -> None:
    script = Script(refusal(401, "authError"), stored())
    assert script.run(make_backend(source=Tokens("one", "two")).head(PLACE)).size == 11
    assert [request.headers["authorization"] for request in script.requests] == ["Bearer one", "Bearer two"]
    script = Script(refusal(401, "authError"), refusal(401, "authError"))
    with pytest.raises(CredentialsError, match="No"):
        script.run(make_backend(source=Tokens("one", "two")).head(PLACE))


def test_a_token_of_which_there_is_only_one_is_not_tried_twice(backend: GcsBackend) -> None:
    script = Script(refusal(401, "authError"))
    with pytest.raises(CredentialsError):
        script.run(backend.head(PLACE))
    assert script.finished


@pytest.mark.parametrize("content", [{}, {"done": True}, {"done": True, "resource": [5]}, {"done": False, "rewriteToken": 5}, []])
def test_copies_that_are_not_to_be_believed(backend: GcsBackend, content: object) -> None:
    with pytest.raises(ProtocolError):
        Script(document(content)).run(backend.copy(PLACE, PLACE.at("copy"), WriteOptions()))


def listing(*names: str, **more: object) -> Answer:
    return document({"items": [{"name": name, "size": "1", "generation": "5"} for name in names], **more})


def page_of(backend: GcsBackend, answer: Answer, key: str = "", **arguments: Any) -> Any:
    arguments = {"recursive": True, "start_after": None, "token": None, **arguments}
    return Script(answer).run(backend.list_page(PLACE.at(key), **arguments))


def test_a_page_is_in_key_order_with_its_prefixes(backend: GcsBackend) -> None:
    page = page_of(backend, listing("a", "c", "\U0001f986", prefixes=["b/", "\ufb01/"], nextPageToken="x"), recursive=False)
    assert [entry.uri.removeprefix("gs://bucket/") for entry in page.entries] == ["a", "b/", "c", "\ufb01/", "\U0001f986"]
    assert page.entries[1] == Prefix("gs://bucket/b/")
    assert page.token == "x"


def test_what_follows_a_key_begins_with_it_and_is_without_it(backend: GcsBackend) -> None:
    script = Script(listing("b", "c"))
    page = script.run(backend.list_page(PLACE.at(""), recursive=True, start_after="b", token="t"))
    assert [entry.uri for entry in page.entries] == ["gs://bucket/c"]
    assert "pageToken=t" in script.requests[0].target
    assert "startOffset=b" in script.requests[0].target


def test_parts_of_writes_are_listed_to_those_who_ask_for_them(backend: GcsBackend) -> None:
    hidden = ".headrace-parts/0123/00001"
    assert page_of(backend, listing(hidden)).entries == []
    assert page_of(backend, document({"prefixes": [".headrace-parts/"]}), recursive=False).entries == []
    assert page_of(backend, listing(hidden), ".head").entries == []
    assert len(page_of(backend, listing(hidden), ".headrace-parts/").entries) == 1


@pytest.mark.parametrize(
    "content",
    [
        {"items": 5},
        {"items": [5]},
        {"items": [{"size": "5"}]},
        {"items": [{"name": "q/elsewhere", "size": "5"}]},
        {"items": [{"name": "p/a"}]},
        {"prefixes": 5},
        {"nextPageToken": 5},
        {"prefixes": ["elsewhere/"]},
        {"prefixes": [7]},
        [],
    ],
)
def test_listings_that_are_not_to_be_believed(backend: GcsBackend, content: object) -> None:
    with pytest.raises(ProtocolError):
        page_of(backend, document(content), "p/")


def test_lists_that_go_round_in_circles(backend: GcsBackend, make_backend: Callable[..., GcsBackend]) -> None:
    for operation in (
        backend.list_uploads(PLACE),
        make_backend(project="project").list_containers(PLACE),
        backend.copy(PLACE, PLACE.at("copy"), WriteOptions()),
    ):
        with pytest.raises(ProtocolError, match="circles"):
            Script(server=lambda _: document({"nextPageToken": "again", "rewriteToken": "again"})).run(operation)


def error_text(reason: str, message: str) -> str:
    return json.dumps({"error": {"message": message, "errors": [{"reason": reason}]}})


def test_deletions_together_tell_of_each(backend: GcsBackend) -> None:
    keys = ["a", "b/ü", "c", "d"]
    script = Script(
        batch_reply(
            (2, 403, error_text("forbidden", "Not that one.")),
            (0, 204, ""),
            (1, 404, error_text("notFound", "No such object: bucket/b")),
            (3, 404, error_text("notFound", "The specified bucket does not exist.")),
        )
    )
    errors = script.run(backend.delete_batch([PLACE.at(key) for key in keys]))
    assert [type(error) for error in errors] == [type(None), type(None), PermissionDenied, NotFound]
    assert (errors[2].uri, errors[2].request_id) == ("gs://bucket/c", "u")
    sent = bytes(script.requests[0].body[0])  # type: ignore[arg-type]
    assert sent.count(b"DELETE /storage/v1/b/bucket/o/") == 4
    assert b"DELETE /storage/v1/b/bucket/o/b%2F%C3%BC HTTP/1.1\r\n" in sent


def test_a_busy_service_is_asked_again_for_all_of_them(backend: GcsBackend) -> None:
    for status in (429, 503):
        with pytest.raises(Throttled):
            Script(batch_reply((0, 204, ""), (1, status, ""))).run(backend.delete_batch([PLACE, PLACE.at("b")]))


@pytest.mark.parametrize(
    "answer",
    [
        Answer(body=b"{}", headers={"content-type": "application/json"}),
        batch_reply(),
        batch_reply((0, 204, "")),
        batch_reply((0, 204, ""), (0, 204, "")),
        batch_reply((0, 204, ""), (1, 204, ""), (2, 204, "")),
        Answer(body=b"--b\r\n\r\nHTTP/1.1 204 x\r\n\r\n--b--", headers={"content-type": "multipart/mixed; boundary=b"}),
    ],
)
def test_deletions_of_which_it_is_not_known_what_became_of_them(backend: GcsBackend, answer: Answer) -> None:
    with pytest.raises(ProtocolError):
        Script(answer).run(backend.delete_batch([PLACE, PLACE.at("b")]))


def test_a_bucket_that_is_there(make_backend: Callable[..., GcsBackend]) -> None:
    with pytest.raises(AlreadyExists):
        Script(refusal(409, "conflict")).run(make_backend(project="p").create_container(PLACE))


@pytest.mark.parametrize("status", [409, 412])
def test_a_bucket_with_objects_stays(backend: GcsBackend, status: int) -> None:
    with pytest.raises(ServiceError) as caught:
        Script(refusal(status, "conflict", "not empty"), listing("object")).run(backend.delete_container(PLACE))
    assert (type(caught.value), caught.value.code) == (ServiceError, "NotEmpty")


def test_who_may_list_buckets_of_no_project(backend: GcsBackend) -> None:
    with pytest.raises(InvalidOption, match="project"):
        Script().run(backend.list_containers(PLACE))
