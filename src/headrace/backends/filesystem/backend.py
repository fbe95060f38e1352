"""All that a backend on a file system does, except moving the bytes."""

from __future__ import annotations

import os
import sys
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from headrace.backends.filesystem import directories, uploads
from headrace.backends.filesystem.failures import attempt
from headrace.backends.filesystem.listing import list_page
from headrace.backends.filesystem.objects import describe, etag_of, kind_of, open_object
from headrace.backends.filesystem.staging import RESERVED, Draft
from headrace.backends.protocol import Again, Body, Fetched, Landing, Page, Part, Upload, UploadInfo, WriteOptions, body_length, once
from headrace.errors import AlreadyExists, HeadraceError, InvalidURI, NotFound, NotSupported, PreconditionFailed
from headrace.http.effects import Call, Operation
from headrace.http.messages import FileRange
from headrace.models import BucketInfo, ObjectInfo
from headrace.uri import Location

__all__ = ["FilesystemBackend"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FilesystemBackend(ABC):
    """The verbs of `protocol.Backend` over files; each operation is one system call after another within a single `Call` effect.

    A write replaces a symbolic link, not what it leads to. ``if_match`` of a write is compared just before the new file takes its
    name: POSIX has no compare-and-swap, so that two writers at the very same moment can both succeed. ``create_only`` is exact.
    Files keep no content type: it is accepted, and not stored. Metadata and storage classes are refused.

    Attributes:
        fsync: a write returns only when it is on stable storage.
    """

    scheme = ""
    uses_http = False
    min_part_size = 1
    max_part_size = sys.maxsize
    max_parts = sys.maxsize
    delete_batch_size = 1000

    fsync: bool = False

    @abstractmethod
    def _read(self, location: Location, landing: Landing, start: int | None, length: int | None, if_match: str | None) -> Fetched:
        """Read a file into the landing's memory."""

    @abstractmethod
    def _describe(self, location: Location) -> ObjectInfo:
        """Describe a file."""

    @abstractmethod
    def _write(self, location: Location, descriptor: int, offset: int, body: Body) -> bool | None:
        """Write a body from ``offset`` on; give what `ObjectInfo.buffered` is to say."""

    def get(
        self, location: Location, landing: Landing, *, start: int | None = None, length: int | None = None, if_match: str | None = None
    ) -> Operation[Fetched]:
        """See `Backend.get`. A file that is changed in place while it is read, and keeps its length, goes unnoticed."""
        fetched: Fetched = yield Call(partial(attempt, location, self._read, location, landing, start, length, if_match))
        return fetched

    def head(self, location: Location) -> Operation[ObjectInfo]:
        """See `Backend.head`."""
        info: ObjectInfo = yield Call(partial(attempt, location, self._describe, location))
        return info

    def put(self, location: Location, body: Body, options: WriteOptions) -> Operation[ObjectInfo]:
        """See `Backend.put`. Missing directories are made."""
        info: ObjectInfo = yield Call(partial(attempt, location, self._put, location, body, options))
        return info

    def delete(self, location: Location) -> Operation[None]:
        """See `Backend.delete`. The directory stays, also when it is empty then."""
        yield Call(partial(attempt, location, _unlink, location))

    def delete_batch(self, locations: Sequence[Location]) -> Operation[Sequence[HeadraceError | None]]:
        """See `Backend.delete_batch`."""
        outcomes: Sequence[HeadraceError | None] = yield Call(partial(_unlink_batch, locations))
        return outcomes

    def delete_empty_directories(self, location: Location) -> Operation[None]:
        """See `Backend.delete_empty_directories`. What the system does not let go stays."""
        yield Call(partial(attempt, location, directories.remove_empty, location))

    def list_page(
        self, location: Location, *, recursive: bool, start_after: str | None, token: str | None, follow_links: bool = True
    ) -> Operation[Page]:
        """See `Backend.list_page` and `listing.list_page`."""
        listing = partial(list_page, location, recursive=recursive, start_after=start_after, token=token, follow_links=follow_links)
        page: Page = yield Call(partial(attempt, location, listing))
        return page

    def copy(self, source: Location, destination: Location, options: WriteOptions, *, again: Again = once) -> Operation[ObjectInfo]:
        """See `Backend.copy`. The system copies, without the bytes passing through this process where it can."""
        info: ObjectInfo = yield Call(partial(attempt, destination, self._copy, source, destination, options))
        return info

    def start_upload(self, location: Location, options: WriteOptions) -> Operation[Upload]:
        """See `Backend.start_upload`."""
        upload: Upload = yield Call(partial(attempt, location, _begin, location, options))
        return upload

    def put_part(self, upload: Upload, number: int, offset: int, body: Body) -> Operation[Part]:
        """See `Backend.put_part`. Parts may be written at the same time, and by several processes."""
        part: Part = yield Call(partial(attempt, upload.location, self._put_part, upload, number, offset, body))
        return part

    def complete_upload(self, upload: Upload, parts: Sequence[Part], options: WriteOptions) -> Operation[ObjectInfo]:
        """See `Backend.complete_upload`. All that was written must be named, without a gap: else `ServiceError` (``InvalidPart``)."""
        info: ObjectInfo = yield Call(partial(attempt, upload.location, self._complete, upload, parts, options))
        return info

    def abort_upload(self, upload: Upload) -> Operation[None]:
        """See `Backend.abort_upload`."""
        yield Call(partial(attempt, upload.location, uploads.abort, upload))

    def list_parts(self, upload: Upload) -> Operation[Sequence[Part]]:
        """See `Backend.list_parts`."""
        parts: Sequence[Part] = yield Call(partial(attempt, upload.location, uploads.parts_of, upload))
        return parts

    def list_uploads(self, location: Location) -> Operation[Sequence[UploadInfo]]:
        """See `Backend.list_uploads`: every directory below the prefix is searched."""
        found: Sequence[UploadInfo] = yield Call(partial(attempt, location, uploads.find, location))
        return found

    def create_container(self, location: Location) -> Operation[None]:
        """Create a directory, and those above it; `AlreadyExists` if something is there."""
        yield Call(partial(attempt, location, os.makedirs, location.key))

    def delete_container(self, location: Location) -> Operation[None]:
        """Delete an empty directory; `NotFound`, or `ServiceError` with code ``NotEmpty``."""
        yield Call(partial(attempt, location, os.rmdir, location.key))

    def list_containers(self, location: Location) -> Operation[Sequence[BucketInfo]]:
        """The directories in a directory, by name."""
        found: Sequence[BucketInfo] = yield Call(partial(attempt, location, directories.children, location))
        return found

    def presign(self, location: Location, *, method: str, expires: int) -> Operation[str]:
        """Raise `NotSupported`: a file has no URL that others could use."""
        yield from ()
        raise NotSupported("a file has no URL that others could use", uri=location.uri)

    def _put(self, location: Location, body: Body, options: WriteOptions) -> ObjectInfo:
        _check_target(location, options)
        with Draft.create(location.key) as draft:
            buffered = self._write(location, draft.descriptor, 0, body)
            return self._publish(draft, location, options, buffered=buffered)

    def _publish(self, draft: Draft, location: Location, options: WriteOptions, *, buffered: bool | None) -> ObjectInfo:
        if options.if_match is not None:
            _check_version(location, options.if_match)
        status = draft.publish(create_only=options.create_only, fsync=self.fsync)
        return describe(location.uri, status, buffered=buffered)

    def _copy(self, source: Location, destination: Location, options: WriteOptions) -> ObjectInfo:
        descriptor, status = attempt(source, open_object, source.key)
        try:
            return self._put(destination, [FileRange(descriptor, 0, status.st_size)], options)
        finally:
            os.close(descriptor)

    def _put_part(self, upload: Upload, number: int, offset: int, body: Body) -> Part:
        draft = uploads.resume(upload)
        try:
            self._write(upload.location, draft.descriptor, offset, body)
        finally:
            draft.close()
        return uploads.record_part(upload, number, offset, body_length(body))

    def _complete(self, upload: Upload, parts: Sequence[Part], options: WriteOptions) -> ObjectInfo:
        _check_target(upload.location, options)
        draft = uploads.resume(upload)
        try:
            uploads.check_parts(parts, os.fstat(draft.descriptor).st_size)
            return self._publish(draft, upload.location, options, buffered=None)
        finally:
            draft.close()


def _check_target(location: Location, options: WriteOptions) -> None:
    """Refuse early what cannot succeed.

    Raises:
        InvalidURI: a directory's name, or one that listings hide.
        NotSupported: there is something to keep that a file cannot keep.
        AlreadyExists: not a file, or not to be replaced.
        PreconditionFailed: not the version that is to be replaced.
    """
    if location.key.endswith("/"):
        raise InvalidURI("a name that ends with / is a directory's", hint="Name the file in it.")
    if f"/{RESERVED}" in location.key:
        raise InvalidURI(f"names that begin with {RESERVED} are kept for unfinished writes", hint="Choose another name.")
    if options.metadata or options.storage_class:
        what = "metadata" if options.metadata else "storage classes"
        raise NotSupported(f"files do not keep {what}", hint="Leave it out, or write to an object store.")
    try:
        status = os.stat(location.key)
    except FileNotFoundError:
        if options.if_match is not None:
            raise PreconditionFailed("there is no such file") from None
        return
    # Replacing a device by a file would break the machine.
    if (kind := kind_of(status)) != "file":
        raise AlreadyExists(f"a {kind} is there")
    if options.create_only:
        raise AlreadyExists("a file of this name is there")
    if options.if_match is not None and options.if_match != etag_of(status):
        raise _other_version()


def _check_version(location: Location, etag: str) -> None:
    try:
        if etag_of(os.stat(location.key)) == etag:
            return
    except FileNotFoundError:
        pass
    raise _other_version()


def _other_version() -> PreconditionFailed:
    return PreconditionFailed("another version of the file is there", hint="Read it again, and decide anew.")


def _begin(location: Location, options: WriteOptions) -> Upload:
    _check_target(location, options)
    return uploads.begin(location)


def _unlink(location: Location) -> None:
    if location.key.endswith("/"):
        raise NotFound("names a directory, not a file")
    try:
        os.unlink(location.key)
    except IsADirectoryError:
        raise NotFound("is a directory, not a file", hint="Delete what is below it recursively.") from None


def _unlink_batch(locations: Sequence[Location]) -> list[HeadraceError | None]:
    outcomes: list[HeadraceError | None] = []
    for location in locations:
        try:
            attempt(location, _unlink, location)
        except NotFound:
            outcomes.append(None)
        except HeadraceError as error:
            outcomes.append(error)
        else:
            outcomes.append(None)
    return outcomes
