"""The verbs as coroutines and asynchronous iterators, under the same names as in `headrace`.

    from headrace import aio

    data = await aio.get("s3://bucket/key")
    async for item in aio.get_many(uris):
        ...

Everything runs in the caller's event loop; files and hashing of large bodies go to the loop's executor. Cancelling a task ends
its requests and cleans up behind them. When the loop ends, the connections are closed.
"""

from __future__ import annotations

import asyncio
import builtins
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Mapping, Sequence
from typing import Any, Literal, Self

from headrace import memory
from headrace.backends.protocol import Fetched
from headrace.errors import NotFound
from headrace.http.asynchronous import run_async, wait_undisturbed
from headrace.http.effects import Operation
from headrace.models import BucketInfo, Item, ObjectInfo, Prefix
from headrace.transfer import batches, reading, writing
from headrace.transfer.batch import run_batch_async
from headrace.transfer.listing import Lister
from headrace.transfer.session import Configured, Session
from headrace.uri import URI

__all__ = [
    "AsyncFile",
    "Client",
    "copy",
    "create_container",
    "delete",
    "delete_container",
    "delete_many",
    "exists",
    "get",
    "get_many",
    "get_ranges",
    "list",
    "list_containers",
    "move",
    "open",
    "presign",
    "put",
    "put_many",
    "read_bytes",
    "read_text",
    "stat",
    "stat_many",
]

_BLOCK_SIZE = 8 << 20
_UNTIL_INTERRUPTED_AGAIN = 0.05


class Client(Configured):
    """The asyncio twin of `headrace.Client`, with the same options; one client may serve several loops."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections of the running loop, and those of files. The client can be used again."""
        if self._opened is not None:
            self._opened.close_here()
            await asyncio.to_thread(self._opened.close)

    async def _run(self, operation: Operation[Any]) -> Any:
        return await run_async(operation, self._session.transport_here())

    async def get(self, uri: URI, *, start: int | None = None, length: int | None = None, into: object = None) -> memoryview:
        """Read an object, or a range of it; see `headrace.Client.get`."""
        fetched: Fetched = await self._run(self._session.fetch(uri, start=start, length=length, into=into))
        return fetched.data

    async def read_bytes(self, uri: URI) -> bytes:
        """Read an object as ``bytes``; this copies it once more than `get`."""
        return bytes(await self.get(uri))

    async def read_text(self, uri: URI, encoding: str = "utf-8") -> str:
        """Read an object as text; this copies it once more than `get`."""
        return str(await self.get(uri), encoding)

    async def get_ranges(self, uri: URI, ranges: Iterable[tuple[int, int]]) -> builtins.list[memoryview]:
        """Read several ranges of one version of an object; see `headrace.Client.get_ranges`."""
        session = self._session
        store, location = session.locate_object(uri)
        found: builtins.list[memoryview] = await self._run(reading.fetch_ranges(store, location, session.read_plan, builtins.list(ranges)))
        return found

    def get_many(
        self,
        uris: Iterable[URI] | AsyncIterable[URI],
        *,
        concurrency: int | None = None,
        ordered: bool = False,
        on_error: Literal["raise", "yield"] = "raise",
    ) -> AsyncIterator[Item]:
        """Read many objects, several at once, in bounded memory; see `headrace.Client.get_many`."""
        session = self._session
        return run_batch_async(session, batches.gets(session, concurrency=concurrency, ordered=ordered, on_error=on_error), uris)

    async def put(
        self,
        uri: URI,
        data: object,
        *,
        if_match: str | None = None,
        create_only: bool = False,
        content_type: str | None = None,
        metadata: Mapping[str, str] | None = None,
        storage_class: str | None = None,
    ) -> ObjectInfo:
        """Write an object; see `headrace.Client.put`. Cancelled, it leaves nothing behind."""
        session = self._session
        store, location = session.locate_object(uri)
        options = batches.write_options(
            if_match=if_match, create_only=create_only, content_type=content_type, metadata=metadata, storage_class=storage_class
        )
        info: ObjectInfo = await self._run(writing.store_body(store, location, memory.source(data), options, session.write_plan))
        return info

    def put_many(
        self,
        items: Iterable[tuple[URI, object]] | AsyncIterable[tuple[URI, object]],
        *,
        concurrency: int | None = None,
        on_error: Literal["raise", "yield"] = "raise",
    ) -> AsyncIterator[Item]:
        """Write many objects, several at once; see `headrace.Client.put_many`."""
        session = self._session
        return run_batch_async(session, batches.puts(session, concurrency=concurrency, on_error=on_error), items)

    async def stat(self, uri: URI) -> ObjectInfo:
        """Describe an object without reading it."""
        store, location = self._session.locate_object(uri)
        info: ObjectInfo = await self._run(store.head(location))
        return info

    def stat_many(
        self,
        uris: Iterable[URI] | AsyncIterable[URI],
        *,
        concurrency: int | None = None,
        ordered: bool = False,
        on_error: Literal["raise", "yield"] = "raise",
    ) -> AsyncIterator[Item]:
        """Describe many objects, several at once; see `headrace.Client.stat_many`."""
        session = self._session
        return run_batch_async(session, batches.stats(session, concurrency=concurrency, ordered=ordered, on_error=on_error), uris)

    async def exists(self, uri: URI) -> bool:
        """Whether there is such an object. Only "not found" is False: no permission or no connection raises."""
        try:
            await self.stat(uri)
        except NotFound:
            return False
        return True

    async def list(
        self, uri: URI, *, recursive: bool = True, pattern: str | None = None, start_after: str | None = None
    ) -> AsyncIterator[ObjectInfo | Prefix]:
        """List objects, a page at a time; see `headrace.Client.list`."""
        store, location = self._session.locate(uri)
        lister = Lister(store, location, recursive=recursive, pattern=pattern, start_after=start_after)
        while not lister.exhausted:
            for entry in await self._run(lister.next_page()):
                yield entry

    async def delete(self, uri: URI, *, recursive: bool | Literal["bucket"] = False, pattern: str | None = None) -> int:
        """Delete an object, or everything below a prefix; see `headrace.Client.delete`."""
        from headrace.transfer import deleting

        deleted: int = await self._run(deleting.delete(self._session, uri, recursive, pattern))
        return deleted

    async def delete_many(self, uris: Iterable[URI]) -> int:
        """Delete objects, many in one request where the service can; see `headrace.Client.delete_many`."""
        from headrace.transfer import deleting

        deleted: int = await self._run(deleting.delete_all(self._session, uris))
        return deleted

    async def copy(self, source: URI, destination: URI) -> ObjectInfo:
        """Copy an object; see `headrace.Client.copy`."""
        from headrace.transfer import copying

        info: ObjectInfo = await self._run(copying.copy(self._session, source, destination))
        return info

    async def move(self, source: URI, destination: URI) -> ObjectInfo:
        """Copy an object, then delete the source."""
        from headrace.transfer import copying

        info: ObjectInfo = await self._run(copying.move(self._session, source, destination))
        return info

    def open(self, uri: URI, mode: Literal["rb", "wb", "xb"] = "rb", *, block_size: int = _BLOCK_SIZE) -> AsyncFile:
        """Open an object as a file with coroutine methods; use it with ``async with``. See `headrace.Client.open`."""
        return AsyncFile(self._session, uri, mode, block_size)

    async def presign(self, uri: URI, *, method: str = "GET", expires: int = 3600) -> str:
        """A URL with which anybody may do one thing with one object, for ``expires`` seconds. Treat it as a secret."""
        store, location = self._session.locate_object(uri)
        url: str = await self._run(store.presign(location, method=method, expires=expires))
        return url

    async def create_container(self, uri: URI) -> None:
        """Create a bucket, container or directory."""
        store, location = self._session.locate(uri)
        await self._run(store.create_container(location))

    async def delete_container(self, uri: URI) -> None:
        """Delete an empty bucket, container or directory."""
        store, location = self._session.locate(uri)
        await self._run(store.delete_container(location))

    async def list_containers(self, uri: URI) -> builtins.list[BucketInfo]:
        """The buckets or containers that one may list, such as those of ``s3://``."""
        store, location = self._session.locate(uri)
        found: Sequence[BucketInfo] = await self._run(store.list_containers(location))
        return builtins.list(found)


class AsyncFile:
    """A file whose methods are coroutines; the same rules as for the files of `headrace.open`.

    The work is done in the loop's executor, by the blocking file, one call after another. A call that is cancelled ends soon; after
    that a file that is read can be read on, and one that is written be given up.
    """

    def __init__(self, session: Session, uri: URI, mode: str, block_size: int) -> None:
        self._arguments = (session, uri, mode, block_size)
        self._file: Any = None
        self._turn = asyncio.Lock()

    async def __aenter__(self) -> Self:
        async with self._turn:
            await self._opened()
        return self

    async def __aexit__(self, kind: object, error: object, traceback: object) -> None:
        if self._file is not None:
            await self._call("close") if error is None else await self._call("__exit__", kind, error, traceback)

    def __reduce__(self) -> Any:
        raise TypeError("an open file cannot be pickled; pickle its URI")

    async def _opened(self) -> Any:
        from headrace.transfer.files import open_file

        if self._file is None:
            session, uri, mode, block_size = self._arguments
            info: ObjectInfo | None = None
            if mode == "rb":
                store, location = session.locate_object(uri)
                info = await run_async(store.head(location), session.transport_here())
            self._file = open_file(session, uri, mode, block_size, info)
        return self._file

    async def _call(self, method: str, *arguments: Any) -> Any:
        async with self._turn:
            file = await self._opened()
            call = asyncio.ensure_future(asyncio.to_thread(getattr(file, method), *arguments))
            try:
                return await asyncio.shield(call)
            except asyncio.CancelledError:
                # What goes on in the thread would meet with what is done next with this file. It may just be about to begin there.
                while not call.done():
                    getattr(file, "raw", file).interrupt()
                    await wait_undisturbed(call, _UNTIL_INTERRUPTED_AGAIN)
                # Seen, so that asyncio does not report it.
                call.exception()
                raise
            finally:
                # As in `AsyncConnection.exchange`.
                del call

    async def read(self, size: int = -1) -> bytes:
        """Read up to ``size`` bytes, or all that is left."""
        data: bytes = await self._call("read", size)
        return data

    async def readinto(self, buffer: Any) -> int:
        """Fill a buffer; returns the bytes read, fewer only at the end."""
        count: int = await self._call("readinto", buffer)
        return count

    async def seek(self, offset: int, whence: int = 0) -> int:
        """Move to a byte."""
        position: int = await self._call("seek", offset, whence)
        return position

    async def tell(self) -> int:
        """The position."""
        position: int = await self._call("tell")
        return position

    async def write(self, data: object) -> int:
        """Take all of ``data``."""
        count: int = await self._call("write", data)
        return count

    async def close(self) -> None:
        """Close; a written object becomes visible."""
        await self._call("close")

    async def abort(self) -> None:
        """Give a write up: nothing becomes visible."""
        await self._call("abort")


_default = Client()

copy = _default.copy
create_container = _default.create_container
delete = _default.delete
delete_container = _default.delete_container
delete_many = _default.delete_many
exists = _default.exists
get = _default.get
get_many = _default.get_many
get_ranges = _default.get_ranges
list = _default.list
list_containers = _default.list_containers
move = _default.move
open = _default.open
presign = _default.presign
put = _default.put
put_many = _default.put_many
read_bytes = _default.read_bytes
read_text = _default.read_text
stat = _default.stat
stat_many = _default.stat_many
