"""Copies of objects above 5 GiB, which S3 makes only in parts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace.backends.protocol import Part, WriteOptions
from headrace.http.effects import Operation, Parallel, with_cleanup
from headrace.models import ObjectInfo
from headrace.uri import Location

if TYPE_CHECKING:
    from headrace.backends.s3.backend import S3Backend

__all__ = ["copy"]

_PART_SIZE = 1 << 30
_AT_ONCE = 8


def copy(
    backend: S3Backend, source: Location, info: ObjectInfo, destination: Location, options: WriteOptions, part_size: int = _PART_SIZE
) -> Operation[ObjectInfo]:
    """Copy in parts of ``part_size`` bytes; content type and metadata are carried over, since S3 does not do it here."""
    kept = WriteOptions(
        if_match=options.if_match,
        create_only=options.create_only,
        content_type=options.content_type or info.content_type,
        metadata=options.metadata or info.metadata,
        storage_class=options.storage_class,
    )
    upload = yield from backend.start_upload(destination, kept)
    headers = backend.copy_headers(source, info)

    def run() -> Operation[ObjectInfo]:
        starts = range(0, info.size, part_size)
        operations = (
            backend.copy_part(upload, number, headers, start, min(part_size, info.size - start))
            for number, start in enumerate(starts, start=1)
        )
        parts: list[Part] = yield Parallel(operations, _AT_ONCE)
        return (yield from backend.complete_upload(upload, parts, kept))

    return (yield from with_cleanup(run(), lambda: backend.abort_upload(upload)))
