"""The verbs of `protocol.Backend` over a filesystem of fsspec's."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeVar, TypeVarTuple, Unpack

from headrace.backends.fsspec import listing, writing
from headrace.backends.fsspec.failures import attempt
from headrace.backends.fsspec.places import describe, find_class, overrides, place, place_of_object
from headrace.backends.fsspec.uploads import UPLOADS
from headrace.backends.protocol import Again, Body, Fetched, Landing, Page, Part, Upload, UploadInfo, WriteOptions, once, resolve_range
from headrace.errors import AlreadyExists, HeadraceError, InvalidOption, NotFound, NotSupported, ObjectChanged, ServiceError
from headrace.http.effects import Call, Operation
from headrace.models import BucketInfo, ObjectInfo
from headrace.uri import Location

__all__ = ["FsspecBackend"]

T = TypeVar("T")
Arguments = TypeVarTuple("Arguments")

# The filesystem gives bytes of its own, which are copied to where they belong: so much more memory a read takes at most.
_AT_ONCE = 64 << 20
_LONGEST_SIGNATURE = 7 * 24 * 3600


class FsspecBackend:
    """Objects of any filesystem that fsspec knows. Each operation is calls of that filesystem within a single `Call` effect.

    fsspec has no conditions, no parts, no pages and no versions, so these are made of what there is: see `writing`, `uploads`,
    `listing`, and for the ETag, which is made of size and time where the filesystem has none, `places`. Content types are accepted and
    not stored; metadata and storage classes are refused.
    """

    uses_http = False
    min_part_size = 1
    max_part_size = sys.maxsize
    max_parts = sys.maxsize
    # The filesystem is asked one by one; so many are asked in parallel.
    delete_batch_size = 50

    def __init__(self, scheme: str) -> None:
        self.scheme = scheme

    @staticmethod
    def serves(scheme: str) -> bool:
        """Whether fsspec knows a filesystem for a scheme.

        Raises:
            MissingDependency: fsspec is not installed, or what that filesystem needs.
        """
        return find_class(scheme) is not None

    def get(
        self, location: Location, landing: Landing, *, start: int | None = None, length: int | None = None, if_match: str | None = None
    ) -> Operation[Fetched]:
        """See `Backend.get`."""
        fetched: Fetched = yield _call(location, _read, location, landing, start, length, if_match)
        return fetched

    def head(self, location: Location) -> Operation[ObjectInfo]:
        """See `Backend.head`."""
        info: ObjectInfo = yield _call(location, lambda: describe(place_of_object(location)))
        return info

    def put(self, location: Location, body: Body, options: WriteOptions) -> Operation[ObjectInfo]:
        """See `Backend.put`. The bytes are copied once more."""

        def write(filesystem: Any, path: str) -> None:
            filesystem.pipe_file(path, writing.bytes_of(body))

        info: ObjectInfo = yield _call(location, writing.publish, location, write, options)
        return info

    def delete(self, location: Location) -> Operation[None]:
        """See `Backend.delete`."""
        yield _call(location, _delete, location)

    def delete_batch(self, locations: Sequence[Location]) -> Operation[Sequence[HeadraceError | None]]:
        """See `Backend.delete_batch`."""
        outcomes: Sequence[HeadraceError | None] = yield Call(lambda: [_outcome(location) for location in locations])
        return outcomes

    def delete_empty_directories(self, location: Location) -> Operation[None]:
        """See `Backend.delete_empty_directories`. Object stores, which is what cannot rename, have none."""
        yield _call(location, listing.remove_empty_directories, location)

    def list_page(
        self, location: Location, *, recursive: bool, start_after: str | None, token: str | None, follow_links: bool = True
    ) -> Operation[Page]:
        """See `Backend.list_page`. There is one page, which holds everything."""
        all_of_it = partial(listing.list_page, location, start_after, recursive=recursive, follow_links=follow_links)
        page: Page = yield _call(location, all_of_it)
        return page

    def copy(self, source: Location, destination: Location, options: WriteOptions, *, again: Again = once) -> Operation[ObjectInfo]:
        """See `Backend.copy`."""
        info: ObjectInfo = yield _call(destination, writing.copy, source, destination, options)
        return info

    def start_upload(self, location: Location, options: WriteOptions) -> Operation[Upload]:
        """See `Backend.start_upload`."""
        upload: Upload = yield _call(location, UPLOADS.begin, location, options)
        return upload

    def put_part(self, upload: Upload, number: int, offset: int, body: Body) -> Operation[Part]:
        """See `Backend.put_part`."""
        part: Part = yield _call(upload.location, lambda: UPLOADS.add(upload, number, offset, writing.bytes_of(body)))
        return part

    def complete_upload(self, upload: Upload, parts: Sequence[Part], options: WriteOptions) -> Operation[ObjectInfo]:
        """See `Backend.complete_upload`."""
        info: ObjectInfo = yield _call(upload.location, UPLOADS.complete, upload, parts, options)
        return info

    def abort_upload(self, upload: Upload) -> Operation[None]:
        """See `Backend.abort_upload`."""
        yield _call(upload.location, UPLOADS.abort, upload)

    def list_parts(self, upload: Upload) -> Operation[Sequence[Part]]:
        """See `Backend.list_parts`."""
        parts: Sequence[Part] = yield _call(upload.location, UPLOADS.parts, upload)
        return parts

    def list_uploads(self, location: Location) -> Operation[Sequence[UploadInfo]]:
        """See `Backend.list_uploads`. Those of this client are known."""
        found: Sequence[UploadInfo] = yield _call(location, UPLOADS.below, location)
        return found

    def create_container(self, location: Location) -> Operation[None]:
        """See `Backend.create_container`."""
        yield _call(location, _create_container, location)

    def delete_container(self, location: Location) -> Operation[None]:
        """See `Backend.delete_container`."""
        yield _call(location, _delete_container, location)

    def list_containers(self, location: Location) -> Operation[Sequence[BucketInfo]]:
        """See `Backend.list_containers`."""
        containers: Sequence[BucketInfo] = yield _call(location, listing.containers, location)
        return containers

    def presign(self, location: Location, *, method: str, expires: int) -> Operation[str]:
        """See `Backend.presign`. Only reading can be allowed."""
        if method != "GET":
            raise NotSupported(f"fsspec signs URLs for GET, not for {method}", uri=location.uri)
        url: str = yield _call(location, _sign, location, expires)
        return url


def _call(location: Location, function: Callable[[Unpack[Arguments]], T], *arguments: *Arguments) -> Call[T]:
    return Call(partial(attempt, location, function, *arguments))


def _read(location: Location, landing: Landing, start: int | None, length: int | None, if_match: str | None) -> Fetched:
    at = place_of_object(location)
    info = describe(at)
    if if_match is not None and if_match != info.etag:
        raise ObjectChanged("another version of the object is there")
    start, length = resolve_range(info.size, start, length)
    view = landing.place(info, start, length)
    for offset in range(0, length, _AT_ONCE):
        count = min(_AT_ONCE, length - offset)
        data = at.filesystem.cat_file(at.path, start=start + offset, end=start + offset + count)
        if len(data) != count:
            raise ObjectChanged(f"{len(data)} bytes came where {count} were asked for: the object was replaced, or its size is not told")
        view[offset : offset + count] = data
        landing.received = offset + count
    # What has to be of one version is asked about again: nothing binds a read to what was described before it.
    if (if_match is not None or length > _AT_ONCE) and describe(at).etag != info.etag:
        raise ObjectChanged("the object was replaced while it was read")
    return Fetched(view, info, start)


def _delete(location: Location) -> None:
    at = place_of_object(location)
    try:
        at.filesystem.rm_file(at.path)
    except IsADirectoryError:
        raise NotFound("is a directory, not an object", hint="Delete what is below it recursively.") from None


def _outcome(location: Location) -> HeadraceError | None:
    try:
        attempt(location, _delete, location)
    except NotFound:
        return None
    except HeadraceError as error:
        return error
    return None


def _create_container(location: Location) -> None:
    at = place(location)
    if at.filesystem.exists(at.path):
        raise AlreadyExists("it is there already")
    at.filesystem.mkdir(at.path, create_parents=True)


def _delete_container(location: Location) -> None:
    at = place(location)
    if not at.filesystem.isdir(at.path):
        raise NotFound("there is no such container")
    if not listing.is_empty(at):
        raise ServiceError("it is not empty", code="NotEmpty", hint="Delete what is in it first.")
    at.filesystem.rmdir(at.path)


def _sign(location: Location, expires: int) -> str:
    at = place_of_object(location)
    if not overrides(type(at.filesystem), "sign"):
        raise NotSupported("this file system has no URLs that others could use")
    if not 1 <= expires <= _LONGEST_SIGNATURE:
        raise InvalidOption(f"expires must be from 1 to {_LONGEST_SIGNATURE} seconds, got {expires}")
    return str(at.filesystem.sign(at.path, expiration=expires))
