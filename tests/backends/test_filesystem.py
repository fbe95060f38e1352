"""What ``file://`` and ``direct://`` have in common, on real files."""

from __future__ import annotations

import os
import pickle
import random
import resource
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.backends.direct import DirectBackend
from headrace.backends.file import FileBackend
from headrace.backends.filesystem import staging
from headrace.backends.filesystem.backend import FilesystemBackend
from headrace.backends.protocol import Landing, Part, Upload, WriteOptions
from headrace.errors import (
    AlreadyExists,
    HeadraceError,
    InvalidOption,
    InvalidURI,
    NotFound,
    NotSupported,
    ObjectChanged,
    PermissionDenied,
    PreconditionFailed,
    ServiceError,
)
from headrace.http.crew import run_blocking
from headrace.http.messages import FileRange
from headrace.models import ObjectInfo
from headrace.uri import Location

# These operations exchange nothing over HTTP.
perform: Any = partial(run_blocking, transport=None, crew=None)

SIZES = [0, 1, 4095, 4096, 4097, (1 << 20) + 3]


@pytest.fixture(params=[FileBackend(), DirectBackend()], ids=["file", "direct"])
def backend(request: pytest.FixtureRequest) -> FilesystemBackend:
    return request.param


@pytest.fixture(params=["unnamed", "named"])
def drafts(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Drafts without a name, and as they are where the system has no O_TMPFILE."""
    if request.param == "named":
        monkeypatch.setattr(staging, "_TMPFILE", 0)


def at(backend: FilesystemBackend, path: Path | str) -> Location:
    return Location(backend.scheme, "", str(path))


def put(backend: FilesystemBackend, path: Path | str, *buffers: bytes, **options: Any) -> ObjectInfo:
    return perform(backend.put(at(backend, path), [memoryview(buffer) for buffer in buffers], WriteOptions(**options)))


def get(backend: FilesystemBackend, path: Path | str, **options: Any) -> bytes:
    return bytes(perform(backend.get(at(backend, path), Landing(), **options)).data)


class TestReading:
    @pytest.mark.parametrize("size", SIZES)
    def test_bytes_and_description_come_back(self, backend: FilesystemBackend, tmp_path: Path, size: int) -> None:
        content = random.Random(size).randbytes(size)
        written = put(backend, tmp_path / "object", content)
        landing = Landing()
        fetched = perform(backend.get(at(backend, tmp_path / "object"), landing))
        assert fetched.data == content
        assert not fetched.data.readonly
        assert fetched.start == 0
        assert landing.received == size
        assert written == fetched.info == perform(backend.head(at(backend, tmp_path / "object")))
        assert written.uri == f"{backend.scheme}://{tmp_path}/object"
        assert written.size == size
        assert written.last_modified is not None
        assert written.last_modified.tzinfo is not None

    @settings(max_examples=150)
    @given(data=st.data())
    def test_a_range_is_a_slice(self, data: st.DataObject) -> None:
        backend = data.draw(st.sampled_from([FileBackend(), DirectBackend()]))
        size = data.draw(st.integers(0, 20_000))
        start = data.draw(st.none() | st.integers(-size - 10, size))
        length = data.draw(st.none() | st.integers(0, size + 10))
        shift = data.draw(st.none() | st.integers(0, 5000))
        content = random.Random(size).randbytes(size)
        first = 0 if start is None else start if start >= 0 else max(size + start, 0)
        expected = content[first : None if length is None else first + length]
        with tempfile.TemporaryDirectory() as directory:
            Path(directory, "object").write_bytes(content)
            landing = Landing() if shift is None else Landing(lambda info, start, length: memoryview(bytearray(length + shift))[shift:])
            fetched = perform(backend.get(at(backend, f"{directory}/object"), landing, start=start, length=length))
        assert fetched.data == expected
        assert fetched.start == landing.start == first
        assert fetched.info.size == size
        assert landing.received == len(expected)

    def test_a_range_beyond_the_end_is_refused(self, backend: FilesystemBackend, tmp_path: Path) -> None:
        put(backend, tmp_path / "object", b"12345")
        with pytest.raises(InvalidOption, match="5 bytes"):
            get(backend, tmp_path / "object", start=6)
        with pytest.raises(InvalidOption, match="negative"):
            get(backend, tmp_path / "object", length=-1)

    def test_only_the_wanted_version_is_read(self, backend: FilesystemBackend, tmp_path: Path) -> None:
        first = put(backend, tmp_path / "object", b"one")
        assert get(backend, tmp_path / "object", if_match=first.etag) == b"one"
        put(backend, tmp_path / "object", b"two")
        with pytest.raises(ObjectChanged):
            get(backend, tmp_path / "object", if_match=first.etag)

    def test_a_file_that_shrinks_while_it_is_read_is_noticed(self, backend: FilesystemBackend, tmp_path: Path) -> None:
        path = tmp_path / "object"
        path.write_bytes(b"x" * 10_000)

        def allocate(info: ObjectInfo, start: int, length: int) -> memoryview:
            os.truncate(path, 6000)
            return memoryview(bytearray(length))

        landing = Landing(allocate)
        with pytest.raises(ObjectChanged, match="shorter"):
            perform(backend.get(at(backend, path), landing, start=1000))
        assert landing.received == 5000
        assert bytes(landing.view[:5000]) == b"x" * 5000

    @pytest.mark.parametrize("name", ["missing", "missing/object", "file/object", "file/", "loop"])
    def test_what_is_not_there_is_not_found(self, backend: FilesystemBackend, tmp_path: Path, name: str) -> None:
        (tmp_path / "file").touch()
        (tmp_path / "loop").symlink_to("loop")
        for operation in (backend.get(at(backend, f"{tmp_path}/{name}"), Landing()), backend.head(at(backend, f"{tmp_path}/{name}"))):
            with pytest.raises(NotFound) as caught:
                perform(operation)
            assert caught.value.uri == f"{backend.scheme}://{tmp_path}/{name}"

    def test_what_is_no_file_is_named(self, backend: FilesystemBackend, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "fifo")
        with pytest.raises(NotFound, match=r"directory.*trailing /"):
            get(backend, tmp_path)
        with pytest.raises(NotFound, match="directory"):
            perform(backend.head(at(backend, f"{tmp_path}/")))
        with pytest.raises(NotFound, match="FIFO"):
            get(backend, tmp_path / "fifo")
        with pytest.raises(NotFound, match="character device"):
            get(backend, "/dev/null")
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(f"{tmp_path}/socket")
            with pytest.raises(NotFound, match="socket"):
                get(backend, tmp_path / "socket")

    def test_names_that_cannot_be_are_invalid(self, backend: FilesystemBackend, tmp_path: Path) -> None:
        for name in ("n" * 300, "nul\0", "\ud800"):
            with pytest.raises(InvalidURI):
                get(backend, f"{tmp_path}/{name}")
            with pytest.raises(InvalidURI):
                put(backend, f"{tmp_path}/{name}", b"")

    @pytest.mark.parametrize("name", ["a b", "a%20b", "a+b", "é", "日本", "\udcff\udc80", "..a", "?#&'\"\\\n"])
    def test_names_are_literal(self, backend: FilesystemBackend, tmp_path: Path, name: str) -> None:
        put(backend, f"{tmp_path}/{name}", b"content")
        assert os.listdir(os.fsencode(tmp_path)) == [os.fsencode(name)]
        page = perform(backend.list_page(at(backend, f"{tmp_path}/"), recursive=True, start_after=None, token=None))
        assert [entry.uri for entry in page.entries] == [f"{backend.scheme}://{tmp_path}/{name}"]
        assert get(backend, f"{tmp_path}/{name}") == b"content"

    def test_running_out_of_descriptors_is_said(self, backend: FilesystemBackend, tmp_path: Path) -> None:
        put(backend, tmp_path / "object", b"1")
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        lowest_free = os.open(tmp_path, os.O_RDONLY)
        os.close(lowest_free)
        resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free, hard))
        try:
            with pytest.raises(ServiceError, match="ulimit") as caught:
                get(backend, tmp_path / "object")
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert caught.value.code == "TooManyOpenFiles"


@pytest.mark.usefixtures("drafts")
class TestWriting:
    def test_directories_are_made_and_the_umask_holds(self, backend: FilesystemBackend, tmp_path: Path) -> None:
        before = os.umask(0o027)
        try:
            put(backend, tmp_path / "a" / "b" / "object", b"1")
        finally:
            os.umask(before)
        assert (tmp_path / "a" / "b" / "object").stat().st_mode & 0o777 == 0o640

    def test_replacing_leaves_nothing_else(self, backend: FilesystemBackend, tmp_path: Path) -> None:
        first = put(backend, tmp_path / "object", b"one")
        second = put(backend, tmp_path / "object", b"two")
        assert get(backend, tmp_path / "object") == b"two"
        assert first.etag != second.etag
        assert os.listdir(tmp_path) == ["object"]

    def test_a_reader_keeps_the_version_that_it_began(self, backend: FilesystemBackend, tmp_path: Path) -> None:
        put(backend, tmp_path / "object", b"one")

        def allocate(info: ObjectInfo, start: int, length: int) -> memoryview:
            put(backend, tmp_path / "object", b"other")
            return memoryview(bytearray(length))

        assert perform(backend.get(at(backend, tmp_path / "object"), Landing(allocate))).data == b"one"
        assert get(backend, tmp_path / "object") == b"other"

    def test_versions_that_follow_at_once_have_their_own_etags(self, backend: FilesystemBackend, tmp_path: Path) -> None:
        etags = set()
        for _ in range(50):
            etags.add(put(backend, tmp_path / "object", b"same").etag)
            perform(backend.delete(at(backend, tmp_path / "object")))
        assert len(etags) == 50

    def test_create_only_keeps_what_is_there(self, backend: FilesystemBackend, tmp_path: Path) -> None:
        put(backend, tmp_path / "object", b"one", create_only=True)
        with pytest.raises(AlreadyExists):
            put(backend, tmp_path / "object", b"two", create_only=True)
        assert get(backend, tmp_path / "object") == b"one"
        assert os.listdir(tmp_path) == ["object"]

    def test_of_many_creators_one_wins(self, backend: FilesystemBackend, tmp_path: Path) -> None:
        ready = threading.Barrier(8)

        def create(number: int) -> bool:
            ready.wait()
            try:
                put(backend, tmp_path / "object", bytes([number]) * 100_000, create_only=True)
            except AlreadyExists:
                return False
            return True

        with ThreadPoolExecutor(8) as threads:
            won = list(threads.map(create, range(8)))
        assert won.count(True) == 1
        assert get(backend, tmp_path / "object") == bytes([won.index(True)]) * 100_000
        assert os.listdir(tmp_path) == ["object"]

    def test_if_match_replaces_that_version_alone(self, backend: FilesystemBackend, tmp_path: Path) -> None:
        first = put(backend, tmp_path / "object", b"one")
        second = put(backend, tmp_path / "object", b"two", if_match=first.etag)
        with pytest.raises(PreconditionFailed):
            put(backend, tmp_path / "object", b"three", if_match=first.etag)
        assert get(backend, tmp_path / "object", if_match=second.etag) == b"two"
        with pytest.raises(PreconditionFailed):
            put(backend, tmp_path / "missing", b"1", if_match=first.etag)
        assert os.listdir(tmp_path) == ["object"]

    def test_what_is_no_file_is_not_replaced(self, backend: FilesystemBackend, tmp_path: Path) -> None:
        (tmp_path / "directory").mkdir()
        os.mkfifo(tmp_path / "fifo")
        with pytest.raises(AlreadyExists, match="a directory is there"):
            put(backend, tmp_path / "directory", b"1")
        with pytest.raises(AlreadyExists, match="a FIFO is there"):
            put(backend, tmp_path / "fifo", b"1")
        with pytest.raises(NotFound, match="not a directory"):
            put(backend, tmp_path / "fifo" / "object", b"1")
        assert sorted(os.listdir(tmp_path)) == ["directory", "fifo"]

    def test_a_link_is_replaced_not_what_it_leads_to(self, backend: FilesystemBackend, tmp_path: Path) -> None:
        put(backend, tmp_path / "object", b"one")
        (tmp_path / "link").symlink_to("object")
        put(backend, tmp_path / "link", b"two")
        assert get(backend, tmp_path / "object") == b"one"
        assert get(backend, tmp_path / "link") == b"two"

    def test_names_that_would_not_be_found_again_are_refused(self, backend: FilesystemBackend, tmp_path: Path) -> None:
        with pytest.raises(InvalidURI, match="directory"):
            put(backend, f"{tmp_path}/name/", b"1")
        with pytest.raises(InvalidURI, match=r"\.headrace-"):
            put(backend, tmp_path / ".headrace-1" / "name", b"1")
        assert os.listdir(tmp_path) == []

    def test_what_a_file_cannot_keep_is_refused(self, backend: FilesystemBackend, tmp_path: Path) -> None:
        with pytest.raises(NotSupported, match="metadata"):
            put(backend, tmp_path / "object", b"1", metadata={"key": "value"})
        with pytest.raises(NotSupported, match="storage class"):
            put(backend, tmp_path / "object", b"1", storage_class="COLD")
        assert put(backend, tmp_path / "object", b"1", content_type="text/plain").content_type is None

    @pytest.mark.parametrize("source", ["shorter", "closed"])
    def test_a_failure_leaves_nothing(self, backend: FilesystemBackend, tmp_path: Path, source: str) -> None:
        put(backend, tmp_path / "object", b"one")
        with tempfile.TemporaryFile() as file:
            file.write(b"x" * 10_000)
            file.flush()
            descriptor = file.fileno() if source == "shorter" else 1 << 20
            body = [memoryview(b"y" * 10_000), FileRange(descriptor, 5000, 6000)]
            with pytest.raises(HeadraceError):
                perform(backend.put(at(backend, tmp_path / "object"), body, WriteOptions()))
        assert get(backend, tmp_path / "object") == b"one"
        assert os.listdir(tmp_path) == ["object"]

    @settings(max_examples=100)
    @given(pieces=st.lists(st.tuples(st.booleans(), st.integers(0, 9000)), max_size=6), direct=st.booleans())
    def test_a_body_is_its_pieces_in_order(self, pieces: list[tuple[bool, int]], direct: bool) -> None:  # noqa: FBT001 - drawn
        backend = DirectBackend() if direct else FileBackend()
        content = random.Random(len(pieces)).randbytes(60_000)
        with tempfile.TemporaryDirectory() as directory, tempfile.TemporaryFile() as file:
            file.write(content)
            file.flush()
            body: list[memoryview | FileRange] = []
            end = 0
            for in_file, size in pieces:
                body.append(FileRange(file.fileno(), end, size) if in_file else memoryview(content)[end : end + size])
                end += size
            info = perform(backend.put(at(backend, f"{directory}/object"), body, WriteOptions()))
            assert Path(directory, "object").read_bytes() == content[:end]
        assert info.size == end

    def test_durable_writes(self, backend: FilesystemBackend, tmp_path: Path) -> None:
        durable = type(backend)(fsync=True)
        put(durable, tmp_path / "a" / "object", b"one")
        put(durable, tmp_path / "a" / "object", b"two")
        assert get(durable, tmp_path / "a" / "object") == b"two"

    def test_a_copy_is_a_new_object(self, backend: FilesystemBackend, tmp_path: Path) -> None:
        content = random.Random(1).randbytes(100_001)
        source, target = at(backend, tmp_path / "object"), at(backend, tmp_path / "below" / "copy")
        original = put(backend, source.key, content)
        info = perform(backend.copy(source, target, WriteOptions()))
        assert info == perform(backend.head(target))
        assert info.etag != original.etag
        assert get(backend, target.key) == content
        with pytest.raises(AlreadyExists) as exists:
            perform(backend.copy(source, target, WriteOptions(create_only=True)))
        assert exists.value.uri == target.uri
        with pytest.raises(NotFound) as missing:
            perform(backend.copy(at(backend, tmp_path / "missing"), target, WriteOptions()))
        assert missing.value.uri == f"{backend.scheme}://{tmp_path}/missing"
        assert get(backend, target.key) == content


@pytest.fixture
def small_file_system(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MiB."""
    path = tmp_path / "small"
    path.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", path], capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip(f"only root can mount a small file system: {mounted.stderr.decode().strip()}")
    yield path
    subprocess.run(["umount", path], check=True)


@pytest.mark.usefixtures("drafts")
def test_a_full_file_system_is_said_and_leaves_nothing(backend: FilesystemBackend, small_file_system: Path) -> None:
    put(backend, small_file_system / "object", b"one")
    for name in ("object", "new"):
        with pytest.raises(ServiceError, match="full") as caught:
            put(backend, small_file_system / name, bytes(4 << 20))
        assert caught.value.code == "NoSpace"
    assert os.listdir(small_file_system) == ["object"]
    assert get(backend, small_file_system / "object") == b"one"


CRASHES = """
import os, random, signal, sys, time
from functools import partial
from headrace.backends.direct import DirectBackend
from headrace.backends.file import FileBackend
from headrace.backends.filesystem import staging
from headrace.backends.protocol import Landing, WriteOptions
from headrace.http.crew import run_blocking
from headrace.uri import Location

perform = partial(run_blocking, transport=None, crew=None)
kind, drafts, directory = sys.argv[1:]
backend = FileBackend() if kind == "file" else DirectBackend()
if drafts == "named":
    staging._TMPFILE = 0
chance = random.Random(7)
contents = [bytes([number]) * (100_000 + 300_000 * number) for number in range(5)]

def write_for_ever():
    while True:
        content = memoryview(chance.choice(contents))
        name = chance.choice(["replaced", f"new-{chance.random()}"])
        perform(backend.put(Location(kind, "", f"{directory}/{name}"), [content], WriteOptions()))

for _ in range(40):
    chance.seed(chance.random())
    child = os.fork()
    if not child:
        write_for_ever()
    time.sleep(chance.uniform(0, 0.02))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    page = perform(backend.list_page(Location(kind, "", directory + "/"), recursive=True, start_after=None, token=None))
    for entry in page.entries:
        data = perform(backend.get(Location(kind, "", entry.uri.partition("://")[2]), Landing())).data
        assert data and data == contents[data[0]], f"{entry.uri} has {len(data)} bytes"
        if not entry.uri.endswith("/replaced"):
            os.unlink(entry.uri.partition("://")[2])
print("whole:", len(page.entries), "left:", len(os.listdir(directory)))
"""


@pytest.mark.parametrize("drafts", ["unnamed", "named"])
def test_a_killed_writer_leaves_no_partial_object(backend: FilesystemBackend, drafts: str, tmp_path: Path) -> None:
    arguments = [sys.executable, "-c", CRASHES, backend.scheme, drafts, str(tmp_path)]
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.startswith("whole:"), done.stderr
    # What was staged under a name stays behind, where a user can find and remove it.
    for info in perform(backend.list_uploads(at(backend, f"{tmp_path}/"))):
        perform(backend.abort_upload(info.upload))
    perform(backend.delete_empty_directories(at(backend, f"{tmp_path}/")))
    assert [path for path in tmp_path.rglob("*") if path.is_dir()] == []


class TestParts:
    def test_parts_in_any_order_make_the_object(self, backend: FilesystemBackend, tmp_path: Path) -> None:
        content = random.Random(3).randbytes(50_000)
        location = at(backend, tmp_path / "a" / "object")
        upload = pickle.loads(pickle.dumps(perform(backend.start_upload(location, WriteOptions()))))
        parts = {}
        for number in (3, 1, 2, 2):
            begin, end = [0, 4097, 20_000, 50_000][number - 1 : number + 1]
            parts[number] = perform(backend.put_part(upload, number, begin, [memoryview(content)[begin:end]]))
        assert perform(backend.list_page(at(backend, f"{tmp_path}/"), recursive=True, start_after=None, token=None)).entries == []
        with pytest.raises(NotFound):
            perform(backend.head(location))
        assert perform(backend.list_parts(upload)) == [parts[1], parts[2], parts[3]]
        assert [part.size for part in perform(backend.list_parts(upload))] == [4097, 15_903, 30_000]
        info = perform(backend.complete_upload(upload, [parts[1], parts[2], parts[3]], WriteOptions()))
        assert info.size == 50_000
        assert info.etag == perform(backend.head(location)).etag
        assert get(backend, location.key) == content
        assert os.listdir(tmp_path / "a") == ["object"]

    @settings(max_examples=50)
    @given(sizes=st.lists(st.integers(1, 20_000), min_size=1, max_size=8), direct=st.booleans())
    def test_parts_at_the_same_time_do_not_disturb_each_other(self, sizes: list[int], direct: bool) -> None:  # noqa: FBT001 - drawn
        backend = DirectBackend() if direct else FileBackend()
        content = random.Random(sum(sizes)).randbytes(sum(sizes))
        begins = [sum(sizes[:index]) for index in range(len(sizes))]
        with tempfile.TemporaryDirectory() as directory:
            upload = perform(backend.start_upload(at(backend, f"{directory}/object"), WriteOptions()))

            def write(index: int) -> Part:
                piece = memoryview(content)[begins[index] : begins[index] + sizes[index]]
                return perform(backend.put_part(upload, index + 1, begins[index], [piece]))

            with ThreadPoolExecutor(4) as threads:
                parts = list(threads.map(write, range(len(sizes))))
            perform(backend.complete_upload(upload, parts, WriteOptions()))
            assert Path(directory, "object").read_bytes() == content

    def test_parts_that_are_not_all_are_refused(self, backend: FilesystemBackend, tmp_path: Path) -> None:
        upload = perform(backend.start_upload(at(backend, tmp_path / "object"), WriteOptions()))
        parts = [perform(backend.put_part(upload, number, number * 10 - 10, [memoryview(b"0123456789")])) for number in (1, 2, 3)]
        for given_parts in (parts[:2], parts[1:], [parts[0], parts[2]], [parts[1], parts[0], parts[2]], []):
            with pytest.raises(ServiceError) as caught:
                perform(backend.complete_upload(upload, given_parts, WriteOptions()))
            assert caught.value.code == "InvalidPart"
        assert perform(backend.complete_upload(upload, parts, WriteOptions())).size == 30

    def test_an_upload_without_parts_is_an_empty_object(self, backend: FilesystemBackend, tmp_path: Path) -> None:
        upload = perform(backend.start_upload(at(backend, tmp_path / "object"), WriteOptions()))
        assert perform(backend.complete_upload(upload, [], WriteOptions())).size == 0

    def test_conditions_hold_when_it_is_completed(self, backend: FilesystemBackend, tmp_path: Path) -> None:
        upload = perform(backend.start_upload(at(backend, tmp_path / "object"), WriteOptions(create_only=True)))
        first = put(backend, tmp_path / "object", b"one")
        with pytest.raises(AlreadyExists):
            perform(backend.complete_upload(upload, [], WriteOptions(create_only=True)))
        with pytest.raises(AlreadyExists):
            perform(backend.start_upload(at(backend, tmp_path / "object"), WriteOptions(create_only=True)))
        perform(backend.complete_upload(upload, [], WriteOptions(if_match=first.etag)))
        assert get(backend, tmp_path / "object") == b""

    def test_giving_up_frees_everything(self, backend: FilesystemBackend, tmp_path: Path) -> None:
        upload = perform(backend.start_upload(at(backend, tmp_path / "object"), WriteOptions()))
        part = perform(backend.put_part(upload, 1, 0, [memoryview(b"1")]))
        perform(backend.abort_upload(upload))
        perform(backend.abort_upload(upload))
        assert os.listdir(tmp_path) == []
        for operation in (
            backend.put_part(upload, 2, 1, [memoryview(b"2")]),
            backend.list_parts(upload),
            backend.complete_upload(upload, [part], WriteOptions()),
        ):
            with pytest.raises(NotFound) as caught:
                perform(operation)
            assert caught.value.code == "NoSuchUpload"

    def test_an_id_that_is_none_harms_nothing(self, backend: FilesystemBackend, tmp_path: Path) -> None:
        put(backend, tmp_path / "object", b"one")
        upload = Upload(at(backend, tmp_path / "object"), f"{tmp_path}/object")
        perform(backend.abort_upload(upload))
        with pytest.raises(NotFound):
            perform(backend.put_part(upload, 1, 0, [memoryview(b"two")]))
        assert get(backend, tmp_path / "object") == b"one"

    def test_unfinished_uploads_are_found_by_prefix(self, backend: FilesystemBackend, tmp_path: Path) -> None:
        keys = [f"{tmp_path}/{name}" for name in ("a/object", "ab", "b/c/object", "b/c/object", "ba")]
        uploads = [perform(backend.start_upload(at(backend, key), WriteOptions())) for key in keys]
        put(backend, tmp_path / "b" / "object", b"1")

        def found(prefix: str) -> list[Upload]:
            infos = perform(backend.list_uploads(at(backend, f"{tmp_path}/{prefix}")))
            assert all(info.started is not None for info in infos)
            return [info.upload for info in infos]

        assert found("") == sorted(uploads)
        assert found("a") == sorted(uploads[:2])
        assert found("b/") == sorted(uploads[2:4])
        assert found("b/c/o") == sorted(uploads[2:4])
        assert found("missing/") == []


@pytest.fixture
def nobody() -> Iterator[Path]:
    """A directory with one that may not be entered, and a user who is not root."""
    with tempfile.TemporaryDirectory() as directory:
        os.chmod(directory, 0o755)
        Path(directory, "locked").mkdir()
        Path(directory, "locked", "object").touch()
        Path(directory, "locked").chmod(0)
        user = os.geteuid()
        if user == 0:
            os.seteuid(65534)
        try:
            yield Path(directory)
        finally:
            os.seteuid(user)
            Path(directory, "locked").chmod(0o700)


def test_permissions_that_are_missing_are_said(backend: FilesystemBackend, nobody: Path) -> None:
    location = at(backend, nobody / "locked" / "object")
    for operation in (
        backend.get(location, Landing()),
        backend.head(location),
        backend.put(location, [], WriteOptions()),
        backend.delete(location),
        backend.list_page(at(backend, f"{nobody}/"), recursive=True, start_after=None, token=None),
    ):
        with pytest.raises(PermissionDenied):
            perform(operation)
    missing = at(backend, nobody / "missing")
    denied, absent = perform(backend.delete_batch([location, missing]))
    assert isinstance(denied, PermissionDenied)
    assert denied.uri == location.uri
    assert absent is None


def test_a_backend_travels_as_configuration(backend: FilesystemBackend) -> None:
    durable = type(backend)(fsync=True)
    assert pickle.loads(pickle.dumps(durable)) == durable != backend
