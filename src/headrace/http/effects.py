"""What an operation may ask for.

An operation is a plain generator that does no I/O: it yields effects and receives their results. A driver performs them,
blocking or with asyncio, so that every storage operation is written once.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Iterable
from operator import length_hint
from typing import Any, Generic, TypeAlias, TypeVar

from headrace.http.codec import Placement, Reply
from headrace.http.messages import Request

__all__ = ["Call", "Cancelled", "Effect", "Operation", "Parallel", "Send", "Sleep", "with_cleanup"]

T = TypeVar("T")

_log = logging.getLogger("headrace")


class Cancelled(BaseException):
    """Raised inside an operation that is given up because its result is no longer wanted."""


class Send:
    """One HTTP exchange; the result is its `Reply`.

    Args:
        request: what to send.
        place: gives the memory for the body of a successful reply, once its head is known; without it the body gets
            fresh memory, of at most `codec.METADATA_LIMIT` bytes.
        limit: bytes that the body may have if its length is not told before it comes; by default as many.

    Attributes:
        reply: what has arrived so far. After a failure it tells how many bytes of the body are in place.
    """

    __slots__ = ("limit", "place", "reply", "request")

    def __init__(self, request: Request, place: Placement | None = None, limit: int | None = None) -> None:
        self.request = request
        self.place = place
        self.limit = limit
        self.reply: Reply | None = None


class Call(Generic[T]):
    """A blocking call, such as a file read; the result is what ``function()`` returns."""

    __slots__ = ("function",)

    def __init__(self, function: Callable[[], T]) -> None:
        self.function = function


class Sleep:
    """Wait for ``seconds``."""

    __slots__ = ("seconds",)

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds


class Parallel:
    """Run several operations at once, at most ``limit`` of them; the result is the list of their results, in order.

    The first failure stops those that have not begun, interrupts and waits for those that have, and is raised.
    """

    __slots__ = ("limit", "operations")

    def __init__(self, operations: Iterable[Operation[Any]], limit: int) -> None:
        if limit < 1:
            raise ValueError("at least one operation must be allowed to run")
        self.operations = operations
        self.limit = limit

    @property
    def workers(self) -> int:
        """How many can be busy at once, as far as that is known before."""
        return min(self.limit, max(1, length_hint(self.operations, self.limit)))


Effect: TypeAlias = "Send | Call[Any] | Sleep | Parallel"
Operation: TypeAlias = Generator[Effect, Any, T]


def with_cleanup(operation: Operation[T], cleanup: Callable[[], Operation[object]]) -> Operation[T]:
    """Run ``operation``; whatever stops it (an error, Ctrl-C, cancellation), run ``cleanup()`` before that goes on.

    A cleanup that fails is logged: the first error is the one to report.
    """
    try:
        return (yield from operation)
    except GeneratorExit:
        # Nobody is left to perform the effects of a cleanup.
        raise
    except BaseException:
        try:
            yield from cleanup()
        except Exception as error:
            _log.warning("clean-up after a failure did not succeed: %s", error)
        raise
