"""Writing: every kind of buffer, every size, and the conditions of a write."""

from __future__ import annotations

import array
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from headrace.client import Client
from headrace.errors import AlreadyExists, InvalidOption, InvalidURI, PreconditionFailed
from headrace.testing.contract.case import PART_SIZE, TWO_PARTS, ContractCase, names_of, needs, payload

__all__ = ["WritingContract"]

_SIZES = [0, 1, PART_SIZE - 1, PART_SIZE, PART_SIZE + 1, 2 * PART_SIZE + 12345]
"""Bytes around one and two whole parts."""


class WritingContract(ContractCase):
    """``put``."""

    @pytest.mark.parametrize("size", _SIZES)
    def test_writing_every_size_arrives(self, client: Client, base: str, size: int) -> None:
        info = client.put(f"{base}object", payload(size))
        assert (info.uri, info.size) == (f"{base}object", size)
        assert client.stat(f"{base}object").size == size
        assert client.get(f"{base}object") == payload(size)

    @pytest.mark.parametrize(
        "data",
        [
            b"bytes",
            bytearray(b"bytearray"),
            memoryview(b"memoryview")[3:],
            array.array("d", [1.5, 2.5]),
            np.arange(12, dtype=np.int16).reshape(3, 4),
            np.zeros((0, 5)),
            np.array(["2024-01-01"], dtype="datetime64[s]"),
        ],
        ids=["bytes", "bytearray", "memoryview", "array", "numpy", "numpy empty", "numpy datetime"],
    )
    def test_writing_every_buffer(self, client: Client, base: str, data: memoryview | npt.NDArray[Any]) -> None:
        client.put(f"{base}object", data)
        assert client.read_bytes(f"{base}object") == (data.tobytes() if hasattr(data, "tobytes") else bytes(data))

    @pytest.mark.parametrize("data", ["text", None, 5, [1, 2], object()], ids=lambda data: type(data).__name__)
    def test_writing_what_is_no_buffer_is_refused(self, client: Client, base: str, data: object) -> None:
        with pytest.raises(TypeError):
            client.put(f"{base}object", data)
        assert not client.exists(f"{base}object")

    def test_writing_a_buffer_with_gaps_is_refused(self, client: Client, base: str) -> None:
        with pytest.raises(InvalidOption):
            client.put(f"{base}object", np.zeros((4, 4))[:, 1])

    def test_writing_the_source_may_change_afterwards(self, client: Client, base: str) -> None:
        data = bytearray(b"as it was")
        client.put(f"{base}object", data)
        data[:2] = b"XX"
        assert client.read_bytes(f"{base}object") == b"as it was"

    def test_writing_an_object_is_replaced(self, client: Client, base: str) -> None:
        for size in (100, TWO_PARTS, 10):
            client.put(f"{base}object", payload(size))
            assert client.get(f"{base}object") == payload(size)

    def test_writing_a_prefix_cannot_be_written(self, client: Client, base: str) -> None:
        scheme = base.partition("://")[0]
        with pytest.raises(InvalidURI):
            client.put(f"{scheme}://", b"data")

    @needs("metadata")
    def test_writing_metadata_is_kept(self, client: Client, base: str) -> None:
        metadata = {"name": "value", "second": "a b; c=d"}
        client.put(f"{base}object", b"data", metadata=metadata)
        assert client.stat(f"{base}object").metadata == metadata

    @needs("metadata_hyphens")
    def test_writing_metadata_whose_name_has_a_hyphen(self, client: Client, base: str) -> None:
        client.put(f"{base}object", b"data", metadata={"other-name": "value"})
        assert client.stat(f"{base}object").metadata == {"other-name": "value"}

    @needs("metadata")
    def test_writing_metadata_of_an_object_in_parts_is_kept(self, client: Client, base: str) -> None:
        client.put(f"{base}object", payload(TWO_PARTS), metadata={"name": "value"})
        assert client.stat(f"{base}object").metadata == {"name": "value"}

    @needs("content_type")
    @pytest.mark.parametrize("size", [10, TWO_PARTS])
    def test_writing_the_content_type_is_kept(self, client: Client, base: str, size: int) -> None:
        client.put(f"{base}object", payload(size), content_type="application/x-headrace")
        assert client.stat(f"{base}object").content_type == "application/x-headrace"

    def test_writing_create_only(self, client: Client, base: str) -> None:
        client.put(f"{base}object", b"first", create_only=True)
        with pytest.raises(AlreadyExists) as caught:
            client.put(f"{base}object", b"second", create_only=True)
        assert isinstance(caught.value, FileExistsError)
        assert caught.value.uri == f"{base}object"
        assert client.read_bytes(f"{base}object") == b"first"

    def test_writing_of_many_who_create_one_does(self, blocking_client: Client, base: str) -> None:
        def create(number: int) -> int | None:
            try:
                blocking_client.put(f"{base}object", payload(100_000, number), create_only=True)
            except AlreadyExists:
                return None
            return number

        with ThreadPoolExecutor(8) as threads:
            created = [number for number in threads.map(create, range(8)) if number is not None]
        assert len(created) == 1
        assert blocking_client.get(f"{base}object") == payload(100_000, created[0])

    @needs("create_only_in_parts")
    def test_writing_create_only_in_parts(self, client: Client, base: str) -> None:
        client.put(f"{base}object", b"first")
        with pytest.raises(AlreadyExists):
            client.put(f"{base}object", payload(TWO_PARTS), create_only=True)
        assert client.read_bytes(f"{base}object") == b"first"

    def test_writing_create_only_in_parts_where_nothing_is(self, client: Client, base: str) -> None:
        client.put(f"{base}object", payload(TWO_PARTS), create_only=True)
        assert client.get(f"{base}object") == payload(TWO_PARTS)

    @needs("if_match")
    def test_writing_replacing_the_version_that_is_there(self, client: Client, base: str) -> None:
        version = client.put(f"{base}object", b"first").etag
        client.put(f"{base}object", b"the second", if_match=version)
        assert client.read_bytes(f"{base}object") == b"the second"

    def test_writing_replacing_the_version_that_is_there_in_parts(self, client: Client, base: str) -> None:
        version = client.put(f"{base}object", b"first").etag
        client.put(f"{base}object", payload(TWO_PARTS), if_match=version)
        assert client.get(f"{base}object") == payload(TWO_PARTS)

    @needs("if_match_is_checked")
    def test_writing_replacing_a_version_that_is_gone(self, client: Client, base: str) -> None:
        version = client.put(f"{base}object", b"first").etag
        client.put(f"{base}object", b"the second")
        with pytest.raises(PreconditionFailed) as caught:
            client.put(f"{base}object", b"the last one", if_match=version)
        assert caught.value.uri == f"{base}object"
        assert client.read_bytes(f"{base}object") == b"the second"

    @needs("if_match_in_parts")
    def test_writing_replacing_a_version_that_is_gone_in_parts(self, client: Client, base: str) -> None:
        version = client.put(f"{base}object", b"first").etag
        client.put(f"{base}object", b"the second")
        with pytest.raises(PreconditionFailed):
            client.put(f"{base}object", payload(TWO_PARTS), if_match=version)
        assert client.read_bytes(f"{base}object") == b"the second"

    @needs("if_match_is_checked")
    def test_writing_replacing_what_is_not_there(self, client: Client, base: str) -> None:
        with pytest.raises(PreconditionFailed):
            client.put(f"{base}object", b"data", if_match='"0123456789abcdef0123456789abcdef"')
        assert not client.exists(f"{base}object")

    def test_writing_the_conditions_exclude_each_other(self, client: Client, base: str) -> None:
        with pytest.raises(InvalidOption, match="create_only"):
            client.put(f"{base}object", b"data", create_only=True, if_match='"1"')
        assert not client.exists(f"{base}object")

    def test_writing_a_refused_write_leaves_nothing(self, client: Client, base: str) -> None:
        client.put(f"{base}object", b"first")
        with pytest.raises(AlreadyExists):
            client.put(f"{base}object", b"second", create_only=True)
        assert names_of(client.list(base), base) == ["object"]
