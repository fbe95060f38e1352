"""Copies: at once, or as the service goes on for a while."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from headrace.auth.azure import StaticSource
from headrace.auth.azure_signing import BearerToken, SharedAccessSignature
from headrace.backends.azure import AzureBackend
from headrace.backends.protocol import WriteOptions
from headrace.errors import CredentialsError, NotFound, NotSupported, ObjectChanged, ProtocolError, ServiceError
from headrace.testing.contract.stepping import Answer, Script
from headrace.uri import Location

MakeBackend = Callable[..., AzureBackend]

SOURCE, DESTINATION = Location("az", "c", "a source"), Location("az", "d", "copy")
PLAIN = WriteOptions()
FOUND = Answer(headers={"content-length": "5", "etag": '"s"'})


def begun(status: str, **headers: str) -> Answer:
    return Answer(status=202, headers={"etag": '"d"', "x-ms-copy-id": "id1", "x-ms-copy-status": status, **headers})


def looked_at(status: str, copy_id: str = "id1", etag: str = '"e"') -> Answer:
    return Answer(headers={"content-length": "5", "etag": etag, "x-ms-copy-id": copy_id, "x-ms-copy-status": status})


def test_a_copy_that_is_done_at_once(backend: AzureBackend) -> None:
    script = Script(FOUND, begun("success"))
    info = script.run(backend.copy(SOURCE, DESTINATION, WriteOptions(metadata={"a": "b"}, storage_class="Cool")))
    assert (info.uri, info.size, info.etag) == ("az://d/copy", 5, '"d"')
    request = script.requests[1]
    assert (request.method, request.target) == ("PUT", "/d/copy")
    expected = {
        "x-ms-copy-source": "https://mine.blob.core.windows.net/c/a%20source",
        "x-ms-source-if-match": '"s"',
        "x-ms-meta-a": "b",
        "x-ms-access-tier": "Cool",
    }
    assert {name: request.headers[name] for name in expected} == expected


def test_a_copy_that_goes_on_is_waited_for(backend: AzureBackend) -> None:
    script = Script(FOUND, begun("pending"), looked_at("pending"), looked_at("pending"), looked_at("success"))
    assert script.run(backend.copy(SOURCE, DESTINATION, PLAIN)).etag == '"e"'
    assert [request.method for request in script.requests[2:]] == ["HEAD"] * 3
    assert script.pauses == sorted(script.pauses)


@pytest.mark.parametrize(
    ("answer", "kind"),
    [(looked_at("failed"), ServiceError), (looked_at("aborted"), ServiceError), (looked_at("success", "id2"), ObjectChanged)],
)
def test_a_copy_that_fails_leaves_no_empty_blob(backend: AzureBackend, answer: Answer, kind: type[Exception]) -> None:
    script = Script(FOUND, begun("pending"), answer, Answer(status=409), looked_at("failed"), Answer(status=202))
    with pytest.raises(kind):
        script.run(backend.copy(SOURCE, DESTINATION, PLAIN))
    abort, _, delete = script.requests[3:]
    assert (abort.method, abort.target) == ("PUT", "/d/copy?comp=copy&copyid=id1")
    assert abort.headers["x-ms-copy-action"] == "abort"
    assert (delete.method, delete.headers["if-match"]) == ("DELETE", '"e"')


def test_what_another_write_has_put_in_the_place_stays(backend: AzureBackend) -> None:
    script = Script(FOUND, begun("pending"), looked_at("failed"), Answer(status=409), looked_at("success", "id2"))
    with pytest.raises(ServiceError):
        script.run(backend.copy(SOURCE, DESTINATION, PLAIN))
    assert script.finished


def test_a_source_that_changes_or_is_missing(backend: AzureBackend) -> None:
    changed = Answer(status=412, headers={"x-ms-error-code": "SourceConditionNotMet", "x-ms-request-id": "id-1"})
    with pytest.raises(ObjectChanged) as caught:
        Script(FOUND, changed).run(backend.copy(SOURCE, DESTINATION, PLAIN))
    assert caught.value.request_id == "id-1"
    with pytest.raises(NotFound):
        Script(Answer(status=404)).run(backend.copy(SOURCE, DESTINATION, PLAIN))
    with pytest.raises(ProtocolError):
        Script(FOUND, begun("pending", **{"x-ms-copy-id": ""})).run(backend.copy(SOURCE, DESTINATION, PLAIN))


def test_a_sas_proves_that_the_source_may_be_read_and_is_not_shown(make_backend: MakeBackend) -> None:
    backend = make_backend(source=StaticSource(SharedAccessSignature("sig=SIGNATURE")))
    script = Script(FOUND, begun("success"))
    script.run(backend.copy(SOURCE, DESTINATION, PLAIN))
    assert script.requests[1].headers["x-ms-copy-source"].endswith("/c/a%20source?sig=SIGNATURE")
    assert "SIGNATURE" not in repr(script.requests[1].headers)


def test_between_two_accounts(make_backend: MakeBackend) -> None:
    elsewhere = Location("az", "d", "copy", "other")
    script = Script(FOUND, Answer(status=201, headers={"etag": '"d"'}))
    assert script.run(make_backend(source=StaticSource(BearerToken("TOKEN"))).copy(SOURCE, elsewhere, PLAIN)).etag == '"d"'
    headers = script.requests[1].headers
    assert (headers["x-ms-copy-source-authorization"], headers["x-ms-blob-type"]) == ("Bearer TOKEN", "BlockBlob")
    with pytest.raises(NotSupported, match="two accounts"):
        Script(FOUND).run(make_backend().copy(SOURCE, elsewhere, PLAIN))
    with pytest.raises(CredentialsError):
        Script(FOUND).run(make_backend().copy(elsewhere, SOURCE, PLAIN))


def test_an_anonymous_copy(make_backend: MakeBackend) -> None:
    script = Script(FOUND, begun("success"))
    script.run(make_backend(source=None).copy(SOURCE, DESTINATION, PLAIN))
    headers: Any = script.requests[1].headers
    assert headers["x-ms-copy-source"] == "https://mine.blob.core.windows.net/c/a%20source"
    assert "authorization" not in headers
