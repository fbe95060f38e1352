"""What the words of a command line name: an object, what lies below a prefix or directory, or what a glob matches.

All of it are operations, for either driver. Nothing here knows of a command line's options but what they select.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from headrace.cli import globs
from headrace.cli.locations import as_prefix, is_directory, is_local, locate
from headrace.cli.selection import Selection
from headrace.errors import InvalidOption, NotFound, PermissionDenied
from headrace.http.effects import Operation, Parallel
from headrace.models import ObjectInfo, Prefix
from headrace.transfer.listing import Lister
from headrace.transfer.session import Session
from headrace.uri import Location

__all__ = ["Found", "find_all", "means_glob", "pages"]

_AT_ONCE = 16


class Found(NamedTuple):
    """What one word names.

    Attributes:
        word: as it was typed.
        base: the prefix or directory that the paths start from, with a ``/`` at the end; None if the word names one object.
        entries: the objects, each with its path below ``base``, or its last name.
        is_glob: the word was a glob.
    """

    word: str
    base: Location | None
    entries: list[tuple[ObjectInfo, str]]
    is_glob: bool = False


def find_all(session: Session, words: Sequence[str], selection: Selection, *, recursive: bool) -> Operation[list[Found]]:
    """What each of the words names, in their order.

    Args:
        session: has the stores.
        words: URIs and paths; see `find`.
        selection: what is taken of what lies below.
        recursive: prefixes and directories stand for everything below them.

    Raises:
        NotFound: a word names nothing.
        InvalidOption: a word names a prefix or directory, and ``recursive`` is False.
    """
    regex = selection.regex()
    searches = [_find(session, word, selection, re.compile(regex) if regex else None, recursive=recursive) for word in words]
    found: list[Found] = yield Parallel(searches, _AT_ONCE)
    return found


def pages(
    session: Session, location: Location, *, recursive: bool = True, follow_links: bool = True
) -> Iterator[Operation[Sequence[ObjectInfo | Prefix]]]:
    """The pages of a listing, as operations to be run one after another."""
    lister = Lister(session.stores.of(location), location, recursive=recursive, follow_links=follow_links)
    while not lister.exhausted:
        yield lister.next_page()


def means_glob(session: Session, location: Location) -> Operation[bool]:
    """Whether special characters mean anything: a file, directory or object of exactly this name is meant itself."""
    if not globs.is_glob(location.key):
        return False
    if is_local(location):
        return not os.path.lexists(location.key)
    try:
        yield from session.stores.of(location).head(location)
    except (NotFound, PermissionDenied):
        # Who may list, and not read, gets to know by the listing.
        return True
    return False


def _find(session: Session, word: str, selection: Selection, wanted: re.Pattern[str] | None, *, recursive: bool) -> Operation[Found]:
    location = locate(word)
    if (yield from means_glob(session, location)):
        return (yield from _match(session, word, location, selection, recursive=recursive))
    if location.key.endswith("/") or not location.key or is_directory(location):
        _require_recursive(location, recursive=recursive)
        return (yield from _below(session, word, location, wanted))
    try:
        info: ObjectInfo = yield from session.stores.of(location).head(location)
    except (NotFound, PermissionDenied) as error:
        if not recursive or is_local(location):
            raise
        return (yield from _below(session, word, location, wanted, or_else=error))
    return _one(word, location, info, selection, wanted, recursive=recursive)


def _require_recursive(location: Location, *, recursive: bool) -> None:
    if not recursive:
        raise InvalidOption("this is a directory or prefix", uri=location.uri, hint="Say -r for everything below it.")


def _one(
    word: str, location: Location, info: ObjectInfo, selection: Selection, wanted: re.Pattern[str] | None, *, recursive: bool
) -> Found:
    if not selection.is_everything and not recursive:
        raise InvalidOption(
            "this is one object, of which nothing is to be selected", uri=location.uri, hint="Leave out -p, --include, --exclude."
        )
    name = location.key.rpartition("/")[2]
    return Found(word, None, [(info, name)] if wanted is None or wanted.search(name) else [])


def _below(
    session: Session, word: str, location: Location, wanted: re.Pattern[str] | None, *, or_else: Exception | None = None
) -> Operation[Found]:
    base = as_prefix(location)
    found = yield from _list(session, base, base, wanted)
    if not found and wanted is None and not is_directory(location):
        raise or_else or NotFound("there is nothing below this", uri=base.uri)
    return Found(word, base, found)


def _match(session: Session, word: str, location: Location, selection: Selection, *, recursive: bool) -> Operation[Found]:
    glob = globs.parse(location.key)
    base, regex = location.at(glob.base), selection.regex(glob.regex(below=recursive))
    found = yield from _list(session, location.at(glob.prefix), base, re.compile(regex or ""), recursive=recursive or not glob.is_flat)
    if not found:
        hint = None if recursive else "Directories and prefixes need -r."
        raise NotFound("nothing matches this", uri=location.uri, hint=hint)
    return Found(word, base, found, is_glob=True)


def _list(
    session: Session, prefix: Location, base: Location, wanted: re.Pattern[str] | None, *, recursive: bool = True
) -> Operation[list[tuple[ObjectInfo, str]]]:
    found: list[tuple[ObjectInfo, str]] = []
    skip = len(base.uri)
    for page in pages(session, prefix, recursive=recursive):
        entries = yield from page
        for entry in entries:
            if isinstance(entry, ObjectInfo) and (wanted is None or wanted.search(entry.uri[skip:])):
                found.append((entry, entry.uri[skip:]))
    return found
