"""What an operation may ask for.

An operation is a plain generator that does no I/O: it yields effects and receives their results. A driver performs them,
blocking or with asyncio, so that every storage operation is written once.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Iterable
from operator import length_hint
from typing import Any, Generic, TypeAlias, TypeVar

from headrace.http.codec import Excerpt, Placement, Reply
from headrace.http.messages import Request

__all__ = [
    "FINISH_SECONDS",
    "Call",
    "Cancelled",
    "Effect",
    "Finish",
    "Operation",
    "Parallel",
    "Send",
    "Sleep",
    "with_cleanup",
    "with_undo",
]

T = TypeVar("T")
B = TypeVar("B")

_log = logging.getLogger("headrace")


FINISH_SECONDS = 1.0
"""How much longer an operation takes, at most, that is interrupted while it may not be broken off."""


class Cancelled(BaseException):
    """Raised inside an operation that is given up because its result is no longer wanted."""


class Send:
    """One HTTP exchange; the result is its `Reply`.

    Args:
        request: what to send.
        place: gives the memory for the body of a successful reply, once its head is known; without it the body gets
            fresh memory, of at most `codec.METADATA_LIMIT` bytes.
        limit: bytes that the body may have if its length is not told before it comes; by default as many.
        excerpt: what is wanted of the body of a server that sends all of it, whatever range is asked for; see `Reply`.

    Attributes:
        reply: what has arrived so far. After a failure it tells how many bytes of the body are in place.
        endpoint: which of several endpoints the request is for; None where there is only one. Drivers do not look at it.
    """

    __slots__ = ("endpoint", "excerpt", "limit", "place", "reply", "request")

    def __init__(self, request: Request, place: Placement | None = None, limit: int | None = None, excerpt: Excerpt | None = None) -> None:
        self.request = request
        self.place = place
        self.limit = limit
        self.excerpt = excerpt
        self.reply: Reply | None = None
        self.endpoint: Any = None


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


class Finish(Generic[T]):
    """Run an operation to its end, though what it is part of be interrupted: by Ctrl-C, a cancelled task, a stopped lane.

    The interruption is raised when the operation has ended, or `FINISH_SECONDS` after it came; then the operation is broken off.

    Args:
        operation: what to run.
        interrupted: count those seconds from the beginning, because the interruption is what this operation cleans up after;
            `TimeoutError` is raised when they are over.

    Attributes:
        ended: whether the operation has succeeded.
        result: what it returned.
    """

    __slots__ = ("ended", "interrupted", "operation", "result")

    def __init__(self, operation: Operation[T], *, interrupted: bool = False) -> None:
        self.operation = operation
        self.interrupted = interrupted
        self.ended = False
        self.result: T

    def end(self, result: T) -> None:
        """Take note of the operation's result."""
        self.result = result
        self.ended = True


Effect: TypeAlias = "Send | Call[Any] | Sleep | Parallel | Finish[Any]"
Operation: TypeAlias = Generator[Effect, Any, T]


def with_undo(begin: Operation[B], run: Callable[[B], Operation[T]], undo: Callable[[B], Operation[object]]) -> Operation[T]:
    """Run ``begin``, then ``run`` with its result; whatever stops them, ``undo`` what ``begin`` made before that goes on.

    See `with_cleanup` for what happens when ``undo`` fails.
    """
    begun = Finish(begin)

    def both() -> Operation[T]:
        yield begun
        return (yield from run(begun.result))

    def cleanup() -> Operation[None]:
        if begun.ended:
            yield from undo(begun.result)

    return (yield from with_cleanup(both(), cleanup))


def with_cleanup(operation: Operation[T], cleanup: Callable[[], Operation[object]]) -> Operation[T]:
    """Run ``operation``; whatever stops it (an error, Ctrl-C, cancellation), run ``cleanup()`` before that goes on.

    After an interruption the cleanup has `FINISH_SECONDS`. A cleanup that fails is logged: the first error is the one to report.
    """
    try:
        return (yield from operation)
    except GeneratorExit:
        # Nobody is left to perform the effects of a cleanup.
        raise
    except BaseException as failure:
        try:
            if isinstance(failure, Exception):
                yield from cleanup()
            else:
                yield Finish(cleanup(), interrupted=True)
        except Exception as error:
            _log.warning("clean-up after a failure did not succeed: %s", error)
        raise
