"""The door to fsspec: which filesystem a location is in, under which path, and what that filesystem tells of it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

from headrace.errors import InvalidURI, MissingDependency, NotFound, NotSupported, ProtocolError
from headrace.models import ObjectInfo
from headrace.uri import Location

__all__ = ["Place", "describe", "find_class", "information", "overrides", "place", "place_of_object"]

_TAGS = ("ETag", "etag", "sha", "blob_id")
_TIMES = ("LastModified", "last_modified", "mtime", "updated", "modified", "created")


def find_class(scheme: str) -> type[Any] | None:
    """The class of the filesystem that fsspec knows for a scheme, None if it knows none.

    Raises:
        MissingDependency: fsspec is not installed, or what that filesystem needs.
    """
    try:
        import fsspec  # type: ignore[import-untyped]
    except ImportError:
        what = f"headrace does not know the scheme {scheme!r} itself, and fsspec, which may, is not installed"
        raise MissingDependency(what, hint="pip install 'headrace[fsspec]'") from None
    try:
        kind: type[Any] = fsspec.get_filesystem_class(scheme)
    except ValueError:
        return None
    except ImportError as error:
        raise MissingDependency(f"the filesystem for {scheme!r} cannot be loaded: {error}") from error
    return kind


class Place(NamedTuple):
    """A location as its filesystem sees it.

    Attributes:
        location: what is meant.
        filesystem: the filesystem, whose instances fsspec keeps, for each process and thread by itself where that matters.
        root: its path of the container; empty, or ending with ``/``, where all paths begin so.
        path: its path of the key, without a ``/`` at the end.
    """

    location: Location
    filesystem: Any
    root: str
    path: str

    def key_of(self, name: str) -> str:
        """The key of a path that the filesystem names.

        Raises:
            ProtocolError: it is not in the container.
        """
        base = self.root if not self.root or self.root.endswith("/") else f"{self.root}/"
        if name == self.root:
            return ""
        if not name.startswith(base):
            raise ProtocolError("the file system lists what is not in the container", uri=self.location.uri)
        return name.removeprefix(base).removeprefix("" if self.root else "/")


def place(location: Location) -> Place:
    """Where a location is. Options come from fsspec's configuration, or from the URI where the filesystem reads them from there."""
    kind = find_class(location.scheme)
    if kind is None:
        raise InvalidURI(f"unknown scheme {location.scheme!r}", uri=location.uri)
    filesystem = kind(**kind._get_kwargs_from_urls(location.uri))
    return Place(location, filesystem, kind._strip_protocol(location.at("").uri), kind._strip_protocol(location.uri))


def place_of_object(location: Location, *, to_write: bool = False) -> Place:
    """Where an object is.

    Raises:
        InvalidURI: the filesystem would take its name for another; or it is to be written under a name that is a directory's.
        NotFound: the name is a directory's.
    """
    found = place(location.require_object())
    if location.key.endswith("/"):
        message = "a name that ends with / is a directory's here"
        raise InvalidURI(message, hint="Name the object in it.") if to_write else NotFound(message)
    if found.key_of(found.path) != location.key:
        raise InvalidURI(f"the file system takes this for {found.key_of(found.path)!r}", hint="Choose a name that it keeps.")
    return found


def information(at: Place) -> Mapping[str, Any]:
    """What the filesystem tells of a path, asked anew."""
    at.filesystem.invalidate_cache(at.path)
    told: Mapping[str, Any] = at.filesystem.info(at.path)
    return told


def describe(at: Place, told: Mapping[str, Any] | None = None, key: str | None = None) -> ObjectInfo:
    """The object at a place, or at another key of its container.

    Args:
        at: the place.
        told: what a listing told of it; by default the filesystem is asked.
        key: the key that was listed.

    Raises:
        NotFound: something else than an object is there.
        NotSupported: nobody knows how large it is.
    """
    told = information(at) if told is None else told
    location = at.location if key is None else at.location.at(key)
    if told["type"] == "directory":
        raise NotFound("is a directory, not an object", uri=location.uri, hint="List it with a trailing /.")
    if told.get("size") is None:
        raise NotSupported("the file system does not tell the size of this object", uri=location.uri)
    modified = next((time for name in _TIMES if (time := _as_time(told.get(name))) is not None), None)
    return ObjectInfo(uri=location.uri, size=int(told["size"]), etag=_tag(told, modified), last_modified=modified)


def _tag(told: Mapping[str, Any], modified: datetime | None) -> str | None:
    """The filesystem's word for the version; else one of what changes with it, if there is anything."""
    given = next((told[name] for name in _TAGS if isinstance(told.get(name), str)), None)
    if given is not None or modified is None:
        return given
    microseconds = round(modified.timestamp() * 1e6)
    return f'"{told.get("ino") or 0:x}-{microseconds:x}-{told["size"]:x}"'


def _as_time(value: object) -> datetime | None:
    try:
        if isinstance(value, str):
            value = datetime.fromisoformat(value)
        if isinstance(value, (int, float)):
            value = datetime.fromtimestamp(value, UTC)
    except (ValueError, OverflowError, OSError):
        return None
    return (value if value.tzinfo else value.replace(tzinfo=UTC)) if isinstance(value, datetime) else None


def overrides(kind: type[Any], *names: str) -> bool:
    """Whether a class of filesystems has one of these methods of its own, which fsspec else composes of others."""
    from fsspec.asyn import AsyncFileSystem  # type: ignore[import-untyped]

    return any(getattr(kind, name, None) not in (None, getattr(AsyncFileSystem, name, None)) for name in names)
