"""The verbs, blocking. Each runs in the caller's own thread: in a notebook, inside a running event loop, after a fork."""

from __future__ import annotations

import builtins
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Literal, Self

from headrace import memory
from headrace.errors import NotFound
from headrace.models import BucketInfo, Item, ObjectInfo, Prefix
from headrace.transfer import batches, reading, writing
from headrace.transfer.listing import Lister
from headrace.transfer.session import Configured, Session
from headrace.uri import URI

if TYPE_CHECKING:
    pass

__all__ = ["Client", "default_client"]

_BLOCK_SIZE = 8 << 20


class Client(Configured):
    """Reads and writes objects by URI.

    A client holds options and, once used, connections. It may be shared by threads, used after a fork, and pickled: what
    travels is its configuration, never its connections or secrets. As a context manager it closes its connections at the end.

    Args:
        **options: any of `headrace.config.Options`, such as ``endpoint_url=``, ``endpoints=``, ``region=``, ``anonymous=True``. What is not
            given comes from ``HEADRACE_*`` variables, then from the service's own, then from the configuration file.

    Raises:
        InvalidOption: an unknown option, or one of the wrong type or out of range.
    """

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections. The client can be used again, and opens new ones."""
        if self._opened is not None:
            self._opened.close()

    def get(self, uri: URI, *, start: int | None = None, length: int | None = None, into: object = None) -> memoryview:
        """Read an object, or a range of it; large ones by parallel requests.

        Args:
            uri: the object.
            start: the first byte; negative counts from the end. What a range has beyond the end is left out.
            length: bytes to read; None reads to the end.
            into: a writable contiguous buffer (bytearray, NumPy array, pinned tensor, shared memory) to receive the bytes.

        Returns:
            A writable view of the only copy of the bytes: fresh memory, or the part of ``into`` that was filled.

        Raises:
            NotFound: there is no such object.
            InvalidOption: ``into`` is too small or read-only, ``length`` negative, or ``start`` beyond the end.
            ObjectChanged: the object was replaced while it was read.
        """
        session = self._session
        return session.run(session.fetch(uri, start=start, length=length, into=into)).data

    def read_bytes(self, uri: URI) -> bytes:
        """Read an object as ``bytes``; this copies it once more than `get`."""
        return bytes(self.get(uri))

    def read_text(self, uri: URI, encoding: str = "utf-8") -> str:
        """Read an object as text; this copies it once more than `get`."""
        return str(self.get(uri), encoding)

    def get_ranges(self, uri: URI, ranges: Iterable[tuple[int, int]]) -> builtins.list[memoryview]:
        """Read several ranges of one version of an object.

        Args:
            uri: the object.
            ranges: ``(start, length)`` pairs in any order. Near ones are read in one request, and then share memory.

        Returns:
            One view for each range, in their order.

        Raises:
            ObjectChanged: the object was replaced between the requests.
        """
        session = self._session
        store, location = session.locate_object(uri)
        return session.run(reading.fetch_ranges(store, location, session.read_plan, builtins.list(ranges)))

    def get_many(
        self,
        uris: Iterable[URI],
        *,
        concurrency: int | None = None,
        ordered: bool = False,
        on_error: Literal["raise", "yield"] = "raise",
    ) -> Iterator[Item]:
        """Read many objects, several at once, in bounded memory.

        Args:
            uris: the objects; may be endless. It is drawn from in the caller's thread, a window ahead of the consumer.
            concurrency: objects in flight; None chooses by their size.
            ordered: yield in the order of ``uris`` instead of the order of arrival.
            on_error: ``"raise"`` the first failure, or ``"yield"`` it as ``item.error``.

        Yields:
            An `Item` for each object. Leaving the loop early stops the requests in flight.
        """
        from headrace.transfer.batch import run_batch

        session = self._session
        return run_batch(session, batches.gets(session, concurrency=concurrency, ordered=ordered, on_error=on_error), uris)

    def put(
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
        """Write an object. Readers see the old object or the new one, whole; a failure leaves nothing behind.

        Args:
            uri: the object.
            data: any contiguous buffer (bytes, memoryview, NumPy array, CPU tensor); it is not copied. Large ones are sent in
                parallel parts.
            if_match: replace only the version with this ETag.
            create_only: fail if there is an object of this name.
            content_type: the media type.
            metadata: your own key-value pairs.
            storage_class: the service's word for a tier.

        Raises:
            AlreadyExists: with ``create_only``.
            PreconditionFailed: with ``if_match``.
            TypeError: ``data`` is a str, or no buffer.
        """
        session = self._session
        store, location = session.locate_object(uri)
        options = batches.write_options(
            if_match=if_match, create_only=create_only, content_type=content_type, metadata=metadata, storage_class=storage_class
        )
        return session.run(writing.store_body(store, location, memory.source(data), options, session.write_plan))

    def put_many(
        self, items: Iterable[tuple[URI, object]], *, concurrency: int | None = None, on_error: Literal["raise", "yield"] = "raise"
    ) -> Iterator[Item]:
        """Write many objects, several at once; nothing is written before the result is iterated over.

        Args:
            items: pairs of URI and data; may be endless, and is drawn from in the caller's thread.
            concurrency: objects in flight; None chooses by their size.
            on_error: ``"raise"`` the first failure, or ``"yield"`` it as ``item.error``.

        Yields:
            An `Item` with ``info`` for each object, in the order of completion.
        """
        from headrace.transfer.batch import run_batch

        session = self._session
        return run_batch(session, batches.puts(session, concurrency=concurrency, on_error=on_error), items)

    def stat(self, uri: URI) -> ObjectInfo:
        """Describe an object without reading it.

        Raises:
            NotFound: there is no such object.
        """
        session = self._session
        store, location = session.locate_object(uri)
        return session.run(store.head(location))

    def stat_many(
        self,
        uris: Iterable[URI],
        *,
        concurrency: int | None = None,
        ordered: bool = False,
        on_error: Literal["raise", "yield"] = "raise",
    ) -> Iterator[Item]:
        """Describe many objects, several at once; each `Item` has ``info``. See `get_many` for the arguments."""
        from headrace.transfer.batch import run_batch

        session = self._session
        return run_batch(session, batches.stats(session, concurrency=concurrency, ordered=ordered, on_error=on_error), uris)

    def exists(self, uri: URI) -> bool:
        """Whether there is such an object. Only "not found" is False: no permission or no connection raises."""
        try:
            self.stat(uri)
        except NotFound:
            return False
        return True

    def list(
        self, uri: URI, *, recursive: bool = True, pattern: str | None = None, start_after: str | None = None
    ) -> Iterator[ObjectInfo | Prefix]:
        """List objects, a page at a time.

        Args:
            uri: the prefix, literally: ``s3://bucket/a`` lists ``a1`` and ``a/b``, ``s3://bucket/a/`` only what is below.
            recursive: list everything; otherwise what lies deeper appears as one `Prefix`.
            pattern: a regular expression, searched in the path below the prefix.
            start_after: begin after this key.

        Yields:
            `ObjectInfo` and `Prefix`, in key order. Leaving the loop early requests no further page.
        """
        session = self._session
        store, location = session.locate(uri)
        lister = Lister(store, location, recursive=recursive, pattern=pattern, start_after=start_after)
        return _pages(session, lister)

    def delete(self, uri: URI, *, recursive: bool | Literal["bucket"] = False, pattern: str | None = None) -> int:
        """Delete an object, or with ``recursive=True`` everything below it as a prefix.

        Args:
            uri: the object, or the prefix: ``a/b`` then means ``a/b/``, so ``a/bc`` stays.
            recursive: True for a prefix; ``"bucket"`` is needed to delete everything in a bucket.
            pattern: with ``recursive``, a regular expression that selects by the path below the prefix.

        Returns:
            The number of objects deleted. S3 does not tell whether a single object was there: it counts as one.
        """
        session = self._session
        from headrace.transfer import deleting

        return session.run(deleting.delete(session, uri, recursive, pattern))

    def delete_many(self, uris: Iterable[URI]) -> int:
        """Delete objects, many in one request where the service can. Missing ones count as deleted.

        Returns:
            The number of objects.

        Raises:
            HeadraceError: the first failure; other objects may have been deleted.
        """
        session = self._session
        from headrace.transfer import deleting

        return session.run(deleting.delete_all(session, uris))

    def copy(self, source: URI, destination: URI) -> ObjectInfo:
        """Copy an object: by the service where both are its own, else streamed part by part in bounded memory.

        Returns:
            The copy's description.
        """
        session = self._session
        from headrace.transfer import copying

        return session.run(copying.copy(session, source, destination))

    def move(self, source: URI, destination: URI) -> ObjectInfo:
        """Copy an object, then delete the source. If the copy fails, the source is untouched."""
        session = self._session
        from headrace.transfer import copying

        return session.run(copying.move(session, source, destination))

    def open(self, uri: URI, mode: Literal["rb", "wb", "xb"] = "rb", *, block_size: int = _BLOCK_SIZE) -> io.BufferedIOBase | io.RawIOBase:
        """Open an object as a binary file.

        Args:
            uri: the object.
            mode: ``"rb"`` reads: seekable, with read-ahead. ``"wb"`` writes in parts; the object becomes visible, whole, when
                the file is closed, and not at all after an error inside ``with``. ``"xb"`` is ``"wb"`` that never replaces.
            block_size: bytes of each request, for small reads.

        Raises:
            InvalidOption: another mode; for text, `headrace.Path` has an ``open`` that knows encodings.
        """
        from headrace.transfer.files import open_file

        return open_file(self._session, uri, mode, block_size)

    def presign(self, uri: URI, *, method: str = "GET", expires: int = 3600) -> str:
        """A URL with which anybody may do one thing with one object, for ``expires`` seconds. Treat it as a secret."""
        session = self._session
        store, location = session.locate_object(uri)
        return session.run(store.presign(location, method=method, expires=expires))

    def create_container(self, uri: URI) -> None:
        """Create a bucket, container or directory.

        Raises:
            AlreadyExists: it is there, or its name is taken.
        """
        session = self._session
        store, location = session.locate(uri)
        session.run(store.create_container(location))

    def delete_container(self, uri: URI) -> None:
        """Delete an empty bucket, container or directory."""
        session = self._session
        store, location = session.locate(uri)
        session.run(store.delete_container(location))

    def list_containers(self, uri: URI) -> builtins.list[BucketInfo]:
        """The buckets or containers that one may list, such as those of ``s3://``."""
        session = self._session
        store, location = session.locate(uri)
        found: Sequence[BucketInfo] = session.run(store.list_containers(location))
        return builtins.list(found)


def default_client() -> Client:
    """The client behind the verbs of the module `headrace`; of two threads that come first, one makes it."""
    client: Client = globals().setdefault("_default", Client())
    return client


def _pages(session: Session, lister: Lister) -> Iterator[ObjectInfo | Prefix]:
    while not lister.exhausted:
        yield from session.run(lister.next_page())
