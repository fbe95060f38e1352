"""Directories, which object stores do not have: as containers, and as what remains when the last file is gone."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

from headrace.backends.filesystem.staging import RESERVED, split
from headrace.models import BucketInfo
from headrace.uri import Location

__all__ = ["below", "children", "remove_empty"]


def below(location: Location) -> Iterator[str]:
    """Yield the directories at and below a prefix, each before those in it, without following links; all end with ``/``.

    A prefix without a ``/`` at its end begins in the directory that it is in, which is yielded too, as are those that drafts are
    staged in.
    """
    top, stem = split(location.key)
    pending = [top]
    while pending:
        directory = pending.pop()
        yield directory
        wanted = (stem, RESERVED) if directory == top else ""
        with contextlib.suppress(FileNotFoundError, NotADirectoryError), os.scandir(directory) as entries:
            found = [entry.name for entry in entries if entry.name.startswith(wanted) and entry.is_dir(follow_symlinks=False)]
            pending += [f"{directory}{name}/" for name in found]


def remove_empty(location: Location) -> None:
    """Remove the directories at and below a prefix that hold nothing, as far as the system lets them go."""
    for directory in reversed(list(below(location))):
        if directory.startswith(location.key):
            with contextlib.suppress(OSError):
                os.rmdir(directory)


def children(location: Location) -> list[BucketInfo]:
    """The directories in a directory, by name."""
    path = location.key if location.key.endswith("/") else f"{location.key}/"
    with os.scandir(path) as entries:
        names = sorted([entry.name for entry in entries if entry.is_dir() and not entry.name.startswith(RESERVED)])
    return [BucketInfo(uri=location.at(f"{path}{name}/").uri) for name in names]
