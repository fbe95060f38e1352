"""What is going to be copied: worked out, and checked, as a whole before anything is written."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from headrace.backends.filesystem.staging import RESERVED
from headrace.cli.locations import as_prefix, is_directory, is_file, is_local
from headrace.cli.sources import Found
from headrace.errors import InvalidOption, InvalidURI, without_secrets
from headrace.models import ObjectInfo
from headrace.uri import Location

__all__ = ["Copy", "plan"]

# What nearly all file systems allow, in bytes.
_LONGEST_NAME = 255
_LONGEST_PATH = 4095

_UNTOUCHED = "Nothing was copied."


class Copy(NamedTuple):
    """One copy to make, from URI to URI; ``size`` in bytes, as the listing said, -1 if it could not say."""

    source: str
    destination: str
    size: int = 0


def plan(found: Sequence[Found], destination: Location) -> list[Copy]:
    """The copies, of one object to just the destination's name, of all else to the same paths below it.

    With several sources, each prefix and directory keeps its own name, unless it was written with a ``/`` at its end.

    Raises:
        InvalidOption: two sources have the same destination, or a source is its own, or another's; or the destination is no directory
            or prefix and would have to be one.
        InvalidURI: a key would escape from the destination directory, or cannot be the path of a file.
    """
    if len(found) == 1 and found[0].base is None and _is_name(destination):
        copies = [Copy(info.uri, destination.uri, info.size) for info, _ in found[0].entries]
    else:
        _require_directory(destination, len(found))
        target = as_prefix(destination)
        copies = list(_copies(found, target))
        if is_local(target):
            _refuse_unwritable((copy.destination.removeprefix(target.uri) for copy in copies), target)
    _refuse_collisions(copies)
    return copies


def _is_name(destination: Location) -> bool:
    """Whether an object can get just this name."""
    return bool(destination.key) and not destination.key.endswith("/") and not is_directory(destination)


def _require_directory(destination: Location, sources: int) -> None:
    if is_file(destination.at(destination.key.rstrip("/"))):
        raise InvalidOption("this is a file, not a directory", uri=destination.uri, hint=_UNTOUCHED)
    if sources > 1 and _is_name(destination):
        raise InvalidOption("several sources go into a directory or prefix", uri=destination.uri, hint="Write it with a / at the end.")


def _copies(found: Sequence[Found], target: Location) -> Iterator[Copy]:
    for one in found:
        if one.base is not None and one.base == target:
            raise InvalidOption("source and destination are the same", uri=target.uri)
        name = _kept_name(one) if len(found) > 1 else ""
        for info, path in one.entries:
            if not _is_marker(info, path) or not is_local(target):
                yield Copy(info.uri, target.at(f"{target.key}{name}{path}").uri, info.size)


def _kept_name(one: Found) -> str:
    if one.base is None or one.is_glob or os.path.basename(one.word) in ("", ".", ".."):
        return ""
    name = one.base.key.rstrip("/").rpartition("/")[2]
    return f"{name}/" if name else ""


def _is_marker(info: ObjectInfo, path: str) -> bool:
    """Whether this is an empty object by which a console marks a folder: no file can have its name."""
    return info.size == 0 and (not path or path.endswith("/"))


def _refuse_collisions(copies: Sequence[Copy]) -> None:
    """Refuse what would lose data: two copies of one name, and a copy over what is itself to be copied."""
    sources = {copy.source for copy in copies}
    taken: dict[str, str] = {}
    for copy in copies:
        other = taken.setdefault(copy.destination, copy.source)
        if other != copy.source:
            raise InvalidOption(
                f"both {without_secrets(other)} and {without_secrets(copy.source)} would be written to this",
                uri=copy.destination,
                hint=_UNTOUCHED,
            )
        if copy.destination in sources or _same_file(copy):
            raise InvalidOption("this is a source and a destination at the same time", uri=copy.destination, hint=_UNTOUCHED)


def _same_file(copy: Copy) -> bool:
    """Whether both ends are one file, by whatever paths."""
    source, destination = (uri.partition("://") for uri in copy[:2])
    if source[0] not in ("file", "direct") or destination[0] not in ("file", "direct"):
        return False
    try:
        return os.path.samefile(source[2], destination[2])
    except OSError:
        return False


def _refuse_unwritable(paths: Iterable[str], directory: Location) -> None:
    """Refuse keys that are no paths below a directory: the owner of a bucket must not choose which files are overwritten."""
    for path in paths:
        reason = _unwritable(path, directory)
        if reason:
            raise InvalidURI(f"the key {_shortened(path)} {reason}", uri=directory.uri, hint=_UNTOUCHED)


def _unwritable(path: str, directory: Location) -> str | None:
    names = path.split("/")
    if "\0" in path or not {"", ".", ".."}.isdisjoint(names):
        return "is no path of a file below the destination"
    if any(name.startswith(RESERVED) for name in names):
        return f"has a name that is kept for unfinished writes ({RESERVED}*)"
    encoded = os.fsencode(path)
    if max(map(len, encoded.split(b"/"))) > _LONGEST_NAME or len(os.fsencode(directory.key)) + len(encoded) > _LONGEST_PATH:
        return "is too long for a path below the destination"
    return None


def _shortened(path: str) -> str:
    return repr(path if len(path) <= 120 else f"{path[:100]}...")
