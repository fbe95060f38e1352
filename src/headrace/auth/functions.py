"""The user's own function as a source of credentials, whatever service they are for."""

from __future__ import annotations

import inspect
import sys
from abc import abstractmethod
from collections.abc import Callable
from datetime import datetime
from typing import Any

from headrace.auth.refreshing import C, RefreshingSource
from headrace.errors import CredentialsError, HeadraceError, InvalidOption

__all__ = ["FunctionSource", "posix_seconds"]


class FunctionSource(RefreshingSource[C]):
    """The user's function, called without arguments at first use, when its credentials are about to end, and when they are rejected.

    A subclass says what it may return. Without an end the credentials are kept until the service rejects them. The function may block,
    and may be called from any thread, but never by two at once. What it raises becomes a `CredentialsError`, unless it is one of
    headrace's errors.

    Pickled, it travels as the function's name.

    Raises:
        InvalidOption: it cannot be called, or is a coroutine function.
    """

    def __init__(self, function: Callable[[], object]) -> None:
        super().__init__()
        if not callable(function):
            raise InvalidOption(f"credentials must be something to call, not {type(function).__name__}")
        if inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(type(function).__call__):
            raise _no_coroutines()
        self._function = function

    def __reduce__(self) -> tuple[Any, ...]:
        if not _importable(self._function):
            raise CredentialsError(
                "the function that gives the credentials cannot be imported by name, so it cannot be pickled",
                hint="Define it at the top level of a module: not as a lambda, a partial, or a method of an object, which may hold secrets",
            )
        return type(self), (self._function,)

    @abstractmethod
    def _interpret(self, value: object) -> C:
        """The credentials that the function's result stands for."""

    def _fetch(self) -> C:
        try:
            return self._interpret(self._call())
        except HeadraceError:
            raise
        except Exception as error:
            raise CredentialsError(f"the function that gives the credentials raised {type(error).__name__}") from error

    def _call(self) -> object:
        value = self._function()
        if inspect.iscoroutine(value):
            value.close()
            raise _no_coroutines()
        return value


def posix_seconds(value: object) -> float | None:
    """The end of credentials, given as POSIX seconds, an aware datetime or ISO 8601 text; None for nothing.

    Raises:
        CredentialsError: it is none of these, or has no time zone.
    """
    if value is None or value == "":
        return None
    if isinstance(value, (int, float)):
        return float(value)
    try:
        moment = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
    except ValueError:
        raise CredentialsError("the end of the credentials is not a time in ISO 8601") from None
    if moment.tzinfo is None:
        raise CredentialsError("the end of the credentials has no time zone")
    return moment.timestamp()


def _importable(function: object) -> bool:
    found: object = sys.modules.get(getattr(function, "__module__", None) or "")
    for name in getattr(function, "__qualname__", "").split("."):
        found = getattr(found, name, None)
    return found is not None and found == function


def _no_coroutines() -> InvalidOption:
    return InvalidOption("credentials cannot be a coroutine function", hint="Give a plain function; it may block")
