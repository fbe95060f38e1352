"""What replies mean, and which are not believed."""

from __future__ import annotations

import pytest

from headrace import errors
from headrace.backends.protocol import Landing, Part, Upload, WriteOptions
from headrace.backends.s3 import S3Backend
from headrace.backends.service.replies import parse_http_date
from headrace.errors import (
    AlreadyExists,
    HeadraceError,
    InvalidOption,
    NotFound,
    ObjectChanged,
    PermissionDenied,
    PreconditionFailed,
    ProtocolError,
    ServiceError,
)
from headrace.testing.contract.stepping import Answer, Script
from headrace.uri import Location

PLACE = Location("s3", "bucket", "key")
UPLOAD = Upload(PLACE, "id")
BODY = [memoryview(b"data")]
PLAIN = WriteOptions()
HEAD = Answer(headers={"content-length": "5", "etag": '"v"'})


def error_document(code: str, message: str = "It says so.") -> bytes:
    return f"<?xml version='1.0'?>\n<Error><Code>{code}</Code><Message>{message}</Message><RequestId>1</RequestId></Error>".encode()


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (404, "NoSuchKey", "NotFound"),
        (404, "NoSuchBucket", "NotFound"),
        (403, "AccessDenied", "PermissionDenied"),
        (403, "SignatureDoesNotMatch", "CredentialsError"),
        (403, "InvalidAccessKeyId", "CredentialsError"),
        (400, "ExpiredToken", "CredentialsError"),
        (401, None, "CredentialsError"),
        (403, None, "PermissionDenied"),
        (404, None, "NotFound"),
        (405, "MethodNotAllowed", "NotSupported"),
        (501, "NotImplemented", "NotSupported"),
        (503, "SlowDown", "Throttled"),
        (503, None, "Throttled"),
        (429, None, "Throttled"),
        (400, "BadDigest", "IntegrityError"),
        (400, "KeyTooLongError", "InvalidURI"),
        (400, "InvalidBucketName", "InvalidURI"),
        (500, "InternalError", "ServiceError"),
        (418, None, "ServiceError"),
    ],
)
def test_failures(backend: S3Backend, status: int, code: str | None, kind: str) -> None:
    answer = Answer(status=status, headers={"x-amz-request-id": "R1", "retry-after": "7"}, body=error_document(code) if code else b"")
    with pytest.raises(HeadraceError) as caught:
        Script(server=lambda _: answer).run(backend.delete(PLACE))
    error = caught.value
    assert type(error) is getattr(errors, kind)
    assert (error.status, error.code, error.request_id, error.retry_after) == (status, code, "R1", 7.0)
    assert code is None or "It says so" in str(error)


@pytest.mark.parametrize(
    "body",
    [
        b"<html>Bad Gateway</html>",
        b"<Error><Code>x",
        b"\x00\xff",
        b"<Error/>",
        b"<ErrorResponse><Error><Code>X</Code></Error></ErrorResponse>",
    ],
)
def test_a_failure_that_is_badly_explained(backend: S3Backend, body: bytes) -> None:
    with pytest.raises(ServiceError, match="502"):
        Script(Answer(status=502, body=body)).run(backend.delete(PLACE))


def test_what_an_object_is(backend: S3Backend) -> None:
    headers = {
        "etag": '"v"',
        "last-modified": "Sun, 06 Nov 1994 08:49:37 GMT",
        "content-type": "text/x",
        "x-amz-meta-name": "value",
        "x-amz-version-id": "7",
        "x-amz-storage-class": "GLACIER",
        "x-amz-checksum-crc32c": "yZRlqg==",
        "content-length": "11",
    }
    info = Script(Answer(headers=headers)).run(backend.head(PLACE))
    assert (info.uri, info.size, info.etag, info.content_type, info.metadata) == ("s3://bucket/key", 11, '"v"', "text/x", {"name": "value"})
    assert (info.version_id, info.storage_class, info.checksum) == ("7", "GLACIER", "crc32c:c99465aa")
    assert info.last_modified is not None
    assert info.last_modified.isoformat() == "1994-11-06T08:49:37+00:00"


@pytest.mark.parametrize(
    "headers", [{"x-amz-checksum-crc32c": "yZRlqg==-2"}, {"x-amz-checksum-crc32c": "yZRlqg==", "x-amz-checksum-type": "COMPOSITE"}]
)
def test_the_checksum_of_parts_is_not_that_of_the_object(backend: S3Backend, headers: dict[str, str]) -> None:
    fetched = Script(Answer(headers=headers, body=b"something else")).run(backend.get(PLACE, Landing()))
    assert (fetched.data, fetched.info.checksum) == (b"something else", None)


def test_a_checksum_of_a_part_of_the_object_is_not_held_against_it(backend: S3Backend) -> None:
    headers = {"x-amz-checksum-crc32c": "yZRlqg==", "content-range": "bytes 0-4/11"}
    fetched = Script(Answer(status=206, headers=headers, body=b"hello")).run(backend.get(PLACE, Landing(), length=5))
    assert fetched.data == b"hello"


@pytest.mark.parametrize(
    "date", ["", "yesterday", "Sun, 06 Foo 1994 08:49:37 GMT", "Sun, 99 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT"]
)
def test_a_date_that_is_none(date: str) -> None:
    assert parse_http_date(date) is None


@pytest.mark.parametrize(
    "answer",
    [
        Answer(status=206, body=b"01234"),
        Answer(status=206, headers={"content-range": "bytes 0-4/*"}, body=b"01234"),
        Answer(status=206, headers={"content-range": "bytes 0-5/10"}, body=b"01234"),
        Answer(status=206, headers={"content-range": "bytes 4-0/10"}, body=b"01234"),
        Answer(status=206, headers={"content-range": "bytes 6-10/10"}, body=b"01234"),
        Answer(status=206, headers={"content-range": "bytes 1-5/10"}, body=b"12345"),
        Answer(status=206, headers={"content-range": "bytes 0-3/10"}, body=b"0123"),
        Answer(status=206, headers={"content-range": "items 0-4/10"}, body=b"01234"),
        Answer(status=206, headers={"content-range": "bytes 0-4/9999999999999999999"}, body=b"01234"),
        Answer(status=200, body=b"0123456789"),
    ],
    ids=lambda answer: str(dict(answer.headers)) if isinstance(answer, Answer) else None,
)
def test_other_bytes_than_those_that_were_asked_for(backend: S3Backend, answer: Answer) -> None:
    landing = Landing(lambda info, start, length: pytest.fail("memory was asked for"))
    with pytest.raises(ProtocolError):
        Script(answer).run(backend.get(PLACE, landing, start=0, length=5))


def test_the_whole_object_where_more_than_it_was_asked_for(backend: S3Backend) -> None:
    """A server without ranges, and one that leaves the size of small objects to itself."""
    fetched = Script(Answer(body=b"0123")).run(backend.get(PLACE, Landing(), length=5))
    assert (fetched.data, fetched.info.size) == (b"0123", 4)


def test_a_range_past_the_end(backend: S3Backend) -> None:
    script = Script(Answer(status=416, body=error_document("InvalidRange")), HEAD)
    with pytest.raises(InvalidOption, match="byte 7, but the object has 5 bytes"):
        script.run(backend.get(PLACE, Landing(), start=7))


@pytest.mark.parametrize("start", [5, -3, None])
def test_an_empty_range(backend: S3Backend, start: int | None) -> None:
    """416 is also the answer to a range of an empty object, and to the bytes after the last."""
    size = 5 if start == 5 else 0
    script = Script(Answer(status=416), Answer(headers={"content-length": str(size)}))
    fetched = script.run(backend.get(PLACE, Landing(), start=start, length=10))
    assert (fetched.data, fetched.info.size, fetched.start) == (b"", size, size)


def test_a_read_of_another_version(backend: S3Backend) -> None:
    with pytest.raises(ObjectChanged):
        Script(Answer(status=412)).run(backend.get(PLACE, Landing(), if_match='"v"'))


def test_a_head_without_a_length(backend: S3Backend) -> None:
    with pytest.raises(ProtocolError, match="Content-Length"):
        Script(Answer(headers={"content-length": ""})).run(backend.head(PLACE))


@pytest.mark.parametrize(
    ("status", "options", "kind"),
    [
        (412, WriteOptions(create_only=True), AlreadyExists),
        (409, WriteOptions(create_only=True), AlreadyExists),
        (412, WriteOptions(if_match='"v"'), PreconditionFailed),
        (404, WriteOptions(if_match='"v"'), PreconditionFailed),
        (404, PLAIN, NotFound),
        (403, WriteOptions(create_only=True), PermissionDenied),
    ],
)
def test_conditions_of_writes(backend: S3Backend, status: int, options: WriteOptions, kind: type[HeadraceError]) -> None:
    for operation in (backend.put(PLACE, BODY, options), backend.complete_upload(UPLOAD, [], options)):
        with pytest.raises(kind) as caught:
            Script(Answer(status=status)).run(operation)
        assert caught.value.status == status


def test_a_bucket_that_is_missing_is_no_condition(backend: S3Backend) -> None:
    answer = Answer(status=404, body=error_document("NoSuchBucket"))
    with pytest.raises(NotFound, match="Create the bucket first"):
        Script(answer).run(backend.put(PLACE, BODY, WriteOptions(if_match='"v"')))


@pytest.mark.parametrize("body", [error_document("InternalError"), b"", b"<Other/>", b"not XML"])
def test_an_error_in_a_reply_that_says_200(backend: S3Backend, body: bytes) -> None:
    """Copies and completions may fail after the status was sent."""
    with pytest.raises((ServiceError, ProtocolError)) as caught:
        Script(HEAD, Answer(body=body)).run(backend.copy(PLACE, PLACE.at("copy"), PLAIN))
    assert caught.value.status in (200, None)
    with pytest.raises((ServiceError, ProtocolError)):
        Script(Answer(body=body)).run(backend.complete_upload(UPLOAD, [], PLAIN))


@pytest.mark.parametrize("namespace", ["", ' xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'])
def test_copies_and_completions(backend: S3Backend, namespace: str) -> None:
    copied = f"<CopyObjectResult{namespace}><ETag>&quot;c&quot;</ETag></CopyObjectResult>".encode()
    info = Script(HEAD, Answer(body=copied)).run(backend.copy(PLACE, PLACE.at("copy"), PLAIN))
    assert (info.uri, info.size, info.etag) == ("s3://bucket/copy", 5, '"c"')
    completed = f"<CompleteMultipartUploadResult{namespace}><ETag>&quot;m-1&quot;</ETag></CompleteMultipartUploadResult>".encode()
    info = Script(Answer(body=completed)).run(backend.complete_upload(UPLOAD, [Part(1, '"p"', 5)], PLAIN))
    assert (info.uri, info.size, info.etag) == ("s3://bucket/key", 5, '"m-1"')


def test_parts_and_uploads_without_their_names(backend: S3Backend) -> None:
    with pytest.raises(ProtocolError, match="ETag"):
        Script(Answer()).run(backend.put_part(UPLOAD, 1, 0, BODY))
    for body in (b"<InitiateMultipartUploadResult/>", b"", b"<a"):
        with pytest.raises(ProtocolError):
            Script(Answer(body=body)).run(backend.start_upload(PLACE, PLAIN))


def test_an_upload_that_is_unknown_counts_as_aborted(backend: S3Backend) -> None:
    Script(Answer(status=404, body=error_document("NoSuchUpload"))).run(backend.abort_upload(UPLOAD))
    with pytest.raises(PermissionDenied):
        Script(Answer(status=403)).run(backend.abort_upload(UPLOAD))


def test_deletions_that_failed_are_told_apart(backend: S3Backend) -> None:
    body = (
        b"<DeleteResult><Error><Key>b</Key><Code>AccessDenied</Code><Message>No.</Message></Error>"
        b"<Error><Key>c</Key><Code>InternalError</Code></Error><Error><Key>d</Key><Code>NoSuchKey</Code></Error></DeleteResult>"
    )
    results = Script(Answer(body=body)).run(backend.delete_batch([PLACE.at(name) for name in "abcd"]))
    assert [type(result) for result in results] == [type(None), PermissionDenied, ServiceError, type(None)]
    assert [result.uri for result in results if result] == ["s3://bucket/b", "s3://bucket/c"]


def test_keys_that_xml_cannot_spell_are_deleted_one_by_one(backend: S3Backend) -> None:
    script = Script(Answer(status=204), Answer(body=b"<DeleteResult/>"))
    assert script.run(backend.delete_batch([PLACE.at("a\x01"), PLACE.at("b")])) == [None, None]
    assert [(request.method, request.target) for request in script.requests] == [("DELETE", "/bucket/a%01"), ("POST", "/bucket/?delete=")]


def test_a_bucket_that_is_not_empty(backend: S3Backend) -> None:
    with pytest.raises(ServiceError, match="recursive") as caught:
        Script(Answer(status=409, body=error_document("BucketNotEmpty"))).run(backend.delete_container(PLACE.at("")))
    assert caught.value.code == "NotEmpty"


def test_a_listing_of_several_pages(backend: S3Backend) -> None:
    def listing(names: str, more: str) -> Answer:
        contents = "".join(
            f"<Contents><Key>{name}</Key><Size>1</Size><ETag>&quot;e&quot;</ETag><LastModified>2024-01-02T03:04:05.000Z</LastModified></Contents>"
            for name in names
        )
        return Answer(body=f"<ListBucketResult><EncodingType>url</EncodingType>{contents}{more}</ListBucketResult>".encode())

    script = Script(
        listing("ab", "<IsTruncated>true</IsTruncated><NextContinuationToken>1/+=</NextContinuationToken>"),
        listing("c", "<IsTruncated>false</IsTruncated><CommonPrefixes><Prefix>b%2Bc/</Prefix></CommonPrefixes>"),
    )
    first = script.run(backend.list_page(PLACE.at(""), recursive=False, start_after=None, token=None))
    assert ([entry.uri for entry in first.entries], first.token) == (["s3://bucket/a", "s3://bucket/b"], "1/+=")
    second = script.run(backend.list_page(PLACE.at(""), recursive=False, start_after=None, token=first.token))
    assert ([entry.uri for entry in second.entries], second.token) == (["s3://bucket/b+c/", "s3://bucket/c"], None)
    assert "continuation-token=1%2F%2B%3D" in script.requests[1].target


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<Other/>",
        b"<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>",
        b"<ListBucketResult><Contents><Key>a</Key><Size>many</Size></Contents></ListBucketResult>",
        b"<ListBucketResult><Contents><Key>a</Key></Contents></ListBucketResult>",
        b"<ListBucketResult><Contents>",
    ],
)
def test_a_listing_that_is_not_believed(backend: S3Backend, body: bytes) -> None:
    with pytest.raises(ProtocolError):
        Script(Answer(body=body)).run(backend.list_page(PLACE.at(""), recursive=True, start_after=None, token=None))


def test_lists_of_parts_and_uploads_of_several_pages(backend: S3Backend) -> None:
    def parts(*numbers: int, more: str = "") -> Answer:
        shown = "".join(f"<Part><PartNumber>{number}</PartNumber><ETag>e{number}</ETag><Size>5</Size></Part>" for number in numbers)
        return Answer(body=f"<ListPartsResult>{shown}{more}</ListPartsResult>".encode())

    script = Script(parts(1, 2, more="<IsTruncated>true</IsTruncated><NextPartNumberMarker>2</NextPartNumberMarker>"), parts(3))
    assert [part.number for part in script.run(backend.list_parts(UPLOAD))] == [1, 2, 3]
    assert "part-number-marker=2" in script.requests[1].target

    def uploads(key: str, more: str = "") -> Answer:
        shown = f"<Upload><Key>{key}</Key><UploadId>id</UploadId><Initiated>2024-01-02T03:04:05.000Z</Initiated></Upload>"
        return Answer(
            body=f"<ListMultipartUploadsResult><EncodingType>url</EncodingType>{shown}{more}</ListMultipartUploadsResult>".encode()
        )

    more = "<IsTruncated>true</IsTruncated><NextKeyMarker>a%2B</NextKeyMarker><NextUploadIdMarker>9</NextUploadIdMarker>"
    script = Script(uploads("a%2B", more), uploads("b"))
    found = script.run(backend.list_uploads(PLACE.at("")))
    assert [(info.upload.location.key, info.started) for info in found] == [("a+", 1704164645.0), ("b", 1704164645.0)]
    assert "key-marker=a%2B" in script.requests[1].target


@pytest.mark.parametrize("operation", ["list_parts", "list_uploads"])
def test_a_list_that_is_cut_off_without_saying_where_it_goes_on(backend: S3Backend, operation: str) -> None:
    body = b"<Result><IsTruncated>true</IsTruncated></Result>"
    with pytest.raises(ProtocolError):
        Script(*[Answer(body=body)] * 2).run(backend.list_parts(UPLOAD) if operation == "list_parts" else backend.list_uploads(PLACE))


def test_buckets(backend: S3Backend) -> None:
    first = b"<Bucket><Name>a</Name><CreationDate>2024-01-02T03:04:05Z</CreationDate></Bucket>"
    body = b"<ListAllMyBucketsResult><Buckets>" + first + b"<Bucket><Name>b</Name></Bucket></Buckets></ListAllMyBucketsResult>"
    found = Script(Answer(body=body)).run(backend.list_containers(Location("s3", "", "")))
    assert [(info.uri, info.created and info.created.year) for info in found] == [("s3://a/", 2024), ("s3://b/", None)]
