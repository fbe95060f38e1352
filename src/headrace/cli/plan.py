"""What ``cp`` is going to copy: worked out, and checked, as a whole before anything is written."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from headrace import aio
from headrace.cli.locations import as_prefix, is_directory, is_file, is_local
from headrace.errors import InvalidOption, InvalidURI, NotFound
from headrace.models import ObjectInfo
from headrace.uri import Location

__all__ = ["Copy", "destination_of", "plan_below", "plan_one"]


class Copy(NamedTuple):
    """One copy to make, from URI to URI; ``size`` in bytes, as the listing said."""

    source: str
    destination: str
    size: int = 0


def destination_of(source: Location, destination: Location) -> Location:
    """Where one object goes: into a directory or prefix under its own last name, else to just this name."""
    if not is_directory(destination) and not destination.key.endswith("/") and destination.key:
        return destination
    name = source.key.rpartition("/")[2]
    _refuse_unwritable([name], destination)
    return destination.at(f"{as_prefix(destination).key}{name}")


def plan_one(source: Location, destination: Location) -> Copy:
    """The copy of one object.

    Raises:
        InvalidOption: the source is a directory or prefix.
    """
    source.require_object()
    if source.key.endswith("/") or is_directory(source):
        raise InvalidOption("this is a directory or prefix", uri=source.uri, hint="Say -r to copy what is below it.")
    return Copy(source.uri, destination_of(source, destination).uri)


async def plan_below(client: aio.Client, source: Location, destination: Location, pattern: str | None) -> list[Copy]:
    """The copies of everything below a directory or prefix, each to the same path below the destination.

    Raises:
        NotFound: there is nothing below the source.
        InvalidOption: source and destination are the same, or the destination is a file.
        InvalidURI: a key would escape from the destination directory, or cannot be the path of a file.
    """
    top, target = as_prefix(source), as_prefix(destination)
    if top == target:
        raise InvalidOption("source and destination are the same", uri=top.uri)
    if is_file(destination):
        raise InvalidOption("this is a file, not a directory", uri=destination.uri)
    found = [entry async for entry in client.list(top.uri, pattern=pattern) if isinstance(entry, ObjectInfo)]
    if not found and pattern is None and not is_directory(source):
        raise NotFound("there is nothing below this", uri=top.uri)
    copies = list(_copies(found, top, target))
    if is_local(target):
        _refuse_unwritable((copy.destination.removeprefix(target.uri) for copy in copies), target)
    return copies


def _copies(found: Iterable[ObjectInfo], top: Location, target: Location) -> Iterator[Copy]:
    for info in found:
        path = info.uri.removeprefix(top.uri)
        # An empty object whose name ends with "/" is how consoles mark a folder: there is nothing to copy.
        if info.size or (path and not path.endswith("/")):
            yield Copy(info.uri, target.at(f"{target.key}{path}").uri, info.size)


def _refuse_unwritable(paths: Iterable[str], directory: Location) -> None:
    """Refuse keys that are no paths below a directory: the owner of a bucket must not choose which files are overwritten."""
    for path in paths:
        if "\0" in path or not {"", ".", ".."}.isdisjoint(path.split("/")):
            raise InvalidURI(f"the key {path!r} is no path of a file below the destination", uri=directory.uri, hint="Nothing was copied.")
