"""How an object comes to be in somebody else's filesystem: whole, or not at all, as far as that filesystem allows."""

from __future__ import annotations

import contextlib
import os
import secrets
import tempfile
import threading
from collections.abc import Callable, Iterator
from typing import Any

from headrace.backends.filesystem.staging import RESERVED
from headrace.backends.fsspec.failures import attempt
from headrace.backends.fsspec.places import Place, describe, overrides, place_of_object
from headrace.backends.protocol import Body, WriteOptions
from headrace.errors import AlreadyExists, NotSupported, ObjectChanged, PreconditionFailed
from headrace.http.messages import FileRange
from headrace.models import ObjectInfo
from headrace.uri import Location

__all__ = ["bytes_of", "check_target", "copy", "from_file", "publish", "temporary_file"]

_conditional = threading.Lock()


def _renew_lock() -> None:
    # Another thread of the parent may have held it, and does not exist in the child.
    global _conditional
    _conditional = threading.Lock()


os.register_at_fork(after_in_child=_renew_lock)


def publish(location: Location, write: Callable[[Any, str], object], options: WriteOptions) -> ObjectInfo:
    """Write an object by ``write(filesystem, path)``.

    Where the filesystem can rename, it is written under another name, and renamed. Elsewhere, as in object stores, the filesystem itself
    makes it visible when it is complete. Conditions are looked at just before: they hold among the threads of this process.
    """
    at = place_of_object(location, to_write=True)
    with _conditional if options.conditional else contextlib.nullcontext():
        check_target(at, options)
        if overrides(type(at.filesystem), "mv"):
            _write_and_rename(at, write)
        else:
            write(at.filesystem, at.path)
    return describe(at)


def check_target(at: Place, options: WriteOptions) -> None:
    """Refuse what cannot succeed.

    Raises:
        NotSupported: there is something to keep that no filesystem is asked to keep.
        AlreadyExists: a directory is there, or something that is not to be replaced.
        PreconditionFailed: another version is there than the one to be replaced, or none.
    """
    if options.metadata or options.storage_class:
        raise NotSupported("metadata and storage classes are not kept by way of fsspec", hint="Leave them out.")
    try:
        # Where there is no condition, one question less.
        info = describe(at) if options.conditional else None
    except FileNotFoundError:
        info = None
    if options.create_only and info is not None:
        raise AlreadyExists("an object of this name is there")
    if options.if_match is not None and (info is None or info.etag != options.if_match):
        raise PreconditionFailed("another version of the object is there, or none")


def _write_and_rename(at: Place, write: Callable[[Any, str], object]) -> None:
    filesystem = at.filesystem
    # Some move a file into a directory that has the name.
    if filesystem.isdir(at.path):
        raise AlreadyExists("a directory is there")
    directory, slash, _ = at.path.rpartition("/")
    if directory:
        filesystem.makedirs(directory, exist_ok=True)
    draft = f"{directory}{slash}{RESERVED}{secrets.token_hex(8)}"
    try:
        write(filesystem, draft)
        filesystem.mv(draft, at.path)
    except BaseException:
        with contextlib.suppress(Exception):
            filesystem.rm_file(draft)
        raise


def from_file(filename: str) -> Callable[[Any, str], object]:
    """Writes what is in a local file. It is read into memory only where the filesystem could show a part of it otherwise."""

    def write(filesystem: Any, path: str) -> None:
        if overrides(type(filesystem), "mv", "put_file", "_put_file"):
            filesystem.put_file(filename, path)
        else:
            with open(filename, "rb") as file:
                filesystem.pipe_file(path, file.read())

    return write


def copy(source: Location, destination: Location, options: WriteOptions) -> ObjectInfo:
    """Copy an object: by the filesystem if it is one, else through a local file."""
    origin, info = attempt(source, _origin, source)
    target = place_of_object(destination, to_write=True)
    if origin.filesystem == target.filesystem:
        result = publish(destination, lambda filesystem, path: filesystem.cp_file(origin.path, path), options)
    else:
        with temporary_file() as filename:
            attempt(source, origin.filesystem.get_file, origin.path, filename)
            result = publish(destination, from_file(filename), options)
    if result.size != info.size:
        raise ObjectChanged("the object was replaced while it was copied", uri=source.uri)
    return result


def _origin(source: Location) -> tuple[Place, ObjectInfo]:
    origin = place_of_object(source)
    return origin, describe(origin)


@contextlib.contextmanager
def temporary_file() -> Iterator[str]:
    """The name of an empty local file, which is removed at the end."""
    descriptor, filename = tempfile.mkstemp(prefix="headrace-")
    os.close(descriptor)
    try:
        yield filename
    finally:
        os.unlink(filename)


def bytes_of(body: Body) -> bytes:
    """A copy of all bytes of a body."""
    return b"".join([_read(part) if isinstance(part, FileRange) else part for part in body])


def _read(source: FileRange) -> bytes:
    pieces, done = [], 0
    while done < source.length:
        pieces.append(os.pread(source.descriptor, source.length - done, source.offset + done))
        if not pieces[-1]:
            raise ObjectChanged("the file that is read became shorter meanwhile")
        done += len(pieces[-1])
    return b"".join(pieces)
