"""Writes in parts: a staged file that the parts are written into, and beside it a journal of the parts that are in place."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence

from headrace.backends.filesystem import directories
from headrace.backends.filesystem.staging import RESERVED, Draft, is_staging, remove_staged, split, stage
from headrace.backends.protocol import Part, Upload, UploadInfo
from headrace.errors import NotFound, ServiceError
from headrace.uri import Location

__all__ = ["abort", "begin", "check_parts", "find", "parts_of", "record_part", "resume"]

_JOURNAL = f"{RESERVED}parts"


def begin(location: Location) -> Upload:
    """Stage an empty file. Its path is the id of the upload, so that any process can go on with it."""
    staged = stage(location.key)
    os.close(os.open(_journal(staged), os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    return Upload(location, staged)


def resume(upload: Upload) -> Draft:
    """The draft behind an upload, open for writing.

    Raises:
        NotFound: the upload was completed, was aborted or never was.
    """
    if not is_staging(split(upload.id)[0]):
        raise _unknown(upload)
    try:
        return Draft.reopen(upload.location.key, upload.id)
    except FileNotFoundError:
        raise _unknown(upload) from None


def record_part(upload: Upload, number: int, offset: int, size: int) -> Part:
    """Note that a part is in place."""
    descriptor = os.open(_journal(upload.id), os.O_WRONLY | os.O_APPEND)
    try:
        os.write(descriptor, f"{number} {offset} {size}\n".encode())
    finally:
        os.close(descriptor)
    return _part(number, offset, size)


def parts_of(upload: Upload) -> list[Part]:
    """The parts that are in place, by number."""
    try:
        with open(_journal(upload.id), encoding="ascii") as journal:
            records = [tuple(map(int, line.split())) for line in journal if line.endswith("\n")]
    except FileNotFoundError:
        raise _unknown(upload) from None
    latest = {number: _part(number, offset, size) for number, offset, size in records}
    return [latest[number] for number in sorted(latest)]


def check_parts(parts: Sequence[Part], size: int) -> None:
    """Check that the parts follow each other without a gap and are all of a file of ``size`` bytes.

    Raises:
        ServiceError: they do not (code ``InvalidPart``).
    """
    end = 0
    for part in parts:
        if part.etag != _part(part.number, end, part.size).etag:
            raise ServiceError(f"part {part.number} does not begin where the one before it ends", code="InvalidPart")
        end += part.size
    if end != size:
        raise ServiceError(f"the parts have {end} bytes, the file that they were written to has {size}", code="InvalidPart")


def abort(upload: Upload) -> None:
    """Remove what was written; nothing happens if there is nothing."""
    if is_staging(split(upload.id)[0]):
        remove_staged(upload.id)


def find(location: Location) -> list[UploadInfo]:
    """The uploads whose key begins with ``location.key``, in key order."""
    stagings = [directory for directory in directories.below(location) if is_staging(directory)]
    found = [info for staging in stagings for info in _staged_in(location, staging)]
    return sorted([info for info in found if info.upload.location.key.startswith(location.key)])


def _staged_in(location: Location, staging: str) -> list[UploadInfo]:
    """The upload that this directory was made for; nothing if it has ended just now."""
    directory, _ = split(staging[:-1])
    with contextlib.suppress(FileNotFoundError):
        started = os.stat(staging).st_mtime
        names = [name for name in os.listdir(staging) if name != _JOURNAL]
        return [UploadInfo(Upload(location.at(f"{directory}{name}"), f"{staging}{name}"), started) for name in names]
    return []


def _part(number: int, offset: int, size: int) -> Part:
    return Part(number, f'"{offset:x}-{size:x}"', size)


def _journal(staged: str) -> str:
    return f"{split(staged)[0]}{_JOURNAL}"


def _unknown(upload: Upload) -> NotFound:
    return NotFound("there is no such unfinished write: it was completed or aborted", uri=upload.location.uri, code="NoSuchUpload")
