"""headrace as filesystems of fsspec's: options, pickles, forks and loops; files and transactions; pyarrow and zarr."""

from __future__ import annotations

import asyncio
import gc
import os
import pickle
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet
import pytest
import zarr
from fsspec.registry import _registry, known_implementations

import headrace
from headrace.adapters.fsspec import HeadraceFileSystem, LocalFileSystem, MemoryFileSystem, S3FileSystem, register
from headrace.errors import ConnectionFailed, CredentialsError, InvalidOption, NotSupported
from headrace.testing.servers import Server

SECRET = "the-secret-key-of-the-test"


@pytest.fixture
def options(ministack: Server) -> dict[str, Any]:
    """Storage options in the words of others."""
    return {"key": ministack.access_key, "secret": ministack.secret_key, "client_kwargs": {"endpoint_url": ministack.endpoint}}


@pytest.fixture
def s3(options: dict[str, Any], bucket: str) -> Iterator[Any]:
    """S3, with a bucket."""
    filesystem = fsspec.filesystem("headrace+s3", **options)
    filesystem.mkdir(bucket)
    yield filesystem
    filesystem.rm(bucket, recursive=True)


@pytest.fixture
def memory(bucket: str) -> Iterator[Any]:
    """Memory, with a container."""
    filesystem = fsspec.filesystem("headrace+memory")
    filesystem.mkdir(bucket)
    yield filesystem
    filesystem.rm(bucket, recursive=True)


def test_options_in_the_words_of_others() -> None:
    given = {"key": "AKIDEXAMPLE", "secret": SECRET, "token": "t", "requester_pays": True, "use_listings_cache": False}
    filesystem = fsspec.filesystem("headrace+s3", client_kwargs={"region_name": "eu-central-1", "verify": False}, **given)
    options = filesystem._client.options
    assert (options.region, options.verify_tls, options.request_payer) == ("eu-central-1", False, True)
    assert options.credentials.access_key == "AKIDEXAMPLE"
    assert fsspec.filesystem("headrace+s3", anon=True)._client.options.anonymous
    assert fsspec.filesystem("headrace+gs", token="anon")._client.options.anonymous
    assert fsspec.filesystem("headrace+s3", part_size="16MiB", client_kwargs=None)._client.options.part_size == 16 << 20


@pytest.mark.parametrize(
    "options",
    [
        {"s3_additional_kwargs": {}},
        {"regoin": "x"},
        {"key": "AKIDEXAMPLE"},
        {"client_kwargs": {"aws_session_token": SECRET}},
        {"credentials": {"access_key": "A", "secret_key": SECRET}},
        {"endpoint_url": "http://a", "client_kwargs": {"endpoint_url": "http://b"}},
        {"anon": True, "key": "A", "secret": SECRET},
    ],
    ids=str,
)
def test_options_that_mean_nothing_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidOption) as caught:
        fsspec.filesystem("headrace+s3", **options)
    assert SECRET not in str(caught.value)


def test_azure_in_the_words_of_others(azurite: Server, bucket: str) -> None:
    given = {"account_name": azurite.access_key, "account_key": azurite.secret_key, "endpoint_url": azurite.endpoint}
    filesystem = fsspec.filesystem("headrace+az", **given)
    assert filesystem._client.options.account == azurite.access_key
    with pytest.raises(CredentialsError) as caught:
        pickle.dumps(filesystem)
    assert azurite.secret_key not in str(caught.value) + repr(filesystem)
    filesystem.mkdir(bucket)
    with filesystem.open(f"{bucket}/a/b", "wb") as file:
        file.write(b"data")
    assert filesystem.find(bucket) == [f"{bucket}/a/b"]
    assert filesystem.cat(f"{bucket}/a/b") == b"data"
    filesystem.rm(bucket, recursive=True)


def test_a_pickle_is_configuration_and_holds_no_secret() -> None:
    filesystem = fsspec.filesystem("headrace+s3", region="eu-central-1", anon=True)
    assert pickle.loads(pickle.dumps(filesystem)) == filesystem
    secretive = fsspec.filesystem("headrace+s3", key="AKIDEXAMPLE", secret=SECRET)
    for write in (lambda: pickle.dumps(secretive), secretive.to_json, secretive.to_dict):
        with pytest.raises(CredentialsError) as caught:
            write()
        assert SECRET not in str(caught.value)
    assert SECRET not in repr(secretive) + str(vars(secretive)["_options"])


def test_paths() -> None:
    strip = S3FileSystem._strip_protocol
    for uri in ("headrace+s3://b/k", "s3://b/k", "s3a://b/k", "b/k", "b/k/", headrace.Path("s3://b/k")):
        assert strip(uri) == "b/k"
    assert strip("headrace+s3://") == ""
    assert strip("s3://b//k") == "b//k"
    assert LocalFileSystem._strip_protocol("headrace+file:///") == "/"
    assert LocalFileSystem._strip_protocol("x") == f"{os.getcwd()}/x"
    assert fsspec.filesystem("headrace+s3").unstrip_protocol("b/k") == "headrace+s3://b/k"


def test_taking_the_place_of_others(monkeypatch: pytest.MonkeyPatch) -> None:
    for names in (_registry, known_implementations):
        for name in ("s3", "s3a"):
            monkeypatch.setitem(names, name, names.get(name))
    register("s3")
    assert fsspec.get_filesystem_class("s3") is S3FileSystem
    assert isinstance(fsspec.open("s3://b/k").fs, S3FileSystem)
    with pytest.raises(InvalidOption, match="s3, gs, az"):
        register("file")


def test_ranges(s3: Any, bucket: str) -> None:
    s3.pipe({f"{bucket}/a": b"0123456789", f"{bucket}/b": b"abc"})
    for start, end in [(None, None), (2, None), (None, 3), (-3, None), (2, -2), (-4, -1), (5, 5), (7, 3), (10, None), (99, None), (8, 99)]:
        assert s3.cat_file(f"{bucket}/a", start=start, end=end) == b"0123456789"[start:end]
    paths = [f"{bucket}/{name}" for name in ("a", "b", "a", "none", "a")]
    found = s3.cat_ranges(paths, [0, 1, 8, 0, 50], [2, 3, 10, 1, 60])
    assert found[:3] + found[4:] == [b"01", b"bc", b"89", b""]
    assert isinstance(found[3], FileNotFoundError)
    assert s3.cat_ranges(paths[:2], -2, None) == [b"89", b"bc"]
    with pytest.raises(FileNotFoundError):
        s3.cat_ranges(paths, 0, 1, on_error="raise")
    with pytest.raises(ValueError, match="equally many"):
        s3.cat_ranges(paths, [0], [1])


def test_what_is_there(s3: Any, bucket: str) -> None:
    s3.pipe({f"{bucket}/a": b"x", f"{bucket}/d/b": b"xy", f"{bucket}/d/e/c": b""})
    assert s3.ls(bucket, detail=False) == [f"{bucket}/a", f"{bucket}/d"]
    assert s3.ls(f"{bucket}/a", detail=False) == [f"{bucket}/a"]
    assert bucket in s3.ls("", detail=False)
    assert s3.find(bucket) == [f"{bucket}/a", f"{bucket}/d/b", f"{bucket}/d/e/c"]
    assert s3.find(bucket, maxdepth=1, withdirs=True) == [bucket, f"{bucket}/a", f"{bucket}/d"]
    assert s3.glob(f"{bucket}/**/c") == [f"{bucket}/d/e/c"]
    assert s3.du(bucket) == 3
    assert s3.info(f"{bucket}/d")["type"] == s3.info(bucket)["type"] == "directory"
    assert [s3.isfile(f"{bucket}/{name}") for name in ("a", "d", "none")] == [True, False, False]
    assert [s3.isdir(name) for name in (f"{bucket}/a", f"{bucket}/d", bucket, f"{bucket}-none")] == [False, True, True, False]
    for missing in (f"{bucket}/none", f"{bucket}-none"):
        assert not s3.exists(missing)
        with pytest.raises(FileNotFoundError):
            s3.ls(missing)
    written = s3.modified(f"{bucket}/a")
    assert abs(datetime.now(UTC) - written) < timedelta(hours=1)
    assert s3.created(f"{bucket}/a") == written
    with urlopen(s3.sign(f"{bucket}/d/b", expiration=60), timeout=30) as reply:
        assert reply.read() == b"xy"


def test_a_service_that_is_not_there_is_not_taken_for_nothing() -> None:
    filesystem = fsspec.filesystem("headrace+s3", endpoint_url="http://127.0.0.1:9", anon=True, max_attempts=1)
    for question in (filesystem.exists, filesystem.isfile, filesystem.isdir, filesystem.ls, filesystem.find):
        with pytest.raises(ConnectionFailed):
            question("bucket/key")


def test_removing(s3: Any, bucket: str) -> None:
    s3.pipe({f"{bucket}/{name}": b"" for name in ("a", "ab", "d/b", "d/e/c", "dd")})
    s3.rm(f"{bucket}/d", recursive=True)
    assert s3.find(bucket) == [f"{bucket}/a", f"{bucket}/ab", f"{bucket}/dd"]
    s3.rm(f"{bucket}/a*")
    assert s3.find(bucket) == [f"{bucket}/dd"]
    with pytest.raises(FileNotFoundError):
        s3.rm(f"{bucket}/none", recursive=True)
    with pytest.raises(InvalidOption, match="everything"):
        s3.rm("", recursive=True)
    s3.rmdir(f"{bucket}/none")
    assert s3.exists(f"{bucket}/dd")


def test_files(memory: Any, bucket: str) -> None:
    path = f"{bucket}/file"
    with memory.open(path, "wb") as file:
        file.write(b"line\nsecond\n")
        assert (file.tell(), file.path, file.mode) == (12, path, "wb")
        assert not memory.exists(path)
    with memory.open(path) as file:
        assert (file.size, file.mode, file.details["size"], file.full_name) == (12, "rb", 12, f"headrace+memory://{path}")
        assert file.readline() == b"line\n"
        copy = pickle.loads(pickle.dumps(file))
        assert copy.read() == b"second\n"
        copy.close()
    with memory.open(path, "r") as file:
        assert file.readlines() == ["line\n", "second\n"]
    with memory.open(f"{path}.gz", "wb", compression="gzip") as file:
        file.write(b"data")
    with fsspec.open(f"headrace+memory://{path}.gz", "rt", compression="infer") as file:
        assert file.read() == "data"
    with pytest.raises(NotSupported):
        memory.open(path, "ab")


@pytest.mark.parametrize("compression", [None, "gzip"])
@pytest.mark.parametrize("mode", ["wb", "w", "x"])
def test_an_error_publishes_nothing(memory: Any, bucket: str, mode: str, compression: str | None) -> None:
    data: Any = b"data" if "b" in mode else "data"

    def fail() -> None:
        with memory.open(f"{bucket}/file", mode, compression=compression) as file:
            file.write(data)
            raise LookupError

    with pytest.raises(LookupError):
        fail()
    file = memory.open(f"{bucket}/file", mode, compression=compression)
    file.write(data)
    del file
    gc.collect()
    assert not memory.exists(f"{bucket}/file")


@pytest.mark.parametrize("size", [10, 9 << 20])
def test_transactions(s3: Any, bucket: str, size: int) -> None:
    path = f"{bucket}/file"

    def fail() -> None:
        with s3.transaction:
            with s3.open(path, "wb") as file:
                file.write(bytes(size))
            raise LookupError

    with pytest.raises(LookupError):
        fail()
    assert not s3.exists(path)
    with s3.transaction:
        with s3.open(path, "wb") as file:
            file.write(bytes(size))
        assert not s3.exists(path)
    assert s3.size(path) == size


def test_local_files(memory: Any, bucket: str, tmp_path: Path) -> None:
    (tmp_path / "tree" / "deep").mkdir(parents=True)
    (tmp_path / "tree" / "deep" / "file").write_bytes(b"data")
    (tmp_path / "empty").touch()
    memory.put(str(tmp_path / "tree"), f"{bucket}/tree", recursive=True)
    memory.get(f"{bucket}/tree", str(tmp_path / "back"), recursive=True)
    assert (tmp_path / "back" / "deep" / "file").read_bytes() == b"data"
    for name in ("tree/deep/file", "empty"):
        memory.put_file(str(tmp_path / name), f"{bucket}/{name}-new", mode="create")
        assert memory.cat_file(f"{bucket}/{name}-new") == (tmp_path / name).read_bytes()
        with pytest.raises(FileExistsError):
            memory.put_file(str(tmp_path / name), f"{bucket}/{name}-new", mode="create")
    with open(tmp_path / "handle", "wb") as file:
        memory.get_file(f"{bucket}/tree/deep/file", file)
    assert (tmp_path / "handle").read_bytes() == b"data"


def test_in_a_running_loop(s3: Any, options: dict[str, Any], bucket: str) -> None:
    s3.pipe_file(f"{bucket}/a", b"data")

    async def main() -> None:
        assert s3.cat_file(f"{bucket}/a") == b"data"
        own = fsspec.filesystem("headrace+s3", asynchronous=True, **options)
        assert await own._cat_file(f"{bucket}/a") == b"data"
        async with await own.open_async(f"{bucket}/a") as file:
            assert await file.read() == b"data"
        await own._aio.close()

    asyncio.run(main())


def test_in_a_forked_child(s3: Any, bucket: str) -> None:
    s3.pipe_file(f"{bucket}/a", b"data")
    child = os.fork()
    if child == 0:
        status = 1
        try:
            with s3.open(f"{bucket}/a") as file:
                status = 0 if s3.cat_file(f"{bucket}/a") == file.read() == b"data" else 2
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
    assert s3.cat_file(f"{bucket}/a") == b"data"


def test_the_program_ends_quietly(tmp_path: Path) -> None:
    script = f"import fsspec; f = fsspec.open('headrace+file://{tmp_path}/x', 'wb').open(); f.write(b'1'); print(f.fs.ls('{tmp_path}'))"
    finished = subprocess.run([sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, timeout=60)
    assert (finished.returncode, finished.stdout, finished.stderr) == (0, "[]\n", "")


def test_pyarrow(s3: Any, bucket: str) -> None:
    table = pa.table({"number": list(range(1000)), "text": [str(number) for number in range(1000)]})
    pyarrow.parquet.write_table(table, f"{bucket}/table.parquet", filesystem=s3)
    assert pyarrow.parquet.read_table(f"{bucket}/table.parquet", filesystem=s3).equals(table)
    pyarrow.dataset.write_dataset(
        table, f"{bucket}/dataset", filesystem=s3, format="parquet", max_rows_per_file=300, max_rows_per_group=300
    )
    assert pyarrow.dataset.dataset(f"{bucket}/dataset", filesystem=s3).to_table().sort_by("number").equals(table)


def test_zarr(s3: Any, options: dict[str, Any], bucket: str) -> None:
    numbers = np.arange(2500, dtype="float32").reshape(50, 50)
    store = f"headrace+s3://{bucket}/array.zarr"
    zarr.create_array(store=store, shape=numbers.shape, chunks=(20, 20), dtype=numbers.dtype, storage_options=options)[:] = numbers
    assert (zarr.open_array(store, mode="r", storage_options=options)[10:40, 5:] == numbers[10:40, 5:]).all()


def test_without_fsspec() -> None:
    script = "import sys; sys.modules['fsspec'] = None; import headrace.adapters.fsspec"
    finished = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert "MissingDependency: fsspec is not installed. pip install 'headrace[fsspec]'" in finished.stderr


def test_every_filesystem_is_known_to_fsspec() -> None:
    for kind in (S3FileSystem, MemoryFileSystem, LocalFileSystem):
        assert fsspec.get_filesystem_class(kind.protocol) is kind
        assert issubclass(kind, HeadraceFileSystem)
