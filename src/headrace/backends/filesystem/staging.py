"""Writes that nobody sees before they are whole.

A draft lies in the directory of its target, so that publishing it is one step of the file system. It has no name at all where the
system can make such files (``O_TMPFILE``): whatever happens to this process, nothing is left behind. Elsewhere, and for writes in
parts, which outlive a process, it is ``.headrace-<process>-<random>/<name of the target>``. Listings skip what has such a name.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import time
from typing import Self

__all__ = ["RESERVED", "Draft", "is_staging", "remove_staged", "split", "stage"]

RESERVED = ".headrace-"
"""What the names of unfinished writes begin with."""

_TMPFILE: int = getattr(os, "O_TMPFILE", 0)
_NO_TMPFILE = frozenset({errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL})


def split(path: str) -> tuple[str, str]:
    """The directory of an absolute path, with its ``/``, and what follows."""
    end = path.rindex("/") + 1
    return path[:end], path[end:]


def stage(target: str) -> str:
    """Create the empty file, and the directories above it, in which ``target`` is written in parts; give its path."""
    directory, name = split(target)
    staging = f"{directory}{_unique_name()}"
    os.makedirs(directory, exist_ok=True)
    os.mkdir(staging)
    staged = f"{staging}/{name}"
    try:
        os.close(os.open(staged, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    except BaseException:
        os.rmdir(staging)
        raise
    return staged


def remove_staged(staged: str) -> None:
    """Remove a draft that has a name, with all that was staged for it; what is not there is removed already."""
    directory, _ = split(staged)
    if not is_staging(directory):
        _unlink(staged)
        return
    with contextlib.suppress(FileNotFoundError):
        for name in os.listdir(directory):
            _unlink(f"{directory}{name}")
        os.rmdir(directory)


def is_staging(directory: str) -> bool:
    """Whether a directory was made to stage a draft in."""
    return os.path.basename(directory.rstrip("/")).startswith(RESERVED)


class Draft:
    """The file that will become ``target``, open for writing. Leaving its ``with`` block removes it, if it is not published.

    Attributes:
        target: the path that it will have.
        descriptor: the open file.
        staged: its path until then; None while it has no name.
    """

    __slots__ = ("descriptor", "staged", "target")

    def __init__(self, target: str, descriptor: int, staged: str | None) -> None:
        self.target = target
        self.descriptor = descriptor
        self.staged = staged

    @classmethod
    def create(cls, target: str) -> Draft:
        """An empty draft; missing directories above it are made."""
        descriptor = _open_unnamed(split(target)[0])
        if descriptor is not None:
            return cls(target, descriptor, None)
        return cls.reopen(target, stage(target))

    @classmethod
    def reopen(cls, target: str, staged: str) -> Draft:
        """The draft that was staged before."""
        return cls(target, os.open(staged, os.O_WRONLY), staged)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *reason: object) -> None:
        self.close()
        if self.staged is not None:
            remove_staged(self.staged)

    def close(self) -> None:
        """Close the file; a draft without a name is gone then."""
        os.close(self.descriptor)

    def publish(self, *, create_only: bool, fsync: bool) -> os.stat_result:
        """Give the file its target's name, in one step; give its status.

        Args:
            create_only: keep what is there, and raise.
            fsync: return only when content and name are on stable storage.

        Raises:
            FileExistsError: something is there (``create_only``).
            OSError: the system refuses.
        """
        now = time.time_ns()
        # The kernel's own stamps tick as seldom as every 10 ms: a version that gets the inode of one removed in the same tick would
        # have its ETag.
        os.utime(self.descriptor, ns=(now, now))
        if fsync:
            os.fsync(self.descriptor)
        status = os.fstat(self.descriptor)
        self._take_name(create_only=create_only)
        if fsync:
            _sync_directory(split(self.target)[0])
        return status

    def _take_name(self, *, create_only: bool) -> None:
        if self.staged is None:
            try:
                self._link(self.target)
                return
            except FileExistsError:
                if create_only:
                    raise
            # Only a rename replaces, and only a file with a name can be renamed.
            self.staged = f"{split(self.target)[0]}{_unique_name()}"
            self._link(self.staged)
        if create_only:
            os.link(self.staged, self.target)
        else:
            os.rename(self.staged, self.target)
        remove_staged(self.staged)
        self.staged = None

    def _link(self, path: str) -> None:
        # Any `src_dir_fd` makes Python follow the link, as linkat(2) must be asked to; it plays no part, the path being absolute.
        os.link(f"/proc/self/fd/{self.descriptor}", path, src_dir_fd=self.descriptor)


def _open_unnamed(directory: str) -> int | None:
    """A new file in ``directory`` that has no name; None where there is no such thing."""
    if not _TMPFILE or not _can_name_descriptors():
        return None
    try:
        try:
            return os.open(directory, _TMPFILE | os.O_WRONLY, 0o666)
        except FileNotFoundError:
            os.makedirs(directory, exist_ok=True)
            return os.open(directory, _TMPFILE | os.O_WRONLY, 0o666)
    except OSError as error:
        if error.errno in _NO_TMPFILE:
            return None
        raise


@functools.cache
def _can_name_descriptors() -> bool:
    return os.path.exists("/proc/self/fd")


def _unlink(path: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)


def _unique_name() -> str:
    return f"{RESERVED}{os.getpid():x}-{os.urandom(8).hex()}"


def _sync_directory(directory: str) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
