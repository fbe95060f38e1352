"""What is particular to ``file://``: how the bytes move."""

from __future__ import annotations

import errno
import os
import random
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from headrace.backends import file
from headrace.backends.file import FileBackend
from headrace.backends.filesystem.failures import translate
from headrace.backends.protocol import Landing, WriteOptions
from headrace.errors import AlreadyExists, HeadraceError, InvalidURI, NotFound, PermissionDenied, ServiceError
from headrace.http.crew import run_blocking
from headrace.http.messages import FileRange
from headrace.models import ObjectInfo
from headrace.uri import Location

# These operations exchange nothing over HTTP.
perform: Any = partial(run_blocking, transport=None, crew=None)

BACKEND = FileBackend()


def at(path: Path) -> Location:
    return Location("file", "", str(path))


def test_the_bytes_land_in_the_callers_memory(tmp_path: Path) -> None:
    (tmp_path / "object").write_bytes(b"0123456789")
    mine = bytearray(b"-" * 12)
    landing = Landing(lambda info, start, length: memoryview(mine)[2 : 2 + length])
    data = perform(BACKEND.get(at(tmp_path / "object"), landing, start=-6, length=3)).data
    assert mine == b"--456-------"
    assert data.obj is mine


def test_a_file_of_more_than_one_system_call(tmp_path: Path) -> None:
    size = (64 << 20) + 3
    with open(tmp_path / "object", "wb") as file:
        file.write(b"begin")
        file.seek(size - 5)
        file.write(b"--end")
    landing = Landing()
    data = perform(BACKEND.get(at(tmp_path / "object"), landing)).data
    assert landing.received == len(data) == size
    assert bytes(data[:5]) == b"begin"
    assert bytes(data[-5:]) == b"--end"


def test_a_write_of_more_than_one_system_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C is raised between two of them."""
    monkeypatch.setattr(file, "_AT_ONCE", 100)
    lengths = []

    def write(descriptor: int, buffers: Any, offset: int) -> int:
        lengths.append(sum(buffer.nbytes for buffer in buffers))
        return pwritev(descriptor, buffers, offset)

    pwritev = os.pwritev
    monkeypatch.setattr(os, "pwritev", write)
    body = [memoryview(os.urandom(length)) for length in (1, 250, 99)]
    perform(BACKEND.put(at(tmp_path / "object"), body, WriteOptions()))
    assert (tmp_path / "object").read_bytes() == b"".join(body)
    assert lengths == [100, 100, 100, 50]


def test_a_file_that_shrinks_after_the_first_system_call_keeps_count(tmp_path: Path) -> None:
    (tmp_path / "object").write_bytes(b"12345")

    def allocate(info: ObjectInfo, start: int, length: int) -> memoryview:
        os.truncate(tmp_path / "object", 0)
        return memoryview(bytearray(length))

    landing = Landing(allocate)
    with pytest.raises(HeadraceError):
        perform(BACKEND.get(at(tmp_path / "object"), landing))
    assert landing.received == 0


def test_more_buffers_than_one_system_call_takes(tmp_path: Path) -> None:
    content = random.Random(1).randbytes(5000)
    body = [memoryview(content)[index : index + 1] for index in range(5000)]
    body[100:100] = [memoryview(b"")] * 2000
    assert perform(BACKEND.put(at(tmp_path / "object"), body, WriteOptions())).size == 5000
    assert (tmp_path / "object").read_bytes() == content


def test_pieces_of_files_on_other_file_systems(tmp_path: Path) -> None:
    content = random.Random(2).randbytes(3 << 20)
    shared_memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryFile(dir=shared_memory) as file, open("/proc/self/cmdline", "rb") as process:
        file.write(content)
        file.flush()
        command = process.read()
        # The kernel copies no files of /proc from one to another: these are read and written.
        body = [FileRange(file.fileno(), 5, 2 << 20), FileRange(process.fileno(), 0, len(command)), FileRange(file.fileno(), 0, 0)]
        perform(BACKEND.put(at(tmp_path / "object"), body, WriteOptions()))
    assert (tmp_path / "object").read_bytes() == content[5 : 5 + (2 << 20)] + command


def test_nothing_is_said_of_buffering(tmp_path: Path) -> None:
    assert perform(BACKEND.put(at(tmp_path / "object"), [], WriteOptions())).buffered is None
    assert perform(BACKEND.head(at(tmp_path / "object"))).buffered is None


def test_a_time_beyond_datetime_is_unknown(tmp_path: Path) -> None:
    (tmp_path / "object").touch()
    shared = Path(tempfile.mkdtemp(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None))
    path = shared / "object"
    try:
        path.touch()
        os.utime(path, (0, 300_000_000_000))
        if path.stat().st_mtime != 300_000_000_000:
            pytest.skip("this file system holds no years beyond 9999")
        assert perform(BACKEND.head(at(path))).last_modified is None
    finally:
        path.unlink()
        shared.rmdir()


@pytest.mark.parametrize(
    ("number", "kind", "code"),
    [
        (errno.ENOENT, NotFound, None),
        (errno.ENOTDIR, NotFound, None),
        (errno.ELOOP, NotFound, None),
        (errno.EACCES, PermissionDenied, None),
        (errno.EPERM, PermissionDenied, None),
        (errno.EROFS, PermissionDenied, None),
        (errno.EEXIST, AlreadyExists, None),
        (errno.EISDIR, AlreadyExists, None),
        (errno.ENOTEMPTY, ServiceError, "NotEmpty"),
        (errno.ENOSPC, ServiceError, "NoSpace"),
        (errno.EDQUOT, ServiceError, "NoSpace"),
        (errno.ENAMETOOLONG, InvalidURI, None),
        (errno.EIO, ServiceError, "EIO"),
    ],
)
def test_the_systems_errors_have_a_meaning(number: int, kind: type[HeadraceError], code: str | None) -> None:
    error = translate(OSError(number, os.strerror(number)), "file:///object")
    assert type(error) is kind
    assert error.code == code
    assert error.uri == "file:///object"


def test_an_error_without_a_number_keeps_its_text() -> None:
    assert translate(OSError("odd"), "file:///object").message == "odd"
