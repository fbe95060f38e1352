"""Files as objects: what is one, and what is known of it."""

from __future__ import annotations

import os
import stat
from datetime import UTC, datetime

from headrace.errors import NotFound
from headrace.models import ObjectInfo

__all__ = ["describe", "etag_of", "kind_of", "open_object", "stat_object"]

# Without O_NONBLOCK, opening a FIFO waits for a writer. A terminal must not become the one that controls this process.
_READ = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY

_KINDS = {
    stat.S_IFDIR: "directory",
    stat.S_IFIFO: "FIFO",
    stat.S_IFSOCK: "socket",
    stat.S_IFCHR: "character device",
    stat.S_IFBLK: "block device",
}


def kind_of(status: os.stat_result) -> str:
    """What is there, in words: ``"directory"``, ``"FIFO"``, ..."""
    return _KINDS.get(stat.S_IFMT(status.st_mode), "file")


def etag_of(status: os.stat_result) -> str:
    """The version of a file: inode, time of the last change in nanoseconds, and size.

    A file that is replaced gets another inode. One that is changed in place, within one tick of the kernel's clock and without
    a change of its size, cannot be told from before.
    """
    return '"%x-%x-%x"' % (status.st_ino, status.st_mtime_ns, status.st_size)  # noqa: UP031 - half the time of an f-string


def describe(uri: str, status: os.stat_result, *, buffered: bool | None = None) -> ObjectInfo:
    """What the status of a file says of the object."""
    try:
        modified = datetime.fromtimestamp(status.st_mtime, UTC)
    except (ValueError, OverflowError, OSError):
        # File systems hold years that datetime does not.
        modified = None
    return ObjectInfo(uri=uri, size=status.st_size, etag=etag_of(status), last_modified=modified, buffered=buffered)


def open_object(path: str) -> tuple[int, os.stat_result]:
    """Open a file for reading; the caller closes the descriptor.

    Raises:
        NotFound: something else than a file is there.
        OSError: the system refuses.
    """
    descriptor = os.open(path, _READ)
    try:
        status = os.fstat(descriptor)
        if status.st_mode & 0o170000 != stat.S_IFREG:
            raise _not_a_file(status)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor, status


def stat_object(path: str) -> os.stat_result:
    """The status of a file; raises as `open_object` does."""
    status = os.stat(path)
    if not stat.S_ISREG(status.st_mode):
        raise _not_a_file(status)
    return status


def _not_a_file(status: os.stat_result) -> NotFound:
    kind = kind_of(status)
    hint = "List it with a trailing /." if kind == "directory" else None
    return NotFound(f"is a {kind}, not a file", hint=hint)
