"""``headrace upload`` and ``headrace download``, which are about the ways that data take most."""

from __future__ import annotations

import json
import random
import string
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

import headrace as api
from headrace import Client
from headrace.testing.servers import Server

Program = Callable[..., "subprocess.CompletedProcess[bytes]"]
Here = Callable[..., tuple[int, str, str]]

PRINTABLE = "".join(char for char in map(chr, range(0x20, 0x7F)) if char != "/")
PART = 5 << 20


def contents(top: Path) -> dict[str, bytes]:
    return {str(path.relative_to(top)): path.read_bytes() for path in top.rglob("*") if path.is_file()}


@pytest.fixture
def bucket_uri(s3: Server, bucket: str) -> str:
    with Client() as client:
        client.create_container(f"s3://{bucket}")
    return f"s3://{bucket}"


def test_a_directory_there_and_back(headrace: Program, bucket_uri: str, tree: Path, tmp_path: Path) -> None:
    """Every printable character in a name, nothing, just one part, just one byte more."""
    noise = random.Random(3)
    for name, size in {PRINTABLE: 5, "empty": 0, "part": PART, "more": PART + 1}.items():
        (tree / name).write_bytes(noise.randbytes(size))
    sizes = ("--part-size", "5MiB", "--multipart-threshold", "1MiB")
    up = headrace("upload", tree, f"{bucket_uri}/data/", "--json", *sizes)
    assert (up.returncode, up.stderr) == (0, b"")
    *records, report = map(json.loads, up.stdout.splitlines())
    assert f"{bucket_uri}/data/{PRINTABLE}" in {record["uri"] for record in records}
    assert (report["objects"], report["bytes"], report["failures"]) == (8, 2 * PART + 16, 0)
    down = headrace("download", f"{bucket_uri}/data", tmp_path / "back", "-j", "3", *sizes)
    assert (down.returncode, down.stdout, down.stderr) == (0, b"", b"")
    assert contents(tmp_path / "back") == contents(tree)
    several = headrace("download", f"{bucket_uri}/data/*.txt", f"{bucket_uri}/data/deep/er", f"{bucket_uri}/data/part", f"{tmp_path}/some/")
    assert (several.returncode, several.stderr) == (0, b"")
    assert sorted(contents(tmp_path / "some")) == ["a.txt", "er/d.txt", "part"]


def test_files_directories_and_globs(here: Here, tree: Path, bucket: str) -> None:
    words = [tree / "b.bin", tree / "deep", f"{tree}/*.txt"]
    status, output, _ = here("upload", *words, f"memory://{bucket}/x/", "--exclude", "er/", "--json")
    assert status == 0
    uris = {json.loads(line).get("uri") for line in output.splitlines()[:-1]}
    assert uris == {f"memory://{bucket}/x/{name}" for name in ("b.bin", "deep/c.txt", "a.txt")}


def test_an_object_comes_before_the_prefix_of_its_name(here: Here, bucket: str, tmp_path: Path) -> None:
    for key in ("k", "k/below"):
        api.put(f"memory://{bucket}/{key}", key.encode())
    assert here("download", f"memory://{bucket}/k", f"{tmp_path}/one/") == (0, "", "")
    assert here("download", f"memory://{bucket}/k/", f"{tmp_path}/all/") == (0, "", "")
    assert (contents(tmp_path / "one"), contents(tmp_path / "all")) == ({"k": b"k"}, {"below": b"k/below"})


def test_streams(headrace: Program, bucket_uri: str) -> None:
    data = string.ascii_letters.encode() * 1000
    assert headrace("upload", "-", f"{bucket_uri}/piped", stdin=data).returncode == 0
    assert headrace("download", f"{bucket_uri}/piped", "-").stdout == data


def test_the_wrong_way_is_refused(here: Here, tree: Path) -> None:
    for words in (["upload", "memory://b/x", "memory://b/y"], ["download", "memory://b/x", "memory://b/y"], ["upload", "-", tree]):
        status, _, errors = here(*words)
        assert (status, errors.count("\n")) == (2, 1)


def test_nothing_is_written_of_keys_that_would_escape(here: Here, bucket: str, tmp_path: Path) -> None:
    for key in ("x/a", "x/../../outside"):
        api.put(f"memory://{bucket}/{key}", b"x")
    assert here("download", f"memory://{bucket}/x", tmp_path / "to")[0] == 2
    assert list(tmp_path.iterdir()) == []
