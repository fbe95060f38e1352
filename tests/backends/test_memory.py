"""``memory://``: an object store without a service."""

from __future__ import annotations

import os
import pickle
import random
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.backends import memory
from headrace.backends.memory import MemoryBackend, MemoryStorage
from headrace.backends.protocol import Landing, WriteOptions
from headrace.errors import (
    AlreadyExists,
    InvalidOption,
    InvalidURI,
    NotFound,
    NotSupported,
    ObjectChanged,
    PreconditionFailed,
    ServiceError,
)
from headrace.http.crew import run_blocking
from headrace.http.messages import FileRange
from headrace.models import ObjectInfo, Prefix
from headrace.uri import Location

# These operations exchange nothing over HTTP.
perform: Any = partial(run_blocking, transport=None, crew=None)


@pytest.fixture
def backend() -> MemoryBackend:
    return MemoryBackend(MemoryStorage())


def at(key: str, container: str = "bucket") -> Location:
    return Location("memory", container, key)


def put(backend: MemoryBackend, key: str, *buffers: bytes, **options: Any) -> ObjectInfo:
    return perform(backend.put(at(key), [memoryview(buffer) for buffer in buffers], WriteOptions(**options)))


def get(backend: MemoryBackend, key: str, **options: Any) -> bytes:
    return bytes(perform(backend.get(at(key), Landing(), **options)).data)


def keys(backend: MemoryBackend, prefix: str = "", *, recursive: bool = True, start_after: str | None = None) -> list[str]:
    found, token = [], None
    while True:
        page = perform(backend.list_page(at(prefix), recursive=recursive, start_after=start_after, token=token))
        found += [entry.uri.removeprefix("memory://bucket/") for entry in page.entries]
        token = page.token
        if token is None:
            return found


class TestObjects:
    def test_all_that_was_given_comes_back(self, backend: MemoryBackend) -> None:
        written = put(backend, "a/key", b"con", b"", b"tent", content_type="text/plain", metadata={"k": "v"}, storage_class="COLD")
        landing = Landing()
        fetched = perform(backend.get(at("a/key"), landing))
        assert bytes(fetched.data) == b"content"
        assert landing.received == 7
        assert written == fetched.info == perform(backend.head(at("a/key")))
        assert (written.uri, written.size, written.content_type) == ("memory://bucket/a/key", 7, "text/plain")
        assert (written.metadata, written.storage_class) == ({"k": "v"}, "COLD")
        assert written.last_modified is not None
        assert written.last_modified.tzinfo is not None

    def test_nobody_shares_the_stored_bytes(self, backend: MemoryBackend) -> None:
        mine = bytearray(b"content")
        perform(backend.put(at("key"), [memoryview(mine)], WriteOptions()))
        mine[:] = b"changed"
        fetched = perform(backend.get(at("key"), Landing()))
        fetched.data[:] = b"changed"
        assert get(backend, "key") == b"content"

    @given(size=st.integers(0, 50), data=st.data())
    def test_a_range_is_a_slice(self, size: int, data: st.DataObject) -> None:
        backend = MemoryBackend(MemoryStorage())
        content = random.Random(size).randbytes(size)
        put(backend, "key", content)
        start = data.draw(st.none() | st.integers(-size - 10, size))
        length = data.draw(st.none() | st.integers(0, size + 10))
        first = 0 if start is None else start if start >= 0 else max(size + start, 0)
        fetched = perform(backend.get(at("key"), Landing(), start=start, length=length))
        assert fetched.data == content[first : None if length is None else first + length]
        assert (fetched.start, fetched.info.size) == (first, size)

    def test_a_range_beyond_the_end_is_refused(self, backend: MemoryBackend) -> None:
        put(backend, "key", b"12345")
        with pytest.raises(InvalidOption, match="5 bytes") as caught:
            get(backend, "key", start=6)
        assert caught.value.uri == "memory://bucket/key"
        with pytest.raises(InvalidOption, match="negative"):
            get(backend, "key", length=-1)

    def test_a_piece_of_a_file(self, backend: MemoryBackend) -> None:
        with tempfile.TemporaryFile() as file:
            file.write(b"0123456789")
            file.flush()
            perform(backend.put(at("key"), [memoryview(b"<"), FileRange(file.fileno(), 2, 5), memoryview(b">")], WriteOptions()))
            with pytest.raises(ObjectChanged):
                perform(backend.put(at("key"), [FileRange(file.fileno(), 8, 3)], WriteOptions()))
        assert get(backend, "key") == b"<23456>"

    def test_what_is_missing_is_named(self, backend: MemoryBackend) -> None:
        with pytest.raises(NotFound, match="container"):
            get(backend, "key")
        put(backend, "other", b"1")
        for operation in (backend.get(at("key"), Landing()), backend.head(at("key")), backend.delete(at("key"))):
            with pytest.raises(NotFound, match="object") as caught:
                perform(operation)
            assert caught.value.uri == "memory://bucket/key"
        with pytest.raises(InvalidURI):
            put(backend, "", b"1")

    def test_conditions(self, backend: MemoryBackend) -> None:
        first = put(backend, "key", b"one", create_only=True)
        with pytest.raises(AlreadyExists):
            put(backend, "key", b"two", create_only=True)
        second = put(backend, "key", b"two", if_match=first.etag)
        with pytest.raises(PreconditionFailed):
            put(backend, "key", b"three", if_match=first.etag)
        with pytest.raises(PreconditionFailed):
            put(backend, "missing", b"1", if_match=first.etag)
        with pytest.raises(ObjectChanged):
            get(backend, "key", if_match=first.etag)
        assert get(backend, "key", if_match=second.etag) == b"two"
        assert keys(backend) == ["key"]

    def test_of_many_writers_that_replace_a_version_one_wins(self, backend: MemoryBackend) -> None:
        etag = put(backend, "key", b"first").etag
        ready = threading.Barrier(8)

        def replace(number: int) -> bool:
            ready.wait()
            try:
                put(backend, "key", bytes([number]), if_match=etag)
            except PreconditionFailed:
                return False
            return True

        with ThreadPoolExecutor(8) as threads:
            won = list(threads.map(replace, range(8)))
        assert won.count(True) == 1
        assert get(backend, "key") == bytes([won.index(True)])

    def test_a_copy_takes_the_description_along(self, backend: MemoryBackend) -> None:
        put(backend, "key", b"content", content_type="text/plain", metadata={"k": "v"})
        info = perform(backend.copy(at("key"), at("copy", "other"), WriteOptions()))
        assert info == perform(backend.head(at("copy", "other")))
        assert (info.uri, info.content_type, info.metadata) == ("memory://other/copy", "text/plain", {"k": "v"})
        with pytest.raises(AlreadyExists):
            perform(backend.copy(at("key"), at("copy", "other"), WriteOptions(create_only=True)))
        with pytest.raises(NotFound) as caught:
            perform(backend.copy(at("missing"), at("copy", "other"), WriteOptions()))
        assert caught.value.uri == "memory://bucket/missing"

    def test_deleting(self, backend: MemoryBackend) -> None:
        for key in ("a", "b", "c"):
            put(backend, key, b"1")
        perform(backend.delete(at("a")))
        assert perform(backend.delete_batch([at("a"), at("b")])) == [None, None]
        assert perform(backend.delete_batch([])) == []
        perform(backend.delete_empty_directories(at("")))
        assert keys(backend) == ["c"]

    def test_there_are_no_presigned_urls(self, backend: MemoryBackend) -> None:
        with pytest.raises(NotSupported):
            perform(backend.presign(at("key"), method="GET", expires=60))


class TestListing:
    @settings(max_examples=300)
    @given(
        names=st.lists(st.text("a/-.0é￿𐀀", min_size=1, max_size=5), max_size=20),
        recursive=st.booleans(),
        page_size=st.integers(1, 4),
        data=st.data(),
    )
    def test_the_order_is_that_of_the_bytes_of_the_keys(
        self,
        names: list[str],
        recursive: bool,  # noqa: FBT001 - drawn
        page_size: int,
        data: st.DataObject,
    ) -> None:
        backend = MemoryBackend(MemoryStorage())
        put(backend, "z", b"")
        for name in names:
            put(backend, name, b"")
        known = sorted({*names, "z"}, key=str.encode)
        prefix = data.draw(st.sampled_from([*known, "a/"]))
        prefix = prefix[: data.draw(st.integers(0, len(prefix)))]
        after = data.draw(st.none() | st.sampled_from([*known, "a/", "~"]))
        with mock.patch.object(memory, "_PAGE_SIZE", page_size):
            assert keys(backend, prefix, recursive=recursive, start_after=after) == expected_listing(
                known, prefix, after or "", recursive=recursive
            )

    def test_entries_are_described(self, backend: MemoryBackend) -> None:
        info = put(backend, "a/key", b"12345", content_type="text/plain", metadata={"k": "v"})
        put(backend, "b", b"1")
        page = perform(backend.list_page(at(""), recursive=False, start_after=None, token=None))
        assert page.entries[0] == Prefix("memory://bucket/a/")
        page = perform(backend.list_page(at("a"), recursive=True, start_after=None, token=None))
        assert [(entry.uri, entry.size, entry.etag, entry.content_type) for entry in page.entries] == [(info.uri, 5, info.etag, None)]

    def test_more_than_a_page(self, backend: MemoryBackend) -> None:
        expected = [f"{number:04}" for number in range(2001)]
        for key in expected:
            put(backend, key, b"")
        assert keys(backend) == expected

    def test_a_missing_container_is_not_an_empty_one(self, backend: MemoryBackend) -> None:
        with pytest.raises(NotFound, match="container"):
            keys(backend)
        perform(backend.create_container(at("")))
        assert keys(backend) == []


class TestParts:
    def test_parts_in_any_order_make_the_object(self, backend: MemoryBackend) -> None:
        upload = perform(backend.start_upload(at("key"), WriteOptions(content_type="text/plain", metadata={"k": "v"})))
        second = perform(backend.put_part(upload, 2, 3, [memoryview(b"456")]))
        perform(backend.put_part(upload, 1, 0, [memoryview(b"abc")]))
        first = perform(backend.put_part(upload, 1, 0, [memoryview(b"123")]))
        assert perform(backend.list_parts(upload)) == [first, second]
        with pytest.raises(NotFound):
            perform(backend.head(at("key")))
        info = perform(backend.complete_upload(upload, [first, second], WriteOptions()))
        assert (info.size, info.content_type, info.metadata) == (6, "text/plain", {"k": "v"})
        assert get(backend, "key") == b"123456"
        assert perform(backend.list_uploads(at(""))) == []

    def test_parts_that_do_not_fit_are_refused(self, backend: MemoryBackend) -> None:
        upload = perform(backend.start_upload(at("key"), WriteOptions()))
        replaced = perform(backend.put_part(upload, 1, 0, [memoryview(b"abc")]))
        first = perform(backend.put_part(upload, 1, 0, [memoryview(b"123")]))
        second = perform(backend.put_part(upload, 2, 3, [memoryview(b"456")]))
        for parts in ([replaced, second], [second, first], [second], [first, second._replace(number=3)]):
            with pytest.raises(ServiceError) as caught:
                perform(backend.complete_upload(upload, parts, WriteOptions()))
            assert caught.value.code == "InvalidPart"
        assert perform(backend.complete_upload(upload, [first, second], WriteOptions())).size == 6

    def test_conditions_hold_when_it_is_completed(self, backend: MemoryBackend) -> None:
        upload = perform(backend.start_upload(at("key"), WriteOptions(create_only=True)))
        put(backend, "key", b"one")
        with pytest.raises(AlreadyExists):
            perform(backend.complete_upload(upload, [], WriteOptions(create_only=True)))
        assert get(backend, "key") == b"one"
        assert [info.upload for info in perform(backend.list_uploads(at("k")))] == [upload]

    def test_giving_up(self, backend: MemoryBackend) -> None:
        upload = perform(backend.start_upload(at("key"), WriteOptions()))
        perform(backend.start_upload(at("key", "elsewhere"), WriteOptions()))
        assert [info.upload for info in perform(backend.list_uploads(at("")))] == [upload]
        perform(backend.abort_upload(upload))
        perform(backend.abort_upload(upload))
        for operation in (
            backend.put_part(upload, 1, 0, []),
            backend.list_parts(upload),
            backend.complete_upload(upload, [], WriteOptions()),
        ):
            with pytest.raises(NotFound) as caught:
                perform(operation)
            assert caught.value.code == "NoSuchUpload"


class TestContainers:
    def test_containers_come_and_go(self, backend: MemoryBackend) -> None:
        perform(backend.create_container(at("", "made")))
        with pytest.raises(AlreadyExists):
            perform(backend.create_container(at("", "made")))
        put(backend, "key", b"1")
        infos = perform(backend.list_containers(at("", "")))
        assert [info.uri for info in infos] == ["memory://bucket/", "memory://made/"]
        assert all(info.created is not None for info in infos)
        with pytest.raises(ServiceError) as caught:
            perform(backend.delete_container(at("")))
        assert caught.value.code == "NotEmpty"
        perform(backend.delete_container(at("", "made")))
        with pytest.raises(NotFound):
            perform(backend.delete_container(at("", "made")))

    def test_a_put_that_fails_makes_no_container(self, backend: MemoryBackend) -> None:
        with pytest.raises(PreconditionFailed):
            put(backend, "key", b"1", if_match='"0"')
        assert perform(backend.list_containers(at("", ""))) == []


class TestStorage:
    def test_backends_share_one_storage_by_default(self, bucket: str) -> None:
        perform(MemoryBackend().put(at("key", bucket), [memoryview(b"1")], WriteOptions()))
        again = pickle.loads(pickle.dumps(MemoryBackend()))
        assert perform(again.head(at("key", bucket))).size == 1
        perform(again.delete(at("key", bucket)))
        perform(again.delete_container(at("", bucket)))

    def test_a_storage_of_its_own_is_apart_and_travels_empty(self, backend: MemoryBackend) -> None:
        put(backend, "key", b"1")
        arrived = pickle.loads(pickle.dumps(backend))
        for other in (arrived, MemoryBackend(MemoryStorage())):
            with pytest.raises(NotFound):
                get(other, "key")

    @pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
    def test_a_forked_child_has_a_copy_and_no_locked_lock(self, backend: MemoryBackend) -> None:
        put(backend, "key", b"parent")
        with backend.storage._lock:
            child = os.fork()
            if not child:
                outcome = 1
                try:
                    outcome = 0 if get(backend, "key") == b"parent" else 2
                    put(backend, "key", b"child")
                finally:
                    os._exit(outcome)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert get(backend, "key") == b"parent"


def expected_listing(known: list[str], prefix: str, after: str, *, recursive: bool) -> list[str]:
    """The listing of an object store that has these keys, which are in order."""
    found: list[str] = []
    for key in known:
        cut = -1 if recursive else key.find("/", len(prefix))
        shown = key if cut < 0 else key[: cut + 1]
        passed = key.encode() <= after.encode() or (cut >= 0 and shown == after)
        if key.startswith(prefix) and not passed and shown not in found:
            found.append(shown)
    return found
