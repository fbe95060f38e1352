"""The small S3 on nginx: what it can do, and that it refuses the rest instead of doing something else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from headrace.testing.servers import Nginx, Server

ErrorCode = Callable[..., str]
MIB = 1 << 20


class Bucket:
    """boto3's client with the bucket filled in."""

    def __init__(self, client: Any, name: str) -> None:
        self.client = client
        self.name = name

    def __getattr__(self, verb: str) -> Callable[..., Any]:
        def call(**arguments: Any) -> Any:
            return getattr(self.client, verb)(Bucket=self.name, **arguments)

        return call

    def read(self, key: str, **arguments: Any) -> bytes:
        body: bytes = self.get_object(Key=key, **arguments)["Body"].read()
        return body

    def pages(self, **arguments: Any) -> list[list[str]]:
        """The keys and then the common prefixes of each page of a listing."""
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.name, **arguments)
        return [
            [found["Key"] for found in page.get("Contents", [])] + [found["Prefix"] for found in page.get("CommonPrefixes", [])]
            for page in pages
        ]

    def multipart(self, key: str, parts: dict[int, bytes]) -> Any:
        upload = self.create_multipart_upload(Key=key)["UploadId"]
        sent = [
            {"PartNumber": number, "ETag": self.upload_part(Key=key, UploadId=upload, PartNumber=number, Body=body)["ETag"]}
            for number, body in parts.items()
        ]
        listed = sorted(sent, key=lambda part: part["PartNumber"])
        return self.complete_multipart_upload(Key=key, UploadId=upload, MultipartUpload={"Parts": listed})


@pytest.fixture
def objects(nginx: Server, s3: Callable[..., Any], bucket: str) -> Bucket:
    """An empty bucket."""
    client = s3(nginx)
    client.create_bucket(Bucket=bucket)
    return Bucket(client, bucket)


@pytest.fixture
def discarding(s3: Callable[..., Any]) -> Iterator[Bucket]:
    """A bucket on a server that throws uploads away."""
    with Nginx(discard=True, workers=1) as server:
        (server.root / "sink").mkdir()
        yield Bucket(s3(server), "sink")


@pytest.mark.parametrize("key", ["a/b/c", ".hidden", "x%20y+z é\"'<>&\n", "日本/ü", "%2e%2e", "a=b&c?d#e"])
@pytest.mark.parametrize("size", [0, 1, 600_000])
def test_an_object_comes_back_as_it_was_put(objects: Bucket, key: str, size: int) -> None:
    body = bytes(range(250)) * (size // 250) if size > 1 else b"x" * size
    objects.put_object(Key=key, Body=body)
    assert objects.read(key) == body
    assert objects.pages() == [[key]]


@pytest.mark.parametrize("key", ["a//b", "a/", "p/../q", "p/./q", "p/..", "held", "held/by/a/file", "n" * 300])
def test_a_key_that_is_no_file_name_is_refused(objects: Bucket, error_code: ErrorCode, key: str) -> None:
    objects.put_object(Key="held/by", Body=b"")
    assert error_code(objects.put_object, Key=key, Body=b"") == "NotImplemented"
    assert error_code(objects.get_object, Key=key) == "NoSuchKey"
    assert objects.pages() == [["held/by"]]


def test_all_requests_agree_on_the_etag(objects: Bucket) -> None:
    etags = {objects.put_object(Key="k", Body=b"12345")["ETag"], objects.head_object(Key="k")["ETag"], objects.get_object(Key="k")["ETag"]}
    etags.add(objects.list_objects_v2()["Contents"][0]["ETag"])
    assert len(etags) == 1


def test_ranges(objects: Bucket, error_code: ErrorCode) -> None:
    objects.put_object(Key="k", Body=b"0123456789")
    assert objects.read("k", Range="bytes=2-4") == b"234"
    assert objects.read("k", Range="bytes=-3") == b"789"
    assert objects.read("k", Range="bytes=8-") == b"89"
    assert error_code(objects.get_object, Key="k", Range="bytes=10-11") == "InvalidRange"
    assert error_code(objects.get_object, Key="k", IfMatch='"other"') == "PreconditionFailed"


def test_conditional_puts(objects: Bucket, error_code: ErrorCode) -> None:
    etag = objects.put_object(Key="k", Body=b"first", IfNoneMatch="*")["ETag"]
    assert error_code(objects.put_object, Key="k", Body=b"second", IfNoneMatch="*") == "PreconditionFailed"
    assert error_code(objects.put_object, Key="k", Body=b"second", IfMatch='"other"') == "PreconditionFailed"
    objects.put_object(Key="k", Body=b"third", IfMatch=etag)
    assert objects.read("k") == b"third"


def test_of_many_that_create_one_object_one_does(objects: Bucket) -> None:
    def create(number: int) -> bool:
        try:
            objects.put_object(Key="k", Body=b"%d" % number, IfNoneMatch="*")
        except ClientError:
            return False
        return True

    with ThreadPoolExecutor(8) as threads:
        created = list(threads.map(create, range(32)))
    assert created.count(True) == 1
    assert objects.read("k") == b"%d" % created.index(True)


def test_missing_things_have_their_own_errors(objects: Bucket, error_code: ErrorCode) -> None:
    client = objects.client
    assert error_code(objects.get_object, Key="missing") == "NoSuchKey"
    assert error_code(objects.head_object, Key="missing") == "404"
    assert error_code(client.get_object, Bucket="missing-bucket", Key="k") == "NoSuchBucket"
    assert error_code(client.put_object, Bucket="missing-bucket", Key="k", Body=b"x" * MIB) == "NoSuchBucket"
    assert error_code(client.list_objects_v2, Bucket="missing-bucket") == "NoSuchBucket"
    assert error_code(objects.abort_multipart_upload, Key="k", UploadId="abc") == "NoSuchUpload"
    objects.delete_object(Key="missing")


def test_a_listing_is_paged_in_key_order(objects: Bucket) -> None:
    # A directory's name sorts before "a.txt" in a file system, and its keys after.
    keys = sorted(["a/1", "a/2", "a.txt", "a-b", "b/c/d", "b/c/e", "z"])
    for key in keys:
        objects.put_object(Key=key, Body=b"")
    assert objects.pages() == [keys]
    assert objects.pages(PaginationConfig={"PageSize": 3}) == [keys[:3], keys[3:6], keys[6:]]
    assert objects.pages(Prefix="b/c/") == [["b/c/d", "b/c/e"]]
    assert objects.pages(Prefix="a", StartAfter="a/1") == [["a/2"]]
    assert objects.pages(Prefix="nothing") == [[]]


def test_a_listing_with_a_delimiter_folds_common_prefixes(objects: Bucket) -> None:
    for key in ["a/1", "a/2", "b/1/x", "b/2", "c", "d-1", "d-2"]:
        objects.put_object(Key=key, Body=b"")
    assert objects.pages(Delimiter="/") == [["c", "d-1", "d-2", "a/", "b/"]]
    assert objects.pages(Delimiter="/", PaginationConfig={"PageSize": 2}) == [["a/", "b/"], ["c", "d-1"], ["d-2"]]
    assert objects.pages(Delimiter="/", Prefix="b/") == [["b/2", "b/1/"]]
    assert objects.pages(Delimiter="-", Prefix="d") == [["d-"]]


def test_deletes(objects: Bucket, error_code: ErrorCode) -> None:
    keys = ["a/1", "a/2", "<&>", "é"]
    for key in [*keys, "kept"]:
        objects.put_object(Key=key, Body=b"")
    deleted = objects.delete_objects(Delete={"Objects": [{"Key": key} for key in keys]})["Deleted"]
    assert [entry["Key"] for entry in deleted] == keys
    assert objects.pages() == [["kept"]]
    assert error_code(objects.delete_bucket) == "BucketNotEmpty"
    objects.delete_object(Key="kept")
    objects.delete_bucket()
    assert error_code(objects.head_bucket) == "404"


def test_a_multipart_upload_is_its_parts_in_order(objects: Bucket) -> None:
    parts = {2: b"b" * MIB, 1: b"a" * MIB, 3: b"c"}
    etag = objects.multipart("k", parts)["ETag"]
    assert objects.read("k") == b"a" * MIB + b"b" * MIB + b"c"
    assert objects.head_object(Key="k")["ETag"] == etag


def test_a_multipart_upload_is_not_seen_before_it_is_complete(objects: Bucket, error_code: ErrorCode) -> None:
    upload = objects.create_multipart_upload(Key="k")["UploadId"]
    objects.upload_part(Key="k", UploadId=upload, PartNumber=1, Body=b"part")
    assert [(part["PartNumber"], part["Size"]) for part in objects.list_parts(Key="k", UploadId=upload)["Parts"]] == [(1, 4)]
    wrong = {"Parts": [{"PartNumber": 1, "ETag": "other"}]}
    assert error_code(objects.complete_multipart_upload, Key="k", UploadId=upload, MultipartUpload=wrong) == "InvalidPart"
    assert objects.pages() == [[]]
    objects.abort_multipart_upload(Key="k", UploadId=upload)
    assert error_code(objects.list_parts, Key="k", UploadId=upload) == "NoSuchUpload"


def test_copies(objects: Bucket, error_code: ErrorCode) -> None:
    objects.put_object(Key="a+b c", Body=b"0123456789")
    source = {"Bucket": objects.name, "Key": "a+b c"}
    objects.copy_object(Key="d/e", CopySource=source)
    assert objects.read("d/e") == b"0123456789"
    assert error_code(objects.copy_object, Key="f", CopySource={**source, "Key": "missing"}) == "NoSuchKey"
    upload = objects.create_multipart_upload(Key="k")["UploadId"]
    part = objects.upload_part_copy(Key="k", UploadId=upload, PartNumber=1, CopySource=source, CopySourceRange="bytes=2-4")
    parts = {"Parts": [{"PartNumber": 1, "ETag": part["CopyPartResult"]["ETag"]}]}
    objects.complete_multipart_upload(Key="k", UploadId=upload, MultipartUpload=parts)
    assert objects.read("k") == b"234"


def test_what_it_cannot_do_is_refused(objects: Bucket, error_code: ErrorCode) -> None:
    objects.put_object(Key="k", Body=b"")
    assert error_code(objects.get_object_tagging, Key="k") == "NotImplemented"
    assert error_code(objects.get_object, Key="k", VersionId="v") == "NotImplemented"
    assert error_code(objects.get_bucket_versioning) == "NotImplemented"


def test_uploads_can_be_thrown_away(discarding: Bucket, error_code: ErrorCode) -> None:
    for size in (0, 1, 100_000, 3 * MIB):
        assert discarding.put_object(Key="k", Body=b"x" * size)["ETag"]
    assert discarding.multipart("k", {1: b"x" * MIB, 2: b"y"})["ETag"]
    assert error_code(discarding.get_object, Key="k") == "NoSuchKey"
    assert discarding.pages() == [[]]


def test_an_existing_folder_is_served_and_left_alone(tmp_path: Path, s3: Callable[..., Any]) -> None:
    file = tmp_path / "bucket" / "folder" / "file"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"content")
    with Nginx(root=tmp_path) as server:
        served = Bucket(s3(server), "bucket")
        assert served.read("folder/file") == b"content"
        assert [found["Name"] for found in served.client.list_buckets()["Buckets"]] == ["bucket"]
        served.put_object(Key="new", Body=b"1")
    assert {path.name for path in tmp_path.rglob("*")} == {"bucket", "folder", "file", "new"}
