"""The filesystems. What fsspec expects of one is in https://filesystem-spec.readthedocs.io/en/latest/developer.html."""

from __future__ import annotations

import asyncio
import contextlib
import mmap
import os
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, ClassVar

from headrace import aio, config
from headrace.adapters.fsspec.files import CompressedFile, WrittenFile, read_file
from headrace.adapters.fsspec.options import options_of
from headrace.client import Client
from headrace.errors import AlreadyExists, CredentialsError, InvalidOption, MissingDependency, NotFound, NotSupported
from headrace.models import ObjectInfo, Prefix
from headrace.transfer.files import TextWriter
from headrace.uri import Addressed, parse

try:
    import fsspec  # type: ignore[import-untyped]
    from fsspec import asyn
    from fsspec.callbacks import DEFAULT_CALLBACK  # type: ignore[import-untyped]
    from fsspec.compression import compr  # type: ignore[import-untyped]
    from fsspec.core import get_compression  # type: ignore[import-untyped]
    from fsspec.spec import make_instance  # type: ignore[import-untyped]
except ImportError:
    raise MissingDependency("fsspec is not installed", hint="pip install 'headrace[fsspec]'") from None

__all__ = [
    "AzureFileSystem",
    "DirectFileSystem",
    "GoogleFileSystem",
    "HeadraceFileSystem",
    "LocalFileSystem",
    "MemoryFileSystem",
    "S3FileSystem",
    "register",
]

_RANGES_AT_ONCE = 16

# A fork may leave fsspec's lock held by a thread that is not in the child, which then waits for ever when it makes its loop.
os.register_at_fork(after_in_child=asyn.reset_lock)


class HeadraceFileSystem(asyn.AsyncFileSystem):  # type: ignore[misc]
    """What the filesystems have in common. Paths are those of fsspec: ``bucket/key``, without a scheme and without a ``/`` at the end.

    Nothing is cached but connections. Errors are those of `headrace.errors`, which are the builtins that fsspec's users expect.

    Args:
        asynchronous: the coroutines will be used, in the caller's own event loop.
        loop: the event loop of the blocking methods; by default fsspec's.
        batch_size: operations that fsspec has in flight at once.
        **storage_options: options of `headrace.Client`, or those words of other filesystems that mean the same (``key``, ``secret``,
            ``token``, ``anon``, ``client_kwargs``, ...).

    Raises:
        InvalidOption: an option is unknown, or has no meaning here.
    """

    scheme: ClassVar[str]
    aliases: ClassVar[tuple[str, ...]] = ()
    _pid: int

    def __init__(self, *, asynchronous: bool = False, loop: Any = None, batch_size: int | None = None, **storage_options: Any) -> None:
        self._options = options_of(self.scheme, storage_options)
        super().__init__(asynchronous=asynchronous, loop=loop, batch_size=batch_size)
        self._aio = aio.Client(**self._options)
        self._client = Client(**self._options)

    @property
    def loop(self) -> Any:
        """The event loop of the blocking methods; in a forked child a new one, since the parent's runs only there."""
        if self._pid != os.getpid():
            self._loop = None if self.asynchronous else asyn.get_loop()
            self._pid = os.getpid()
        return self._loop

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle as configuration; `CredentialsError` if there is a secret in it."""
        self._refuse_secrets()
        return make_instance, (type(self), self.storage_args, self.storage_options)

    def to_dict(self, *, include_password: bool = True) -> dict[str, Any]:
        """As fsspec's; `CredentialsError` if there is a secret among the options."""
        self._refuse_secrets()
        described: dict[str, Any] = super().to_dict(include_password=include_password)
        return described

    def to_json(self, *, include_password: bool = True) -> str:
        """As fsspec's; `CredentialsError` if there is a secret among the options."""
        self._refuse_secrets()
        return str(super().to_json(include_password=include_password))

    def _refuse_secrets(self) -> None:
        if "credentials" in self._options:
            hint = "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment of the other process, or name a profile."
            raise CredentialsError("secret and token are not handed on to other processes, nor written down", hint=hint)
        config.portable(self._options)

    @classmethod
    def _strip_protocol(cls, path: Any) -> Any:
        if isinstance(path, list):
            return [cls._strip_protocol(one) for one in path]
        path = path.location.uri if isinstance(path, Addressed) else os.fspath(path)
        scheme, separator, rest = path.partition("://")
        if separator and scheme in (cls.protocol, cls.scheme, *cls.aliases):
            path = rest
        return path.rstrip("/") or cls.root_marker

    # What is there.

    async def _info(self, path: str, **kwargs: Any) -> dict[str, Any]:
        """An object; else a directory, if anything is below."""
        path = self._strip_protocol(path)
        if not self._is_container(path):
            try:
                return self._entry(await self._aio.stat(self._uri(path)))
            except NotFound:
                pass
        if not await self._is_directory(path):
            raise NotFound("there is no such object, and nothing below", uri=self._uri(path))
        return _directory(path)

    async def _is_directory(self, path: str) -> bool:
        """Whether something is below, or this is a bucket; `NotFound` for a bucket that is missing."""
        if path == self.root_marker:
            return True
        entries: Any = self._aio.list(self._prefix(path), recursive=False)
        async with contextlib.aclosing(entries):
            return await anext(entries, None) is not None or self._is_container(path)

    async def _isfile(self, path: str) -> bool:
        # fsspec's own takes every failure for a no.
        try:
            return bool((await self._info(path))["type"] == "file")
        except FileNotFoundError:
            return False

    async def _isdir(self, path: str) -> bool:
        try:
            return bool((await self._info(path))["type"] == "directory")
        except FileNotFoundError:
            return False

    async def _ls(self, path: str, detail: bool = True, **kwargs: Any) -> list[Any]:  # noqa: FBT001, FBT002 - as in fsspec
        path = self._strip_protocol(path)
        entries = await self._children(path)
        if not entries:
            info = await self._info(path)
            entries = [info] if info["type"] == "file" else []
        return entries if detail else [entry["name"] for entry in entries]

    async def _children(self, path: str) -> list[dict[str, Any]]:
        if path == "":
            return [_directory(self._strip_protocol(bucket.uri)) for bucket in await self._aio.list_containers(self._uri(""))]
        found = [self._entry(entry) async for entry in self._aio.list(self._prefix(path), recursive=False)]
        # A marker of the directory itself is not in it; nor is what has an empty name, which no path of fsspec's can say.
        return [entry for entry in found if entry["name"] != path]

    async def _find(
        self,
        path: str,
        maxdepth: int | None = None,
        withdirs: bool = False,  # noqa: FBT001, FBT002 - as in fsspec
        *,
        detail: bool = False,
        prefix: str = "",
        **kwargs: Any,
    ) -> Any:
        """All below a path by one listing. ``prefix`` is what the rest of each path begins with."""
        path = self._strip_protocol(path)
        if path == "":
            return await super()._find(path, maxdepth=maxdepth, withdirs=withdirs, detail=detail)
        start = len(self._prefix(path))
        entries = [entry async for entry in self._aio.list(self._prefix(path) + prefix, recursive=maxdepth != 1)]
        found = {entry["name"]: entry for entry in map(self._entry, entries) if entry["type"] == "file"}
        if withdirs:
            depths = [(entry.uri, at) for entry in entries for at in range(start, len(entry.uri)) if entry.uri[at] == "/"]
            found |= {name: _directory(name) for uri, at in depths if (name := self._strip_protocol(uri[:at])) not in found}
        if maxdepth is not None:
            base = len(path.rstrip("/")) + 1
            found = {name: entry for name, entry in found.items() if name[base:].count("/") < maxdepth}
        if not entries:
            found |= await self._itself(path, withdirs=withdirs)
        elif withdirs and not prefix:
            found[path] = _directory(path)
        return {name: found[name] for name in sorted(found)} if detail else sorted(found)

    async def _itself(self, path: str, *, withdirs: bool) -> dict[str, dict[str, Any]]:
        """What find tells of the path that it begins with: a file is found, and a directory if directories are asked for."""
        try:
            info = await self._info(path)
        except FileNotFoundError:
            return {}
        return {path: info} if withdirs or info["type"] == "file" else {}

    async def _modified(self, path: str) -> datetime | None:
        info = await self._aio.stat(self._uri(self._strip_protocol(path)))
        return info.last_modified

    async def _sign(self, path: str, expiration: int = 100, **kwargs: Any) -> str:
        return await self._aio.presign(self._uri(self._strip_protocol(path)), expires=expiration, **kwargs)

    def modified(self, path: str) -> datetime | None:
        """When an object was written; its time zone is set."""
        time: datetime | None = asyn.sync(self.loop, self._modified, path)
        return time

    # Objects are replaced as a whole, never changed: they are as old as their last write.
    created = modified

    def sign(self, path: str, expiration: int = 100, **kwargs: Any) -> str:
        """A URL with which anybody may read the object, for so many seconds; ``method="PUT"`` lets them write. Treat it as a secret."""
        return str(asyn.sync(self.loop, self._sign, path, expiration, **kwargs))

    # Bytes.

    async def _cat_file(self, path: str, start: int | None = None, end: int | None = None, **kwargs: Any) -> bytes:
        """``data[start:end]``, as Python slices."""
        uri = self._uri(self._strip_protocol(path))
        if (end is not None and end < 0) or (end is not None and start is not None and start < 0):
            start, end, _ = slice(start, end).indices((await self._aio.stat(uri)).size)
        length = None if end is None else max(0, end - (start or 0))
        try:
            return bytes(await self._aio.get(uri, start=start, length=length))
        except InvalidOption:
            if start is None or start < (await self._aio.stat(uri)).size:
                raise
            return b""

    async def _cat_ranges(
        self,
        paths: list[str],
        starts: int | Sequence[int | None] | None,
        ends: int | Sequence[int | None] | None,
        max_gap: int | None = None,
        batch_size: int | None = None,
        on_error: str = "return",
        **kwargs: Any,
    ) -> list[Any]:
        """Ranges of several objects. Those of one object are read in few requests, all of one version; ``max_gap`` is chosen here."""
        if not isinstance(paths, list):
            raise TypeError("paths must be a list")
        begins, finishes = (list(given) if isinstance(given, Iterable) else [given] * len(paths) for given in (starts, ends))
        if not len(paths) == len(begins) == len(finishes):
            raise ValueError("paths, starts and ends must be equally many")
        by_path: dict[str, list[int]] = {}
        for position, path in enumerate(paths):
            by_path.setdefault(path, []).append(position)
        results: list[Any] = [None] * len(paths)
        turn = asyncio.Semaphore(batch_size or self.batch_size or _RANGES_AT_ONCE)

        async def read(path: str, positions: list[int]) -> None:
            async with turn:
                data = await self._ranges_of(path, [(begins[at], finishes[at]) for at in positions])
            for at, piece in zip(positions, data, strict=True):
                results[at] = piece

        await asyncio.gather(*(read(path, positions) for path, positions in by_path.items()))
        failure = next((result for result in results if isinstance(result, Exception)), None)
        if failure is not None and on_error != "return":
            raise failure
        return results

    async def _ranges_of(self, path: str, ranges: list[tuple[int | None, int | None]]) -> list[Any]:
        """The ranges of one object, or for each the reason why not."""
        plain = [(start or 0, end - (start or 0)) for start, end in ranges if end is not None and 0 <= (start or 0) <= end]
        try:
            if len(plain) == len(ranges) > 1:
                views = await self._aio.get_ranges(self._uri(self._strip_protocol(path)), plain)
                return [bytes(view) for view in views]
        except InvalidOption:
            # One of them begins beyond the end.
            pass
        except Exception as error:
            return [error] * len(ranges)
        return await asyncio.gather(*(self._cat_file(path, start, end) for start, end in ranges), return_exceptions=True)

    async def _pipe_file(
        self,
        path: str,
        value: Any,
        mode: str = "overwrite",
        *,
        content_type: str | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        uri = self._uri(self._strip_protocol(path))
        await self._aio.put(uri, value, create_only=mode == "create", content_type=content_type, metadata=metadata)

    async def _put_file(self, lpath: Any, rpath: str, mode: str = "overwrite", callback: Any = DEFAULT_CALLBACK, **kwargs: Any) -> None:
        rpath = self._strip_protocol(rpath)
        if os.path.isdir(lpath):
            await self._makedirs(rpath, exist_ok=True)
            return
        size = os.stat(lpath).st_size
        callback.set_size(size)
        if mode == "create":
            await self._create_from(lpath, rpath, size)
        else:
            await self._aio.copy(_local(lpath), self._uri(rpath))
        callback.relative_update(size)

    async def _create_from(self, lpath: str, rpath: str, size: int) -> None:
        with open(lpath, "rb") as file:
            # An empty file cannot be mapped.
            data = mmap.mmap(file.fileno(), size, prot=mmap.PROT_READ) if size else b""
        await self._aio.put(self._uri(rpath), data, create_only=True)

    async def _get_file(self, rpath: str, lpath: Any, callback: Any = DEFAULT_CALLBACK, **kwargs: Any) -> None:
        rpath = self._strip_protocol(rpath)
        try:
            if hasattr(lpath, "write"):
                data = await self._aio.get(self._uri(rpath))
                lpath.write(data)
                size = len(data)
            else:
                size = (await self._aio.copy(self._uri(rpath), _local(lpath))).size
        except NotFound:
            if hasattr(lpath, "write") or not await self._isdir(rpath):
                raise
            os.makedirs(lpath, exist_ok=True)
            return
        callback.set_size(size)
        callback.relative_update(size)

    async def _cp_file(self, path1: str, path2: str, **kwargs: Any) -> None:
        path1, path2 = self._strip_protocol(path1), self._strip_protocol(path2)
        try:
            await self._aio.copy(self._uri(path1), self._uri(path2))
        except NotFound:
            if not await self._isdir(path1):
                raise
            await self._makedirs(path2, exist_ok=True)

    # Deletions and containers.

    async def _rm_file(self, path: str, **kwargs: Any) -> None:
        await self._aio.delete(self._uri(self._strip_protocol(path)))

    async def _rm(
        self,
        path: Any,
        recursive: bool = False,  # noqa: FBT001, FBT002 - as in fsspec
        batch_size: int | None = None,
        maxdepth: int | None = None,
        **kwargs: Any,
    ) -> None:
        """Delete objects; recursively, also what is below, and a bucket with all that is in it."""
        removed = None
        for name in await self._expand_path(path):
            if not recursive:
                await self._rm_file(name)
            elif maxdepth is not None:
                await self._aio.delete_many([self._uri(one) for one in await self._find(name, maxdepth=maxdepth)])
            elif removed is None or not name.startswith(f"{removed}/"):
                await self._rm_tree(name)
                removed = name

    async def _rm_tree(self, path: str) -> None:
        if path == self.root_marker:
            raise InvalidOption("refusing to delete everything", uri=self._uri(path), hint="Name a bucket or a directory.")
        itself = await self._info(path)
        if itself["type"] == "file":
            await self._rm_file(path)
        await self._aio.delete(self._prefix(path), recursive="bucket" if self._is_container(path) else True)
        if self._is_container(path):
            await self._rmdir(path)

    async def _mkdir(self, path: str, create_parents: bool = True, **kwargs: Any) -> None:  # noqa: FBT001, FBT002 - as in fsspec
        """Create a bucket, or a directory of the local file system; elsewhere directories are there when something is in them."""
        path = self._strip_protocol(path)
        if self._is_container(path) or self.root_marker:
            if not create_parents and self.root_marker and not await self._isdir(self._parent(path)):
                raise NotFound("there is no such directory", uri=self._uri(self._parent(path)))
            await self._aio.create_container(self._uri(path))

    async def _makedirs(self, path: str, exist_ok: bool = False) -> None:  # noqa: FBT001, FBT002 - as in fsspec
        try:
            await self._mkdir(path)
        except AlreadyExists:
            if not (exist_ok and await self._isdir(path)):
                raise

    async def _rmdir(self, path: str) -> None:
        path = self._strip_protocol(path)
        if self._is_container(path) or self.root_marker:
            await self._aio.delete_container(self._uri(path))

    # Files.

    def open(self, path: str, mode: str = "rb", **kwargs: Any) -> Any:
        """As fsspec's. Text, and what is compressed, is not published either when an error ends ``with``."""
        letters = mode.replace("b", "").replace("t", "")
        if letters not in ("w", "x"):
            return super().open(path, mode, **kwargs)
        compression = get_compression(path, kwargs.pop("compression", None))
        text = [kwargs.pop(name, None) for name in ("encoding", "errors", "newline")] if "b" not in mode else []
        file = super().open(path, f"{letters}b", **kwargs)
        if compression is not None:
            file = CompressedFile(file, compr[compression](file, mode="w"))
        return file if "b" in mode else TextWriter(file, *text)

    def _open(
        self,
        path: str,
        mode: str = "rb",
        block_size: int | None = None,
        autocommit: bool = True,  # noqa: FBT001, FBT002 - as in fsspec
        cache_options: Any = None,
        **kwargs: Any,
    ) -> Any:
        """A file; ``block_size`` is that of the requests of small reads, by default 4 MiB. What fsspec would cache is not kept."""
        uri = self._uri(path)
        if mode == "rb":
            return read_file(self, path, self._client.open(uri, block_size=block_size or self.blocksize))
        if mode == "xb" and self._client.exists(uri):
            # Again when it is published; fsspec's users expect to be told now.
            raise AlreadyExists("an object of this name is there", uri=uri)
        if mode not in ("wb", "xb"):
            raise NotSupported(f"mode {mode!r} is not one of 'rb', 'wb', 'xb'", uri=uri, hint="Objects are written as a whole.")
        return WrittenFile(self, path, mode, self._client.open(uri, "xb" if mode == "xb" else "wb"), autocommit=autocommit)

    async def open_async(self, path: str, mode: str = "rb", **kwargs: Any) -> aio.AsyncFile:
        """A file with coroutine methods, for ``async with``."""
        if mode not in ("rb", "wb", "xb"):
            raise NotSupported(f"mode {mode!r} is not one of 'rb', 'wb', 'xb'", uri=self._uri(path))
        return self._aio.open(self._uri(self._strip_protocol(path)), mode)  # type: ignore[arg-type]

    # Names.

    def _uri(self, path: str) -> str:
        return f"{self.scheme}://{path}"

    def _prefix(self, path: str) -> str:
        """The URI of what is below a path."""
        return f"{self._uri(path).rstrip('/')}/" if path != "/" else self._uri("/")

    def _is_container(self, path: str) -> bool:
        return "/" not in path.strip("/") and not self.root_marker

    def _entry(self, found: ObjectInfo | Prefix) -> dict[str, Any]:
        """What fsspec calls an info."""
        name = self._strip_protocol(found.uri)
        if isinstance(found, Prefix) or found.uri.endswith("/"):
            return _directory(name)
        modified = found.last_modified
        return {
            "name": name,
            "size": found.size,
            "type": "file",
            "ETag": found.etag,
            "LastModified": modified,
            "mtime": modified.timestamp() if modified else None,
            "ContentType": found.content_type,
            "StorageClass": found.storage_class,
            "VersionId": found.version_id,
        }


class S3FileSystem(HeadraceFileSystem):
    """``s3://``."""

    protocol = "headrace+s3"
    scheme = "s3"
    aliases = ("s3a",)


class GoogleFileSystem(HeadraceFileSystem):
    """``gs://``."""

    protocol = "headrace+gs"
    scheme = "gs"
    aliases = ("gcs",)


class AzureFileSystem(HeadraceFileSystem):
    """``az://``."""

    protocol = "headrace+az"
    scheme = "az"
    aliases = ("azure",)


class MemoryFileSystem(HeadraceFileSystem):
    """``memory://``."""

    protocol = "headrace+memory"
    scheme = "memory"


class LocalFileSystem(HeadraceFileSystem):
    """``file://``; paths are absolute."""

    protocol = "headrace+file"
    scheme = "file"
    root_marker = "/"

    @classmethod
    def _strip_protocol(cls, path: Any) -> Any:
        found = super()._strip_protocol(path)
        return found if isinstance(found, list) or found.startswith("/") else os.path.join(os.getcwd(), found)

    async def _is_directory(self, path: str) -> bool:
        return await asyncio.to_thread(os.path.isdir, path)


class DirectFileSystem(LocalFileSystem):
    """``direct://``; paths are absolute."""

    protocol = "headrace+direct"
    scheme = "direct"


_CLASSES: Mapping[str, type[HeadraceFileSystem]] = {"s3": S3FileSystem, "gs": GoogleFileSystem, "az": AzureFileSystem}


def register(*schemes: str) -> None:
    """Let fsspec use headrace for ``s3``, ``gs`` and ``az``, or for those of them that are named, in this process.

    Filesystems that were made before stay what they are.

    Raises:
        InvalidOption: a scheme is none of these.
    """
    for scheme in schemes or _CLASSES:
        if scheme not in _CLASSES:
            raise InvalidOption(f"{scheme!r} is not one of {', '.join(_CLASSES)}")
        for name in (scheme, *_CLASSES[scheme].aliases):
            fsspec.register_implementation(name, _CLASSES[scheme], clobber=True)


def _directory(path: str) -> dict[str, Any]:
    return {"name": path, "size": 0, "type": "directory"}


def _local(path: Any) -> str:
    return parse(f"file://{os.path.abspath(os.fspath(path))}").uri
