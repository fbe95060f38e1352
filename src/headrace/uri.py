"""URIs, and templates that stand for many of them.

Keys are taken literally: nothing is decoded, normalised or folded, so every key that a service can hold has one URI.
"""

from __future__ import annotations

import functools
import math
import os
import re
from collections.abc import Iterator
from typing import NamedTuple, TypeAlias

from headrace.errors import InvalidURI

__all__ = ["OWN_SCHEMES", "URI", "Addressed", "Location", "expand", "parse"]

URI: TypeAlias = "str | os.PathLike[str]"

_ALIASES = {"s3a": "s3", "gcs": "gs", "azure": "az"}
_LOCAL = frozenset({"file", "direct"})
_WEB = frozenset({"http", "https"})
_END_OF_HOST = re.compile(r"[/?#]")

OWN_SCHEMES = frozenset({"s3", "gs", "az", "file", "direct", "memory", "http", "https"})
"""The canonical schemes whose form is known here. Of any other only the scheme is looked at: what follows is its service's matter."""

_CONTAINER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*")
_MISTYPED = re.compile(r"(s3a?|gcs|gs|az|abfss?|https?|file|direct|memory):/?(?!/)")


class Location(NamedTuple):
    """A parsed URI.

    Attributes:
        scheme: the canonical scheme: ``s3a`` is ``s3``, ``gcs`` is ``gs``, ``abfs[s]`` and ``azure`` are ``az``.
        container: bucket or container; empty for local files; host and port for ``http(s)``.
        key: the object's name, literally; an absolute path for local files. Empty, or ending with ``/``: a prefix. For ``http(s)`` all that
            follows the host and its ``/``: path, query and fragment, any of which may be empty.
        account: the storage account, where the URI names it (``abfs[s]``, and ``az://account/container/key``).
        account_first: whether the URI is of the form ``az://account/container/key``.
    """

    scheme: str
    container: str
    key: str
    account: str = ""
    account_first: bool = False

    def __repr__(self) -> str:
        if self.scheme in _WEB:
            # A user name and a query may hold what lets anybody in.
            return f"Location({self.scheme!r}, {self.container.rpartition('@')[2]!r}, {self.key.partition('?')[0]!r}, ...)"
        return f"Location({', '.join(map(repr, self if self.account else self[:3]))})"

    @property
    def uri(self) -> str:
        """The URI in its canonical form."""
        if self.scheme in _LOCAL:
            return f"{self.scheme}://{self.key}"
        if self.account_first:
            return f"{self.scheme}://{self.account}/{self.container}/{self.key}" if self.container else f"{self.scheme}://{self.account}/"
        if self.account:
            return f"abfss://{self.container}@{self.account}.dfs.core.windows.net/{self.key}"
        return f"{self.scheme}://{self.container}/{self.key}"

    def at(self, key: str) -> Location:
        """Another key of the same container."""
        return Location(self.scheme, self.container, key, self.account, self.account_first)

    def with_account_first(self) -> Location:
        """The same URI, read as ``az://account/container/key``.

        Raises:
            InvalidURI: what is in the place of the container cannot be one.
        """
        container, _, key = self.key.partition("/")
        if not _is_container(container) and self.key:
            hint = "Write az://account/container/key."
            raise InvalidURI(f"{container!r} cannot name a container, and the account comes first", uri=self.uri, hint=hint)
        return Location(self.scheme, container, key, self.container, account_first=True)

    def require_object(self) -> Location:
        """This location, if it can name an object.

        Raises:
            InvalidURI: it names a container or the service.
        """
        if self.scheme in _WEB:
            return self
        if not self.key or (self.scheme in _LOCAL and self.key == "/"):
            raise InvalidURI("this names no object", uri=self.uri, hint="Add a key: scheme://container/key.")
        return self


class Addressed:
    """What has a location and may be given wherever a URI may be: the base of `headrace.Path`."""

    __slots__ = ("location",)

    location: Location


def parse(uri: URI) -> Location:
    """Parse a URI, a bare path or a path object; relative paths are made absolute.

    Raises:
        InvalidURI: no container, or one with impossible characters; a relative ``file://`` URI; NUL in a path; a scheme without ``//``.
        TypeError: not a string or path.
    """
    if not isinstance(uri, str):
        return uri.location if isinstance(uri, Addressed) else _parse_path("file", os.fspath(uri))
    scheme, separator, rest = uri.partition("://")
    if not separator:
        if ":" in uri and (mistyped := _MISTYPED.match(uri)) is not None:
            hint = f"Write {mistyped[1]}://..., or ./{mistyped[1]}:... for a file of this name."
            raise InvalidURI(f"a URI that lacks a slash after {mistyped[1]}:", uri=uri, hint=hint)
        return _parse_path("file", uri)
    scheme = _ALIASES.get(scheme, scheme)
    if scheme in _LOCAL:
        return _parse_path(scheme, rest.removeprefix("localhost"), uri)
    if scheme in ("abfs", "abfss"):
        return _parse_abfs(uri, rest)
    if scheme in _WEB:
        return _parse_url(scheme, rest, uri)
    container, _, key = rest.partition("/")
    if scheme not in OWN_SCHEMES:
        return _parse_foreign(uri, scheme, container, key)
    if not _is_container(container) and (container or key):
        # What has a colon may be keys before the name of the bucket, as some programs write them.
        named = "this" if ":" in container else repr(container)
        what = f"{named} cannot name a bucket or container" if container else "no bucket or container in the URI"
        raise InvalidURI(what, uri=uri, hint="Write scheme://container/key.")
    return Location(scheme, container, key)


def _parse_foreign(uri: str, scheme: str, container: str, key: str) -> Location:
    """What another library serves, and may write as it likes: ``github://org:repository@branch/path``."""
    if not _is_scheme(scheme):
        raise InvalidURI(f"{scheme[:40]!r} is not a URI scheme", uri=uri)
    if "::" in container or "::" in key:
        raise InvalidURI("chained URIs are not supported", uri=uri, hint="Open the inner one by itself: scheme://container/key.")
    return Location(scheme, container, key)


@functools.lru_cache(maxsize=256)
def _is_container(name: str) -> bool:
    return _CONTAINER.fullmatch(name) is not None


@functools.lru_cache(maxsize=64)
def _is_scheme(name: str) -> bool:
    return _SCHEME.fullmatch(name) is not None


def _parse_path(scheme: str, path: str, uri: str | None = None) -> Location:
    if not isinstance(path, str):
        raise TypeError(f"a path must be text, not {type(path).__name__}")
    if not path:
        raise InvalidURI("an empty path", uri=uri)
    if "\0" in path:
        raise InvalidURI("a path cannot hold NUL", uri=(uri or path).replace("\0", "\\0"))
    if not path.startswith("/"):
        if uri is not None:
            raise InvalidURI("a relative path in a URI", uri=uri, hint=f"Write {scheme}:///absolute/path, or the bare path.")
        directory = path.endswith("/")
        path = os.path.join(os.getcwd(), path.removeprefix("./"))
        path = path if not directory or path.endswith("/") else f"{path}/"
    return Location(scheme, "", path)


def _parse_url(scheme: str, rest: str, uri: str) -> Location:
    end = _END_OF_HOST.search(rest)
    host, after = (rest, "") if end is None else (rest[: end.start()], rest[end.start() :])
    if not host.rpartition("@")[2]:
        raise InvalidURI("no host in the URL", uri=uri)
    return Location(scheme, host, after.removeprefix("/"))


def _parse_abfs(uri: str, rest: str) -> Location:
    authority, _, key = rest.partition("/")
    container, at, host = authority.partition("@")
    if not _is_container(container) or (at and not host):
        raise InvalidURI("not of the form abfs[s]://container@account.dfs.core.windows.net/path", uri=uri)
    return Location("az", container, key, host.partition(".")[0])


_SEQUENCE = re.compile(r"\{([0-9]{1,18})\.\.\.?([0-9]{1,18})\}")


def expand(template: str) -> Iterator[str]:
    """Yield what a template stands for, in order, the last sequence fastest.

    ``{000..127}`` counts with its zero padding kept, ``{1...8}`` is the same with three dots, several sequences make a product,
    and counting goes down if the first number is the larger. Text without a sequence stands for itself, and so does a number of more than
    18 digits.

    >>> list(expand("s3://b/{08..10}.npz"))
    ['s3://b/08.npz', 's3://b/09.npz', 's3://b/10.npz']
    """
    texts = _SEQUENCE.split(template)
    sequences = [_Sequence(first, last) for first, last in zip(texts[1::3], texts[2::3], strict=True)]
    # One at a time, since a template can stand for more than memory holds.
    for turn in range(math.prod(sequence.count for sequence in sequences)):
        rest, pieces = turn, texts[0::3]
        for position in range(len(sequences) - 1, -1, -1):
            rest, number = divmod(rest, sequences[position].count)
            pieces[position] += sequences[position].spelled(number)
        yield "".join(pieces)


class _Sequence:
    """The numbers from ``first`` to ``last``, with their padding."""

    def __init__(self, first: str, last: str) -> None:
        padded = any(len(number) > 1 and number[0] == "0" for number in (first, last))
        self._width = max(len(first), len(last)) if padded else 0
        self._first = int(first)
        self._step = 1 if int(first) <= int(last) else -1
        self.count = abs(int(last) - int(first)) + 1

    def spelled(self, number: int) -> str:
        return str(self._first + number * self._step).zfill(self._width)
