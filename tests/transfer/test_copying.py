"""Copies of what S3 does not copy in one request."""

from __future__ import annotations

import re

import pytest

from headrace.backends.protocol import WriteOptions
from headrace.errors import ObjectChanged
from headrace.http.messages import Request
from headrace.stores.store import Store
from headrace.testing.contract.stepping import Answer, Script
from headrace.uri import Location

SOURCE, COPY = Location("s3", "bucket", "source"), Location("s3", "bucket", "copy")
SIZE = (5 << 30) + 12345


def service(request: Request) -> Answer:
    """One object of more than 5 GiB, and an upload that takes everything."""
    if request.method == "HEAD":
        return Answer(headers={"content-length": str(SIZE), "etag": '"v"', "content-type": "text/x", "x-amz-meta-name": "value"})
    if "uploads=" in request.target:
        return Answer(body=b"<R><UploadId>id</UploadId></R>")
    if "partNumber=" in request.target:
        return Answer(body=b"<CopyPartResult><ETag>&quot;p&quot;</ETag></CopyPartResult>")
    if request.method == "DELETE":
        return Answer(status=204)
    return Answer(body=b"<CompleteMultipartUploadResult><ETag>&quot;m-6&quot;</ETag></CompleteMultipartUploadResult>")


def test_a_large_object_is_copied_in_parts_with_all_that_it_has(store: Store) -> None:
    script = Script(server=service)
    info = script.run(store.copy(SOURCE, COPY, WriteOptions()))
    assert (info.uri, info.size, info.etag) == ("s3://bucket/copy", SIZE, '"m-6"')
    _, begin, *parts, _ = script.requests
    assert (begin.headers["content-type"], begin.headers["x-amz-meta-name"]) == ("text/x", "value")
    spans = [re.fullmatch(r"bytes=(\d+)-(\d+)", part.headers["x-amz-copy-source-range"]) for part in parts]
    edges = [(int(span[1]), int(span[2])) for span in spans if span]
    assert [first for first, _ in edges] == [0, *(last + 1 for _, last in edges[:-1])]
    assert edges[-1][1] == SIZE - 1
    assert {part.headers["x-amz-copy-source-if-match"] for part in parts} == {'"v"'}
    assert all(part.length == 0 for part in parts)


def test_a_large_object_that_is_replaced_meanwhile(store: Store) -> None:
    script = Script(server=lambda request: Answer(status=412) if "partNumber=3" in request.target else service(request))
    with pytest.raises(ObjectChanged):
        script.run(store.copy(SOURCE, COPY, WriteOptions()))
    assert (script.requests[-1].method, script.requests[-1].target) == ("DELETE", "/bucket/copy?uploadId=id")
