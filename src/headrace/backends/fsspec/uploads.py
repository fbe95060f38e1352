"""Writes in parts, which fsspec does not have: the parts come together in a local temporary file, of which the object is then written."""

from __future__ import annotations

import contextlib
import itertools
import os
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from headrace.backends.fsspec.places import place_of_object
from headrace.backends.fsspec.writing import check_target, from_file, publish
from headrace.backends.protocol import Part, Upload, UploadInfo, WriteOptions
from headrace.errors import NotFound, ServiceError
from headrace.models import ObjectInfo
from headrace.uri import Location

__all__ = ["UPLOADS"]


@dataclass(frozen=True, slots=True)
class _Unfinished:
    """A write in parts; its id is the name of the file. ``parts`` has each one's offset, by number."""

    upload: Upload
    options: WriteOptions
    started: float
    parts: dict[int, tuple[Part, int]] = field(default_factory=dict)


class _Uploads:
    """The unfinished writes of this process. Parts may be written by several threads at once."""

    def __init__(self) -> None:
        self._unfinished: dict[str, _Unfinished] = {}
        self._numbers = itertools.count(1)

    def begin(self, location: Location, options: WriteOptions) -> Upload:
        """Begin a write, if it could succeed as things are."""
        check_target(place_of_object(location, to_write=True), options)
        descriptor, filename = tempfile.mkstemp(prefix="headrace-")
        os.close(descriptor)
        upload = Upload(location, filename)
        self._unfinished[filename] = _Unfinished(upload, options, time.time())
        return upload

    def add(self, upload: Upload, number: int, offset: int, data: bytes) -> Part:
        """Write a part in its place; it replaces an earlier one with its number."""
        unfinished = self._find(upload)
        descriptor = os.open(upload.id, os.O_WRONLY)
        try:
            rest, at = memoryview(data), offset
            while rest:
                count = os.pwrite(descriptor, rest, at)
                rest, at = rest[count:], at + count
        finally:
            os.close(descriptor)
        part = Part(number, f'"{next(self._numbers):x}"', len(data))
        unfinished.parts[number] = part, offset
        return part

    def complete(self, upload: Upload, parts: Sequence[Part], options: WriteOptions) -> ObjectInfo:
        """Make the object visible that the parts are, one after another without a gap."""
        unfinished = self._find(upload)
        os.truncate(upload.id, _check(unfinished, parts))
        conditions = replace(unfinished.options, if_match=options.if_match, create_only=options.create_only)
        info = publish(upload.location, from_file(upload.id), conditions)
        self.abort(upload)
        return info

    def abort(self, upload: Upload) -> None:
        """Remove what was written."""
        if self._unfinished.pop(upload.id, None) is not None:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(upload.id)

    def parts(self, upload: Upload) -> list[Part]:
        """The parts of a write, by number."""
        return [part for _, (part, _) in sorted(self._find(upload).parts.items())]

    def below(self, location: Location) -> list[UploadInfo]:
        """The writes whose key begins with that of the location."""
        found = [UploadInfo(unfinished.upload, unfinished.started) for unfinished in list(self._unfinished.values())]
        return [info for info in found if info.upload.location.uri.startswith(location.uri)]

    def _find(self, upload: Upload) -> _Unfinished:
        unfinished = self._unfinished.get(upload.id)
        if unfinished is None:
            raise NotFound("there is no such unfinished write: it was completed or aborted", code="NoSuchUpload")
        return unfinished


def _check(unfinished: _Unfinished, parts: Sequence[Part]) -> int:
    """The bytes of the parts, which must be those that are there and follow each other."""
    end = 0
    for part in parts:
        present, offset = unfinished.parts.get(part.number, (None, 0))
        if present is None or present.etag != part.etag:
            raise ServiceError(f"part {part.number} was not written, or was replaced", code="InvalidPart")
        if offset != end:
            raise ServiceError(f"part {part.number} does not begin where the one before it ends", code="InvalidPart")
        end += part.size
    return end


UPLOADS = _Uploads()
"""All unfinished writes of this process: clients with the same filesystem see the same ones, as they would on a server."""
