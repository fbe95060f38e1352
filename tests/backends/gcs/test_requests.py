"""What each verb sends: method, target, headers and body."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from headrace.backends.gcs import GcsBackend
from headrace.backends.protocol import Landing, Upload, WriteOptions
from headrace.errors import CredentialsError, HeadraceError, InvalidOption, NotSupported
from headrace.http.effects import Operation
from headrace.http.messages import FileRange, Request
from headrace.testing.contract.stepping import Answer, Script
from headrace.uri import Location
from tests.backends.gcs.conftest import document, stored

MakeBackend = Callable[..., GcsBackend]

PLACE = Location("gs", "bucket", "a key/with+odd%20parts//é")
NAME = "a%20key%2Fwith%2Bodd%2520parts%2F%2F%C3%A9"
TARGET = f"/storage/v1/b/bucket/o/{NAME}"
UPLOADS = "/upload/storage/v1/b/bucket/o"
BODY = [memoryview(b"hello world")]
PLAIN = WriteOptions()
UPLOAD = Upload(PLACE, "0" * 32)
CUSTOMER_KEY = b"a customer key of just 32 bytes!"


def verbs(backend: GcsBackend) -> Iterator[tuple[str, Operation[Any]]]:
    """Every verb with what its first request looks like."""
    yield f"GET {TARGET}?alt=media", backend.get(PLACE, Landing())
    yield f"GET {TARGET}?alt=media&ifGenerationMatch=7", backend.get(PLACE, Landing(), if_match='"7"')
    described = "size%2Cgeneration%2Cupdated%2CcontentType%2Cmetadata%2CstorageClass%2Ccrc32c%2Cmd5Hash"
    yield f"GET {TARGET}?fields={described}", backend.head(PLACE)
    yield f"POST {UPLOADS}?name={NAME}&uploadType=multipart", backend.put(PLACE, BODY, PLAIN)
    yield f"DELETE {TARGET}", backend.delete(PLACE)
    yield "POST /batch/storage/v1", backend.delete_batch([PLACE])
    yield f"POST {TARGET}/rewriteTo/b/other/o/a%2Fcopy", backend.copy(PLACE, Location("gs", "other", "a/copy"), PLAIN)
    part = f".headrace-parts%2F{UPLOAD.id}%2F00003"
    yield f"POST {UPLOADS}?name={part}&uploadType=multipart", backend.put_part(UPLOAD, 3, 0, BODY)
    yield f"POST {TARGET}/compose", backend.complete_upload(UPLOAD, [], PLAIN)
    yield "POST /storage/v1/b?project=project", backend.create_container(PLACE.at(""))
    yield "DELETE /storage/v1/b/bucket", backend.delete_container(PLACE.at(""))
    yield "GET /storage/v1/b?fields=nextPageToken%2Citems%28name%2CtimeCreated%29&project=project", backend.list_containers(PLACE)


def sent_by(operation: Operation[Any], *answers: Answer) -> list[Request]:
    """The requests of an operation that is answered by nothing of use."""
    script = Script(*answers, server=lambda _: Answer(status=418))
    with contextlib.suppress(HeadraceError):
        script.run(operation)
    return script.requests


def body_of(request: Request) -> bytes:
    return b"".join(bytes(part) for part in request.body)  # type: ignore[arg-type]


def resource_in(request: Request) -> dict[str, Any]:
    """The object that a multipart upload describes."""
    described: dict[str, Any] = json.loads(bytes(request.body[0]).split(b"\r\n\r\n")[1].partition(b"\r\n")[0])  # type: ignore[arg-type]
    return described


def test_methods_and_targets(make_backend: MakeBackend) -> None:
    for expected, operation in verbs(make_backend(project="project")):
        request = sent_by(operation)[0]
        assert f"{request.method} {request.target}" == expected
        assert str(request.origin) == "https://storage.googleapis.com"


def test_every_request_has_the_token_and_says_who_asks(make_backend: MakeBackend) -> None:
    for _, operation in verbs(make_backend(project="project")):
        headers = sent_by(operation)[0].headers
        assert (headers["authorization"], headers["user-agent"]) == ("Bearer a-token", "headrace")
        assert "a-token" not in repr(headers)


def test_an_anonymous_request_has_no_token(make_backend: MakeBackend) -> None:
    for _, operation in verbs(make_backend(project="project", anonymous=True)):
        assert "authorization" not in sent_by(operation)[0].headers


def test_a_token_does_not_go_over_a_network_without_tls(make_backend: MakeBackend) -> None:
    for endpoint in ("http://storage.example", "http://127.0.0.1.example", "http://10.0.0.1:4443"):
        with pytest.raises(CredentialsError, match="TLS"):
            make_backend(endpoint_url=endpoint)
    for endpoint in ("http://localhost:4443", "http://127.0.0.1:4443", "http://[::1]:4443"):
        make_backend(endpoint_url=endpoint)
    make_backend(endpoint_url="http://storage.example", anonymous=True)


def test_an_endpoint_may_have_a_path(make_backend: MakeBackend) -> None:
    backend = make_backend(endpoint_url="https://gate.example/gcs/")
    assert sent_by(backend.head(PLACE))[0].target.startswith(f"/gcs{TARGET}?")
    assert sent_by(backend.put(PLACE, BODY, PLAIN))[0].target.startswith(f"/gcs{UPLOADS}?")


def test_who_pays_is_said_in_every_request(make_backend: MakeBackend) -> None:
    for _, operation in verbs(make_backend(request_payer=True, project="project")):
        assert sent_by(operation)[0].headers["x-goog-user-project"] == "project"
    with pytest.raises(InvalidOption, match="project"):
        make_backend(request_payer=True)


@pytest.mark.parametrize(
    ("start", "length", "expected"),
    [(None, None, None), (0, None, None), (5, None, "bytes=5-"), (5, 10, "bytes=5-14"), (None, 10, "bytes=0-9"), (-7, None, "bytes=-7")],
)
def test_ranges(backend: GcsBackend, start: int | None, length: int | None, expected: str | None) -> None:
    headers = sent_by(backend.get(PLACE, Landing(), start=start, length=length))[0].headers
    # Without it, objects that are stored compressed would come decompressed.
    assert (headers.get("range"), headers["accept-encoding"]) == (expected, "gzip")


def test_a_write_is_one_request_with_a_description_and_the_bytes(backend: GcsBackend) -> None:
    options = WriteOptions(content_type="text/x", metadata={"Ein Schlüssel": "ä\r\n"}, storage_class="NEARLINE")
    (request,) = sent_by(backend.put(PLACE, BODY, options))
    kind, _, boundary = request.headers["content-type"].partition("; boundary=")
    assert kind == "multipart/related"
    assert resource_in(request) == {"crc32c": "yZRlqg==", "metadata": {"Ein Schlüssel": "ä\r\n"}, "storageClass": "NEARLINE"}
    assert body_of(request).endswith(f"\r\n--{boundary}\r\ncontent-type: text/x\r\n\r\nhello world\r\n--{boundary}--\r\n".encode())
    assert request.body[1] is BODY[0]
    assert request.length == len(body_of(request))


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("auto", {"crc32c": "yZRlqg=="}),
        ("crc32c", {"crc32c": "yZRlqg=="}),
        ("md5", {"md5Hash": base64.b64encode(hashlib.md5(b"hello world").digest()).decode()}),
        ("none", {}),
    ],
)
def test_checksums(make_backend: MakeBackend, kind: str, expected: dict[str, str]) -> None:
    backend = make_backend(checksum=kind)
    assert resource_in(sent_by(backend.put(PLACE, BODY, PLAIN))[0]) == expected
    belongs_to = {"metadata": {"headrace-destination": PLACE.key}}
    assert resource_in(sent_by(backend.put_part(UPLOAD, 1, 0, BODY))[0]) == expected | belongs_to


@pytest.mark.parametrize("size", [11, 3 << 20])
def test_a_file_has_a_checksum_too(backend: GcsBackend, tmp_path: Path, size: int) -> None:
    (tmp_path / "file").write_bytes(b".." + bytes(size))
    with open(tmp_path / "file", "rb") as file:
        (request,) = sent_by(backend.put(PLACE, [FileRange(file.fileno(), 2, size)], PLAIN))
    (in_memory,) = sent_by(backend.put(PLACE, [memoryview(bytes(size))], PLAIN))
    assert resource_in(request) == resource_in(in_memory) != {}


def test_a_checksum_that_the_service_does_not_have(make_backend: MakeBackend) -> None:
    with pytest.raises(InvalidOption, match="crc32"):
        make_backend(checksum="crc32")


def test_a_key_of_the_customers_goes_with_every_byte(make_backend: MakeBackend) -> None:
    backend = make_backend(sse=CUSTOMER_KEY)
    expected = {
        "x-goog-encryption-algorithm": "AES256",
        "x-goog-encryption-key": base64.b64encode(CUSTOMER_KEY).decode(),
        "x-goog-encryption-key-sha256": base64.b64encode(hashlib.sha256(CUSTOMER_KEY).digest()).decode(),
    }
    with_key = [
        backend.get(PLACE, Landing()),
        backend.head(PLACE),
        backend.put(PLACE, BODY, PLAIN),
        backend.put(PLACE, [memoryview(bytes(16 << 20))], PLAIN),
        backend.put_part(UPLOAD, 1, 0, BODY),
        backend.complete_upload(UPLOAD, [], PLAIN),
        backend.copy(PLACE, PLACE.at("copy"), PLAIN),
    ]
    for operation in with_key:
        headers = sent_by(operation)[0].headers
        assert {name: value for name, value in headers.items() if name.startswith("x-goog-encryption")} == expected
        assert expected["x-goog-encryption-key"] not in repr(headers)
    copied = sent_by(backend.copy(PLACE, PLACE.at("copy"), PLAIN))[0].headers
    assert copied["x-goog-copy-source-encryption-key"] == expected["x-goog-encryption-key"]


def test_encryption_that_is_not_offered(make_backend: MakeBackend) -> None:
    make_backend(sse="AES256")
    with pytest.raises(NotSupported, match="key"):
        make_backend(sse="aws:kms:key")


def test_conditions(backend: GcsBackend) -> None:
    for options, expected in [
        (WriteOptions(create_only=True), "ifGenerationMatch=0"),
        (WriteOptions(if_match='"1234"'), "ifGenerationMatch=1234"),
        (WriteOptions(if_match='"no generation"'), "ifGenerationMatch=1"),
        (WriteOptions(if_match='"0"'), "ifGenerationMatch=1"),
    ]:
        for operation in (
            backend.put(PLACE, BODY, options),
            backend.put(PLACE, [memoryview(bytes(16 << 20))], options),
            backend.complete_upload(UPLOAD, [], options),
            backend.copy(PLACE, PLACE.at("copy"), options),
        ):
            assert expected in sent_by(operation)[0].target.partition("?")[2].split("&")


@pytest.mark.parametrize(
    "options",
    [
        WriteOptions(metadata={"a": 1}),  # type: ignore[dict-item]
        WriteOptions(metadata={1: "a"}),  # type: ignore[dict-item]
        WriteOptions(storage_class="a/b"),
        WriteOptions(content_type="text/plain\r\nx: y"),
        WriteOptions(content_type="é"),
    ],
)
def test_a_description_that_cannot_be_sent(backend: GcsBackend, options: WriteOptions) -> None:
    with pytest.raises(InvalidOption):
        Script(stored(), stored()).run(backend.put(PLACE, BODY, options))


def test_what_may_be_repeated_when_a_kept_connection_was_closed(make_backend: MakeBackend) -> None:
    backend = make_backend(project="project")
    once = [backend.put(PLACE, BODY, WriteOptions(create_only=True)), backend.create_container(PLACE)]
    assert [sent_by(operation)[0].repeatable for operation in once] == [False] * 2
    again = [backend.put(PLACE, BODY, PLAIN), backend.put_part(UPLOAD, 3, 0, BODY), backend.delete_batch([PLACE])]
    assert [sent_by(operation)[0].repeatable for operation in again] == [True] * 3


def test_a_large_body_waits_until_the_service_agrees(backend: GcsBackend) -> None:
    large = [memoryview(bytes(2 << 20))]
    assert sent_by(backend.put(PLACE, large, PLAIN))[0].expect_continue is True
    sent_by(backend.put(PLACE, BODY, PLAIN), stored())
    assert sent_by(backend.put(PLACE, large, PLAIN))[0].expect_continue is False


def test_a_bucket_is_created_in_its_region_and_project(make_backend: MakeBackend) -> None:
    (request,) = sent_by(make_backend(project="project", region="europe-west3").create_container(PLACE))
    assert json.loads(body_of(request)) == {"name": "bucket", "location": "europe-west3"}
    with pytest.raises(InvalidOption, match="GOOGLE_CLOUD_PROJECT"):
        Script().run(make_backend().create_container(PLACE))


def test_a_copy_that_is_to_differ_takes_the_rest_from_its_source(backend: GcsBackend) -> None:
    source = stored(contentType="text/x", metadata={"a": "b"}, storageClass="STANDARD")
    _, request = sent_by(backend.copy(PLACE, PLACE.at("copy"), WriteOptions(storage_class="COLDLINE")), source)
    assert json.loads(body_of(request)) == {"contentType": "text/x", "metadata": {"a": "b"}, "storageClass": "COLDLINE"}


def test_a_copy_takes_as_many_requests_as_the_service_wants(backend: GcsBackend) -> None:
    script = Script(
        document({"done": False, "rewriteToken": "one+"}),
        document({"done": False, "rewriteToken": "two"}),
        document({"done": True, "resource": {"size": "5", "generation": "9"}}),
    )
    info = script.run(backend.copy(PLACE, PLACE.at("copy"), PLAIN))
    assert (info.size, info.etag, info.uri) == (5, '"9"', "gs://bucket/copy")
    assert [request.target.partition("?")[2] for request in script.requests] == ["", "rewriteToken=one%2B", "rewriteToken=two"]
