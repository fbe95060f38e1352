"""What the words of a command line mean as locations."""

from __future__ import annotations

import os

from headrace.errors import InvalidURI
from headrace.uri import Location, parse

__all__ = ["as_listed", "as_prefix", "bucket_named", "is_directory", "is_file", "is_local", "is_web", "locate", "name_of"]


def locate(word: str) -> Location:
    """Parse a URI or a path. In a path, as in every shell, ``.`` is the directory itself; URIs are taken literally.

    Raises:
        InvalidURI: it is neither.
    """
    location = parse(word)
    if "://" in word:
        return location
    path = location.key
    kept = "/".join(part for part in path.split("/") if part != ".")
    return location.at(f"{kept}/" if path.endswith("/.") else kept)


def is_local(location: Location) -> bool:
    """Whether this is a path of the file system."""
    return location.scheme in ("file", "direct")


def is_web(location: Location) -> bool:
    """Whether this is a URL: always of one object, whatever characters are in it."""
    return location.scheme in ("http", "https")


def name_of(location: Location) -> str:
    """The last name in a location's path; of a URL without the query, which may hold a signature, and percent-encoded as it is."""
    if not is_web(location):
        return location.key.rpartition("/")[2]
    return location.key.partition("#")[0].partition("?")[0].rpartition("/")[2] or "index.html"


def is_directory(location: Location) -> bool:
    """Whether this is a directory that exists."""
    return is_local(location) and os.path.isdir(location.key)


def is_file(location: Location) -> bool:
    """Whether this is a file that exists."""
    return is_local(location) and os.path.isfile(location.key)


def as_prefix(location: Location) -> Location:
    """What is below a location: ``a/b`` means ``a/b/``, so that ``a/bc`` is not meant."""
    key = location.key
    return location if not key or key.endswith("/") else location.at(f"{key}/")


def as_listed(location: Location) -> Location:
    """The prefix that ``ls`` lists: a directory means what is in it, another prefix is taken literally."""
    return as_prefix(location) if is_directory(location) else location


def bucket_named(word: str) -> Location:
    """The bucket or directory that a word names.

    Raises:
        InvalidURI: it names an object, or nothing.
    """
    location = locate(word)
    if not is_local(location) and (location.key or not location.container):
        raise InvalidURI("this names no bucket", uri=location.uri, hint=f"Write {location.scheme}://bucket.")
    return location
