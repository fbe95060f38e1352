"""Directory trees as listings, under ``file://`` and ``direct://``; and what is deleted from them."""

from __future__ import annotations

import os
import pickle
import tempfile
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.backends.direct import DirectBackend
from headrace.backends.file import FileBackend
from headrace.backends.filesystem import listing
from headrace.backends.filesystem.backend import FilesystemBackend
from headrace.backends.protocol import WriteOptions
from headrace.errors import AlreadyExists, NotFound, NotSupported, ServiceError
from headrace.http.crew import run_blocking
from headrace.models import Prefix
from headrace.uri import Location

# These operations exchange nothing over HTTP.
perform: Any = partial(run_blocking, transport=None, crew=None)


@pytest.fixture(params=[FileBackend(), DirectBackend()], ids=["file", "direct"])
def backend(request: pytest.FixtureRequest) -> FilesystemBackend:
    return request.param


def at(backend: FilesystemBackend, path: Path | str) -> Location:
    return Location(backend.scheme, "", str(path))


def put(backend: FilesystemBackend, path: Path | str, content: bytes) -> None:
    perform(backend.put(at(backend, path), [memoryview(content)], WriteOptions()))


def names(backend: FilesystemBackend, prefix: Path | str, *, recursive: bool = True, start_after: str | None = None) -> list[str]:
    """The keys of a whole listing."""
    entries, token = [], None
    while True:
        page = perform(backend.list_page(at(backend, prefix), recursive=recursive, start_after=start_after, token=token))
        entries += page.entries
        token = page.token
        if token is None:
            return [entry.uri.removeprefix(f"{backend.scheme}://") for entry in entries]


SEGMENTS = st.sampled_from(["a", "a.b", "a-", "a0", "b", "é", "￿", "𐀀", "\udc80", "A", "a b", "aa"])
KEYS = st.lists(st.lists(SEGMENTS, min_size=1, max_size=4).map("/".join), max_size=25)


def expected_listing(keys: set[str], prefix: str, after: str, *, recursive: bool) -> list[str]:
    """The listing of an object store that has these keys."""
    found = []
    for key in sorted(keys, key=os.fsencode):
        cut = -1 if recursive else key.find("/", len(prefix))
        shown = key if cut < 0 else key[: cut + 1]
        inside = cut >= 0 and after.startswith(shown) and after != shown
        if key.startswith(prefix) and shown not in found and (os.fsencode(shown) > os.fsencode(after) or inside):
            found.append(shown)
    return found


class TestListing:
    @settings(max_examples=200)
    @given(keys=KEYS, data=st.data())
    def test_the_order_is_that_of_the_bytes_of_the_keys(self, keys: list[str], data: st.DataObject) -> None:
        backend = data.draw(st.sampled_from([FileBackend(), DirectBackend()]))
        recursive = data.draw(st.booleans())
        page_size = data.draw(st.integers(1, 4))
        keep_token = data.draw(st.booleans())
        with tempfile.TemporaryDirectory() as directory:
            made = {f"{directory}/{key}" for key in keys if make_file(f"{directory}/{key}")}
            candidates = [f"{directory}/", *sorted(made, key=os.fsencode), f"{directory}/a", f"{directory}/a/"]
            prefix = data.draw(st.sampled_from(candidates))
            prefix = prefix[: data.draw(st.integers(len(directory) + 1, len(prefix)))]
            after = data.draw(st.sampled_from(["", *candidates, f"{directory}/a/a/", "/", "\U0010ffff"]))
            with mock.patch.object(listing, "PAGE_SIZE", page_size):
                shown, token = [], None
                while True:
                    operation = backend.list_page(at(backend, prefix), recursive=recursive, start_after=after or None, token=token)
                    page = perform(operation)
                    assert len(page.entries) <= page_size
                    shown += [entry.uri.removeprefix(f"{backend.scheme}://") for entry in page.entries]
                    if page.token is None:
                        break
                    token = page.token if keep_token else pickle.loads(pickle.dumps(page.token))
        assert shown == expected_listing(made, prefix, after, recursive=recursive)

    def test_a_page_can_be_asked_for_again(self, backend: FilesystemBackend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(listing, "PAGE_SIZE", 2)
        for number in range(5):
            put(backend, tmp_path / str(number), b"")
        location = at(backend, f"{tmp_path}/")
        first = perform(backend.list_page(location, recursive=True, start_after=None, token=None))
        second = perform(backend.list_page(location, recursive=True, start_after=None, token=first.token))
        again = perform(backend.list_page(location, recursive=True, start_after=None, token=first.token))
        assert second.entries == again.entries
        assert second.token == again.token

    def test_entries_are_described(self, backend: FilesystemBackend, tmp_path: Path) -> None:
        put(backend, tmp_path / "below" / "object", b"12345")
        info = perform(backend.head(at(backend, tmp_path / "below" / "object")))
        page = perform(backend.list_page(at(backend, f"{tmp_path}/be"), recursive=True, start_after=None, token=None))
        assert [(entry.uri, entry.size, entry.etag, entry.last_modified) for entry in page.entries] == [
            (info.uri, 5, info.etag, info.last_modified)
        ]
        page = perform(backend.list_page(at(backend, f"{tmp_path}/be"), recursive=False, start_after=None, token=None))
        assert page.entries == [Prefix(f"{backend.scheme}://{tmp_path}/below/")]

    def test_more_than_a_page(self, backend: FilesystemBackend, tmp_path: Path) -> None:
        expected = [f"{tmp_path}/{number:04}" for number in range(2001)]
        for name in expected:
            Path(name).touch()
        assert names(backend, f"{tmp_path}/") == expected

    def test_only_files_are_objects(self, backend: FilesystemBackend, tmp_path: Path) -> None:
        (tmp_path / "directory").mkdir()
        os.mkfifo(tmp_path / "fifo")
        (tmp_path / "dangling").symlink_to("nowhere")
        (tmp_path / "circle").symlink_to("circle")
        (tmp_path / ".headrace-1-2").touch()
        (tmp_path / "object").touch()
        (tmp_path / "link").symlink_to("object")
        (tmp_path / ".hidden").touch()
        assert names(backend, f"{tmp_path}/") == [f"{tmp_path}/{name}" for name in (".hidden", "link", "object")]
        assert names(backend, f"{tmp_path}/", recursive=False) == [
            f"{tmp_path}/{name}" for name in (".hidden", "directory/", "link", "object")
        ]

    def test_links_to_directories_are_followed_but_not_in_circles(self, backend: FilesystemBackend, tmp_path: Path) -> None:
        put(backend, tmp_path / "data" / "deep" / "object", b"1")
        (tmp_path / "data" / "deep" / "up").symlink_to(tmp_path)
        (tmp_path / "other").symlink_to("data")
        assert names(backend, f"{tmp_path}/") == [f"{tmp_path}/{name}" for name in ("data/deep/object", "other/deep/object")]
        assert names(backend, f"{tmp_path}/other/") == [f"{tmp_path}/other/deep/object"]

    @pytest.mark.parametrize("prefix", ["missing/", "missing/below", "object/"])
    def test_what_is_not_there_holds_nothing(self, backend: FilesystemBackend, tmp_path: Path, prefix: str) -> None:
        put(backend, tmp_path / "object", b"1")
        assert names(backend, f"{tmp_path}/{prefix}") == []

    def test_what_vanishes_meanwhile_is_left_out(self, backend: FilesystemBackend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(listing, "PAGE_SIZE", 1)
        for name in ("a", "b", "c/d", "e"):
            put(backend, tmp_path / name, b"1")
        location = at(backend, f"{tmp_path}/")
        page = perform(backend.list_page(location, recursive=True, start_after=None, token=None))
        (tmp_path / "b").unlink()
        (tmp_path / "c" / "d").unlink()
        (tmp_path / "c").rmdir()
        page = perform(backend.list_page(location, recursive=True, start_after=None, token=page.token))
        assert [entry.uri for entry in page.entries] == [f"{backend.scheme}://{tmp_path}/e"]


class TestDeleting:
    def test_an_object_is_gone_and_its_directory_stays(self, backend: FilesystemBackend, tmp_path: Path) -> None:
        location = at(backend, tmp_path / "below" / "object")
        put(backend, location.key, b"1")
        perform(backend.delete(location))
        assert os.listdir(tmp_path / "below") == []
        with pytest.raises(NotFound):
            perform(backend.delete(location))

    def test_directories_are_not_objects(self, backend: FilesystemBackend, tmp_path: Path) -> None:
        (tmp_path / "directory").mkdir()
        for name in ("directory", "directory/"):
            with pytest.raises(NotFound, match="directory"):
                perform(backend.delete(at(backend, f"{tmp_path}/{name}")))
        assert os.listdir(tmp_path) == ["directory"]

    def test_a_batch_counts_what_is_missing_as_deleted(self, backend: FilesystemBackend, tmp_path: Path) -> None:
        put(backend, tmp_path / "object", b"1")
        assert perform(backend.delete_batch([at(backend, tmp_path / "object"), at(backend, tmp_path / "missing")])) == [None, None]
        assert os.listdir(tmp_path) == []

    def test_empty_directories_go(self, backend: FilesystemBackend, tmp_path: Path) -> None:
        for name in ("a/b/c", "a/d", "ab", "kept/empty"):
            (tmp_path / name).mkdir(parents=True)
        put(backend, tmp_path / "kept" / "object", b"1")
        perform(backend.delete_empty_directories(at(backend, f"{tmp_path}/a/")))
        assert sorted(os.listdir(tmp_path)) == ["ab", "kept"]
        perform(backend.delete_empty_directories(at(backend, f"{tmp_path}/k")))
        assert os.listdir(tmp_path / "kept") == ["object"]
        perform(backend.delete_empty_directories(at(backend, f"{tmp_path}/missing/")))
        assert sorted(os.listdir(tmp_path)) == ["ab", "kept"]

    def test_links_to_directories_are_not_entered(self, backend: FilesystemBackend, tmp_path: Path) -> None:
        (tmp_path / "elsewhere" / "empty").mkdir(parents=True)
        (tmp_path / "tree").mkdir()
        (tmp_path / "tree" / "link").symlink_to(tmp_path / "elsewhere")
        perform(backend.delete_empty_directories(at(backend, f"{tmp_path}/tree/")))
        assert (tmp_path / "elsewhere" / "empty").is_dir()


class TestContainers:
    def test_containers_are_directories(self, backend: FilesystemBackend, tmp_path: Path) -> None:
        location = at(backend, f"{tmp_path}/a/b/")
        perform(backend.create_container(location))
        with pytest.raises(AlreadyExists):
            perform(backend.create_container(location))
        put(backend, tmp_path / "a" / "object", b"1")
        assert [info.uri for info in perform(backend.list_containers(at(backend, f"{tmp_path}/a")))] == [location.uri]
        with pytest.raises(ServiceError) as caught:
            perform(backend.delete_container(at(backend, f"{tmp_path}/a")))
        assert caught.value.code == "NotEmpty"
        perform(backend.delete_container(location))
        with pytest.raises(NotFound):
            perform(backend.delete_container(location))
        with pytest.raises(NotFound):
            perform(backend.list_containers(location))

    def test_there_are_no_presigned_urls(self, backend: FilesystemBackend, tmp_path: Path) -> None:
        with pytest.raises(NotSupported):
            perform(backend.presign(at(backend, tmp_path / "object"), method="GET", expires=60))


def make_file(path: str) -> bool:
    """Make an empty file, and the directories above it; False where a file or directory is in the way."""
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "xb"):
            return True
    except OSError:
        return False
