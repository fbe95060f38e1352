"""Copies and moves: within a service, and between two of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from headrace.client import Client
from headrace.errors import NotFound
from headrace.testing.contract.case import TWO_PARTS, ContractCase, names_of, needs, payload

__all__ = ["CopyingContract"]

_SIZES = [0, 100, TWO_PARTS]


class CopyingContract(ContractCase):
    """``copy`` and ``move``."""

    @pytest.fixture(params=["memory", "file"])
    def elsewhere(self, request: pytest.FixtureRequest, tmp_path: Path, blocking_client: Client) -> Iterator[str]:
        """The URI of an empty prefix of another scheme."""
        prefix = f"file://{tmp_path}/elsewhere/" if request.param == "file" else f"memory://elsewhere{tmp_path.as_posix()}/"
        yield prefix
        blocking_client.delete(prefix, recursive=True)

    @pytest.mark.parametrize("size", _SIZES)
    def test_copying_within_the_service(self, client: Client, base: str, size: int) -> None:
        client.put(f"{base}source", payload(size))
        info = client.copy(f"{base}source", f"{base}folder/copy")
        assert (info.uri, info.size) == (f"{base}folder/copy", size)
        assert client.get(f"{base}folder/copy") == payload(size)
        assert client.get(f"{base}source") == payload(size)

    def test_copying_a_copy_replaces(self, client: Client, base: str) -> None:
        client.put(f"{base}source", b"new")
        client.put(f"{base}copy", b"what was there")
        client.copy(f"{base}source", f"{base}copy")
        assert client.read_bytes(f"{base}copy") == b"new"

    @needs("metadata")
    def test_copying_a_copy_keeps_the_metadata(self, client: Client, base: str) -> None:
        client.put(f"{base}source", b"data", metadata={"name": "value"})
        client.copy(f"{base}source", f"{base}copy")
        assert client.stat(f"{base}copy").metadata == {"name": "value"}

    @pytest.mark.parametrize("size", _SIZES)
    def test_copying_to_another_scheme_and_back(self, client: Client, base: str, elsewhere: str, size: int) -> None:
        client.put(f"{base}source", payload(size))
        there = client.copy(f"{base}source", f"{elsewhere}copy")
        assert (there.uri, there.size) == (f"{elsewhere}copy", size)
        assert client.get(f"{elsewhere}copy") == payload(size)
        back = client.copy(f"{elsewhere}copy", f"{base}back")
        assert (back.uri, back.size) == (f"{base}back", size)
        assert client.get(f"{base}back") == payload(size)

    @needs("metadata")
    def test_copying_to_another_scheme_keeps_what_it_can_hold(self, client: Client, base: str, tmp_path: Path) -> None:
        elsewhere = f"memory://elsewhere{tmp_path.as_posix()}/copy"
        client.put(f"{base}source", b"data", metadata={"name": "value"})
        client.copy(f"{base}source", elsewhere)
        assert client.stat(elsewhere).metadata == {"name": "value"}
        client.move(elsewhere, f"{base}back")
        assert client.stat(f"{base}back").metadata == {"name": "value"}

    def test_copying_a_move_leaves_nothing_at_the_source(self, client: Client, base: str, elsewhere: str) -> None:
        client.put(f"{base}source", b"data")
        client.move(f"{base}source", f"{base}moved")
        client.move(f"{base}moved", f"{elsewhere}moved")
        assert names_of(client.list(base), base) == []
        client.move(f"{elsewhere}moved", f"{base}back")
        assert names_of(client.list(elsewhere), elsewhere) == []
        assert client.read_bytes(f"{base}back") == b"data"

    @pytest.mark.parametrize("verb", ["copy", "move"])
    def test_copying_a_missing_source(self, client: Client, base: str, elsewhere: str, verb: str) -> None:
        for source, destination in [(base, base), (base, elsewhere), (elsewhere, base)]:
            with pytest.raises(NotFound) as caught:
                getattr(client, verb)(f"{source}missing", f"{destination}copy")
            assert caught.value.uri == f"{source}missing"
            assert names_of(client.list(destination), destination) == []

    @needs("needs_container")
    def test_copying_a_move_that_fails_leaves_the_source(self, client: Client, base: str, container: str) -> None:
        client.put(f"{base}source", b"data")
        with pytest.raises(NotFound):
            client.move(f"{base}source", f"{container}moved")
        assert client.read_bytes(f"{base}source") == b"data"
