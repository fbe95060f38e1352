"""What each verb sends: method, target, headers, and how it is authorized."""

from __future__ import annotations

import base64
import contextlib
import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from headrace import Client
from headrace.auth.azure import StaticSource
from headrace.auth.azure_signing import BearerToken, SharedAccessSignature, SharedKey
from headrace.backends.azure import AzureBackend
from headrace.backends.protocol import Landing, Part, Upload, WriteOptions
from headrace.errors import CredentialsError, HeadraceError, InvalidOption, InvalidURI, NotSupported
from headrace.http.effects import Operation
from headrace.http.messages import FileRange, Request
from headrace.testing.contract.stepping import Answer, Script
from headrace.uri import Location

MakeBackend = Callable[..., AzureBackend]

PLACE = Location("az", "c", "a key/with+odd%20parts//é")
TARGET = "/c/a%20key/with%2Bodd%2520parts//%C3%A9"
BODY = [memoryview(b"hello world")]
MD5 = base64.b64encode(hashlib.md5(b"hello world").digest()).decode()
PLAIN = WriteOptions()
UPLOAD = Upload(PLACE, "0123456789abcdef")
BLOCK = base64.b64encode(b"0123456789abcdef-00003").decode()
FOUND = Answer(headers={"content-length": "5", "etag": '"v"'})
SAS = SharedAccessSignature("sv=2021-12-02&sig=SIGNATURE%3D")


def verbs(backend: AzureBackend) -> Iterator[tuple[str, Operation[Any]]]:
    """Every verb with what its last request looks like."""
    prefix = "prefix=a%20key%2Fwith%2Bodd%2520parts%2F%2F%C3%A9"
    yield f"GET {TARGET}", backend.get(PLACE, Landing())
    yield f"HEAD {TARGET}", backend.head(PLACE)
    yield f"PUT {TARGET}", backend.put(PLACE, BODY, PLAIN)
    yield f"DELETE {TARGET}", backend.delete(PLACE)
    yield "POST /c?comp=batch&restype=container", backend.delete_batch([PLACE])
    listing = backend.list_page(PLACE, recursive=False, start_after="a k", token="m&1")
    yield f"GET /c?comp=list&delimiter=%2F&marker=m%261&maxresults=2000&{prefix}&restype=container", listing
    yield f"PUT {TARGET}?blockid={BLOCK.replace('=', '%3D')}&comp=block", backend.put_part(UPLOAD, 3, 0, BODY)
    yield f"PUT {TARGET}?comp=blocklist", backend.complete_upload(UPLOAD, [Part(3, BLOCK, 5)], PLAIN)
    yield f"GET {TARGET}?blocklisttype=uncommitted&comp=blocklist", backend.list_parts(UPLOAD)
    yield f"GET /c?comp=list&include=uncommittedblobs&{prefix}&restype=container", backend.list_uploads(PLACE)
    yield "PUT /c?restype=container", backend.create_container(PLACE.at(""))
    yield "GET /c?comp=list&include=snapshots&maxresults=1&restype=container", backend.delete_container(PLACE.at(""))
    yield "GET /?comp=list", backend.list_containers(PLACE)


def sent_by(operation: Operation[Any], *answers: Answer) -> Request:
    """The last request of an operation that is answered by nothing of use."""
    script = Script(*answers, server=lambda _: Answer(headers={"etag": '"tag"'}))
    with contextlib.suppress(HeadraceError):
        script.run(operation)
    return script.requests[-1]


def test_methods_and_targets(backend: AzureBackend) -> None:
    for expected, operation in verbs(backend):
        request = sent_by(operation)
        assert f"{request.method} {request.target}" == expected
        assert str(request.origin) == "https://mine.blob.core.windows.net"


def test_every_request_says_who_asks_when_and_for_which_version(backend: AzureBackend) -> None:
    for _, operation in verbs(backend):
        headers = sent_by(operation).headers
        assert headers["authorization"].startswith("SharedKey mine:")
        assert headers["x-ms-version"] == "2021-12-02"
        assert headers["x-ms-date"].endswith(" GMT")
        assert headers["user-agent"].startswith("headrace")


def test_a_sas_is_a_part_of_the_target_and_not_shown(make_backend: MakeBackend) -> None:
    for expected, operation in verbs(make_backend(source=StaticSource(SAS))):
        request = sent_by(operation)
        assert f"{request.method} {request.target}" == f"{expected}{'&' if '?' in expected else '?'}{SAS.token}"
        assert "authorization" not in request.headers
        assert "SIGNATURE" not in repr((request, request.target))


def test_a_token_is_sent_over_https_only(make_backend: MakeBackend) -> None:
    source = StaticSource(BearerToken("TOKEN"))
    for _, operation in verbs(make_backend(source=source)):
        assert sent_by(operation).headers["authorization"] == "Bearer TOKEN"
    script = Script()
    with pytest.raises(CredentialsError, match="https only"):
        script.run(make_backend(source=source, endpoint_url="http://127.0.0.1:10000/mine").head(PLACE))
    assert not script.requests


def test_an_anonymous_request_is_not_signed(make_backend: MakeBackend) -> None:
    for expected, operation in verbs(make_backend(source=None)):
        request = sent_by(operation)
        assert "authorization" not in request.headers
        assert f"{request.method} {request.target}" == expected


@pytest.mark.parametrize(
    ("options", "location", "expected"),
    [
        ({}, Location("az", "c", "k"), "https://mine.blob.core.windows.net/c/k"),
        ({"endpoint_url": "http://127.0.0.1:10000/mine"}, Location("az", "c", "k"), "http://127.0.0.1:10000/mine/c/k"),
        ({"endpoint_url": "http://127.0.0.1:10000"}, Location("az", "c", "k"), "http://127.0.0.1:10000/c/k"),
        ({"endpoint_url": "http://h/mine"}, Location("az", "c", "k", "other"), "http://h/other/c/k"),
        (
            {"endpoint_url": "https://mine.blob.core.chinacloudapi.cn"},
            Location("az", "c", "k", "other"),
            "https://other.blob.core.chinacloudapi.cn/c/k",
        ),
        ({}, Location("az", "c", "k", "other"), "https://other.blob.core.windows.net/c/k"),
        ({"account": None}, Location("az", "c", "k", "other"), "https://other.blob.core.windows.net/c/k"),
    ],
)
def test_where_a_request_goes(make_backend: MakeBackend, options: dict[str, Any], location: Location, expected: str) -> None:
    request = sent_by(make_backend(source=None, **options).head(location))
    assert f"{request.origin}{request.target}" == expected


def test_the_account_as_the_first_segment(make_backend: MakeBackend) -> None:
    named, plain = Location("az", "mine", "c/d/k"), Location("az", "c", "d/k")
    assert make_backend().interpret(named) == Location("az", "c", "d/k", "mine", account_first=True)
    assert make_backend().interpret(named).uri == named.uri
    assert make_backend().interpret(named).at("").uri == "az://mine/c/"
    assert make_backend().interpret(Location("az", "mine", "")).uri == "az://mine/"
    assert make_backend().interpret(plain) is plain
    always = make_backend(az_style="account", account=None)
    assert always.interpret(plain) == Location("az", "d", "k", "c", account_first=True)
    assert always.interpret(Location("az", "", "")) == Location("az", "", "")
    assert always.interpret(Location("az", "c", "k", "other")) == Location("az", "c", "k", "other")
    with pytest.raises(InvalidURI, match="cannot name a container"):
        always.interpret(Location("az", "c", "/k"))


def test_credentials_of_another_account_are_not_sent(make_backend: MakeBackend) -> None:
    elsewhere = Location("az", "c", "k", "other")
    for source in (None, StaticSource(SAS)):
        backend = make_backend(**({"source": source} if source else {}))
        script = Script()
        with pytest.raises(CredentialsError, match=r"'mine'.*'other'"):
            script.run(backend.get(elsewhere, Landing()))
        assert not script.requests
    assert sent_by(make_backend(source=StaticSource(BearerToken("T"))).head(elsewhere)).headers["authorization"] == "Bearer T"
    assert sent_by(make_backend(account=None, source=StaticSource(SAS)).head(elsewhere)).target.endswith("SIGNATURE%3D")


def test_without_an_account(make_backend: MakeBackend) -> None:
    with pytest.raises(InvalidOption, match="no storage account"):
        Client().get("az://c/k")
    with pytest.raises(InvalidOption, match="no storage account"):
        Script().run(make_backend(account=None).head(PLACE))
    with pytest.raises(InvalidURI, match="cannot be the name of a storage account"):
        Script().run(make_backend(source=None).head(Location("az", "c", "k", "evil.example/")))
    with pytest.raises(InvalidOption, match="not that of account"):
        Script().run(make_backend(source=None, endpoint_url="http://h/").head(Location("az", "c", "k", "other")))


@pytest.mark.parametrize("key", [".", "..", "a/..", "../a", "a/./b", "a\\b"])
def test_names_that_the_service_takes_for_others(backend: AzureBackend, key: str) -> None:
    with pytest.raises(InvalidURI, match="cannot be the name of a blob"):
        Script().run(backend.put(PLACE.at(key), BODY, PLAIN))


def test_a_range(backend: AzureBackend) -> None:
    assert sent_by(backend.get(PLACE, Landing(), start=5, length=10, if_match='"v"')).headers["range"] == "bytes=5-14"
    assert sent_by(backend.get(PLACE, Landing(), if_match='"v"')).headers["if-match"] == '"v"'


def test_checksums(make_backend: MakeBackend, tmp_path: Path) -> None:
    plain = {"endpoint_url": "http://127.0.0.1:10000/mine"}
    (tmp_path / "file").write_bytes(b"..hello world..")
    with open(tmp_path / "file", "rb") as file:
        for options, expected in [({}, None), ({"checksum": "md5"}, MD5), (plain, MD5), ({**plain, "checksum": "none"}, None)]:
            backend = make_backend(**options)
            for body in (BODY, [FileRange(file.fileno(), 2, 11)]):
                for operation in (backend.put(PLACE, body, PLAIN), backend.put_part(UPLOAD, 1, 0, body)):  # type: ignore[arg-type]
                    assert sent_by(operation).headers.get("content-md5") == expected


@pytest.mark.parametrize("options", [{"checksum": "crc32c"}, {"checksum": "crc32"}, {"sse": "aws:kms"}, {"sse": bytes(32)}])
def test_what_azure_does_not_have(make_backend: MakeBackend, options: dict[str, Any]) -> None:
    with pytest.raises(InvalidOption):
        make_backend(**options)


def test_a_description_goes_with_the_blob(backend: AzureBackend) -> None:
    options = WriteOptions(content_type="text/x", storage_class="Cool", metadata={"Name": "a value", "_b": ""})
    expected = {"x-ms-blob-content-type": "text/x", "x-ms-access-tier": "Cool", "x-ms-meta-name": "a value", "x-ms-meta-_b": ""}
    for operation in (backend.put(PLACE, BODY, options), backend.complete_upload(UPLOAD, [], options)):
        headers = sent_by(operation).headers
        assert {name: headers.get(name) for name in expected} == expected


@pytest.mark.parametrize(
    "metadata", [{"a-b": "c"}, {"1a": "b"}, {"é": "a"}, {"": "a"}, {"a": "é"}, {"a": " b"}, {"a": 1}, {1: "a"}, {"a": "b\nc"}]
)
def test_a_description_that_cannot_be_kept(backend: AzureBackend, metadata: dict[Any, Any]) -> None:
    with pytest.raises(InvalidOption, match="metadata"):
        Script().run(backend.put(PLACE, BODY, WriteOptions(metadata=metadata)))


def test_conditions_and_what_may_be_repeated(backend: AzureBackend) -> None:
    for options, conditions in [
        (WriteOptions(create_only=True), ("*", None)),
        (WriteOptions(if_match='"v"'), (None, '"v"')),
        (PLAIN, (None, None)),
    ]:
        copy = backend.copy(PLACE, PLACE.at("copy"), options)
        for operation in (backend.put(PLACE, BODY, options), backend.complete_upload(UPLOAD, [], options), copy):
            request = sent_by(operation, FOUND) if operation is copy else sent_by(operation)
            assert (request.headers.get("if-none-match"), request.headers.get("if-match")) == conditions
            assert request.repeatable is not options.conditional
    assert sent_by(backend.create_container(PLACE.at(""))).repeatable is False
    assert sent_by(backend.delete_batch([PLACE])).repeatable is True


def test_a_large_body_waits_until_the_service_agrees(backend: AzureBackend) -> None:
    large = [memoryview(bytes(2 << 20))]
    assert sent_by(backend.put(PLACE, large, PLAIN)).expect_continue is True
    assert sent_by(backend.put(PLACE, large, PLAIN)).expect_continue is False
    assert sent_by(backend.put(PLACE._replace(container="other"), large, PLAIN)).expect_continue is True


def test_blocks_have_names_of_one_length_that_no_other_upload_has(backend: AzureBackend) -> None:
    uploads = {Script().run(backend.start_upload(PLACE, PLAIN)).id for _ in range(100)}
    assert len(uploads) == 100
    names = {sent_by(backend.put_part(Upload(PLACE, upload), number, 0, BODY)).target for upload in uploads for number in (1, 50_000)}
    assert len(names) == 200
    assert len({len(name.replace("%3D", "=")) for name in names}) == 1
    document = bytes(sent_by(backend.complete_upload(UPLOAD, [Part(3, "x", 5)], PLAIN)).body[0])  # type: ignore[arg-type]
    assert f"<BlockList><Latest>{BLOCK}</Latest></BlockList>".encode() in document


def test_the_requests_of_a_batch_are_authorized_one_by_one(make_backend: MakeBackend) -> None:
    places = [PLACE, PLACE.at("two")]
    for source, expected in [
        (StaticSource(SharedKey("mine", "a2V5")), f"DELETE {TARGET} HTTP/1.1\r\nx-ms-date: "),
        (StaticSource(SAS), f"DELETE {TARGET}?sv=2021-12-02&sig=SIGNATURE%3D HTTP/1.1\r\nx-ms-date: "),
    ]:
        request = sent_by(make_backend(source=source).delete_batch(places))
        boundary = request.headers["content-type"].partition("boundary=")[2]
        parts = bytes(request.body[0]).decode().split(f"--{boundary}")  # type: ignore[arg-type]
        assert len(parts) == 4
        assert expected in parts[1]
        assert "Content-ID: 1\r\n\r\nDELETE /c/two" in parts[2]
        assert parts[1].count("authorization: SharedKey mine:") == (source.current() != SAS)


def test_presigned_urls(make_backend: MakeBackend) -> None:
    url = Script().run(make_backend().presign(PLACE, method="GET", expires=60))
    assert url.startswith(f"https://mine.blob.core.windows.net{TARGET}?sv=2021-12-02&sr=b&sp=r&se=20")
    assert "&spr=https&sig=" in url
    plain = Script().run(make_backend(endpoint_url="http://127.0.0.1:10000/mine").presign(PLACE, method="PUT", expires=60))
    assert "&sp=cw&" in plain
    assert "&spr=https%2Chttp&" in plain
    for expires in (0, -1, 8 * 24 * 3600):
        with pytest.raises(InvalidOption):
            Script().run(make_backend().presign(PLACE, method="GET", expires=expires))
    with pytest.raises(InvalidOption, match="POST"):
        Script().run(make_backend().presign(PLACE, method="POST", expires=60))
    with pytest.raises(CredentialsError, match="anonymous"):
        Script().run(make_backend(source=None).presign(PLACE, method="GET", expires=60))
    with pytest.raises(NotSupported, match="cannot sign others"):
        Script().run(make_backend(source=StaticSource(SAS)).presign(PLACE, method="GET", expires=60))
