"""Deletions: what goes, and above all what stays."""

from __future__ import annotations

import contextlib

import pytest

from headrace.client import Client
from headrace.errors import InvalidOption, InvalidURI, NotFound
from headrace.testing.contract.case import ContractCase, names_of, needs

__all__ = ["DeletingContract"]


class DeletingContract(ContractCase):
    """``delete`` and ``delete_many``."""

    @pytest.fixture
    def tree(self, blocking_client: Client, base: str) -> str:
        """A prefix with objects whose names begin alike."""
        for name in ("a/b/1", "a/b/2", "a/b/c/3", "a/bc", "a/bd/4"):
            blocking_client.put(f"{base}{name}", b"data")
        return base

    def test_deleting_one_object(self, client: Client, tree: str) -> None:
        assert client.delete(f"{tree}a/b/1") == 1
        assert names_of(client.list(tree), tree) == ["a/b/2", "a/b/c/3", "a/bc", "a/bd/4"]

    def test_deleting_the_name_must_be_exact(self, client: Client, tree: str) -> None:
        for name in ("a/b", "a/b/", "a", "a/b/1x"):
            with contextlib.suppress(NotFound):
                client.delete(f"{tree}{name}")
        assert len(list(client.list(tree))) == 5

    @needs("delete_tells")
    def test_deleting_a_missing_object(self, client: Client, tree: str) -> None:
        with pytest.raises(NotFound) as caught:
            client.delete(f"{tree}missing")
        assert caught.value.uri == f"{tree}missing"

    @pytest.mark.parametrize("slash", ["", "/"])
    def test_deleting_everything_below_a_prefix(self, client: Client, tree: str, slash: str) -> None:
        assert client.delete(f"{tree}a/b{slash}", recursive=True) == 3
        assert names_of(client.list(tree), tree) == ["a/bc", "a/bd/4"]

    def test_deleting_nothing_below_a_prefix(self, client: Client, tree: str) -> None:
        assert client.delete(f"{tree}nothing", recursive=True) == 0
        assert client.delete(f"{tree}a/bc", recursive=True) == 0
        assert len(list(client.list(tree))) == 5

    def test_deleting_folders_do_not_stay_behind(self, client: Client, tree: str) -> None:
        client.delete(f"{tree}a/b", recursive=True)
        assert names_of(client.list(f"{tree}a/", recursive=False), tree) == ["a/bc", "a/bd/"]

    def test_deleting_what_a_pattern_selects(self, client: Client, tree: str) -> None:
        assert client.delete(f"{tree}a", recursive=True, pattern=r"b/\d$") == 2
        assert names_of(client.list(tree), tree) == ["a/b/c/3", "a/bc", "a/bd/4"]

    def test_deleting_a_pattern_needs_a_prefix(self, client: Client, tree: str) -> None:
        with pytest.raises(InvalidOption, match="recursive"):
            client.delete(f"{tree}a/b/1", pattern="1")
        assert len(list(client.list(tree))) == 5

    @needs("buckets")
    def test_deleting_a_whole_bucket_only_when_that_is_said(self, client: Client, container: str) -> None:
        client.create_container(container)
        client.put(f"{container}object", b"data")
        for uri in (container, container.removesuffix("/")):
            with pytest.raises(InvalidOption):
                client.delete(uri, recursive=True)
            with pytest.raises(InvalidOption):
                client.delete(uri, recursive=True, pattern="obj")
            with pytest.raises(InvalidURI):
                client.delete(uri)
        assert client.exists(f"{container}object")
        assert client.delete(container, recursive="bucket") == 1
        client.delete_container(container)

    def test_deleting_many(self, client: Client, tree: str) -> None:
        uris = [f"{tree}{name}" for name in ("a/b/1", "a/bc", "missing")]
        assert client.delete_many(uris) == 3
        assert names_of(client.list(tree), tree) == ["a/b/2", "a/b/c/3", "a/bd/4"]

    def test_deleting_none(self, client: Client, tree: str) -> None:
        assert client.delete_many([]) == 0
        assert len(list(client.list(tree))) == 5

    def test_deleting_the_same_twice(self, client: Client, tree: str) -> None:
        assert client.delete_many([f"{tree}a/bc"] * 2) == 2
        assert not client.exists(f"{tree}a/bc")

    def test_deleting_in_several_schemes_at_once(self, client: Client, tree: str) -> None:
        other = tree.replace(tree.partition("://")[0], "memory", 1).replace(":///", "://")
        client.put(f"{other}elsewhere", b"")
        assert client.delete_many([f"{tree}a/bc", f"{other}elsewhere"]) == 2
        assert not client.exists(f"{tree}a/bc")
        assert not client.exists(f"{other}elsewhere")

    def test_deleting_many_with_one_that_names_no_object(self, client: Client, tree: str) -> None:
        scheme = tree.partition("://")[0]
        with pytest.raises(InvalidURI):
            client.delete_many([f"{scheme}://"])
