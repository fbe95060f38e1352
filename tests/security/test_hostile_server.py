"""A service, or something in its place, that replies with whatever could do harm: it costs an error, and nothing else."""

from __future__ import annotations

import subprocess
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from headrace import HeadraceError
from headrace.auth.aws import StaticSource
from headrace.auth.sigv4 import Credentials
from headrace.backends.protocol import Continuation, Landing, Upload
from headrace.backends.s3 import S3Backend
from headrace.config import Options
from headrace.errors import InvalidURI, NotFound, NotSupported, ObjectChanged, PermissionDenied, ProtocolError, ServiceError
from headrace.testing.contract.stepping import Answer, Script
from headrace.uri import Location

TERABYTES = 10 << 40
KEY = Location("s3", "bucket", "key")


def reply(body: bytes = b"", status: int = 200, headers: str = "", length: int | None = None) -> bytes:
    announced = len(body) if length is None else length
    return f"HTTP/1.1 {status} -\r\ncontent-length: {announced}\r\nconnection: close\r\n{headers}\r\n".encode("latin-1") + body


def listing(*keys: str, token: str | None = None, prefixes: tuple[str, ...] = ()) -> bytes:
    contents = "".join(f"<Contents><Key>{key}</Key><Size>1</Size></Contents>" for key in keys)
    folded = "".join(f"<CommonPrefixes><Prefix>{prefix}</Prefix></CommonPrefixes>" for prefix in prefixes)
    more = f"<IsTruncated>true</IsTruncated><NextContinuationToken>{token}</NextContinuationToken>" if token else ""
    return reply(f"<ListBucketResult>{contents}{folded}{more}</ListBucketResult>".encode())


# Where requests go.


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_redirect_is_not_followed(hostile: Any, call: Any, server_tls: Any, authority: Any, status: int, scheme: str) -> None:
    """Neither to another host, nor from https to http, whatever the reply calls itself."""
    elsewhere = hostile(lambda asked: reply(b"caught"))
    headers = f"location: {elsewhere.endpoint}/bucket/key\r\nx-amz-bucket-region: 127.0.0.1:{elsewhere.port}/\r\n"
    server = hostile(lambda asked: reply(b"", status, headers), tls=server_tls() if scheme == "https" else None)
    options = {"ca_bundle": authority.ca_bundle}
    for verb, arguments in [("get", ()), ("put", (b"data",)), ("stat", ()), ("delete", ())]:
        with pytest.raises(HeadraceError) as caught:
            call(server, verb, "s3://bucket/key", *arguments, options=options)
        assert caught.value.status == status
    assert elsewhere.connections == 0


REGIONS = [
    "evil.example/",
    "evil.example#",
    "evil.example?",
    "evil.example:443/",
    "user@evil.example",
    "evil.example\\",
    "us-east-1.evil",
    ".",
    "..",
    "-",
    "a b",
    "a\tb",
    "\N{LATIN SMALL LETTER E WITH ACUTE}",
    "a" * 64,
    "%2e",
]


def in_header(region: str) -> Answer:
    return Answer(status=301, headers={"x-amz-bucket-region": region.encode().decode("latin-1")})


def in_document(region: str) -> Answer:
    return Answer(status=400, body=f"<Error><Code>PermanentRedirect</Code><Region>{region}</Region></Error>".encode())


@pytest.mark.parametrize(
    "answer",
    [
        *map(in_header, REGIONS),
        *map(in_document, [*REGIONS, "a&#13;&#10;x: y", "evil.example&#10;", "\N{IDEOGRAPHIC FULL STOP}"]),
    ],
)
def test_a_region_that_is_none_leads_nowhere(answer: Answer) -> None:
    backend = S3Backend(Options(region="us-east-1"), StaticSource(Credentials("AKID", "secret")))
    script = Script(server=lambda request: answer)
    with pytest.raises(HeadraceError):
        script.run(backend.get(KEY, Landing()))
    assert [str(request.origin) for request in script.requests] == ["https://bucket.s3.us-east-1.amazonaws.com"]


# Sizes.


def tracked(act: Callable[[], object]) -> int:
    """The bytes that Python allocated at the worst moment of something that fails."""
    tracemalloc.start()
    try:
        with pytest.raises(HeadraceError):
            act()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def huge(asked: Any) -> bytes:
    """An object of ten terabytes, as far as the head goes."""
    if asked.headers.get("range"):
        body = bytes(1 << 20)
        return reply(body, 206, f'etag: "x"\r\ncontent-range: bytes 0-{(8 << 20) - 1}/{TERABYTES}\r\n', length=8 << 20)
    return reply(headers='etag: "x"\r\n', length=TERABYTES)


def test_an_object_that_no_memory_holds_is_an_error_before_it_is_read(hostile: Any, call: Any) -> None:
    server = hostile(huge)
    with pytest.raises(NotSupported, match=r"get s3://bucket/key: .* more than the memory of this machine.* Read it in parts"):
        call(server, "get", "s3://bucket/key")
    items = call(server, "get_many", ["s3://bucket/key"] * 3, on_error="yield")
    assert [type(item.error) for item in items] == [NotSupported] * 3
    assert tracked(lambda: call(server, "get", "s3://bucket/key")) < 16 << 20
    assert call(server, "stat", "s3://bucket/key").size == TERABYTES


@pytest.mark.parametrize("verb", ["get", "read_bytes"])
def test_a_reply_longer_than_what_was_asked_for_is_refused(hostile: Any, call: Any, verb: str) -> None:
    server = hostile(lambda asked: reply(b"x", headers='etag: "x"\r\n', length=TERABYTES))
    with pytest.raises(ProtocolError, match="were asked for"):
        call(server, verb, "s3://bucket/key")


def test_a_copy_takes_no_more_than_what_was_described(hostile: Any, call: Any) -> None:
    server = hostile(lambda asked: reply(headers='etag: "x"\r\n', length=10 if asked.method == "HEAD" else 100 << 20))
    with pytest.raises(ObjectChanged, match="104857600 bytes and not 10"):
        call(server, "copy", "s3://bucket/key", "memory://hostile/key")


@pytest.mark.parametrize("status", [200, 206, 404, 500])
@pytest.mark.parametrize("verb", ["get", "list"])
def test_a_body_that_never_ends_is_refused(hostile: Any, call: Any, status: int, verb: str) -> None:
    def endless(asked: Any) -> Iterator[bytes]:
        yield f"HTTP/1.1 {status} -\r\ntransfer-encoding: chunked\r\ncontent-range: bytes 0-8388607/8388608\r\n\r\n".encode()
        for _ in range(4096):
            yield b"10000\r\n" + bytes(1 << 16) + b"\r\n"

    server = hostile(endless)
    options = {"range_threshold": "1MiB"}
    peak = tracked(lambda: call(server, verb, "s3://bucket/" if verb == "list" else "s3://bucket/key", options=options))
    assert peak < (160 << 20 if verb == "list" and status < 300 else 8 << 20)


@pytest.mark.parametrize(
    "document",
    [
        b'<!DOCTYPE x [<!ENTITY a "' + b"a" * 100_000 + b'">]><ListBucketResult>' + b"&a;" * 10_000 + b"</ListBucketResult>",
        b'<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><ListBucketResult>&a;</ListBucketResult>',
        b"<a>" * 1_000_000,
        b"<ListBucketResult>" + b"<Contents/>" * 1_000_000 + b"</ListBucketResult>",
        b"<ListBucketResult><Contents><Key>" + b"k" * (20 << 20) + b"</Key></Contents></ListBucketResult>",
    ],
    ids=["entities", "external", "deep", "wide", "long"],
)
def test_a_listing_that_is_a_bomb_is_refused(hostile: Any, call: Any, document: bytes) -> None:
    server = hostile(lambda asked: reply(document))
    with pytest.raises(ProtocolError):
        call(server, "list", "s3://bucket/")
    assert tracked(lambda: call(server, "list", "s3://bucket/")) < 80 << 20


def test_what_a_service_says_of_an_error_is_shortened_and_made_printable(hostile: Any, call: Any) -> None:
    document = f"<Error><Code>{'C' * 5000}</Code><Message>a\nb&#x85;\N{RIGHT-TO-LEFT OVERRIDE}{'m' * 100_000}</Message></Error>"
    server = hostile(lambda asked: reply(document.encode(), 400, f"x-amz-request-id: {'r' * 5000}\r\n"))
    with pytest.raises(ServiceError) as caught:
        call(server, "get", "s3://bucket/key")
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 1500


# Listings.


@pytest.mark.parametrize("circle", [1, 2, 3, 7])
def test_a_listing_that_goes_round_in_circles_ends(hostile: Any, call: Any, circle: int) -> None:
    def answer(asked: Any) -> bytes:
        (token,) = parse_qs(urlsplit(asked.target).query).get("continuation-token", ["0"])
        return listing(f"p/{token}", token=f"{int(token) % circle + 1}")

    server = hostile(answer)
    with pytest.raises(ProtocolError, match="round in circles"):
        call(server, "list", "s3://bucket/p/")
    assert len(server.asked) <= 3 * circle + 2
    deleting = hostile(lambda asked: answer(asked) if asked.method == "GET" else reply(b"<DeleteResult/>"))
    with pytest.raises(ProtocolError, match="round in circles"):
        call(deleting, "delete", "s3://bucket/p/", recursive=True)


@pytest.mark.parametrize("before", [0, 1, 5])
@pytest.mark.parametrize("circle", [1, 2, 6, 50])
def test_every_circle_is_noticed_and_nothing_else(before: int, circle: int) -> None:
    straight = Continuation()
    for token in range(1000):
        straight.follow(token)
    straight.follow(None)
    continuation = Continuation()

    def go_round() -> None:
        for page in range(2 * before + 3 * circle + 3):
            continuation.follow(page if page < before else before + (page - before) % circle)

    with pytest.raises(ProtocolError):
        go_round()


@pytest.mark.parametrize("stray", ["q/stray", "p", "", "P/x", "../p/x", "/p/x"])
@pytest.mark.parametrize("kind", ["object", "prefix"])
def test_keys_outside_of_the_prefix_are_neither_listed_nor_deleted(hostile: Any, call: Any, stray: str, kind: str) -> None:
    def answer(asked: Any) -> bytes:
        if asked.method != "GET":
            return reply(b"<DeleteResult/>")
        return listing("p/a", stray) if kind == "object" else listing("p/a", prefixes=(stray,))

    server = hostile(answer)
    for verb, recursive in [("list", kind == "object"), ("delete", True)]:
        with pytest.raises(ProtocolError, match="does not begin with"):
            call(server, verb, "s3://bucket/p/", recursive=recursive)
    assert {asked.method for asked in server.asked} == {"GET"}


def test_a_recursive_copy_does_not_take_what_was_not_asked_for(hostile: Any, tmp_path: Path) -> None:
    server = hostile(lambda asked: listing("p/a", "other/secret"))
    words = ["cp", "-r", "s3://bucket/p/", str(tmp_path / "copy"), "--endpoint-url", server.endpoint, "--anonymous", "--max-attempts", "1"]
    done = subprocess.run([sys.executable, "-m", "headrace", *words], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "does not begin with" in done.stderr
    assert not (tmp_path / "copy").exists()
    assert all("list-type" in asked.target for asked in server.asked)


# Deletions.


def test_a_failure_of_a_key_in_another_spelling_is_not_success(hostile: Any, call: Any) -> None:
    failure = b"<DeleteResult><Error><Key>KEY</Key><Code>AccessDenied</Code><Message>No.</Message></Error></DeleteResult>"
    server = hostile(lambda asked: reply(failure))
    with pytest.raises(PermissionDenied):
        call(server, "delete_many", ["s3://bucket/key"])


@pytest.mark.parametrize("body", [b"", b"<html/>", b"<ListBucketResult/>"])
def test_a_deletion_that_is_answered_with_something_else_is_not_success(hostile: Any, call: Any, body: bytes) -> None:
    server = hostile(lambda asked: reply(body))
    with pytest.raises(ProtocolError):
        call(server, "delete_many", ["s3://bucket/key"])


def test_keys_that_xml_cannot_spell_are_deleted_one_by_one(hostile: Any, call: Any) -> None:
    server = hostile(lambda asked: reply(status=204) if asked.method == "DELETE" else reply(b"<DeleteResult/>"))
    assert call(server, "delete_many", ["s3://bucket/a", "s3://bucket/b\ufffe", "s3://bucket/c\n"]) == 3
    assert {unquote(asked.target) for asked in server.asked} == {"/bucket/b\ufffe", "/bucket/c\n", "/bucket/?delete="}
    with pytest.raises(HeadraceError, match="cannot be written in UTF-8"):
        call(server, "delete_many", ["s3://bucket/d\udcff"])


def test_a_key_that_is_not_utf_8_does_not_become_another(hostile: Any, call: Any) -> None:
    listed = b"".join(b"<Contents><Key>%s</Key><Size>1</Size></Contents>" % key for key in (b"%FF", b"%EF%BF%BD"))
    body = b"<ListBucketResult><EncodingType>url</EncodingType>" + listed + b"</ListBucketResult>"
    server = hostile(lambda asked: reply(body))
    first, second = call(server, "list", "s3://bucket/")
    assert (first.uri, second.uri) == ("s3://bucket/\udcff", "s3://bucket/\N{REPLACEMENT CHARACTER}")
    with pytest.raises(InvalidURI, match="cannot be written in UTF-8"):
        call(server, "delete", first.uri)


def test_an_upload_without_an_id_is_not_aborted() -> None:
    document = b"<ListMultipartUploadsResult><Upload><Key>key</Key><UploadId/></Upload></ListMultipartUploadsResult>"
    backend = S3Backend(Options(endpoint_url="http://s3.test", anonymous=True), None)
    with pytest.raises(ProtocolError, match="no id"):
        Script(Answer(body=document)).run(backend.list_uploads(KEY))


@pytest.mark.parametrize("pages", ["parts", "uploads"])
def test_lists_of_uploads_and_parts_that_go_round_in_circles_end(pages: str) -> None:
    parts = "<ListPartsResult><IsTruncated>true</IsTruncated><NextPartNumberMarker>1</NextPartNumberMarker></ListPartsResult>"
    more = "<IsTruncated>true</IsTruncated><NextKeyMarker>k</NextKeyMarker><NextUploadIdMarker>u</NextUploadIdMarker>"
    uploads = f"<ListMultipartUploadsResult>{more}</ListMultipartUploadsResult>"
    backend = S3Backend(Options(endpoint_url="http://s3.test", anonymous=True), None)
    operation: Any = backend.list_parts(Upload(KEY, "id")) if pages == "parts" else backend.list_uploads(KEY)
    script = Script(server=lambda request: Answer(body=(parts if pages == "parts" else uploads).encode()))
    with pytest.raises(ProtocolError, match="round in circles"):
        script.run(operation)
    assert len(script.requests) == 2


def test_not_found_says_so_whatever_its_document_is(hostile: Any, call: Any) -> None:
    for body in (b"<a>" * 100_000, b'<!DOCTYPE html><html>"' + b"x" * 1000, b"\xff\xfe<\x00E\x00"):
        with pytest.raises(NotFound):
            call(hostile(lambda asked, body=body: reply(body, 404)), "get", "s3://bucket/key")
