"""What a service that can only be read says to every verb that writes or lists."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, NoReturn

from headrace.backends.protocol import Again, Body, Page, Part, Upload, UploadInfo, WriteOptions, once
from headrace.errors import HeadraceError, NotSupported
from headrace.http.effects import Operation
from headrace.models import BucketInfo, ObjectInfo
from headrace.uri import Location

__all__ = ["ReadOnly"]


class ReadOnly:
    """The verbs of a `Backend` other than ``get`` and ``head``: each raises `NotSupported`.

    Attributes:
        cannot_write, cannot_list, cannot_sign: why not.
    """

    cannot_write: ClassVar[str] = "this can only be read"
    cannot_list: ClassVar[str] = "this cannot be listed"
    cannot_sign: ClassVar[str] = "URLs for this cannot be signed"

    min_part_size = 1
    max_part_size = 1 << 40
    max_parts = 1
    delete_batch_size = 1000

    def put(self, location: Location, body: Body, options: WriteOptions) -> Operation[ObjectInfo]:
        """See `Backend.put`."""
        _refuse(self.cannot_write, location)

    def delete(self, location: Location) -> Operation[None]:
        """See `Backend.delete`."""
        _refuse(self.cannot_write, location)

    def delete_batch(self, locations: Sequence[Location]) -> Operation[Sequence[HeadraceError | None]]:
        """See `Backend.delete_batch`."""
        _refuse(self.cannot_write, locations[0])

    def delete_empty_directories(self, location: Location) -> Operation[None]:
        """See `Backend.delete_empty_directories`: there are none."""
        yield from ()

    def list_page(
        self, location: Location, *, recursive: bool, start_after: str | None, token: str | None, follow_links: bool = True
    ) -> Operation[Page]:
        """See `Backend.list_page`."""
        _refuse(self.cannot_list, location)

    def copy(self, source: Location, destination: Location, options: WriteOptions, *, again: Again = once) -> Operation[ObjectInfo]:
        """See `Backend.copy`."""
        _refuse(self.cannot_write, destination)

    def start_upload(self, location: Location, options: WriteOptions) -> Operation[Upload]:
        """See `Backend.start_upload`."""
        _refuse(self.cannot_write, location)

    def put_part(self, upload: Upload, number: int, offset: int, body: Body) -> Operation[Part]:
        """See `Backend.put_part`."""
        _refuse(self.cannot_write, upload.location)

    def complete_upload(self, upload: Upload, parts: Sequence[Part], options: WriteOptions) -> Operation[ObjectInfo]:
        """See `Backend.complete_upload`."""
        _refuse(self.cannot_write, upload.location)

    def abort_upload(self, upload: Upload) -> Operation[None]:
        """See `Backend.abort_upload`."""
        _refuse(self.cannot_write, upload.location)

    def list_parts(self, upload: Upload) -> Operation[Sequence[Part]]:
        """See `Backend.list_parts`."""
        _refuse(self.cannot_write, upload.location)

    def list_uploads(self, location: Location) -> Operation[Sequence[UploadInfo]]:
        """See `Backend.list_uploads`."""
        _refuse(self.cannot_write, location)

    def create_container(self, location: Location) -> Operation[None]:
        """See `Backend.create_container`."""
        _refuse(self.cannot_write, location)

    def delete_container(self, location: Location) -> Operation[None]:
        """See `Backend.delete_container`."""
        _refuse(self.cannot_write, location)

    def list_containers(self, location: Location) -> Operation[Sequence[BucketInfo]]:
        """See `Backend.list_containers`."""
        _refuse(self.cannot_list, location)

    def presign(self, location: Location, *, method: str, expires: int) -> Operation[str]:
        """See `Backend.presign`."""
        _refuse(self.cannot_sign, location)


def _refuse(reason: str, location: Location) -> NoReturn:
    raise NotSupported(reason, uri=location.uri)
