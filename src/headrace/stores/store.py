"""A backend with patience: every verb is retried, and a read that breaks goes on at the byte that it reached."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from headrace.backends.protocol import Backend, Body, Fetched, Landing, Page, Part, Upload, UploadInfo, WriteOptions
from headrace.errors import HeadraceError, NotFound, ObjectChanged
from headrace.http.effects import Operation, Sleep
from headrace.models import BucketInfo, ObjectInfo
from headrace.stores.retry import Attempts, RetryPolicy, retrying
from headrace.uri import Location

if TYPE_CHECKING:
    from headrace.endpoints import Route

__all__ = ["Store"]

T = TypeVar("T")


class Store:
    """Wraps a `Backend` and has its methods; see there for what they do."""

    def __init__(self, backend: Backend, policy: RetryPolicy) -> None:
        self.backend = backend
        self.policy = policy
        self.scheme = backend.scheme
        self.uses_http = backend.uses_http
        self.min_part_size = backend.min_part_size
        self.max_part_size = backend.max_part_size
        self.max_parts = backend.max_parts
        self.delete_batch_size = backend.delete_batch_size
        self._interpret: Callable[[Location], Location] | None = getattr(backend, "interpret", None)

    def interpret(self, location: Location) -> Location:
        """A location as this service's options say that its URI is meant; most have nothing to say."""
        return location if self._interpret is None else self._interpret(location)

    def get(
        self, location: Location, landing: Landing, *, start: int | None = None, length: int | None = None, if_match: str | None = None
    ) -> Operation[Fetched]:
        """Read; after a break the next attempt asks for the rest, bound to the version that was begun."""
        begun, route = time.monotonic(), self.policy.route()
        try:
            operation = self.backend.get(location, landing, start=start, length=length, if_match=if_match)
            return (yield from operation if route is None else route.follow(operation))
        except HeadraceError as error:
            reading = _BrokenRead(self.backend, location, landing, start, length, if_match)
            attempts = Attempts(self.policy, location, "get", repeatable=True, begun=begun, route=route)
            delay = attempts.failed(error, progressed=reading.progressed())
        if delay:
            yield Sleep(delay)
        return (yield from reading.go_on(attempts, route))

    def head(self, location: Location) -> Operation[ObjectInfo]:
        """Describe an object."""
        return retrying(lambda: self.backend.head(location), self.policy, location, "stat")

    def put(self, location: Location, body: Body, options: WriteOptions) -> Operation[ObjectInfo]:
        """Write an object in one piece."""
        attempt = partial(self.backend.put, location, body, options)
        return retrying(attempt, self.policy, location, "put", repeatable=not options.conditional)

    def delete(self, location: Location) -> Operation[None]:
        """Delete an object."""
        tries = 0

        def attempt() -> Operation[None]:
            nonlocal tries
            tries += 1
            try:
                yield from self.backend.delete(location)
            except NotFound as error:
                # It was there, as far as anybody knows, until an earlier try whose reply was lost.
                if tries == 1 or error.code in ("NoSuchBucket", "ContainerNotFound"):
                    raise

        return retrying(attempt, self.policy, location, "delete")

    def delete_batch(self, locations: Sequence[Location]) -> Operation[Sequence[HeadraceError | None]]:
        """Delete objects of one container."""
        return retrying(lambda: self.backend.delete_batch(locations), self.policy, locations[0].at(""), "delete")

    def delete_empty_directories(self, location: Location) -> Operation[None]:
        """Remove directories that hold nothing."""
        return retrying(lambda: self.backend.delete_empty_directories(location), self.policy, location, "delete")

    def list_page(
        self, location: Location, *, recursive: bool, start_after: str | None, token: str | None, follow_links: bool = True
    ) -> Operation[Page]:
        """List a page."""

        def attempt() -> Operation[Page]:
            return self.backend.list_page(location, recursive=recursive, start_after=start_after, token=token, follow_links=follow_links)

        return retrying(attempt, self.policy, location, "list")

    def copy(self, source: Location, destination: Location, options: WriteOptions) -> Operation[ObjectInfo]:
        """Copy within the service."""
        spent: list[HeadraceError] = []

        def again(step: Callable[[], Operation[T]]) -> Operation[T]:
            try:
                return (yield from retrying(step, self.policy, source, "copy"))
            except HeadraceError as error:
                spent.append(error)
                raise

        attempt = partial(self.backend.copy, source, destination, options, again=again)
        try:
            return (yield from retrying(attempt, self.policy, source, "copy", repeatable=not options.conditional, spent=spent))
        finally:
            # An error that its own traceback refers to would live until the garbage collector comes.
            spent.clear()

    def start_upload(self, location: Location, options: WriteOptions) -> Operation[Upload]:
        """Begin a write in parts. If a reply is lost, an upload without parts may be left behind."""
        return retrying(lambda: self.backend.start_upload(location, options), self.policy, location, "put")

    def put_part(self, upload: Upload, number: int, offset: int, body: Body) -> Operation[Part]:
        """Write a part."""
        location = upload.location
        return retrying(lambda: self.backend.put_part(upload, number, offset, body), self.policy, location, "put")

    def complete_upload(self, upload: Upload, parts: Sequence[Part], options: WriteOptions) -> Operation[ObjectInfo]:
        """Make the object visible. If the first reply was lost and the upload is then unknown, the object itself is asked."""
        tries = 0

        def attempt() -> Operation[ObjectInfo]:
            nonlocal tries
            tries += 1
            try:
                return (yield from self.backend.complete_upload(upload, parts, options))
            except NotFound as error:
                if tries == 1 or error.code != "NoSuchUpload":
                    raise
                return (yield from self._completed_before(upload, parts, error))

        return retrying(attempt, self.policy, upload.location, "put", repeatable=not options.conditional)

    def _completed_before(self, upload: Upload, parts: Sequence[Part], error: NotFound) -> Operation[ObjectInfo]:
        info: ObjectInfo = yield from self.backend.head(upload.location)
        # A multipart ETag ends with the number of parts; with the size it tells this upload's object from an older one.
        same = info.size == sum(part.size for part in parts) and (info.etag or "").rstrip('"').endswith(f"-{len(parts)}")
        if not same:
            raise error
        return info

    def abort_upload(self, upload: Upload) -> Operation[None]:
        """Give up a write in parts."""
        return retrying(lambda: self.backend.abort_upload(upload), self.policy, upload.location, "abort")

    def list_parts(self, upload: Upload) -> Operation[Sequence[Part]]:
        """The parts that the service has."""
        return retrying(lambda: self.backend.list_parts(upload), self.policy, upload.location, "list parts")

    def list_uploads(self, location: Location) -> Operation[Sequence[UploadInfo]]:
        """Unfinished uploads."""
        return retrying(lambda: self.backend.list_uploads(location), self.policy, location, "list uploads")

    def create_container(self, location: Location) -> Operation[None]:
        """Create a container."""
        attempt = partial(self.backend.create_container, location)
        return retrying(attempt, self.policy, location, "create_container", repeatable=False)

    def delete_container(self, location: Location) -> Operation[None]:
        """Delete an empty container."""
        attempt = partial(self.backend.delete_container, location)
        return retrying(attempt, self.policy, location, "delete_container", repeatable=False)

    def list_containers(self, location: Location) -> Operation[Sequence[BucketInfo]]:
        """List containers."""
        return retrying(lambda: self.backend.list_containers(location), self.policy, location, "list_containers")

    def presign(self, location: Location, *, method: str, expires: int) -> Operation[str]:
        """Sign a URL."""
        attempt = partial(self.backend.presign, location, method=method, expires=expires)
        return retrying(attempt, self.policy, location, "presign")


class _BrokenRead:
    """A get that failed at least once, over as many tries as it takes."""

    def __init__(
        self, backend: Backend, location: Location, landing: Landing, start: int | None, length: int | None, if_match: str | None
    ) -> None:
        self._backend = backend
        self._location = location
        self._landing = landing
        self._arguments = (start, length, if_match)
        self._done = 0
        self._latest = landing

    def progressed(self) -> bool:
        """Take stock after a failure: whether it left more bytes in place that the next try can build upon."""
        info = self._landing.info
        if info is None or info.etag is None:
            return False
        self._done += self._latest.received
        return self._latest.received > 0

    def go_on(self, attempts: Attempts, route: Route | None) -> Operation[Fetched]:
        """Try until all is there."""
        while True:
            try:
                return (yield from self._attempt() if route is None else route.follow(self._attempt()))
            except HeadraceError as error:
                delay = attempts.failed(error, progressed=self.progressed())
            if delay:
                yield Sleep(delay)

    def _attempt(self) -> Operation[Fetched]:
        """Ask for the rest, bound to the version that was begun; for the whole, if there is nothing to build upon."""
        landing, (start, length, if_match) = self._landing, self._arguments
        info, view, done = landing.info, landing.view, self._done
        if not done or info is None or view is None:
            self._latest = landing
            return (yield from self._backend.get(self._location, landing, start=start, length=length, if_match=if_match))
        self._latest = rest = Landing(lambda _info, _start, count: view[done : done + count])
        first = landing.start + done
        fetched = yield from self._backend.get(self._location, rest, start=first, length=len(view) - done, if_match=info.etag)
        if done + len(fetched.data) != len(view):
            raise ObjectChanged("the object has another length than when the read began")
        return Fetched(view, info, landing.start)
