"""Listings of a directory tree in the order of an object store: by the bytes of the whole key, a page at a time.

A directory's name is sorted as if it ended with ``/``, so that ``a.b`` comes before ``a/b`` and that before ``a0``. Memory holds the
names of the directories between the root of the listing and the current one, never the tree.
"""

from __future__ import annotations

import errno
import itertools
import os
import stat
from collections.abc import Iterator
from typing import NamedTuple

from headrace.backends.filesystem.failures import translate
from headrace.backends.filesystem.objects import describe
from headrace.backends.filesystem.staging import RESERVED
from headrace.backends.protocol import Entry, Page
from headrace.models import Prefix
from headrace.uri import Location

__all__ = ["PAGE_SIZE", "list_page"]

PAGE_SIZE = 1000
"""Entries in a page."""

_MISSING = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP})
_HIDDEN = RESERVED.encode()


def list_page(location: Location, *, recursive: bool, start_after: str | None, token: str | None, follow_links: bool = True) -> Page:
    """The next page of what has ``location.key`` as a prefix; see `Backend.list_page`.

    Links to files and directories are followed, except into a directory that the walk is in already; with ``follow_links=False``
    a link is an entry of its own, and nothing behind it is listed. What is neither file nor directory, and what vanishes meanwhile, is
    left out. An empty directory shows up as a `Prefix`, as it would in ``ls``.

    Raises:
        PermissionDenied: a directory may not be read.
    """
    walk = token.take_walk() if isinstance(token, _Token) else None
    if walk is None:
        walk = _walk(location.scheme, os.fsencode(location.key), os.fsencode(token or start_after or ""), _Rules(recursive, follow_links))
    entries: list[Entry] = []
    key = b""
    for key, status in itertools.islice(walk, PAGE_SIZE):
        uri = f"{location.scheme}://{os.fsdecode(key)}"
        entries.append(Prefix(uri) if status is None else describe(uri, status))
    return Page(entries, _Token(os.fsdecode(key), walk) if len(entries) == PAGE_SIZE else None)


_Walk = Iterator[tuple[bytes, os.stat_result | None]]


class _Token(str):
    """The last key of a page, which is enough to go on after it.

    The walk that it also carries spares reading the directories again, which would make the listing of n files in one directory
    take n² steps. It serves once: a page that is asked for a second time is found by the key.
    """

    __slots__ = ("_walk",)

    _walk: _Walk | None

    def __new__(cls, key: str, walk: _Walk) -> _Token:
        token = super().__new__(cls, key)
        token._walk = walk
        return token

    def take_walk(self) -> _Walk | None:
        walk, self._walk = self._walk, None
        return walk

    def __reduce__(self) -> tuple[type[str], tuple[str]]:
        return str, (str(self),)


class _Rules(NamedTuple):
    """Into what the walk goes."""

    recursive: bool
    follow_links: bool


class _Level(NamedTuple):
    """A directory that the walk is in: the names that are still to come, those of directories with a ``/``."""

    directory: bytes
    identity: tuple[int, int]
    names: Iterator[bytes]


def _walk(scheme: str, prefix: bytes, after: bytes, rules: _Rules) -> _Walk:
    """Yield the keys behind ``after``, in order, with the status of files, and None for directories that are not walked."""
    end = prefix.rindex(b"/") + 1
    directory, stem = prefix[:end], prefix[end:]
    if after > directory and not after.startswith(directory):
        return
    levels = _enter(scheme, directory, stem, after, [], rules)
    while levels:
        name = next(levels[-1].names, None)
        if name is None:
            levels.pop()
            continue
        key = levels[-1].directory + name
        if not name.endswith(b"/"):
            status = _status(scheme, key, rules)
            if status is not None:
                yield key, status
        elif rules.recursive:
            levels += _enter(scheme, key, b"", after, levels, rules)
        else:
            yield key, None


def _enter(scheme: str, directory: bytes, stem: bytes, after: bytes, levels: list[_Level], rules: _Rules) -> list[_Level]:
    """The level of one directory, or nothing if it has vanished or the walk is in it already."""
    rest = after[len(directory) :] if after.startswith(directory) else b""
    try:
        status = os.stat(directory)
        identity = (status.st_dev, status.st_ino)
        if identity in [level.identity for level in levels]:
            return []
        names = _names(directory, stem, rules)
    except OSError as error:
        if error.errno in _MISSING:
            return []
        raise translate(error, f"{scheme}://{os.fsdecode(directory)}") from error
    names = [name for name in names if name > rest or _holds(name, rest, rules)] if rest else names
    names.sort()
    return [_Level(directory, identity, iter(names))]


def _holds(name: bytes, rest: bytes, rules: _Rules) -> bool:
    """Whether ``name`` is the directory that the listing goes on in. The folded prefix itself ends a page, and is not repeated."""
    return name.endswith(b"/") and rest.startswith(name) and (rules.recursive or rest != name)


def _names(directory: bytes, stem: bytes, rules: _Rules) -> list[bytes]:
    with os.scandir(directory) as entries:
        return [
            entry.name + b"/" if _is_directory(entry, rules) else entry.name
            for entry in entries
            if entry.name.startswith(stem) and not entry.name.startswith(_HIDDEN)
        ]


def _is_directory(entry: os.DirEntry[bytes], rules: _Rules) -> bool:
    try:
        return entry.is_dir(follow_symlinks=rules.follow_links)
    except OSError:
        # A link that leads nowhere; if it matters, it fails again where its status is asked for.
        return False


def _status(scheme: str, key: bytes, rules: _Rules) -> os.stat_result | None:
    """The status of a file, or of a link that is not followed; None if it is neither, or has vanished."""
    try:
        status = os.stat(key, follow_symlinks=rules.follow_links)
    except OSError as error:
        if error.errno in _MISSING:
            return None
        raise translate(error, f"{scheme}://{os.fsdecode(key)}") from error
    return status if stat.S_ISREG(status.st_mode) or stat.S_ISLNK(status.st_mode) else None
