"""``headrace mb``, ``rb``, ``buckets`` and ``presign``."""

from __future__ import annotations

import json
import subprocess
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from headrace import Client
from headrace.testing.servers import Server

Program = Callable[..., "subprocess.CompletedProcess[bytes]"]
Here = Callable[..., tuple[int, str, str]]


def test_a_bucket_comes_and_goes(here: Here, s3: Server, bucket: str) -> None:
    uri = f"s3://{bucket}"
    assert here("mb", uri) == (0, "", "")
    assert f"{uri}/" in here("buckets")[1]
    assert f"{uri}/" in {json.loads(line)["uri"] for line in here("buckets", "--json", "s3://")[1].splitlines()}
    with Client() as client:
        client.put(f"{uri}/key", b"x")
    status, _, errors = here("rb", uri)
    assert (status, errors.count("\n")) == (1, 1)
    assert here("rm", "-r", "--bucket", uri)[0] == 0
    assert here("rb", "-v", uri) == (0, f"deleted {uri}/\n", "")
    assert here("rb", uri)[0] == 3


def test_directories(here: Here, tmp_path: Path) -> None:
    assert here("mb", tmp_path / "a", tmp_path / "b")[0] == 0
    assert here("mb", tmp_path / "a")[0] == 1
    assert [line.rpartition("\t")[2] for line in here("buckets", tmp_path)[1].splitlines()] == [
        f"file://{tmp_path}/{name}/" for name in "ab"
    ]
    assert here("rb", tmp_path / "a", tmp_path / "b")[0] == 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("uri", ["s3://bucket/key", "s3://", "s3://Bad_Bucket!", "foo://x", ""])
def test_what_is_no_bucket(here: Here, uri: str) -> None:
    for command in ("mb", "rb"):
        status, _, errors = here(command, uri)
        assert (status, errors.count("\n")) == (2, 1)


def test_a_url_for_others(here: Here, s3: Server, bucket: str) -> None:
    uri = f"s3://{bucket}/key with + and %41"
    with Client() as client:
        client.create_container(f"s3://{bucket}")
        client.put(uri, b"shared")
    status, output, errors = here("presign", uri, "--expires", "2h")
    assert (status, errors, output.count("\n")) == (0, "", 1)
    assert "X-Amz-Expires=7200" in output
    with urllib.request.urlopen(output.strip()) as reply:
        assert reply.read() == b"shared"
    record = json.loads(here("presign", "--json", "--method", "put", uri)[1])
    assert (record["uri"], record["method"], record["expires"]) == (uri, "PUT", 3600)
    with urllib.request.urlopen(urllib.request.Request(record["url"], data=b"new", method="PUT")):
        assert Client().read_bytes(uri) == b"new"


@pytest.mark.parametrize(
    "words", [["s3://b/k", "--expires", "0"], ["s3://b/k", "--expires", "8d"], ["s3://b/k", "--expires", "soon"], ["s3://b"]]
)
def test_no_url(here: Here, s3: Server, words: list[str]) -> None:
    status, output, errors = here("presign", *words)
    assert (status, output, errors.count("\n")) == (2, "", 1)


def test_a_file_has_no_url(here: Here, tree: Path) -> None:
    assert here("presign", tree / "a.txt")[0] == 1
