"""`Path`: one object, prefix, bucket or file as a value, with the manners of `pathlib`."""

from __future__ import annotations

import contextlib
import functools
import io
import os
import re
from collections.abc import Iterable, Iterator
from typing import Any, Self, cast

from headrace import globs
from headrace.client import Client, default_client
from headrace.errors import AlreadyExists, InvalidOption, NotFound, ServiceError
from headrace.models import ObjectInfo
from headrace.uri import URI, Addressed, Location, parse

__all__ = ["Path"]

_LOCAL = frozenset({"file", "direct"})
_MODES = {"r": "rb", "w": "wb", "x": "xb"}


@functools.total_ordering
class Path(Addressed):
    """A URI as a value: it is joined, taken apart and compared without a request, and has the verbs as methods.

    It may be given wherever a URI may be. It is not a `pathlib.Path`, because keys are literal: ``//``, ``..`` and ``%`` are
    themselves, nothing is resolved, and joining never replaces what was there before. A ``/`` at the end, which directories found by
    `iterdir`, `glob` and `walk` have, says that a prefix is meant; ``/`` joins to either.

    Paths are equal if their URIs are, whatever client they use. They are sorted as listings are.

    Args:
        uri: a URI, a path of the file system (which is made absolute), or another `Path`.
        client: what makes the requests; by default the one behind the verbs of `headrace`.

    Raises:
        InvalidURI: it names nothing that there can be.
    """

    __slots__ = ("_client",)

    _client: Client | None

    def __init__(self, uri: URI, *, client: Client | None = None) -> None:
        self.location = parse(uri)
        self._client = client or (uri._client if isinstance(uri, Path) else None)

    # What it is called: no requests.

    @property
    def uri(self) -> str:
        """The URI in its canonical form."""
        return self.location.uri

    @property
    def name(self) -> str:
        """The last name, without a ``/``; empty for a bucket."""
        return self._split()[1]

    @property
    def suffix(self) -> str:
        """The end of the name from its last dot on, ``".gz"``; empty if there is none, or only at the name's beginning or end."""
        dot = self.name.rfind(".")
        return self.name[dot:] if 0 < dot < len(self.name) - 1 else ""

    @property
    def suffixes(self) -> list[str]:
        """All suffixes, ``[".tar", ".gz"]``."""
        name = self.name.lstrip(".")
        return [] if name.endswith(".") else [f".{piece}" for piece in name.split(".")[1:]]

    @property
    def stem(self) -> str:
        """The name without its suffix."""
        return self.name.removesuffix(self.suffix)

    @property
    def parent(self) -> Self:
        """What the name is in; a bucket is its own parent."""
        return self._at(self._split()[0])

    @property
    def parents(self) -> tuple[Self, ...]:
        """The parent, its parent, and so on to the bucket or the file system's root."""
        found, path = [], self
        while (parent := path.parent).location.key != path.location.key:
            found.append(parent)
            path = parent
        return tuple(found)

    @property
    def parts(self) -> tuple[str, ...]:
        """The bucket's URI, or ``file:///``, and the names."""
        rest = self._key_below_root().removesuffix("/")
        return (self._at(self._root).uri, *(rest.split("/") if rest else ()))

    def __truediv__(self, segment: str | os.PathLike[str]) -> Self:
        return self.joinpath(segment)

    def joinpath(self, *segments: str | os.PathLike[str]) -> Self:
        """Add names. They are taken literally, joined by one ``/`` each: one that begins with ``/`` or is ``..`` leads nowhere else."""
        path = self
        for segment in segments:
            if isinstance(segment, Addressed):
                raise TypeError("a path is joined with names, not with another path")
            path = path._joined(os.fspath(segment))
        return path

    def with_name(self, name: str) -> Self:
        """The same with another name.

        Raises:
            InvalidOption: the name is empty or holds a ``/``, or this has none to replace.
        """
        if not self.name or not name or "/" in name:
            raise InvalidOption(f"{name!r} cannot take the place of the name {self.name!r}", uri=self.uri)
        return self.parent._joined(name)

    def with_stem(self, stem: str) -> Self:
        """The same with another stem and the same suffix."""
        return self.with_name(stem + self.suffix)

    def with_suffix(self, suffix: str) -> Self:
        """The same with another suffix, which begins with a dot; with ``""`` without one."""
        if suffix and (not suffix.startswith(".") or suffix == "."):
            raise InvalidOption(f"{suffix!r} is not a suffix", hint="It begins with a dot: '.txt'.")
        return self.with_name(self.stem + suffix)

    def is_relative_to(self, other: URI) -> bool:
        """Whether this is ``other`` or below it."""
        return self._rest_below(parse(other)) is not None

    def relative_to(self, other: URI) -> str:
        """What has to be joined to ``other`` to get here, as text; empty for ``other`` itself.

        Raises:
            InvalidOption: this is not below ``other``.
        """
        rest = self._rest_below(parse(other))
        if rest is None:
            raise InvalidOption(f"not below {parse(other).uri}", uri=self.uri)
        return rest

    def match(self, pattern: str) -> bool:
        """Whether the end of the path matches a glob, or, if the glob has a scheme, all of it. See `glob` for what it may hold."""
        if "://" in pattern:
            return re.fullmatch(globs.translate(pattern), self.uri) is not None
        return re.search(f"(?:\\A|/){globs.translate(pattern)}/?\\Z", self._key_below_root()) is not None

    def __fspath__(self) -> str:
        if self.location.scheme not in _LOCAL:
            raise TypeError(f"{self.uri} is not a local file: use its open(), or copy it to one with headrace.copy()")
        return self.location.key

    def __str__(self) -> str:
        return self.uri

    def __repr__(self) -> str:
        return f"Path({self.uri!r})"

    def __eq__(self, other: object) -> bool:
        return self.location == other.location if isinstance(other, Path) else NotImplemented

    def __lt__(self, other: object) -> bool:
        return self.location < other.location if isinstance(other, Path) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.location)

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (type(self), tuple(self.location), self._client)

    # What is there: each of these makes requests.

    def exists(self) -> bool:
        """Whether there is an object of this name, or something below it as a prefix."""
        return self.is_file() or self.is_dir()

    def is_file(self) -> bool:
        """Whether there is an object, or a file, of just this name."""
        return not self._names_container and self._verbs.exists(self)

    def is_dir(self) -> bool:
        """Whether something is below this as a prefix; or whether it is a directory, or a bucket that exists, empty or not."""
        if self.location.scheme in _LOCAL:
            return os.path.isdir(self.location.key)
        try:
            return any(True for _ in self._entries(self._prefix, recursive=False)) or self._names_container
        except NotFound:
            return False

    def stat(self) -> ObjectInfo:
        """Describe the object; raises `NotFound` for what is only a prefix or a directory."""
        return self._verbs.stat(self)

    def iterdir(self) -> Iterator[Self]:
        """Yield what is just below, in the order of names; prefixes and directories end with ``/``. ``s3://`` yields the buckets."""
        if self._names_service:
            yield from (type(self)(bucket.uri, client=self._client) for bucket in self._verbs.list_containers(self))
            return
        for key in self._entries(self._prefix, recursive=False):
            if key != self._prefix:
                yield self._at(key)

    def glob(self, pattern: str) -> Iterator[Self]:
        """Yield what matches below here, in the order of keys.

        ``*`` and ``?`` stand for characters of one name, ``[...]`` for one of a set, ``**`` for any number of names, none included. With
        a ``/`` at its end the pattern matches only prefixes. Everything below the part before the first special character is listed,
        a page at a time, unless the pattern goes one level deep; a directory with nothing below it is then not found.

        Raises:
            InvalidOption: the pattern is empty, or begins with ``/``.
        """
        if not pattern or pattern.startswith("/"):
            raise InvalidOption(f"{pattern!r} is not a pattern for what is below", uri=self.uri)
        wanted = globs.parse(pattern.removesuffix("/"))
        matches = re.compile(wanted.regex(below=False)).match
        base = self._prefix + wanted.base
        keys = self._entries(self._prefix + wanted.prefix, recursive=not wanted.is_flat)
        for key in keys if wanted.is_flat else _with_prefixes(keys, base):
            is_prefix = key.endswith("/")
            if key != base and matches(key[len(base) :].removesuffix("/")) and (is_prefix or not pattern.endswith("/")):
                yield self._at(key)

    def rglob(self, pattern: str) -> Iterator[Self]:
        """As `glob`, at any depth."""
        return self.glob(f"**/{pattern}")

    def walk(self, *, top_down: bool = True) -> Iterator[tuple[Self, list[str], list[str]]]:
        """Yield, for this and each prefix below it, itself, the names of the prefixes in it, and those of the objects.

        Top down, names that are taken out of the first list are not gone into.
        """
        paths = list(self.iterdir())
        folders = [path.name for path in paths if path.location.key.endswith("/")]
        step = (self, folders, [path.name for path in paths if not path.location.key.endswith("/")])
        if top_down:
            yield step
        for name in folders:
            yield from self._at(f"{self._prefix}{name}/").walk(top_down=top_down)
        if not top_down:
            yield step

    # Bytes and text.

    def open(
        self, mode: str = "r", *, encoding: str | None = None, errors: str | None = None, newline: str | None = None
    ) -> io.TextIOWrapper[Any] | io.BufferedIOBase | io.RawIOBase:
        """Open as a file: ``r``, ``w`` or ``x`` for text, ``rb``, ``wb`` or ``xb`` for bytes; see `headrace.Client.open`.

        Text is UTF-8 unless ``encoding`` says otherwise, whatever the machine's language is. What is written becomes visible, whole, when
        the file is closed, and not at all after an error inside ``with``.

        Raises:
            InvalidOption: another mode, or bytes with options of text.
        """
        letters = mode.replace("t", "") if "b" not in mode else mode.replace("b", "")
        binary = _MODES.get(letters)
        if binary is None or mode.count("b") > 1 or mode.count("t") > 1:
            raise InvalidOption(f"mode {mode!r} is not one of 'r', 'w', 'x', 'rb', 'wb', 'xb'", uri=self.uri)
        file: Any = self._verbs.open(self, cast(Any, binary))
        if "b" not in mode:
            from headrace.transfer.files import TextWriter

            kind = io.TextIOWrapper if letters == "r" else TextWriter
            return kind(file, encoding or "utf-8", errors, newline)
        if (encoding, errors, newline) != (None, None, None):
            raise InvalidOption("encoding, errors and newline are for text", uri=self.uri)
        return cast("io.BufferedIOBase | io.RawIOBase", file)

    def read_bytes(self) -> bytes:
        """All bytes; this copies them once more than `headrace.get`."""
        return self._verbs.read_bytes(self)

    def read_text(self, encoding: str | None = None, errors: str | None = None) -> str:
        """All of it as text, each line ended by a newline; UTF-8 unless ``encoding`` says otherwise."""
        data = io.BytesIO(self._verbs.get(self))
        return io.TextIOWrapper(data, encoding or "utf-8", errors).read()

    def write_bytes(self, data: object) -> int:
        """Write, and give the number of bytes; see `headrace.Client.put`."""
        return self._verbs.put(self, data).size

    def write_text(self, data: str, encoding: str | None = None, errors: str | None = None) -> int:
        """Write text, as UTF-8 unless ``encoding`` says otherwise, and give the number of characters."""
        if not isinstance(data, str):
            raise TypeError(f"data must be str, not {type(data).__name__}")
        self._verbs.put(self, data.encode(encoding or "utf-8", errors or "strict"))
        return len(data)

    # Changes.

    def touch(self, *, exist_ok: bool = True) -> None:
        """Write an empty object if there is none. One that is there stays as it is, its time included."""
        with contextlib.suppress(*([AlreadyExists] if exist_ok else [])):
            self._verbs.put(self, b"", create_only=True)

    def unlink(self, *, missing_ok: bool = False) -> None:
        """Delete the object. A bucket, and what is below a prefix, are never meant.

        Raises:
            NotFound: there is none, where the service tells (not S3), unless ``missing_ok``.
        """
        with contextlib.suppress(*([NotFound] if missing_ok else [])):
            self._verbs.delete(self)

    def rename(self, target: URI) -> Self:
        """Move the object to another name, in place of what is there; see `headrace.Client.move`. Gives the new path.

        Raises:
            InvalidOption: ``target`` is no URI, and this is not a local file: ``path.with_name("new")`` is one.
        """
        if isinstance(target, str) and "://" not in target and self.location.scheme not in _LOCAL:
            raise InvalidOption(f"{target!r} would be a local file", uri=self.uri, hint="Give a URI, or path.with_name(...).")
        self._verbs.move(self, target)
        return type(self)(target, client=self._client)

    def replace(self, target: URI) -> Self:
        """The same as `rename`."""
        return self.rename(target)

    def mkdir(self, *, parents: bool = False, exist_ok: bool = False) -> None:
        """Create a bucket, or a local directory. Prefixes need not be created, and then nothing is done.

        Raises:
            AlreadyExists: it is there, and ``exist_ok`` is not said.
            NotFound: a local directory's parent is missing, and ``parents`` is not said.
        """
        if not self._has_directory:
            return
        if not parents and not self._names_container and not self.parent.is_dir():
            raise NotFound("there is no such directory", uri=self.parent.uri, hint="Say parents=True to make it too.")
        try:
            self._verbs.create_container(self)
        except AlreadyExists:
            if not (exist_ok and self.is_dir()):
                raise

    def rmdir(self) -> None:
        """Delete an empty bucket or local directory. A prefix is gone when nothing is below it, and then nothing is done.

        Raises:
            ServiceError: with the code ``NotEmpty``, something is in it.
        """
        if self._has_directory:
            self._verbs.delete_container(self)
        elif self.is_dir():
            raise ServiceError("something is below this prefix", uri=self.uri, code="NotEmpty", hint="headrace.delete(..., recursive=True)")

    # How it is done.

    @property
    def _verbs(self) -> Client:
        return self._client or default_client()

    @property
    def _root(self) -> str:
        return "/" if self.location.scheme in _LOCAL else ""

    @property
    def _names_service(self) -> bool:
        """Whether this is ``s3://`` or the like, in which the buckets are."""
        return not self.location.container and not self.location.key

    @property
    def _names_container(self) -> bool:
        return self.location.key == self._root

    @property
    def _has_directory(self) -> bool:
        return self._names_container or self.location.scheme in _LOCAL

    @property
    def _prefix(self) -> str:
        """What the keys of all that is below begin with."""
        key = self.location.key
        return key if not key or key.endswith("/") else f"{key}/"

    def _key_below_root(self) -> str:
        return self.location.key.removeprefix(self._root)

    def _at(self, key: str) -> Self:
        path: Self = _restore(type(self), self.location.at(key), self._client)
        return path

    def _split(self) -> tuple[str, str]:
        """The parent's key, and the name. The parent keeps a ``/`` at its end only where a name before it is empty, as in ``a//b``."""
        root, key = self._root, self._key_below_root().removesuffix("/")
        cut = key.rfind("/") + 1
        before_is_empty = key[:cut] == "/" or key[:cut].endswith("//")
        return root + (key[:cut] if before_is_empty else key[: max(cut - 1, 0)]), key[cut:]

    def _joined(self, segment: str) -> Self:
        if self._names_service:
            return type(self)(f"{self.location.scheme}://{segment}", client=self._client)
        return self._at(self._prefix + segment)

    def _rest_below(self, other: Location) -> str | None:
        if self.location.at("") != other.at(""):
            return None
        base, key = Path(other.uri)._prefix, self.location.key
        return "" if key == other.key else key[len(base) :] if key.startswith(base) else None

    def _entries(self, prefix: str, *, recursive: bool) -> Iterator[str]:
        """The keys that begin with a prefix, and, one level deep, the folded ones."""
        listing = self._verbs.list(self.location.at(prefix).uri, recursive=recursive)
        return (parse(entry.uri).key for entry in listing)


def _with_prefixes(keys: Iterable[str], base: str) -> Iterator[str]:
    """Yield keys in their order, and each prefix below ``base`` before the first key that is below it."""
    before = ""
    for key in keys:
        slash = key.find("/", len(base))
        while slash >= 0:
            prefix = key[: slash + 1]
            if not before.startswith(prefix):
                yield prefix
            slash = key.find("/", slash + 1)
        if not key.endswith("/"):
            yield key
        before = key


def _restore(kind: type[Any], location: tuple[Any, ...], client: Client | None) -> Any:
    path = object.__new__(kind)
    path.location = Location(*location)
    path._client = client
    return path
