"""Credentials that a function of the user's gives, for any service."""

from __future__ import annotations

import inspect
import sys
from abc import abstractmethod
from collections.abc import Callable
from typing import Any

from headrace.auth.refreshing import C, RefreshingSource
from headrace.errors import CredentialsError, HeadraceError, InvalidOption

__all__ = ["FunctionSource"]


class FunctionSource(RefreshingSource[C]):
    """The user's function, called without arguments at first use, when its credentials are about to end, and when they are rejected.

    It may block, and may be called from any thread, but never by two at once. What it raises becomes a `CredentialsError`, unless it
    is one of headrace's errors. A subclass says in `_understand` what it may return.

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
    def _understand(self, value: object) -> C:
        """The credentials in what the function returned; raises `CredentialsError` if there are none."""

    def _fetch(self) -> C:
        try:
            return self._understand(self._call())
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


def _importable(function: object) -> bool:
    found: object = sys.modules.get(getattr(function, "__module__", None) or "")
    for name in getattr(function, "__qualname__", "").split("."):
        found = getattr(found, name, None)
    return found is not None and found == function


def _no_coroutines() -> InvalidOption:
    return InvalidOption("credentials cannot be a coroutine function", hint="Give a plain function; it may block")
