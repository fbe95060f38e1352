"""``headrace cat``."""

from __future__ import annotations

import random
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from headrace import Client
from headrace.testing.servers import Server

Program = Callable[..., "subprocess.CompletedProcess[bytes]"]

SEVERAL_READS = (33 << 20) + 12_345


@pytest.fixture(scope="module")
def large() -> bytes:
    """More than is read at once."""
    return random.Random(7).randbytes(SEVERAL_READS)


def test_objects_come_one_after_another(headrace: Program, tree: Path) -> None:
    finished = headrace("cat", tree / "b.bin", f"file://{tree}/a.txt", tree / "b.bin")
    assert (finished.returncode, finished.stdout, finished.stderr) == (0, b"bbabb", b"")


def test_an_empty_object_is_nothing(headrace: Program, tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    assert headrace("cat", tmp_path / "empty").stdout == b""


@pytest.mark.parametrize("scheme", ["file", "direct"])
def test_a_large_file_is_whole(headrace: Program, tmp_path: Path, large: bytes, scheme: str) -> None:
    (tmp_path / "large").write_bytes(large)
    assert headrace("cat", f"{scheme}://{tmp_path}/large").stdout == large


def test_a_large_object_is_whole(headrace: Program, s3: Server, bucket: str, large: bytes) -> None:
    with Client() as client:
        client.create_container(f"s3://{bucket}")
        client.put(f"s3://{bucket}/large", large)
    finished = headrace("cat", f"s3://{bucket}/large")
    assert (finished.returncode, finished.stdout == large) == (0, True)


def test_what_was_read_before_a_failure_is_written(headrace: Program, tree: Path) -> None:
    finished = headrace("cat", tree / "a.txt", tree / "missing", tree / "b.bin")
    assert (finished.returncode, finished.stdout) == (3, b"a")
    assert finished.stderr.startswith(b"headrace: ")
    assert finished.stderr.count(b"\n") == 1


def test_memory_is_bounded(program: list[str], tmp_path: Path) -> None:
    """An object of 1 GiB passes through a process that may not have as much memory."""
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(1 << 30)
    script = 'ulimit -v 900000; "$@" | wc -c; exit ${PIPESTATUS[0]}'
    finished = subprocess.run(["bash", "-c", script, "bash", *program, "cat", f"{tmp_path}/sparse"], capture_output=True, timeout=60)
    assert (finished.returncode, finished.stdout, finished.stderr) == (0, b"1073741824\n", b"")
