"""Listings: order, prefixes, patterns, pages."""

from __future__ import annotations

import itertools
from typing import ClassVar

import pytest

from headrace.client import Client
from headrace.errors import InvalidOption, NotFound
from headrace.models import ObjectInfo, Prefix
from headrace.testing.contract.case import ContractCase, names_of, needs, payload

__all__ = ["ListingContract"]

_NAMES = ["B", "a-b", "a.b", "a/b", "a/c/d", "a0", "b/x", "z", "\u00e9/x", "\U0001f986"]
"""In the order of their bytes, in which ``a.b`` < ``a/b`` < ``a0``."""


class ListingContract(ContractCase):
    """``list``.

    Attributes:
        many: objects that the service does not list in one page, nor in two, nor deletes by one request.
    """

    many: ClassVar[int] = 2100

    @pytest.fixture
    def objects(self, blocking_client: Client, base: str) -> str:
        """A prefix with a few objects below it."""
        for name in _NAMES:
            blocking_client.put(f"{base}{name}", payload(len(name)))
        return base

    def test_listing_everything_in_the_order_of_bytes(self, client: Client, objects: str) -> None:
        assert names_of(client.list(objects), objects) == _NAMES

    def test_listing_what_is_listed_is_what_stat_tells(self, client: Client, objects: str) -> None:
        for entry in client.list(objects):
            assert isinstance(entry, ObjectInfo)
            info = client.stat(entry.uri)
            assert (entry.uri, entry.size, entry.etag) == (info.uri, info.size, info.etag)
            assert entry.last_modified is not None
            assert info.last_modified is not None
            assert entry.last_modified.utcoffset() is not None
            # Some services round the one and not the other.
            assert abs((entry.last_modified - info.last_modified).total_seconds()) <= 1

    def test_listing_nothing(self, client: Client, base: str) -> None:
        assert list(client.list(base)) == []
        assert list(client.list(f"{base}nothing/")) == []
        assert list(client.list(base, recursive=False)) == []

    @needs("missing_is_not_empty")
    def test_listing_a_missing_container_is_not_empty(self, client: Client, container: str) -> None:
        with pytest.raises(NotFound):
            list(client.list(container))

    @pytest.mark.parametrize(
        ("prefix", "names"), [("a", _NAMES[1:6]), ("a/", ["a/b", "a/c/d"]), ("a/c", ["a/c/d"]), ("a/b", ["a/b"]), ("q", [])]
    )
    def test_listing_a_prefix_is_taken_literally(self, client: Client, objects: str, prefix: str, names: list[str]) -> None:
        assert names_of(client.list(f"{objects}{prefix}"), objects) == names

    @pytest.mark.parametrize(
        ("prefix", "names"),
        [
            ("", ["B", "a-b", "a.b", "a/", "a0", "b/", "z", "\u00e9/", "\U0001f986"]),
            ("a/", ["a/b", "a/c/"]),
            ("a", ["a-b", "a.b", "a/", "a0"]),
            ("b", ["b/"]),
        ],
    )
    def test_listing_one_level(self, client: Client, objects: str, prefix: str, names: list[str]) -> None:
        entries = list(client.list(f"{objects}{prefix}", recursive=False))
        assert names_of(entries, objects) == names
        assert [isinstance(entry, Prefix) for entry in entries] == [name.endswith("/") for name in names]

    def test_listing_a_pattern_is_searched_below_the_prefix(self, client: Client, objects: str) -> None:
        assert names_of(client.list(objects, pattern="b"), objects) == ["a-b", "a.b", "a/b", "b/x"]
        assert names_of(client.list(objects, pattern="^b"), objects) == ["b/x"]
        assert names_of(client.list(f"{objects}a/", pattern="^b$"), objects) == ["a/b"]
        assert names_of(client.list(objects, pattern="contract"), objects) == []

    def test_listing_a_pattern_leaves_the_folders_of_one_level(self, client: Client, objects: str) -> None:
        assert names_of(client.list(objects, recursive=False, pattern="^a"), objects) == ["a-b", "a.b", "a/", "a0", "b/", "\u00e9/"]

    def test_listing_a_pattern_that_is_none(self, client: Client, objects: str) -> None:
        with pytest.raises(InvalidOption, match="pattern"):
            list(client.list(objects, pattern="("))

    @pytest.mark.parametrize("after", range(len(_NAMES)))
    def test_listing_after_a_key(self, client: Client, objects: str, after: int) -> None:
        assert names_of(client.list(objects, start_after=f"{objects}{_NAMES[after]}"), objects) == _NAMES[after + 1 :]

    def test_listing_after_a_key_that_is_not_there(self, client: Client, objects: str) -> None:
        assert names_of(client.list(objects, start_after=f"{objects}a/bb"), objects) == _NAMES[4:]

    def test_listing_leaving_early(self, client: Client, objects: str) -> None:
        listing = client.list(objects)
        assert names_of(itertools.islice(listing, 2), objects) == _NAMES[:2]
        listing.close()  # type: ignore[attr-defined]
        assert len(list(client.list(objects))) == len(_NAMES)

    def test_listing_thousands_of_objects(self, client: Client, base: str) -> None:
        """Written, listed over several pages, and deleted in several batches."""
        many, half = self.many, self.many // 2
        names = [f"{number % 7}/{number:04}" for number in range(many)]
        assert sum(item.info is not None for item in client.put_many((f"{base}{name}", b"") for name in names)) == many
        assert names_of(client.list(base), base) == sorted(names)
        assert names_of(client.list(base, recursive=False), base) == [f"{number}/" for number in range(7)]
        assert names_of(client.list(base, start_after=f"{base}{sorted(names)[half]}"), base) == sorted(names)[half + 1 :]
        assert names_of(itertools.islice(client.list(base), half + 100), base) == sorted(names)[: half + 100]
        assert client.delete_many(f"{base}{name}" for name in names[100:]) == many - 100
        assert names_of(client.list(base), base) == sorted(names[:100])
        assert client.delete(base, recursive=True) == 100
        assert list(client.list(base)) == []
