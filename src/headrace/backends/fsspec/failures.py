"""What an exception of somebody else's filesystem means for an object."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable
from typing import TypeVar, TypeVarTuple, Unpack

from headrace.errors import (
    AlreadyExists,
    ConnectionFailed,
    HeadraceError,
    MissingDependency,
    NotFound,
    NotSupported,
    PermissionDenied,
    ServiceError,
    Stalled,
)
from headrace.uri import Location

__all__ = ["attempt", "translate"]

T = TypeVar("T")
Arguments = TypeVarTuple("Arguments")

# The first that fits; what is more special comes first.
_MEANINGS: tuple[tuple[type[BaseException], type[HeadraceError], str], ...] = (
    (FileNotFoundError, NotFound, "there is no such object"),
    (NotADirectoryError, NotFound, "a part of the path is not a directory"),
    (IsADirectoryError, AlreadyExists, "a directory is there"),
    (FileExistsError, AlreadyExists, "something of this name is there"),
    (PermissionError, PermissionDenied, "the file system does not allow this"),
    (TimeoutError, Stalled, "the file system did not answer in time"),
    (ConnectionError, ConnectionFailed, "the connection failed"),
    (ImportError, MissingDependency, "a package that this file system needs is missing"),
    (NotImplementedError, NotSupported, "this file system cannot do it"),
)
_CODES = {errno.ENOSPC: "NoSpace", errno.EDQUOT: "NoSpace", errno.ENOTEMPTY: "NotEmpty"}
_SECRET = re.compile(r"\?[^\s'\"<>]+|(?<=://)[^\s/@'\"]+@")


def translate(error: Exception, uri: str) -> HeadraceError:
    """The error of `headrace.errors` that says what ``error`` means for the object at ``uri``."""
    number = error.errno if isinstance(error, OSError) else None
    for kind, meaning, message in _MEANINGS:
        if isinstance(error, kind):
            told = _told(error) if kind in (ImportError, NotImplementedError, ConnectionError) else ""
            return meaning(f"{message}: {told}" if told else message, uri=uri)
    code = _CODES.get(number or 0) or errno.errorcode.get(number or 0) or type(error).__name__
    return ServiceError(os.strerror(number) if number else _told(error) or "it failed", uri=uri, code=code)


def _told(error: Exception) -> str:
    """What the error says, in one line, without the parts of a URL that can be secrets."""
    return _SECRET.sub("", " ".join(str(error).split()))[:300].rstrip(".")


def attempt(location: Location, function: Callable[[Unpack[Arguments]], T], *arguments: *Arguments) -> T:
    """Call ``function``; whatever it raises is raised as an error of `headrace.errors` about ``location``.

    The exception itself is left behind: what is in it, and in the variables of what raised it, may be secret.
    """
    try:
        return function(*arguments)
    except HeadraceError as error:
        raise error.with_context(uri=location.uri) from None
    except Exception as error:
        failure = translate(error, location.uri)
    raise failure
