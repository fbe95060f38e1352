"""What the words of a command line mean as locations."""

from __future__ import annotations

import os

from headrace.uri import Location, parse

__all__ = ["as_listed", "as_prefix", "is_directory", "is_local", "names_service"]


def is_local(location: Location) -> bool:
    """Whether this is a path of the file system."""
    return location.scheme in ("file", "direct")


def is_directory(location: Location) -> bool:
    """Whether this is a directory that exists."""
    return is_local(location) and os.path.isdir(location.key)


def names_service(uri: str) -> bool:
    """Whether this is a service as a whole, such as ``s3://``: what is in it are containers."""
    location = parse(uri)
    return not location.container and not location.key


def as_prefix(location: Location) -> Location:
    """What is below a location: ``a/b`` means ``a/b/``, so that ``a/bc`` is not meant."""
    key = location.key
    return location if not key or key.endswith("/") else location.at(f"{key}/")


def as_listed(uri: str) -> str:
    """The prefix that ``ls`` lists: a directory means what is in it, as in every shell; another URI is taken literally."""
    location = parse(uri)
    if is_directory(location):
        # "." and "dir/." are the directory itself.
        location = as_prefix(location.at(location.key.removesuffix("/.") or "/"))
    return location.uri
