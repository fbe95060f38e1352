"""Deletions: one object, a prefix, or many."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from headrace.errors import HeadraceError, InvalidOption
from headrace.http.effects import Operation, Parallel
from headrace.models import ObjectInfo
from headrace.stores.store import Store
from headrace.transfer.listing import Lister
from headrace.transfer.session import Session
from headrace.uri import URI, Location

__all__ = ["delete", "delete_all"]

_BATCHES_AT_ONCE = 4


def delete(session: Session, uri: URI, recursive: bool | str, pattern: str | None) -> Operation[int]:  # noqa: FBT001 - as in the verb
    """Delete an object or, recursively, what lies below a prefix; the result is the number of objects deleted."""
    if not recursive:
        if pattern is not None:
            raise InvalidOption("a pattern selects among what lies below a prefix", hint="Say recursive=True.")
        store, location = session.locate_object(uri)
        yield from store.delete(location)
        return 1
    store, location = session.locate(uri)
    return (yield from _delete_below(store, _as_directory(location, recursive), pattern))


def _as_directory(location: Location, recursive: bool | str) -> Location:  # noqa: FBT001 - as in the verb
    """The prefix to delete: ``a/b`` means ``a/b/``, so that ``a/bc`` stays."""
    key = location.key if not location.key or location.key.endswith("/") else f"{location.key}/"
    if key == "/" and not location.container:
        raise InvalidOption("refusing to delete a whole file system", uri=location.uri, operation="delete")
    if not key and recursive != "bucket":
        raise InvalidOption(
            "this would delete everything in the bucket",
            uri=location.uri,
            operation="delete",
            hint='Say recursive="bucket" if that is meant.',
        )
    return location.at(key)


def _delete_below(store: Store, prefix: Location, pattern: str | None) -> Operation[int]:
    # A link is deleted itself: what it leads to was not named, and may be anywhere.
    lister = Lister(store, prefix, pattern=pattern, follow_links=False)
    before_key = len(prefix.at("").uri)
    deleted = 0
    while not lister.exhausted:
        entries = yield from lister.next_page()
        locations = [prefix.at(entry.uri[before_key:]) for entry in entries if isinstance(entry, ObjectInfo)]
        deleted += yield from _delete_batches(store, locations)
    if pattern is None:
        yield from store.delete_empty_directories(prefix)
    return deleted


def _delete_batches(store: Store, locations: Sequence[Location]) -> Operation[int]:
    size = store.delete_batch_size
    operations = (store.delete_batch(locations[start : start + size]) for start in range(0, len(locations), size))
    results: list[Sequence[HeadraceError | None]] = yield Parallel(operations, _BATCHES_AT_ONCE)
    for errors in results:
        for error in errors:
            if error is not None:
                raise error
    return len(locations)


def delete_all(session: Session, uris: Iterable[URI]) -> Operation[int]:
    """Delete many objects; those of one container go together. Missing ones count as deleted."""
    deleted = 0
    for store, locations in _by_container(session, uris):
        deleted += yield from _delete_batches(store, locations)
    return deleted


def _by_container(session: Session, uris: Iterable[URI]) -> Iterator[tuple[Store, list[Location]]]:
    """Groups of one container each, drawn a few thousand at a time."""
    source = iter(uris)
    while some := list(islice(source, 4000)):
        groups: dict[tuple[str, str, str], tuple[Store, list[Location]]] = {}
        for uri in some:
            store, location = session.locate_object(uri)
            groups.setdefault((location.scheme, location.account, location.container), (store, []))[1].append(location)
        yield from groups.values()
