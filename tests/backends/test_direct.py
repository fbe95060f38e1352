"""What is particular to ``direct://``: blocks, and file systems that refuse."""

from __future__ import annotations

import logging
import mmap
import os
import pickle
import random
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy
import pytest

from headrace.backends import direct
from headrace.backends.direct import DirectBackend
from headrace.backends.protocol import Fetched, Landing, WriteOptions
from headrace.errors import NotSupported
from headrace.http.crew import run_blocking
from headrace.http.messages import FileRange
from headrace.models import ObjectInfo
from headrace.uri import Location

# These operations exchange nothing over HTTP.
perform: Any = partial(run_blocking, transport=None, crew=None)

BACKEND = DirectBackend()
CONTENT = random.Random(11).randbytes((20 << 20) + 777)


def at(path: Path) -> Location:
    return Location("direct", "", str(path))


def put(path: Path, *body: memoryview | FileRange) -> ObjectInfo:
    return perform(BACKEND.put(at(path), body, WriteOptions()))


def fetch(path: Path, landing: Landing | None = None, **options: Any) -> Fetched:
    return perform(BACKEND.get(at(path), landing or Landing(), **options))


def address(view: memoryview) -> int:
    return numpy.frombuffer(view, numpy.uint8).ctypes.data


def buffer(size: int, shift: int) -> memoryview:
    """Memory whose address is ``shift`` behind a page."""
    return memoryview(mmap.mmap(-1, size + shift))[shift:]


@pytest.fixture
def needs_direct(tmp_path: Path) -> None:
    """Skip where the file system of the tests refuses direct I/O."""
    if put(tmp_path / "probe", memoryview(b"1")).buffered:
        pytest.skip("the file system of the temporary directory refuses direct I/O")


@pytest.mark.usefixtures("needs_direct")
class TestBlocks:
    @pytest.mark.parametrize(("start", "length"), [(0, None), (1, 100), (4095, 2), (5000, 9 << 20), (-777, None), (-778, 1)])
    def test_fresh_memory_lies_as_the_file_does(self, tmp_path: Path, start: int, length: int | None) -> None:
        put(tmp_path / "object", memoryview(CONTENT))
        fetched = fetch(tmp_path / "object", start=start, length=length)
        assert (address(fetched.data) - fetched.start) % 4096 == 0
        begin = fetched.start
        assert fetched.data == CONTENT[begin : None if length is None else begin + length]
        assert fetched.info.buffered is False

    @pytest.mark.parametrize("shift", [0, 1, 512, 4095])
    @pytest.mark.parametrize(("start", "length"), [(0, None), (4096, 8192), (3, 17 << 20), (4095, None)])
    def test_memory_of_the_caller_may_lie_anywhere(self, tmp_path: Path, shift: int, start: int, length: int | None) -> None:
        put(tmp_path / "object", memoryview(CONTENT))
        size = len(CONTENT) - start if length is None else length
        mine = buffer(size + 4, shift)
        mine[-4:] = b"mine"
        landing = Landing(lambda info, start, length: mine[:length])
        assert fetch(tmp_path / "object", landing, start=start, length=length).data == CONTENT[start : start + size]
        assert mine[-4:] == b"mine"
        assert landing.received == size

    @pytest.mark.parametrize("shift", [0, 1, 512])
    @pytest.mark.parametrize("size", [1, 4095, 4096, 4097, 8 << 20, (8 << 20) + 1, (17 << 20) + 5])
    def test_data_may_lie_anywhere(self, tmp_path: Path, shift: int, size: int) -> None:
        mine = buffer(size, shift)
        mine[:] = CONTENT[:size]
        info = put(tmp_path / "object", mine)
        assert info.size == size
        assert info.buffered is False
        assert (tmp_path / "object").read_bytes() == CONTENT[:size]

    def test_files_of_any_length_are_copied(self, tmp_path: Path) -> None:
        put(tmp_path / "object", memoryview(CONTENT))
        info = perform(BACKEND.copy(at(tmp_path / "object"), at(tmp_path / "copy"), WriteOptions()))
        assert info.buffered is False
        assert (tmp_path / "copy").read_bytes() == CONTENT

    def test_what_is_written_stays_out_of_the_page_cache(self, tmp_path: Path) -> None:
        mine = buffer(4 << 20, 0)
        put(tmp_path / "object", mine)
        fetch(tmp_path / "object")
        assert pages_in_cache(tmp_path / "object") in (0, None)

    def test_a_description_says_that_it_works(self, tmp_path: Path) -> None:
        put(tmp_path / "object", memoryview(b"1"))
        assert perform(BACKEND.head(at(tmp_path / "object"))).buffered is False
        page = perform(BACKEND.list_page(at(f"{tmp_path}/obj"), recursive=True, start_after=None, token=None))
        assert [entry.uri for entry in page.entries] == [f"direct://{tmp_path}/object"]

    def test_a_block_that_turns_out_too_small(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """File systems may refuse an alignment only when bytes are to move."""
        monkeypatch.setattr(direct, "_block_size", lambda descriptor: 1)
        mine = buffer(50_000, 1)
        mine[:] = CONTENT[:50_000]
        with open(__file__, "rb") as file:
            put(tmp_path / "object", mine[:49_001], FileRange(file.fileno(), 0, 10))
        assert fetch(tmp_path / "object", start=1, length=30_001).data == CONTENT[1:30_002]
        assert fetch(tmp_path / "object", start=49_001).data == Path(__file__).read_bytes()[:10]


@pytest.fixture
def refusing_file_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A file system without direct I/O, which the log has not mentioned yet."""
    monkeypatch.setattr(direct, "_reported", set())
    path = tmp_path / "refusing"
    path.mkdir()
    mounted = subprocess.run(["mount", "-t", "ramfs", "ramfs", path], capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip(f"only root can mount a file system without direct I/O: {mounted.stderr.decode().strip()}")
    yield path
    subprocess.run(["umount", path], check=True)


def test_a_file_system_that_refuses_is_served_and_said_once(refusing_file_system: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = refusing_file_system / "object"
    with caplog.at_level(logging.WARNING, logger="headrace"):
        assert put(path, memoryview(CONTENT)[1:]).buffered is True
        fetched = fetch(path, start=5, length=9 << 20)
        upload = perform(BACKEND.start_upload(at(refusing_file_system / "parts"), WriteOptions()))
        part = perform(BACKEND.put_part(upload, 1, 0, [memoryview(CONTENT)[:5001]]))
        perform(BACKEND.complete_upload(upload, [part], WriteOptions()))
    assert fetched.data == CONTENT[6 : 6 + (9 << 20)]
    assert fetched.info.buffered is True
    assert perform(BACKEND.head(at(path))).buffered is True
    assert (refusing_file_system / "parts").read_bytes() == CONTENT[:5001]
    assert [record.getMessage() for record in caplog.records] == [
        f"direct://{path}: this file system refuses direct I/O, so that direct:// uses the page cache here"
    ]


def test_a_platform_without_direct_io_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(direct, "_DIRECT", 0)
    (tmp_path / "object").touch()
    for operation in (
        BACKEND.put(at(tmp_path / "new"), [], WriteOptions()),
        BACKEND.get(at(tmp_path / "object"), Landing()),
        BACKEND.head(at(tmp_path / "object")),
    ):
        with pytest.raises(NotSupported, match="file://"):
            perform(operation)
    assert os.listdir(tmp_path) == ["object"]


def pages_in_cache(path: Path) -> int | None:
    """Pages of a file that the page cache holds (mincore(2)); None on tmpfs, whose files are nothing else."""
    import ctypes

    kind = subprocess.run(["stat", "-f", "-c", "%T", path], capture_output=True, text=True, check=True).stdout.strip()
    if kind in ("tmpfs", "ramfs"):
        return None
    libc = ctypes.CDLL(None, use_errno=True)
    size = path.stat().st_size
    with open(path, "r+b") as file, mmap.mmap(file.fileno(), size) as pages:
        residence = (ctypes.c_ubyte * -(-size // mmap.PAGESIZE))()
        first = ctypes.c_char.from_buffer(pages)
        assert libc.mincore(ctypes.byref(first), ctypes.c_size_t(size), residence) == 0
        del first
    return sum(page & 1 for page in residence)


def test_a_backend_travels_as_configuration() -> None:
    assert pickle.loads(pickle.dumps(BACKEND)) == BACKEND
