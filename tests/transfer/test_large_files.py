"""Files larger than the memory that may be used for them, over a real server."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from headrace.testing.servers import Nginx, Server
from tests.conftest import running

GIB, MIB = 1 << 30, 1 << 20
SIZE = 6 * GIB

# Twelve GiB pass through: on a slow disk that takes its time.
pytestmark = pytest.mark.timeout(400)

# What a process holds at its peak is measured in one that does nothing else. (What getrusage tells begins with the parent's peak.)
COPY = r"""
import re, sys
import headrace
endpoint, source, destination = sys.argv[1:]
with headrace.Client(endpoint_url=endpoint, anonymous=True) as client:
    print(client.copy(source, destination).size)
with open("/proc/self/status") as status:
    print(re.search(r"VmHWM:\s+(\d+) kB", status.read())[1])
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bucket with one sparse object, marked at both ends."""
    folder = tmp_path_factory.mktemp("large")
    (folder / "bucket").mkdir()
    with open(folder / "bucket" / "sparse", "wb") as file:
        file.write(b"head")
        file.truncate(SIZE)
        file.seek(SIZE - 4)
        file.write(b"tail")
    return folder


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[Server]:
    with running(Nginx(root=folder, discard=True)) as server:
        yield server


def peak_of_copy(endpoint: str, source: str, destination: str) -> int:
    """Copy in a process of its own; give its peak of resident bytes."""
    command = [sys.executable, "-c", COPY, endpoint, source, destination]
    size, peak = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    assert int(size) == SIZE
    return int(peak) * 1024


def test_up_in_bounded_memory(server: Server, folder: Path) -> None:
    assert peak_of_copy(server.endpoint, f"{folder}/bucket/sparse", "s3://bucket/copy") < 300 * MIB


def test_down_in_bounded_memory_and_whole(server: Server, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    try:
        assert peak_of_copy(server.endpoint, "s3://bucket/sparse", f"{copy}") < 300 * MIB
        with open(copy, "rb") as file:
            assert file.read(5) == b"head\0"
            file.seek(SIZE - 5)
            assert file.read() == b"\0tail"
    finally:
        copy.unlink(missing_ok=True)
    assert os.listdir(tmp_path) == []
