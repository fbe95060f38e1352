"""What the operating system's errors mean for an object."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from typing import NamedTuple, TypeVar, TypeVarTuple, Unpack

from headrace.errors import AlreadyExists, HeadraceError, InvalidURI, NotFound, PermissionDenied, ServiceError
from headrace.uri import Location

__all__ = ["attempt", "translate"]

T = TypeVar("T")
Arguments = TypeVarTuple("Arguments")


class _Meaning(NamedTuple):
    kind: type[HeadraceError]
    message: str
    code: str | None = None
    hint: str | None = None


_FULL = _Meaning(ServiceError, "the file system is full", "NoSpace", "Free some space, or write elsewhere.")
_TOO_MANY_FILES = "Raise the limit (`ulimit -n`), or ask for less at once."
_NOT_EMPTY = "Delete what is in it first, unfinished writes (.headrace-*) included."

_MEANINGS = {
    errno.ENOENT: _Meaning(NotFound, "there is no such file"),
    errno.ENOTDIR: _Meaning(NotFound, "a part of the path is not a directory"),
    errno.ELOOP: _Meaning(NotFound, "the symbolic links in the path lead round in circles"),
    errno.ENXIO: _Meaning(NotFound, "is a socket or a device, not a file"),
    errno.EACCES: _Meaning(PermissionDenied, "the permissions do not allow this"),
    errno.EPERM: _Meaning(PermissionDenied, "the file system does not allow this"),
    errno.EROFS: _Meaning(PermissionDenied, "the file system is read-only"),
    errno.EEXIST: _Meaning(AlreadyExists, "something of this name is there"),
    errno.EISDIR: _Meaning(AlreadyExists, "a directory is there"),
    errno.ENOTEMPTY: _Meaning(ServiceError, "the directory is not empty", "NotEmpty", _NOT_EMPTY),
    errno.ENOSPC: _FULL,
    errno.EDQUOT: _FULL._replace(message="the disk quota is used up"),
    errno.EFBIG: _Meaning(ServiceError, "larger than the file system or the process limit allows", "TooLarge"),
    errno.ENAMETOOLONG: _Meaning(InvalidURI, "the path or one of its names is too long for the file system"),
    errno.EMFILE: _Meaning(ServiceError, "this process has too many open files", "TooManyOpenFiles", _TOO_MANY_FILES),
    errno.ENFILE: _Meaning(ServiceError, "the system has too many open files", "TooManyOpenFiles"),
}


def translate(error: OSError, uri: str) -> HeadraceError:
    """The error of `headrace.errors` that says what ``error`` means for the object at ``uri``."""
    number = error.errno or 0
    meaning = _MEANINGS.get(number)
    if meaning is None:
        return ServiceError(os.strerror(number) if number else str(error), uri=uri, code=errno.errorcode.get(number))
    return meaning.kind(meaning.message, uri=uri, code=meaning.code, hint=meaning.hint)


def attempt(location: Location, function: Callable[[Unpack[Arguments]], T], *arguments: *Arguments) -> T:
    """Call ``function``; what the operating system refuses is raised as an error of `headrace.errors` about ``location``."""
    try:
        return function(*arguments)
    except HeadraceError as error:
        error.with_context(uri=location.uri)
        raise
    except OSError as error:
        raise translate(error, location.uri) from error
    except UnicodeEncodeError as error:
        raise InvalidURI("the path holds characters that cannot be in a file name", uri=ascii(location.uri)) from error
    except ValueError as error:
        if "\0" not in location.key:
            raise
        raise InvalidURI("a path cannot hold NUL", uri=location.uri.replace("\0", "\\0")) from error
