"""Reading: whole objects, ranges, into the caller's memory; and what is known of an object."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from multiprocessing.shared_memory import SharedMemory

import numpy as np
import pytest

from headrace.client import Client
from headrace.errors import InvalidOption, InvalidURI, NotFound, ObjectChanged
from headrace.testing.contract.case import ContractCase, payload

__all__ = ["ReadingContract"]

_LARGE = 3_500_000
"""Bytes of an object that is read by parallel ranges, the last of them shorter."""

_RANGES = [
    (0, 10),
    (10, 20),
    (99, 1),
    (90, 50),
    (0, 1000),
    (100, 5),
    (40, None),
    (100, None),
    (-10, None),
    (-10, 4),
    (-1000, None),
    (-1000, 5),
]
"""``(start, length)`` within 100 bytes, at their end, and past it."""


def expected(data: bytes, start: int | None, length: int | None) -> bytes:
    """What ``get(start=, length=)`` gives of ``data``."""
    begin = max(0, len(data) + start) if start is not None and start < 0 else start or 0
    return data[begin:] if length is None else data[begin : begin + length]


class ReadingContract(ContractCase):
    """``get``, ``read_bytes``, ``read_text``, ``get_ranges``, ``stat``, ``exists``."""

    def test_reading_a_whole_object(self, client: Client, base: str) -> None:
        client.put(f"{base}object", payload(1000))
        assert bytes(client.get(f"{base}object")) == payload(1000)

    def test_reading_the_view_is_writable_and_the_callers_own(self, client: Client, base: str) -> None:
        client.put(f"{base}object", payload(1000))
        view = client.get(f"{base}object")
        view[:10] = b"0123456789"
        assert bytes(client.get(f"{base}object")) == payload(1000)

    def test_reading_a_large_object_comes_in_parallel_ranges(self, client: Client, base: str) -> None:
        client.put(f"{base}large", payload(_LARGE))
        view = client.get(f"{base}large")
        assert (view.nbytes, view.format, view.readonly, view.c_contiguous) == (_LARGE, "B", False, True)
        assert view == payload(_LARGE)

    @pytest.mark.parametrize("size", [1 << 20, (1 << 20) + 1, 2 << 20])
    def test_reading_sizes_at_the_edges_of_ranges(self, client: Client, base: str, size: int) -> None:
        client.put(f"{base}object", payload(size))
        assert client.get(f"{base}object") == payload(size)

    @pytest.mark.parametrize(("start", "length"), _RANGES)
    def test_reading_a_range(self, client: Client, base: str, start: int, length: int | None) -> None:
        client.put(f"{base}object", payload(100))
        assert bytes(client.get(f"{base}object", start=start, length=length)) == expected(payload(100), start, length)

    def test_reading_a_length_alone_is_from_the_beginning(self, client: Client, base: str) -> None:
        client.put(f"{base}object", payload(100))
        assert bytes(client.get(f"{base}object", length=7)) == payload(100)[:7]

    @pytest.mark.parametrize(
        ("start", "length"), [(1, None), (5, 2_000_000), (-1_500_000, None), (-3_000_000, 1_200_000), (3_000_000, 1 << 40)]
    )
    def test_reading_a_range_of_a_large_object(self, client: Client, base: str, start: int, length: int | None) -> None:
        client.put(f"{base}large", payload(_LARGE))
        assert client.get(f"{base}large", start=start, length=length) == expected(payload(_LARGE), start, length)

    def test_reading_a_range_beyond_the_end_is_refused(self, client: Client, base: str) -> None:
        client.put(f"{base}object", payload(100))
        for length in (None, 0, 5):
            with pytest.raises(InvalidOption) as caught:
                client.get(f"{base}object", start=101, length=length)
            assert caught.value.uri == f"{base}object"

    def test_reading_no_bytes_of_an_object(self, client: Client, base: str) -> None:
        client.put(f"{base}object", payload(100))
        assert [client.get(f"{base}object", start=start, length=0).nbytes for start in (None, 0, 50, 100, -5)] == [0] * 5

    def test_reading_no_bytes_of_a_missing_object_is_not_found(self, client: Client, base: str) -> None:
        with pytest.raises(NotFound):
            client.get(f"{base}missing", length=0)

    def test_reading_a_negative_length_is_refused(self, client: Client, base: str) -> None:
        client.put(f"{base}object", payload(100))
        with pytest.raises(InvalidOption, match="-1") as caught:
            client.get(f"{base}object", length=-1)
        assert caught.value.uri == f"{base}object"

    def test_reading_an_empty_object(self, client: Client, base: str) -> None:
        client.put(f"{base}empty", b"")
        assert client.stat(f"{base}empty").size == 0
        assert [client.get(f"{base}empty", start=start, length=length).nbytes for start, length in [(None, None), (0, 10), (-5, None)]] == [
            0
        ] * 3
        with pytest.raises(InvalidOption):
            client.get(f"{base}empty", start=1)

    def test_reading_text_and_bytes(self, client: Client, base: str) -> None:
        client.put(f"{base}text", "naïve".encode("latin-1"))
        assert client.read_bytes(f"{base}text") == b"na\xefve"
        assert client.read_text(f"{base}text", "latin-1") == "naïve"
        with pytest.raises(UnicodeDecodeError):
            client.read_text(f"{base}text")

    def test_reading_into_a_bytearray(self, client: Client, base: str) -> None:
        client.put(f"{base}object", payload(100))
        buffer = bytearray(150)
        view = client.get(f"{base}object", into=buffer)
        assert view.nbytes == 100
        assert bytes(buffer) == payload(100) + bytes(50)
        view[0] ^= 255
        assert buffer[0] == view[0]

    def test_reading_into_an_array_of_another_type(self, client: Client, base: str) -> None:
        values = np.arange(600_000, dtype=np.float32)
        client.put(f"{base}array", values)
        array = np.zeros((600, 1000), np.float32)
        client.get(f"{base}array", into=array)
        assert np.array_equal(array.reshape(-1), values)

    def test_reading_into_shared_memory(self, client: Client, base: str) -> None:
        client.put(f"{base}large", payload(_LARGE))
        shared = SharedMemory(create=True, size=_LARGE)
        try:
            assert shared.buf is not None
            view = client.get(f"{base}large", into=shared.buf)
            arrived = view == payload(_LARGE)
            view.release()
            assert arrived
        finally:
            shared.close()
            shared.unlink()

    def test_reading_a_range_into_a_buffer(self, client: Client, base: str) -> None:
        client.put(f"{base}large", payload(_LARGE))
        buffer = bytearray(1_200_000)
        client.get(f"{base}large", start=1000, length=1_200_000, into=buffer)
        assert buffer == payload(_LARGE)[1000:1_201_000]

    @pytest.mark.parametrize("size", [100, _LARGE])
    def test_reading_into_a_buffer_that_is_too_small(self, client: Client, base: str, size: int) -> None:
        client.put(f"{base}object", payload(size))
        buffer = bytearray(size - 1)
        with pytest.raises(InvalidOption, match=str(size - 1)):
            client.get(f"{base}object", into=buffer)
        assert not any(buffer)

    def test_reading_into_something_that_cannot_be_written(self, client: Client, base: str) -> None:
        client.put(f"{base}object", payload(100))
        frozen = np.zeros(100, np.uint8)
        frozen.flags.writeable = False
        for buffer in (bytes(100), frozen, np.zeros(200, np.uint8)[::2]):
            with pytest.raises(InvalidOption):
                client.get(f"{base}object", into=buffer)
        with pytest.raises(TypeError):
            client.get(f"{base}object", into=[0] * 100)

    @pytest.mark.parametrize(
        "ranges",
        [
            [],
            [(0, 0)],
            [(0, 10), (10, 10)],
            [(50, 10), (0, 10), (55, 20), (0, 100)],
            [(0, 10), (5, 0), (99, 1)],
            [(0, 1), (1_000_000, 50), (2_999_999, 1), (500_000, 1_300_000)],
        ],
        ids=["none", "nothing", "neighbours", "overlapping", "with nothing between", "far apart"],
    )
    def test_reading_ranges(self, client: Client, base: str, ranges: Sequence[tuple[int, int]]) -> None:
        data = payload(3_000_000)
        client.put(f"{base}object", data)
        assert [bytes(view) for view in client.get_ranges(f"{base}object", ranges)] == [
            data[start : start + length] for start, length in ranges
        ]

    @pytest.mark.parametrize("wrong", [(-1, 5), (0, -5)])
    def test_reading_a_negative_range_is_refused(self, client: Client, base: str, wrong: tuple[int, int]) -> None:
        client.put(f"{base}object", payload(100))
        with pytest.raises(InvalidOption):
            client.get_ranges(f"{base}object", [(0, 5), wrong])

    def test_reading_ranges_past_the_end(self, client: Client, base: str) -> None:
        """Each is as `get` would give it, whatever it is read together with."""
        client.put(f"{base}object", payload(100))
        views = client.get_ranges(f"{base}object", [(95, 50), (0, 1), (100, 7)])
        assert [bytes(view) for view in views] == [payload(100)[95:], payload(100)[:1], b""]
        for ranges in ([(101, 5)], [(0, 5), (101, 5)], [(0, 5), (1 << 30, 5)]):
            with pytest.raises(InvalidOption) as caught:
                client.get_ranges(f"{base}object", ranges)
            assert caught.value.uri == f"{base}object"

    def test_reading_what_is_known_of_an_object(self, client: Client, base: str) -> None:
        client.put(f"{base}object", payload(1000))
        info = client.stat(f"{base}object")
        assert (info.uri, info.size) == (f"{base}object", 1000)
        assert info.etag
        assert info.last_modified is not None
        assert abs(info.last_modified - datetime.now(UTC)) < timedelta(minutes=5)
        assert pickle.loads(pickle.dumps(info)) == info

    def test_reading_the_version_tag_changes_with_the_content(self, client: Client, base: str) -> None:
        first = client.put(f"{base}object", b"one")
        assert client.stat(f"{base}object").etag == first.etag
        second = client.put(f"{base}object", b"another")
        assert client.stat(f"{base}object").etag == second.etag != first.etag

    def test_reading_existence(self, client: Client, base: str) -> None:
        client.put(f"{base}folder/object", b"")
        assert client.exists(f"{base}folder/object")
        assert not client.exists(f"{base}folder/objec")
        assert not client.exists(f"{base}folder")
        assert not client.exists(f"{base}folder/object/below")

    def test_reading_nothing_exists_in_a_missing_container(self, client: Client, container: str) -> None:
        assert not client.exists(f"{container}object")

    @pytest.mark.parametrize("verb", ["get", "stat", "read_bytes", "read_text"])
    def test_reading_a_missing_object(self, client: Client, base: str, verb: str) -> None:
        with pytest.raises(NotFound) as caught:
            getattr(client, verb)(f"{base}missing")
        assert isinstance(caught.value, FileNotFoundError)
        assert caught.value.uri == f"{base}missing"
        assert caught.value.operation == ("stat" if verb == "stat" else "get")
        assert f"{base}missing" in str(caught.value)
        copy = pickle.loads(pickle.dumps(caught.value))
        assert (type(copy), str(copy)) == (NotFound, str(caught.value))

    def test_reading_a_missing_object_in_a_missing_container(self, client: Client, container: str) -> None:
        with pytest.raises(NotFound):
            client.get(f"{container}object")

    def test_reading_a_prefix_is_no_object(self, client: Client, base: str) -> None:
        client.put(f"{base}folder/object", b"")
        for uri in (f"{base}folder", f"{base}folder/"):
            with pytest.raises(NotFound):
                client.get(uri)

    def test_reading_a_container_is_no_object(self, client: Client, base: str) -> None:
        scheme = base.partition("://")[0]
        for uri in (f"{scheme}://", f"{scheme}:///"):
            for verb in (client.get, client.stat, client.read_bytes):
                with pytest.raises(InvalidURI):
                    verb(uri)

    def test_reading_a_range_of_a_version_that_is_gone(self, blocking_client: Client, base: str) -> None:
        """A file that is open keeps to the version that it was opened on."""
        blocking_client.put(f"{base}object", payload(_LARGE))
        with blocking_client.open(f"{base}object", block_size=100_000) as file:
            file.read(10)
            blocking_client.put(f"{base}object", payload(_LARGE + 1, 1))
            file.seek(2_000_000)
            with pytest.raises(ObjectChanged):
                file.read(10)
