"""Deletions: what goes, and above all what stays."""

from __future__ import annotations

import pytest

from headrace.client import Client
from headrace.errors import InvalidOption, InvalidURI, NotFound
from headrace.testing.contract.case import ContractCase, names_of, needs

__all__ = ["DeletingContract"]


class DeletingContract(ContractCase):
    """``delete`` and ``delete_many``."""

    @pytest.fixture
    def filled(self, blocking_client: Client, base: str) -> str:
        """A prefix with objects whose names begin alike."""
        for name in ("a/b/1", "a/b/2", "a/b/c/3", "a/bc", "a/bd/4"):
            blocking_client.put(f"{base}{name}", b"data")
        return base

    def test_one_object(self, client: Client, filled: str) -> None:
        assert client.delete(f"{filled}a/b/1") == 1
        assert names_of(client.list(filled), filled) == ["a/b/2", "a/b/c/3", "a/bc", "a/bd/4"]

    def test_the_name_must_be_exact(self, client: Client, filled: str) -> None:
        for name in ("a/b", "a/b/", "a", "a/b/1x"):
            try:
                client.delete(f"{filled}{name}")
            except NotFound:
                pass
        assert len(list(client.list(filled))) == 5

    @needs("delete_tells")
    def test_a_missing_object(self, client: Client, filled: str) -> None:
        with pytest.raises(NotFound) as caught:
            client.delete(f"{filled}missing")
        assert caught.value.uri == f"{filled}missing"

    @pytest.mark.parametrize("slash", ["", "/"])
    def test_everything_below_a_prefix(self, client: Client, filled: str, slash: str) -> None:
        assert client.delete(f"{filled}a/b{slash}", recursive=True) == 3
        assert names_of(client.list(filled), filled) == ["a/bc", "a/bd/4"]

    def test_nothing_below_a_prefix(self, client: Client, filled: str) -> None:
        assert client.delete(f"{filled}nothing", recursive=True) == 0
        assert client.delete(f"{filled}a/bc", recursive=True) == 0
        assert len(list(client.list(filled))) == 5

    def test_folders_do_not_stay_behind(self, client: Client, filled: str) -> None:
        client.delete(f"{filled}a/b", recursive=True)
        assert names_of(client.list(f"{filled}a/", recursive=False), filled) == ["a/bc", "a/bd/"]

    def test_what_a_pattern_selects(self, client: Client, filled: str) -> None:
        assert client.delete(f"{filled}a", recursive=True, pattern=r"b/\d$") == 2
        assert names_of(client.list(filled), filled) == ["a/b/c/3", "a/bc", "a/bd/4"]

    def test_a_pattern_needs_a_prefix(self, client: Client, filled: str) -> None:
        with pytest.raises(InvalidOption, match="recursive"):
            client.delete(f"{filled}a/b/1", pattern="1")
        assert len(list(client.list(filled))) == 5

    def test_a_whole_container_only_when_it_is_named_so(self, client: Client, container: str) -> None:
        scheme = container.partition("://")[0]
        root = f"{scheme}:///" if container.startswith(f"{scheme}:///") else container
        client.create_container(container)
        try:
            client.put(f"{container}object", b"data")
            for uri in (root, root.removesuffix("/")) if root == container else (root,):
                with pytest.raises(InvalidOption):
                    client.delete(uri, recursive=True)
                with pytest.raises(InvalidURI):
                    client.delete(uri)
            assert client.exists(f"{container}object")
        finally:
            assert client.delete(container, recursive="bucket") == 1

    def test_many(self, client: Client, filled: str) -> None:
        uris = [f"{filled}{name}" for name in ("a/b/1", "a/bc", "missing")]
        assert client.delete_many(uris) == 3
        assert names_of(client.list(filled), filled) == ["a/b/2", "a/b/c/3", "a/bd/4"]

    def test_none(self, client: Client, filled: str) -> None:
        assert client.delete_many([]) == 0
        assert len(list(client.list(filled))) == 5

    def test_the_same_twice(self, client: Client, filled: str) -> None:
        assert client.delete_many([f"{filled}a/bc"] * 2) == 2
        assert not client.exists(f"{filled}a/bc")

    def test_in_several_schemes_at_once(self, client: Client, filled: str) -> None:
        other = filled.replace(filled.partition("://")[0], "memory", 1).replace(":///", "://")
        client.put(f"{other}elsewhere", b"")
        assert client.delete_many([f"{filled}a/bc", f"{other}elsewhere"]) == 2
        assert not client.exists(f"{filled}a/bc")
        assert not client.exists(f"{other}elsewhere")

    def test_many_with_one_that_names_no_object(self, client: Client, filled: str) -> None:
        scheme = filled.partition("://")[0]
        with pytest.raises(InvalidURI):
            client.delete_many([f"{scheme}://"])
