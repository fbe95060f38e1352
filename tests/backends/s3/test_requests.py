"""What each verb sends: method, target, headers, and what is signed."""

from __future__ import annotations

import base64
import contextlib
import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from headrace.auth.sigv4 import EMPTY_SHA256, UNSIGNED_PAYLOAD
from headrace.backends.protocol import Landing, Part, Upload, WriteOptions
from headrace.backends.s3 import S3Backend
from headrace.errors import CredentialsError, HeadraceError, InvalidOption
from headrace.http.effects import Operation
from headrace.http.messages import FileRange, Request, encode_head
from headrace.testing.contract.stepping import Answer, Script
from headrace.uri import Location

MakeBackend = Callable[..., S3Backend]

PLACE = Location("s3", "bucket", "a key/with+odd%20parts//é")
TARGET = "/bucket/a%20key/with%2Bodd%2520parts//%C3%A9"
BODY = [memoryview(b"hello world")]
PLAIN = WriteOptions()
UPLOAD = Upload(PLACE, "id&1")
CUSTOMER_KEY = b"a customer key of just 32 bytes!"


def verbs(backend: S3Backend) -> Iterator[tuple[str, Operation[Any]]]:
    """Every verb with what its requests look like."""
    yield f"GET {TARGET}", backend.get(PLACE, Landing())
    yield f"HEAD {TARGET}", backend.head(PLACE)
    yield f"PUT {TARGET}", backend.put(PLACE, BODY, PLAIN)
    yield f"DELETE {TARGET}", backend.delete(PLACE)
    yield "POST /bucket/?delete=", backend.delete_batch([PLACE])
    listing = backend.list_page(PLACE, recursive=False, start_after="a k", token=None)
    prefix = "a%20key%2Fwith%2Bodd%2520parts%2F%2F%C3%A9"
    yield f"GET /bucket/?delimiter=%2F&encoding-type=url&list-type=2&prefix={prefix}&start-after=a%20k", listing
    yield f"POST {TARGET}?uploads=", backend.start_upload(PLACE, PLAIN)
    yield f"PUT {TARGET}?partNumber=3&uploadId=id%261", backend.put_part(UPLOAD, 3, 0, BODY)
    yield f"POST {TARGET}?uploadId=id%261", backend.complete_upload(UPLOAD, [Part(1, '"x"', 5)], PLAIN)
    yield f"DELETE {TARGET}?uploadId=id%261", backend.abort_upload(UPLOAD)
    yield f"GET {TARGET}?uploadId=id%261", backend.list_parts(UPLOAD)
    yield f"GET /bucket/?encoding-type=url&prefix={prefix}&uploads=", backend.list_uploads(PLACE)
    yield "PUT /bucket/", backend.create_container(PLACE.at(""))
    yield "DELETE /bucket/", backend.delete_container(PLACE.at(""))
    yield "GET /", backend.list_containers(PLACE)


def sent_by(operation: Operation[Any], *answers: Answer) -> Request:
    """The last request of an operation that is answered by nothing of use."""
    script = Script(*answers, server=lambda _: Answer(headers={"etag": '"tag"'}))
    with contextlib.suppress(HeadraceError):
        script.run(operation)
    return script.requests[-1]


def test_methods_and_targets(backend: S3Backend) -> None:
    for expected, operation in verbs(backend):
        request = sent_by(operation)
        assert f"{request.method} {request.target}" == expected
        assert str(request.origin) == "http://s3.test:9000"


def test_every_request_is_signed_for_the_region_and_says_who_asks(backend: S3Backend) -> None:
    for _, operation in verbs(backend):
        headers = sent_by(operation).headers
        assert "/eu-central-1/s3/aws4_request" in headers["authorization"]
        assert headers["user-agent"].startswith("headrace")


def test_an_anonymous_request_is_not_signed(make_backend: MakeBackend) -> None:
    for _, operation in verbs(make_backend(anonymous=True)):
        headers = sent_by(operation).headers
        assert "authorization" not in headers
        assert not any(name.startswith("x-amz-") and "checksum" not in name for name in headers)


def test_who_pays_is_said_in_every_request(make_backend: MakeBackend) -> None:
    for _, operation in verbs(make_backend(request_payer=True)):
        headers = sent_by(operation).headers
        assert headers["x-amz-request-payer"] == "requester"
        assert "x-amz-request-payer" in headers["authorization"]


@pytest.mark.parametrize(
    ("start", "length", "expected"),
    [(None, None, None), (0, None, None), (5, None, "bytes=5-"), (5, 10, "bytes=5-14"), (None, 10, "bytes=0-9"), (-7, None, "bytes=-7")],
)
def test_ranges(backend: S3Backend, start: int | None, length: int | None, expected: str | None) -> None:
    request = sent_by(backend.get(PLACE, Landing(), start=start, length=length, if_match='"v"'))
    assert (request.headers.get("range"), request.headers["if-match"]) == (expected, '"v"')


def test_bodies_are_signed_over_http_and_not_over_https(make_backend: MakeBackend) -> None:
    digest = hashlib.sha256(b"hello world").hexdigest()
    for endpoint, sign, expected in [
        ("http://s3.test", None, digest),
        ("https://s3.test", None, UNSIGNED_PAYLOAD),
        ("http://s3.test", False, UNSIGNED_PAYLOAD),
        ("https://s3.test", True, digest),
    ]:
        backend = make_backend(endpoint_url=endpoint, sign_payload=sign)
        assert sent_by(backend.put(PLACE, BODY, PLAIN)).headers["x-amz-content-sha256"] == expected
        assert sent_by(backend.put_part(UPLOAD, 1, 0, BODY)).headers["x-amz-content-sha256"] == expected
        assert sent_by(backend.get(PLACE, Landing())).headers["x-amz-content-sha256"] == EMPTY_SHA256


@pytest.mark.parametrize("size", [100, 3 << 20])
def test_a_body_that_is_a_file_is_signed(backend: S3Backend, tmp_path: Path, size: int) -> None:
    (tmp_path / "file").write_bytes(b"xx" + bytes(size))
    with open(tmp_path / "file", "rb") as file:
        request = sent_by(backend.put(PLACE, [FileRange(file.fileno(), 2, size)], PLAIN))
    assert request.headers["x-amz-content-sha256"] == hashlib.sha256(bytes(size)).hexdigest()
    assert request.length == size


@pytest.mark.parametrize(
    ("kind", "name", "value"),
    [
        ("crc32c", "x-amz-checksum-crc32c", "yZRlqg=="),
        ("crc32", "x-amz-checksum-crc32", "DUoRhQ=="),
        ("md5", "content-md5", base64.b64encode(hashlib.md5(b"hello world").digest()).decode()),
    ],
)
def test_checksums(make_backend: MakeBackend, kind: str, name: str, value: str) -> None:
    backend = make_backend(checksum=kind)
    for operation in (backend.put(PLACE, BODY, PLAIN), backend.put_part(UPLOAD, 1, 0, BODY)):
        headers = sent_by(operation).headers
        assert headers[name] == value
        assert name in headers["authorization"]
    assert sent_by(backend.get(PLACE, Landing())).headers["x-amz-checksum-mode"] == "ENABLED"


def test_by_default_a_checksum_stands_in_where_no_signature_covers_the_body(make_backend: MakeBackend) -> None:
    for signed in (True, False):
        backend = make_backend(sign_payload=signed)
        for operation in (backend.put(PLACE, BODY, PLAIN), backend.put_part(UPLOAD, 1, 0, BODY)):
            headers = sent_by(operation).headers
            assert (headers["x-amz-content-sha256"] == "UNSIGNED-PAYLOAD") is not signed
            assert headers.get("x-amz-checksum-crc32c") == (None if signed else "yZRlqg==")


def test_a_file_has_a_checksum_too(make_backend: MakeBackend, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"..hello world..")
    with open(tmp_path / "file", "rb") as file:
        body = [FileRange(file.fileno(), 2, 11)]
        headers = sent_by(make_backend(checksum="crc32c").put(PLACE, body, PLAIN)).headers
    assert headers["x-amz-checksum-crc32c"] == "yZRlqg=="


def test_no_checksums(make_backend: MakeBackend) -> None:
    for _, operation in verbs(make_backend(checksum="none")):
        assert not any("checksum" in name for name in sent_by(operation).headers)


def test_the_checksums_of_parts_are_named_at_their_completion(make_backend: MakeBackend) -> None:
    backend = make_backend(checksum="crc32c")
    assert sent_by(backend.start_upload(PLACE, PLAIN)).headers["x-amz-checksum-algorithm"] == "CRC32C"
    part = Script(Answer(headers={"etag": '"tag"'})).run(backend.put_part(UPLOAD, 1, 0, BODY))
    document = bytes(sent_by(backend.complete_upload(UPLOAD, [part], PLAIN)).body[0])  # type: ignore[arg-type]
    assert b"<ChecksumCRC32C>yZRlqg==</ChecksumCRC32C>" in document


def encryption(request: Request) -> dict[str, str]:
    return {name.removeprefix("x-amz-"): value for name, value in request.headers.items() if "encryption" in name}


@pytest.mark.parametrize(
    ("option", "expected"),
    [
        ("AES256", {"server-side-encryption": "AES256"}),
        ("aws:kms", {"server-side-encryption": "aws:kms"}),
        ("aws:kms:a-key", {"server-side-encryption": "aws:kms", "server-side-encryption-aws-kms-key-id": "a-key"}),
    ],
)
def test_encryption_by_the_service_is_asked_for_where_an_object_begins(
    make_backend: MakeBackend, option: str, expected: dict[str, str]
) -> None:
    """S3 refuses these headers elsewhere."""
    backend = make_backend(sse=option)
    begins = [backend.put(PLACE, BODY, PLAIN), backend.start_upload(PLACE, PLAIN)]
    assert [encryption(sent_by(operation)) for operation in begins] == [expected] * 2
    head = Answer(headers={"content-length": "5", "etag": '"v"'})
    assert encryption(sent_by(backend.copy(PLACE, PLACE.at("copy"), PLAIN), head)) == expected
    others = [
        backend.get(PLACE, Landing()),
        backend.head(PLACE),
        backend.put_part(UPLOAD, 1, 0, BODY),
        backend.complete_upload(UPLOAD, [], PLAIN),
    ]
    assert [encryption(sent_by(operation)) for operation in others] == [{}] * 4


def test_a_key_of_the_customers_goes_with_every_byte(make_backend: MakeBackend) -> None:
    backend = make_backend(sse=CUSTOMER_KEY, endpoint_url="https://s3.test")
    expected = {
        "server-side-encryption-customer-algorithm": "AES256",
        "server-side-encryption-customer-key": base64.b64encode(CUSTOMER_KEY).decode(),
        "server-side-encryption-customer-key-md5": base64.b64encode(hashlib.md5(CUSTOMER_KEY).digest()).decode(),
    }
    with_key = [
        backend.get(PLACE, Landing()),
        backend.head(PLACE),
        backend.put(PLACE, BODY, PLAIN),
        backend.start_upload(PLACE, PLAIN),
        backend.put_part(UPLOAD, 1, 0, BODY),
        backend.complete_upload(UPLOAD, [], PLAIN),
    ]
    assert [encryption(sent_by(operation)) for operation in with_key] == [expected] * len(with_key)
    head = Answer(headers={"content-length": "5", "etag": '"v"'})
    source = {f"copy-source-{name}": value for name, value in expected.items()}
    assert encryption(sent_by(backend.copy(PLACE, PLACE.at("copy"), PLAIN), head)) == expected | source
    without = [backend.delete(PLACE), backend.list_page(PLACE, recursive=True, start_after=None, token=None), backend.abort_upload(UPLOAD)]
    assert [encryption(sent_by(operation)) for operation in without] == [{}] * len(without)


def test_a_description_goes_with_the_object(backend: S3Backend) -> None:
    options = WriteOptions(content_type="text/x", storage_class="GLACIER", metadata={"Name": "a value", "b": ""})
    expected = {"content-type": "text/x", "x-amz-storage-class": "GLACIER", "x-amz-meta-name": "a value", "x-amz-meta-b": ""}
    for operation in (backend.put(PLACE, BODY, options), backend.start_upload(PLACE, options)):
        headers = sent_by(operation).headers
        assert {name: headers.get(name) for name in expected} == expected
        assert "content-type" in headers["authorization"]


@pytest.mark.parametrize(
    "metadata", [{"a": "é"}, {"é": "a"}, {"a": " b"}, {"a": 1}, {1: "a"}, {"a": "b\r\nx: y"}, {"a b": "c"}, {"a": "b\n"}]
)
def test_a_description_that_cannot_be_sent(backend: S3Backend, metadata: dict[Any, Any]) -> None:
    with pytest.raises(InvalidOption):
        encode(backend.put(PLACE, BODY, WriteOptions(metadata=metadata)))


def encode(operation: Operation[Any]) -> None:
    """Send a request as far as its head is made."""

    def server(request: Request) -> Answer:
        encode_head(request)
        return Answer(headers={"etag": '"x"'})

    Script(server=server).run(operation)


def test_conditions(backend: S3Backend) -> None:
    for options, expected in [
        (WriteOptions(create_only=True), ("*", None)),
        (WriteOptions(if_match='"v"'), (None, '"v"')),
        (PLAIN, (None, None)),
    ]:
        for operation in (backend.put(PLACE, BODY, options), backend.complete_upload(UPLOAD, [], options)):
            headers = sent_by(operation).headers
            assert (headers.get("if-none-match"), headers.get("if-match")) == expected


def test_what_may_be_repeated_when_a_kept_connection_was_closed(backend: S3Backend) -> None:
    once = [backend.put(PLACE, BODY, WriteOptions(create_only=True)), backend.start_upload(PLACE, PLAIN), backend.create_container(PLACE)]
    assert [sent_by(operation).repeatable for operation in once] == [False] * 3
    again = [
        backend.put(PLACE, BODY, PLAIN),
        backend.get(PLACE, Landing()),
        backend.put_part(UPLOAD, 1, 0, BODY),
        backend.delete_batch([PLACE]),
    ]
    assert [sent_by(operation).repeatable for operation in again] == [True] * 4


def test_a_large_body_waits_until_the_service_agrees(backend: S3Backend) -> None:
    """Until the bucket has taken a write: then its agreement is no news."""
    large = [memoryview(bytes(2 << 20))]
    assert sent_by(backend.put(PLACE, BODY, PLAIN)).expect_continue is False
    other = Location("s3", "another", "key")
    assert sent_by(backend.put(other, large, PLAIN)).expect_continue is True
    assert sent_by(backend.put(other, large, PLAIN)).expect_continue is False


def test_a_bucket_elsewhere_is_created_there(make_backend: MakeBackend) -> None:
    for region, document in [("us-east-1", b""), ("eu-central-1", b"<LocationConstraint>eu-central-1</LocationConstraint>")]:
        request = sent_by(make_backend(endpoint_url=None, region=region).create_container(Location("s3", "bucket", "")))
        assert document in b"".join(bytes(part) for part in request.body)  # type: ignore[arg-type]
        assert bool(request.body) == bool(document)


def test_a_copy_names_its_source_once_encoded_and_bound_to_its_version(backend: S3Backend) -> None:
    head = Answer(headers={"content-length": "5", "etag": '"v"'})
    headers = sent_by(backend.copy(PLACE, Location("s3", "other", "copy"), PLAIN), head).headers
    assert headers["x-amz-copy-source"] == TARGET
    assert headers["x-amz-copy-source-if-match"] == '"v"'


def test_presigned_urls(make_backend: MakeBackend) -> None:
    url = Script().run(make_backend().presign(PLACE, method="GET", expires=60))
    assert url.startswith(f"http://s3.test:9000{TARGET}?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIDEXAMPLE%2F")
    assert "&X-Amz-Expires=60&" in url
    virtual = Script().run(make_backend(endpoint_url=None).presign(PLACE, method="PUT", expires=60))
    assert virtual.startswith("https://bucket.s3.eu-central-1.amazonaws.com/a%20key/")
    with pytest.raises(CredentialsError, match="anonymous"):
        Script().run(make_backend(anonymous=True).presign(PLACE, method="GET", expires=60))
    for expires in (0, -1, 8 * 24 * 3600):
        with pytest.raises(InvalidOption):
            Script().run(make_backend().presign(PLACE, method="GET", expires=expires))
