"""Listings of a filesystem: fsspec gives all of a directory, or of a tree, at once; so there is one page."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

from headrace.backends.filesystem.staging import RESERVED
from headrace.backends.fsspec.places import Place, describe, overrides, place
from headrace.backends.protocol import Entry, Page
from headrace.errors import NotFound
from headrace.models import BucketInfo, Prefix
from headrace.uri import Location

__all__ = ["containers", "is_empty", "list_page", "remove_empty_directories"]


def list_page(location: Location, start_after: str | None, *, recursive: bool, follow_links: bool) -> Page:
    """All that has the location's key as a prefix, in key order."""
    directory = place(location.at(location.key[: location.key.rfind("/") + 1]))
    entries: dict[str, Entry] = {}
    for key, told in _found(directory, recursive=recursive, follow_links=follow_links):
        is_prefix = told["type"] == "directory"
        key = f"{key}/" if is_prefix else key
        if key.startswith(location.key) and f"/{RESERVED}" not in f"/{key}" and not _is_before(key, start_after):
            entries[key] = Prefix(location.at(key).uri) if is_prefix else describe(directory, told, key)
    return Page([entries[key] for key in sorted(entries)], None)


def containers(location: Location) -> list[BucketInfo]:
    """The directories in a directory, by name; those of the whole filesystem are its containers."""
    at = place(location)
    if at.path != at.root and not at.filesystem.isdir(at.path):
        raise NotFound("there is no such directory")
    names = sorted(key for key, told in _children(at, follow_links=True) if told["type"] == "directory")
    above = not location.container and not location.key and not at.root.endswith("/")
    return [BucketInfo((Location(location.scheme, key, "") if above else location.at(f"{key}/")).uri) for key in names]


def is_empty(at: Place) -> bool:
    """Whether nothing is in a directory."""
    return not any(True for _ in _children(at, follow_links=False))


def remove_empty_directories(location: Location) -> None:
    """Remove the directories at and below a prefix that hold nothing, as far as the filesystem lets them go."""
    at = place(location)
    if not overrides(type(at.filesystem), "mv"):
        return
    below = [key for key, told in _walk(at, follow_links=False) if told["type"] == "directory"]
    for key in [*reversed(below), *([location.key] if location.key else [])]:
        with contextlib.suppress(OSError, NotImplementedError):
            at.filesystem.rmdir(place(location.at(key)).path)


def _is_before(key: str, start_after: str | None) -> bool:
    if start_after is None or key > start_after:
        return False
    return key == start_after or not (key.endswith("/") and start_after.startswith(key))


def _found(directory: Place, *, recursive: bool, follow_links: bool) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Keys, and what is told of them; what is no directory yields nothing.

    Raises:
        NotFound: the container is missing.
    """
    empty = True
    for item in _tree(directory, follow_links=follow_links) if recursive else _children(directory, follow_links=follow_links):
        empty = False
        yield item
    if empty and directory.root.strip("/") and not directory.filesystem.exists(directory.root):
        raise NotFound("there is no such container", code="NoSuchContainer", uri=directory.location.at("").uri)


def _tree(directory: Place, *, follow_links: bool) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """All objects below a directory: found by the filesystem at once if it can, as object stores can."""
    filesystem = directory.filesystem
    if not overrides(type(filesystem), "find", "_find"):
        # fsspec's own find leaves out what it could not list, without a word.
        yield from (item for item in _walk(directory, follow_links=follow_links) if item[1]["type"] != "directory")
        return
    filesystem.invalidate_cache(directory.path)
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        found = filesystem.find(directory.path, detail=True)
        yield from [(directory.key_of(name), told) for name, told in found.items()]


def _children(directory: Place, *, follow_links: bool) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """What is in a directory, nothing if it is none. A link is told of as what it leads to, or, if links are not followed, as an object."""
    filesystem = directory.filesystem
    filesystem.invalidate_cache(directory.path)
    try:
        listed = filesystem.ls(directory.path, detail=True)
    except (FileNotFoundError, NotADirectoryError):
        return
    for told in listed:
        key = directory.key_of(told["name"].rstrip("/"))
        # Of a file, fsspec lists the file itself.
        if key == directory.key_of(directory.path):
            continue
        if told.get("islink"):
            try:
                told = filesystem.info(told["name"]) if follow_links else {**told, "type": "file"}
            except FileNotFoundError:
                continue
        yield key, told


def _walk(directory: Place, *, follow_links: bool) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """All below a directory, each directory before what is in it; a failure is raised."""
    pending = [directory]
    while pending:
        for key, told in _children(pending.pop(), follow_links=follow_links):
            yield key, told
            if told["type"] == "directory":
                pending.append(place(directory.location.at(f"{key}/")))
