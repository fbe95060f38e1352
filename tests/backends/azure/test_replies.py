"""What the service's replies mean: descriptions, failures with their ids, listings, batches."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from headrace.backends.azure import AzureBackend
from headrace.backends.protocol import Landing, Part, Upload, WriteOptions
from headrace.errors import (
    AlreadyExists,
    CredentialsError,
    HeadraceError,
    IntegrityError,
    InvalidOption,
    InvalidURI,
    NotFound,
    NotSupported,
    PermissionDenied,
    PreconditionFailed,
    ProtocolError,
    ServiceError,
    Throttled,
)
from headrace.models import ObjectInfo, Prefix
from headrace.stores.retry import RetryPolicy
from headrace.stores.store import Store
from headrace.testing.contract.stepping import Answer, Script
from headrace.uri import Location

MakeBackend = Callable[..., AzureBackend]

PLACE = Location("az", "c", "key")
BODY = [memoryview(b"data")]
PLAIN = WriteOptions()
UPLOAD = Upload(PLACE, "0123456789abcdef")
MARK = "\N{ZERO WIDTH NO-BREAK SPACE}"  # the service begins its documents with it


def refusal(code: str, status: int, *, detail: str = "", **headers: str) -> Answer:
    """As the service sends it: the code in a header too, the id and time of the request in the message."""
    document = (
        f'{MARK}<?xml version="1.0" encoding="utf-8"?><Error><Code>{code}</Code><Message>What went wrong.\nRequestId:id-1\n'
        f"Time:2026-01-01T00:00:00.0Z</Message>{detail}</Error>"
    )
    sent = {"x-ms-error-code": code, "x-ms-request-id": "id-1", **{name.replace("_", "-"): value for name, value in headers.items()}}
    return Answer(status=status, headers=sent, body=document.encode())


@pytest.mark.parametrize(
    ("code", "status", "kind"),
    [
        ("BlobNotFound", 404, NotFound),
        ("ContainerNotFound", 404, NotFound),
        ("AuthenticationFailed", 403, CredentialsError),
        ("InvalidAuthenticationInfo", 401, CredentialsError),
        ("NoAuthenticationInformation", 401, CredentialsError),
        ("AuthorizationFailure", 403, PermissionDenied),
        ("AuthorizationPermissionMismatch", 403, PermissionDenied),
        ("KeyBasedAuthenticationNotPermitted", 403, PermissionDenied),
        ("PublicAccessNotPermitted", 409, PermissionDenied),
        ("InsufficientAccountPermissions", 403, PermissionDenied),
        ("ConditionNotMet", 412, PreconditionFailed),
        ("LeaseIdMissing", 412, ServiceError),
        ("ContainerBeingDeleted", 409, ServiceError),
        ("InvalidBlockList", 400, ServiceError),
        ("InvalidBlobOrBlock", 400, ServiceError),
        ("BlobArchived", 409, ServiceError),
        ("SnapshotsPresent", 409, ServiceError),
        ("Md5Mismatch", 400, IntegrityError),
        ("RequestBodyTooLarge", 413, InvalidOption),
        ("InvalidMetadata", 400, InvalidOption),
        ("InvalidResourceName", 400, InvalidURI),
        ("UnsupportedHeader", 400, NotSupported),
        ("ServerBusy", 503, Throttled),
        ("TooManyRequests", 429, Throttled),
        ("OperationTimedOut", 500, ServiceError),
        ("SomethingNew", 400, ServiceError),
        ("SomethingNew", 403, PermissionDenied),
    ],
)
def test_failures(backend: AzureBackend, code: str, status: int, kind: type[HeadraceError]) -> None:
    for operation in (backend.get(PLACE, Landing()), backend.head(PLACE), backend.put(PLACE, BODY, PLAIN)):
        if status == 412 and operation.__name__ == "fetch":
            continue
        with pytest.raises(kind) as caught:
            Script(refusal(code, status)).run(operation)
        assert type(caught.value) is kind
        assert (caught.value.status, caught.value.code, caught.value.request_id) == (status, code, "id-1")
        assert "RequestId" not in str(caught.value)


def test_a_failure_without_a_code(backend: AzureBackend) -> None:
    for status, kind in [(404, NotFound), (403, PermissionDenied), (503, Throttled), (500, ServiceError), (429, Throttled)]:
        with pytest.raises(kind):
            Script(Answer(status=status, body=b"<html>")).run(backend.head(PLACE))


def test_a_signature_that_is_repeated_in_a_failure_is_not_shown(backend: AzureBackend) -> None:
    detail = "<AuthenticationErrorDetail>The MAC signature 'SIGNATURE' is not the same</AuthenticationErrorDetail>"
    with pytest.raises(CredentialsError) as caught:
        Script(refusal("AuthenticationFailed", 403, detail=detail)).run(backend.get(PLACE, Landing()))
    assert "SIGNATURE" not in f"{caught.value}{vars(caught.value)}"
    ended = "<AuthenticationErrorDetail>Signature not valid in the specified time frame: Start [x]</AuthenticationErrorDetail>"
    with pytest.raises(CredentialsError, match="has ended"):
        Script(refusal("AuthenticationFailed", 403, detail=ended)).run(backend.get(PLACE, Landing()))


@pytest.mark.parametrize(
    ("options", "answer", "kind"),
    [
        (WriteOptions(create_only=True), refusal("BlobAlreadyExists", 409), AlreadyExists),
        (WriteOptions(create_only=True), refusal("ConditionNotMet", 412), AlreadyExists),
        (WriteOptions(if_match='"v"'), refusal("ConditionNotMet", 412), PreconditionFailed),
        (WriteOptions(if_match='"v"'), refusal("BlobNotFound", 404), PreconditionFailed),
        (WriteOptions(if_match='"v"'), refusal("ContainerNotFound", 404), NotFound),
        (WriteOptions(create_only=True), refusal("LeaseIdMissing", 412), ServiceError),
        (PLAIN, refusal("BlobAlreadyExists", 409), AlreadyExists),
    ],
)
def test_conditional_writes(backend: AzureBackend, options: WriteOptions, answer: Answer, kind: type[HeadraceError]) -> None:
    for operation in (backend.put(PLACE, BODY, options), backend.complete_upload(UPLOAD, [], options)):
        with pytest.raises(kind) as caught:
            Script(answer).run(operation)
        assert type(caught.value) is kind
        assert caught.value.request_id == "id-1"


def test_what_is_tried_again(backend: AzureBackend) -> None:
    store = Store(backend, RetryPolicy())
    good = Answer(status=201, headers={"etag": '"v"'})
    for again in (refusal("ServerBusy", 503), refusal("OperationTimedOut", 500), refusal("TooManyRequests", 429, retry_after="3")):
        script = Script(again, good)
        script.run(store.put(PLACE, BODY, PLAIN))
        assert len(script.requests) == 2
    assert script.pauses[0] >= 3
    script = Script(*[refusal("ContainerBeingDeleted", 409)] * 4, Answer(status=201))
    script.run(store.create_container(PLACE.at("")))
    assert sum(script.pauses) >= 30
    for final in (refusal("InvalidBlockList", 400), refusal("AuthorizationFailure", 403), refusal("SnapshotsPresent", 409)):
        script = Script(final)
        with pytest.raises(HeadraceError):
            script.run(store.put(PLACE, BODY, PLAIN))
        assert script.finished


def test_a_deletion_whose_first_reply_was_lost(backend: AzureBackend) -> None:
    store = Store(backend, RetryPolicy())
    Script(refusal("OperationTimedOut", 500), refusal("BlobNotFound", 404)).run(store.delete(PLACE))
    for answers in ([refusal("BlobNotFound", 404)], [refusal("OperationTimedOut", 500), refusal("ContainerNotFound", 404)]):
        with pytest.raises(NotFound):
            Script(*answers).run(store.delete(PLACE))


def md5_of(data: bytes) -> str:
    return base64.b64encode(hashlib.md5(data).digest()).decode()


def test_a_blob_is_described(backend: AzureBackend) -> None:
    headers = {
        "etag": '"0x8D1"',
        "last-modified": "Sun, 06 Nov 1994 08:49:37 GMT",
        "content-type": "text/x",
        "x-ms-meta-name": "value",
        "x-ms-version-id": "v1",
        "x-ms-access-tier": "Cool",
        "content-md5": md5_of(b"data"),
        "content-length": "4",
    }
    info = Script(Answer(headers=headers)).run(backend.head(PLACE))
    modified = datetime(1994, 11, 6, 8, 49, 37, tzinfo=UTC)
    checksum = f"md5:{hashlib.md5(b'data').hexdigest()}"
    assert info == ObjectInfo("az://c/key", 4, '"0x8D1"', modified, "text/x", {"name": "value"}, "v1", "Cool", checksum)
    assert Script(Answer(headers=headers, body=b"data")).run(backend.get(PLACE, Landing())).info == info


def test_the_checksum_of_a_whole_blob_is_verified(make_backend: MakeBackend) -> None:
    whole = Answer(headers={"content-md5": md5_of(b"good"), "etag": '"v"'}, body=b"evil")
    ranged = {"content-range": "bytes 0-3/4", "content-md5": "of the range alone", "x-ms-blob-content-md5": md5_of(b"good"), "etag": '"v"'}
    part = {"content-range": "bytes 0-3/9", "content-md5": "of the range alone", "x-ms-blob-content-md5": md5_of(b"good"), "etag": '"v"'}
    for answer in (whole, Answer(status=206, headers=ranged, body=b"evil")):
        with pytest.raises(IntegrityError):
            Script(answer).run(make_backend().get(PLACE, Landing(), length=None if answer is whole else 4))
        fetched = Script(answer).run(make_backend(checksum="none").get(PLACE, Landing(), length=None if answer is whole else 4))
        assert (bytes(fetched.data), fetched.info.checksum) == (b"evil", None)
    assert Script(Answer(status=206, headers=part, body=b"evil")).run(make_backend().get(PLACE, Landing(), length=4)).data == b"evil"
    for wrong in ("x", md5_of(b"")[:-4], "é"):
        with pytest.raises(ProtocolError, match="Content-MD5"):
            Script(Answer(headers={"content-md5": wrong}, body=b"data")).run(make_backend().get(PLACE, Landing()))


def listing(blobs: str = "", marker: str = "") -> Answer:
    inside = f"<Blobs>{blobs}</Blobs><NextMarker>{marker}</NextMarker>"
    document = f'{MARK}<?xml version="1.0" encoding="utf-8"?><EnumerationResults>{inside}</EnumerationResults>'
    return Answer(body=document.encode())


def blob(name: str, properties: str = "<Content-Length>1</Content-Length><Etag>0x8D1</Etag>", attributes: str = "") -> str:
    return f"<Blob><Name{attributes}>{name}</Name><Properties>{properties}</Properties></Blob>"


def page(backend: AzureBackend, answer: Answer, prefix: str = "", **arguments: Any) -> Any:
    arguments = {"recursive": True, "start_after": None, "token": None, **arguments}
    return Script(answer).run(backend.list_page(PLACE.at(prefix), **arguments))


def test_a_page_of_a_listing(backend: AzureBackend) -> None:
    properties = (
        "<Last-Modified>Sun, 06 Nov 1994 08:49:37 GMT</Last-Modified><Etag>0x8D1</Etag><Content-Length>7</Content-Length>"
        "<AccessTier>Hot</AccessTier><AccessTierInferred>true</AccessTierInferred>"
    )
    directory = "<Content-Length>0</Content-Length><Etag>0x1</Etag><ResourceType>directory</ResourceType>"
    found = page(
        backend,
        listing(
            blob("b &amp; c", properties)
            + blob("a%EF%BF%BE", attributes=' Encoded="true"')
            + blob("d", directory)
            + "<BlobPrefix><Name>a/</Name></BlobPrefix>",
            "2!next",
        ),
    )
    modified = datetime(1994, 11, 6, 8, 49, 37, tzinfo=UTC)
    assert list(found.entries) == [
        Prefix("az://c/a/"),
        ObjectInfo("az://c/a\ufffe", 1, '"0x8D1"'),
        ObjectInfo("az://c/b & c", 7, '"0x8D1"', modified, storage_class="Hot"),
    ]
    assert found.token == "2!next"
    assert page(backend, listing()) == ([], None)


def test_what_comes_before_is_left_out_of_a_listing(backend: AzureBackend) -> None:
    folders = "".join(f"<BlobPrefix><Name>{name}/</Name></BlobPrefix>" for name in "abc")
    found = page(backend, listing(blob("b") + blob("b0") + folders), start_after="b/x", recursive=False)
    assert [entry.uri for entry in found.entries] == ["az://c/b/", "az://c/b0", "az://c/c/"]


def test_listings_that_make_no_sense(backend: AzureBackend) -> None:
    for answer, prefix in [
        (listing(blob("other")), "wanted/"),
        (listing(blob("")), ""),
        (listing("<Blob><Name>x</Name></Blob>"), ""),
        (listing(blob("x", "<Content-Length>-1</Content-Length>")), ""),
        (Answer(body=b"<html/>"), ""),
        (Answer(body=b"<!DOCTYPE x><EnumerationResults/>"), ""),
        (Answer(), ""),
    ]:
        with pytest.raises(ProtocolError):
            page(backend, answer, prefix)


def batch(*replies: str, boundary: str = "batchresponse_1") -> Answer:
    parts = "".join(f"--{boundary}\r\nContent-Type: application/http\r\n{reply}\r\n" for reply in replies)
    return Answer(status=202, headers={"content-type": f"multipart/mixed; boundary={boundary}"}, body=f"{parts}--{boundary}--".encode())


def done(number: int, status: str = "202 Accepted") -> str:
    return f"Content-ID: {number}\r\n\r\nHTTP/1.1 {status}\r\nx-ms-request-id: id-{number}\r\nServer: x\r\n"


def failed(number: int, status: int, code: str) -> str:
    document = f"<Error><Code>{code}</Code><Message>Why.</Message></Error>"
    return f"{done(number, f'{status} x')}x-ms-error-code: {code}\r\nContent-Length: {len(document)}\r\n\r\n{document}\r\n"


def test_a_batch_of_deletions(backend: AzureBackend) -> None:
    places = [PLACE.at(str(number)) for number in range(4)]
    answer = batch(done(3), failed(1, 404, "BlobNotFound"), done(0), failed(2, 409, "SnapshotsPresent"))
    errors = Script(answer).run(backend.delete_batch(places))
    assert [errors[0], errors[1], errors[3]] == [None] * 3
    assert isinstance(errors[2], ServiceError)
    assert (errors[2].code, errors[2].request_id, errors[2].uri) == ("SnapshotsPresent", "id-2", "az://c/2")


def test_a_batch_that_is_refused_as_a_whole(backend: AzureBackend) -> None:
    answer = batch(failed(0, 403, "AuthorizationFailure").partition("\r\n")[2])
    errors = Script(answer, answer).run(backend.delete_batch([PLACE, PLACE]))
    assert [type(error) for error in errors] == [PermissionDenied] * 2
    with pytest.raises(NotFound):
        Script(refusal("ContainerNotFound", 404)).run(backend.delete_batch([PLACE]))


def test_a_batch_whose_parts_were_signed_with_a_wrong_clock(backend: AzureBackend) -> None:
    skewed = refusal("AuthenticationFailed", 403, date="Sun, 06 Nov 2044 08:49:37 GMT")
    script = Script(skewed, batch(failed(0, 403, "AuthenticationFailed")), batch(done(0)))
    assert script.run(backend.delete_batch([PLACE])) == [None]
    bodies = [bytes(request.body[0]) for request in script.requests]  # type: ignore[arg-type]
    assert [b"x-ms-date: Sun, 06 Nov 2044" in body for body in bodies] == [False, False, True]


def test_a_batch_with_a_part_to_be_tried_again(backend: AzureBackend) -> None:
    script = Script(batch(done(0), failed(1, 503, "ServerBusy")), batch(failed(0, 404, "BlobNotFound"), done(1)))
    assert script.run(Store(backend, RetryPolicy()).delete_batch([PLACE, PLACE.at("two")])) == [None, None]


@pytest.mark.parametrize(
    "answer",
    [
        batch(done(0)),
        batch(done(0), done(0)),
        batch(done(0), done(2)),
        batch(done(0), done(1), done(2)),
        batch("\r\nHTTP/1.1 202 x\r\n"),
        batch(done(0), "Content-ID: 1\r\n\r\nnothing"),
        Answer(status=202),
        Answer(status=202, headers={"content-type": "text/html"}, body=b"x"),
    ],
)
def test_a_batch_that_was_not_answered_one_by_one(backend: AzureBackend, answer: Answer) -> None:
    with pytest.raises(ProtocolError):
        Script(answer).run(backend.delete_batch([PLACE, PLACE.at("two")]))


def block(name: bytes, size: int = 5) -> str:
    return f"<Block><Name>{base64.b64encode(name).decode()}</Name><Size>{size}</Size></Block>"


def blocks(*found: str) -> Answer:
    return Answer(body=f"<BlockList><CommittedBlocks/><UncommittedBlocks>{''.join(found)}</UncommittedBlocks></BlockList>".encode())


def test_the_blocks_of_one_upload_among_others(backend: AzureBackend) -> None:
    mine = [block(b"0123456789abcdef-00002", 7), block(b"0123456789abcdef-00001")]
    others = [
        block(b"fedcba9876543210-00001"),
        block(b"someone else's"),
        block(b"\xff\xfe"),
        "<Block><Name>no base64</Name><Size>1</Size></Block>",
    ]
    parts = Script(blocks(*others, *mine)).run(backend.list_parts(UPLOAD))
    assert [(part.number, part.size) for part in parts] == [(1, 5), (2, 7)]
    assert Script(refusal("BlobNotFound", 404)).run(backend.list_parts(UPLOAD)) == []
    with pytest.raises(NotFound):
        Script(refusal("ContainerNotFound", 404)).run(backend.list_parts(UPLOAD))


def test_uploads_are_found_by_their_blocks(backend: AzureBackend) -> None:
    waiting = blob("new", "<Content-Length>0</Content-Length>")
    script = Script(
        listing(waiting, "next"),
        listing(blob("there")),
        blocks(block(b"0123456789abcdef-00001"), block(b"0123456789abcdef-00002"), block(b"fedcba9876543210-00001"), block(b"other")),
    )
    found = script.run(backend.list_uploads(PLACE.at("")))
    assert [(info.upload.location.key, info.upload.id) for info in found] == [("new", "0123456789abcdef"), ("new", "fedcba9876543210")]
    assert script.finished


def test_an_upload_that_is_completed_again_after_its_reply_was_lost(backend: AzureBackend) -> None:
    script = Script(refusal("OperationTimedOut", 500), Answer(status=201, headers={"etag": '"v"'}))
    info = script.run(Store(backend, RetryPolicy()).complete_upload(UPLOAD, [Part(1, "x", 5)], PLAIN))
    assert (info.size, info.etag) == (5, '"v"')


def test_a_container_with_something_in_it_stays(backend: AzureBackend) -> None:
    script = Script(listing("", "next"), listing(blob("x")))
    with pytest.raises(ServiceError) as caught:
        script.run(backend.delete_container(PLACE.at("")))
    assert (caught.value.code, len(script.requests)) == ("NotEmpty", 2)


def test_containers_over_several_pages(backend: AzureBackend) -> None:
    def answer(name: str, marker: str = "") -> Answer:
        found = f"<Containers><Container><Name>{name}</Name></Container></Containers><NextMarker>{marker}</NextMarker>"
        return Answer(body=f"<EnumerationResults>{found}</EnumerationResults>".encode())

    found = Script(answer("one", "next"), answer("two")).run(backend.list_containers(Location("az", "", "")))
    assert [info.uri for info in found] == ["az://one/", "az://two/"]
    named = Location("az", "", "", "other", account_first=True)
    with pytest.raises(ProtocolError, match="circles"):
        Script(server=lambda _: answer("one", "next")).run(backend.list_containers(named._replace(account="mine")))


def test_a_head_without_a_length(backend: AzureBackend) -> None:
    with pytest.raises(ProtocolError, match="Content-Length"):
        Script(Answer(headers={"content-length": ""})).run(backend.head(PLACE))
