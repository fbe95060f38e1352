"""What is particular to schemes that headrace leaves to fsspec: which are served, names, failures, and that nothing partial is visible."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import fsspec
import pytest
from fsspec import AbstractFileSystem
from fsspec.implementations.local import LocalFileSystem
from fsspec.implementations.memory import MemoryFileSystem
from fsspec.registry import _registry, known_implementations

from headrace import Client, errors
from headrace import Path as HeadracePath
from headrace.errors import (
    AlreadyExists,
    ConnectionFailed,
    InvalidOption,
    InvalidURI,
    MissingDependency,
    NotFound,
    NotSupported,
    PermissionDenied,
    ServiceError,
    Stalled,
)
from headrace.uri import parse

TOKEN = "sig=the-secret-signature"


class Several(MemoryFileSystem):
    """Memory in which each account is a filesystem of its own, and signs URLs: ``fsseveral://account@bucket/key``."""

    protocol = "fsseveral"
    cachable = True
    stores: ClassVar[dict[str, dict[str, Any]]] = {}

    def __init__(self, account: str = "", **options: Any) -> None:
        super().__init__(**options)
        self.store = self.stores.setdefault(account, {})
        self.pseudo_dirs = [""]

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return MemoryFileSystem._strip_protocol(path.removeprefix("fsseveral://").rpartition("@")[2])

    @staticmethod
    def _get_kwargs_from_urls(path: str) -> dict[str, Any]:
        return {"account": path.removeprefix("fsseveral://").rpartition("@")[0]}

    def sign(self, path: str, expiration: int = 100, **kwargs: Any) -> str:
        return f"https://signed{path}?expires={expiration}"


class Folding(Several):
    """Has names in small letters only."""

    protocol = "fsfolding"

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return MemoryFileSystem._strip_protocol(path.removeprefix("fsfolding://")).lower()


class Failing(AbstractFileSystem):
    """Raises what it is told to."""

    protocol = "fsfailing"
    failure: ClassVar[Exception] = OSError()

    def info(self, path: str, **kwargs: Any) -> Any:
        raise self.failure

    def ls(self, path: str, detail: bool = True, **kwargs: Any) -> Any:  # noqa: FBT001, FBT002 - as in fsspec
        raise self.failure


class Breaking(LocalFileSystem):
    """Local files, whose disk is full before the end of a write."""

    protocol = "fsbreaking"

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **kwargs: Any) -> None:
        super().pipe_file(path, value[:-1])
        raise OSError(28, "No space left on device")

    def put_file(self, path1: str, path2: str, callback: Any = None, **kwargs: Any) -> None:
        self.pipe_file(path2, Path(path1).read_bytes())


@pytest.fixture(autouse=True)
def registered() -> Iterator[None]:
    """These filesystems, known for the time of a test."""
    kinds = {kind.protocol: kind for kind in (Several, Folding, Failing, Breaking)}
    _registry.update(kinds)
    yield
    for name in kinds:
        del _registry[name]
    Several.stores.clear()
    Several.clear_instance_cache()


@pytest.mark.parametrize(
    ("uri", "container", "key"),
    [
        ("hf://datasets/org/name/file", "datasets", "org/name/file"),
        ("github://org:repository@branch/path", "org:repository@branch", "path"),
        ("sftp://user@host:22/path//file", "user@host:22", "path//file"),
        ("local:///tmp/x", "", "tmp/x"),
        ("webdav://host/%41?x#y", "host", "%41?x#y"),
    ],
)
def test_uris_of_others_are_taken_as_they_are(uri: str, container: str, key: str) -> None:
    location = parse(uri)
    assert (location.container, location.key) == (container, key)
    assert location.uri == uri
    assert parse(location.uri) == location


@pytest.mark.parametrize("uri", ["zip://file::s3://bucket/archive.zip", "simplecache::s3://bucket/key", "fsmem://a::b/c", "9p://x/y"])
def test_uris_that_are_none(uri: str) -> None:
    with pytest.raises(InvalidURI):
        Client().get(uri)


def test_a_scheme_that_nobody_knows() -> None:
    with pytest.raises(InvalidURI, match=r"unknown scheme 'nobody-knows'\. Known are s3, .*fsspec"):
        Client().get("nobody-knows://bucket/key")


def test_fsspec_is_not_installed() -> None:
    script = "import sys; sys.modules['fsspec'] = None; import headrace; headrace.get('sftp://host/key')"
    finished = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert "MissingDependency" in finished.stderr
    assert "pip install 'headrace[fsspec]'" in finished.stderr


def test_what_a_filesystem_needs_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    known = {"class": "not_installed_anywhere.FileSystem", "err": "Install not-installed-anywhere to use it"}
    monkeypatch.setitem(known_implementations, "fsabsent", known)
    with pytest.raises(MissingDependency, match="Install not-installed-anywhere"):
        Client().get("fsabsent://host/key")


@pytest.mark.parametrize(
    ("failure", "kind", "code"),
    [
        (FileNotFoundError("x"), NotFound, None),
        (PermissionError("x"), PermissionDenied, None),
        (TimeoutError("x"), Stalled, None),
        (ConnectionResetError("x"), ConnectionFailed, None),
        (NotImplementedError("x"), NotSupported, None),
        (OSError(28, "x"), ServiceError, "NoSpace"),
        (OSError(5, "x"), ServiceError, "EIO"),
        (RuntimeError(f"403 for https://user:password@host/key?{TOKEN}&x=1 today"), ServiceError, "RuntimeError"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_failures(monkeypatch: pytest.MonkeyPatch, failure: Exception, kind: type[errors.HeadraceError], code: str | None) -> None:
    monkeypatch.setattr(Failing, "failure", failure)
    with Client(max_attempts=1) as client, pytest.raises(kind) as caught:
        client.get("fsfailing://host/key")
    assert caught.value.uri == "fsfailing://host/key"
    assert caught.value.code == code
    assert TOKEN not in str(caught.value)
    assert "password" not in str(caught.value)
    assert caught.value.__cause__ is caught.value.__context__ is None


def test_a_listing_that_fails_is_not_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Failing, "failure", PermissionError())
    with pytest.raises(PermissionDenied):
        list(Client().list("fsfailing://host/"))
    with pytest.raises(PermissionDenied):
        Client().delete("fsfailing://host/x", recursive=True)


def test_a_write_that_fails_leaves_what_was_there(tmp_path: Path) -> None:
    client = Client(multipart_threshold=1)
    (tmp_path / "object").write_bytes(b"old")
    uri = f"fsbreaking://{tmp_path}/object"
    with pytest.raises(ServiceError) as caught:
        client.put(uri, b"new bytes")
    assert caught.value.code == "NoSpace"
    with pytest.raises(ServiceError), client.open(uri, "wb") as file:
        file.write(bytes(10 << 20))
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"object": b"old"}


def test_names_that_the_filesystem_would_change_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidURI, match="takes this for 'name'"):
        Client().put("fsfolding://bucket/NAME", b"data")
    assert Client().put("fsfolding://bucket/name", b"data").size == 4
    with pytest.raises(InvalidURI):
        Client().put(f"local://{tmp_path}/name/", b"data")
    assert not Client().exists(f"local://{tmp_path}/name/")
    assert list(tmp_path.iterdir()) == []


def test_a_directory_is_not_written_over_or_into(tmp_path: Path) -> None:
    (tmp_path / "name").mkdir()
    with pytest.raises(AlreadyExists, match="directory"):
        Client().put(f"local://{tmp_path}/name", b"data")
    with pytest.raises(NotFound):
        Client().delete(f"local://{tmp_path}/name")
    assert os.listdir(tmp_path) == ["name"]
    assert os.listdir(tmp_path / "name") == []


def test_links_are_deleted_and_not_followed(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "file").write_bytes(b"data")
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "link").symlink_to(tmp_path / "outside")
    assert [entry.uri for entry in Client().list(f"local://{tmp_path}/tree/")] == [f"local://{tmp_path}/tree/link/file"]
    assert Client().delete(f"local://{tmp_path}/tree", recursive=True) == 1
    assert (tmp_path / "outside" / "file").exists()
    assert not (tmp_path / "tree").exists()


def test_between_filesystems_of_one_kind() -> None:
    client = Client()
    client.put("fsseveral://one@bucket/key", b"data")
    client.copy("fsseveral://one@bucket/key", "fsseveral://two@bucket/copy")
    assert client.read_bytes("fsseveral://two@bucket/copy") == b"data"
    assert not client.exists("fsseveral://one@bucket/copy")
    assert [entry.uri for entry in client.list("fsseveral://two@bucket/")] == ["fsseveral://two@bucket/copy"]


def test_urls_that_the_filesystem_signs() -> None:
    client = Client()
    assert client.presign("fsseveral://one@bucket/key", expires=60) == "https://signed/bucket/key?expires=60"
    with pytest.raises(InvalidOption):
        client.presign("fsseveral://one@bucket/key", expires=0)
    with pytest.raises(NotSupported):
        client.presign("fsseveral://one@bucket/key", method="PUT")


def test_options_come_from_fsspecs_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    client = Client()
    client.put("fsseveral://bucket/key", b"nobody's")
    monkeypatch.setitem(fsspec.config.conf, "fsseveral", {"use_listings_cache": False})
    assert client.read_bytes("fsseveral://bucket/key") == b"nobody's"


def test_a_path_of_another_scheme(tmp_path: Path) -> None:
    path = HeadracePath(f"local://{tmp_path}") / "deep" / "file"
    path.write_text("text")
    assert (tmp_path / "deep" / "file").read_text() == "text"
    assert (path.read_text(), [str(found) for found in path.parent.iterdir()]) == ("text", [str(path)])
    with pytest.raises(TypeError):
        os.fspath(path)
