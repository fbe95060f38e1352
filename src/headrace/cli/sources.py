"""What the words of a command line name: an object, what lies below a prefix or directory, or what a glob matches.

All of it are operations, for either driver. Nothing here knows of a command line's options but what they select.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from headrace import globs
from headrace.backends.protocol import Entry
from headrace.cli.locations import as_prefix, is_directory, is_local, is_web, locate, name_of
from headrace.cli.selection import Selection
from headrace.errors import HeadraceError, InvalidOption, NotFound, PermissionDenied
from headrace.http.effects import Operation, Parallel
from headrace.models import ObjectInfo
from headrace.transfer.listing import Lister
from headrace.transfer.session import Session
from headrace.uri import Location

__all__ = ["Found", "Scope", "find_all", "pages", "scope_of"]

_AT_ONCE = 16


class Scope(NamedTuple):
    """What is listed, and what is meant of it.

    Attributes:
        base: where paths start from.
        prefix: what is listed.
        glob: what is meant: the paths that it matches; None means all.
    """

    base: Location
    prefix: Location
    glob: globs.Glob | None = None

    def path_of(self, entry: Entry) -> str:
        """The path of an entry below ``base``."""
        return entry.uri[len(self.base.uri) :]

    def regex(self, *, below: bool) -> str | None:
        """See `globs.Glob.regex`; None matches everything."""
        return self.glob.regex(below=below) if self.glob else None


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
        words: URIs and paths of objects, prefixes and directories, and globs.
        selection: what is taken of what lies below.
        recursive: prefixes and directories stand for everything below them.

    Raises:
        NotFound: a word names nothing.
        InvalidOption: a word names a prefix or directory, and ``recursive`` is False.
    """
    wanted = re.compile(selection.regex() or "")
    searches = [_find(session, word, selection, wanted, recursive=recursive) for word in words]
    found: list[Found] = yield Parallel(searches, _AT_ONCE)
    return found


def scope_of(session: Session, location: Location, otherwise: Location) -> Operation[Scope]:
    """What a location stands for in a listing: as a glob, if it has special characters, else ``otherwise``.

    A file, directory or object of exactly this name is meant itself, special characters and all.
    """
    if is_web(location) or not globs.is_glob(location.key) or (yield from _is_there(session, location)):
        return Scope(otherwise, otherwise)
    glob = globs.parse(location.key)
    return Scope(location.at(glob.base), location.at(glob.prefix), glob)


def pages(session: Session, scope: Scope, *, recursive: bool, follow_links: bool = True) -> Iterator[Operation[Sequence[Entry]]]:
    """The pages of a listing, as operations to be run one after another."""
    deep = recursive or (scope.glob is not None and not scope.glob.is_flat)
    lister = Lister(session.stores.of(scope.prefix), scope.prefix, recursive=deep, follow_links=follow_links)
    while not lister.exhausted:
        yield lister.next_page()


def _is_there(session: Session, location: Location) -> Operation[bool]:
    if is_local(location):
        return os.path.lexists(location.key)
    try:
        yield from session.stores.of(location).head(location)
    except (NotFound, PermissionDenied):
        # Who may list, and not read, gets to know by the listing.
        return False
    return True


def _find(session: Session, word: str, selection: Selection, wanted: re.Pattern[str], *, recursive: bool) -> Operation[Found]:
    location = session.interpret(locate(word))
    scope = yield from scope_of(session, location, as_prefix(location))
    if scope.glob is not None:
        return (yield from _match(session, word, location, scope, selection, recursive=recursive))
    if not is_web(location) and (location.key.endswith("/") or not location.key or is_directory(location)):
        _require_recursive(location, recursive=recursive)
        return (yield from _below(session, word, scope, wanted))
    try:
        info: ObjectInfo = yield from session.stores.of(location).head(location)
    except (NotFound, PermissionDenied) as error:
        if not recursive or is_local(location) or is_web(location):
            raise
        return (yield from _below(session, word, scope, wanted, or_else=error))
    return _one(word, location, info, selection, wanted, recursive=recursive)


def _require_recursive(location: Location, *, recursive: bool) -> None:
    if not recursive:
        raise InvalidOption("this is a directory or prefix", uri=location.uri, hint="Say -r for everything below it.")


def _one(word: str, location: Location, info: ObjectInfo, selection: Selection, wanted: re.Pattern[str], *, recursive: bool) -> Found:
    if not selection.is_everything and not recursive:
        hint = "Leave out -p, --include, --exclude."
        raise InvalidOption("this is one object, of which nothing is to be selected", uri=location.uri, hint=hint)
    name = name_of(location)
    return Found(word, None, [(info, name)] if wanted.search(name) else [])


def _below(session: Session, word: str, scope: Scope, wanted: re.Pattern[str], *, or_else: HeadraceError | None = None) -> Operation[Found]:
    found = yield from _list(session, scope, wanted, recursive=True)
    if not found and not wanted.pattern and not is_directory(scope.base):
        raise or_else or NotFound("there is nothing below this", uri=scope.base.uri)
    return Found(word, scope.base, found)


def _match(session: Session, word: str, location: Location, scope: Scope, selection: Selection, *, recursive: bool) -> Operation[Found]:
    wanted = re.compile(selection.regex(scope.regex(below=recursive)) or "")
    found = yield from _list(session, scope, wanted, recursive=recursive)
    if not found:
        hint = None if recursive else "Directories and prefixes need -r."
        raise NotFound("nothing matches this", uri=location.uri, hint=hint)
    return Found(word, scope.base, found, is_glob=True)


def _list(session: Session, scope: Scope, wanted: re.Pattern[str], *, recursive: bool) -> Operation[list[tuple[ObjectInfo, str]]]:
    found: list[tuple[ObjectInfo, str]] = []
    for page in pages(session, scope, recursive=recursive):
        entries = yield from page
        found += [(entry, path) for entry in entries if isinstance(entry, ObjectInfo) and wanted.search(path := scope.path_of(entry))]
    return found
