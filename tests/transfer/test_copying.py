"""Copies of what S3 does not copy in one request."""

from __future__ import annotations

import re
import secrets
from pathlib import Path

import pytest

import headrace
from headrace.backends.protocol import WriteOptions
from headrace.errors import ObjectChanged, Throttled
from headrace.http.messages import Request
from headrace.stores.store import Store
from headrace.testing.contract.stepping import Answer, Script
from headrace.testing.servers import Server
from headrace.transfer import copying
from headrace.transfer.session import Session
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


def test_a_part_that_fails_is_copied_again_by_itself(store: Store) -> None:
    refused: list[Request] = []

    def busy_once(request: Request) -> Answer:
        if "partNumber=3" in request.target and not refused:
            refused.append(request)
            return Answer(status=503)
        return service(request)

    script = Script(server=busy_once)
    assert script.run(store.copy(SOURCE, COPY, WriteOptions())).size == SIZE
    targets = [request.target for request in script.requests]
    assert sum("partNumber=" in target for target in targets) == 7
    assert sum("uploads=" in target for target in targets) == 1


def test_a_part_that_always_fails_ends_the_copy(store: Store) -> None:
    """And the copy is not begun anew: the part was tried often enough."""
    script = Script(server=lambda request: Answer(status=503) if "partNumber=3" in request.target else service(request))
    with pytest.raises(Throttled) as caught:
        script.run(store.copy(SOURCE, COPY, WriteOptions()))
    assert caught.value.attempts == store.policy.max_attempts
    assert sum("uploads=" in request.target for request in script.requests) == 1
    assert script.requests[-1].method == "DELETE"


def test_a_size_that_is_known_spares_a_request() -> None:
    session = Session({"endpoint_url": "http://service", "region": "r", "anonymous": True})
    for expected, methods in ((3, ["GET"]), (None, ["HEAD", "GET"])):
        script = Script(server=lambda _: Answer(headers={"content-length": "3", "content-type": "text/x", "etag": '"v"'}, body=b"abc"))
        info = script.run(copying.copy(session, "s3://bucket/key", "memory://copying/key", expected_size=expected))
        assert [request.method for request in script.requests] == methods
        assert (info.size, headrace.stat("memory://copying/key").content_type) == (3, "text/x")


def test_what_moves_is_told_as_it_moves(nginx: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bucket = f"test-{secrets.token_hex(6)}"
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", nginx.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", nginx.secret_key)
    session = Session({"endpoint_url": nginx.endpoint, "region": "us-east-1", "multipart_threshold": 1 << 20, "part_size": "5MiB"})
    with headrace.Client(**session.arguments) as client:
        client.create_container(f"s3://{bucket}")
    data = bytes(range(256)) * (48 << 10)
    (tmp_path / "file").write_bytes(data)
    up: list[int] = []
    session.run(copying.copy(session, f"{tmp_path}/file", f"s3://{bucket}/key", moved=up.append))
    # The size is no longer what the listing said.
    down: list[int] = []
    session.run(copying.copy(session, f"s3://{bucket}/key", f"{tmp_path}/back", expected_size=2 << 20, moved=down.append))
    session.close()
    assert sorted(up) == sorted(down) == [2 << 20, 5 << 20, 5 << 20]
    assert (tmp_path / "back").read_bytes() == data


@pytest.mark.parametrize("alias", ["direct://{}/real/x", "{}/link/x"])
def test_a_file_that_is_moved_onto_itself_stays(tmp_path: Path, alias: str) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "real" / "x").write_bytes(b"all there is")
    headrace.move(alias.format(tmp_path), f"file://{tmp_path}/real/x")
    assert (tmp_path / "real" / "x").read_bytes() == b"all there is"
