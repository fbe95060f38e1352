"""What is tried again, how often, and after how long."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from headrace.errors import (
    ConnectionFailed,
    CredentialsError,
    HeadraceError,
    IntegrityError,
    ObjectChanged,
    ProtocolError,
    ServiceError,
    Stalled,
    Throttled,
)
from headrace.http.effects import Operation, Sleep
from headrace.uri import Location

if TYPE_CHECKING:
    from headrace.endpoints import Endpoints, Route

__all__ = ["Attempts", "RetryPolicy", "is_transient", "retrying"]

T = TypeVar("T")

_log = logging.getLogger("headrace")

_TRANSIENT: Mapping[type[HeadraceError], bool] = {
    ConnectionFailed: True,
    Stalled: True,
    Throttled: True,
    ProtocolError: True,
    IntegrityError: True,
    ServiceError: False,
    CredentialsError: False,
    ObjectChanged: False,
}
"""The classes of errors that time may heal. Of a `ServiceError` it depends on the status and code."""

_TRANSIENT_STATUS = frozenset({408, 429, 500, 502, 503, 504, 509})
_TRANSIENT_CODES = frozenset(
    {"InternalError", "RequestTimeout", "OperationAborted", "ConditionalRequestConflict", "SlowDown", "ContainerBeingDeleted"}
)
_LASTING_CODES = frozenset({"certificate", "tls", "resolve", "NoSpace"})


def is_transient(error: HeadraceError, *, elsewhere: bool = False) -> bool:
    """Whether the same request may succeed if it is tried again: the one table of what is retried.

    A certificate that is not trusted and a name that cannot be resolved stay so, but at another endpoint (``elsewhere``); a connection that
    is refused may be accepted when the server has started again.
    """
    if error.code in _LASTING_CODES:
        return elsewhere and isinstance(error, ConnectionFailed)
    return _TRANSIENT.get(type(error), False) or error.status in _TRANSIENT_STATUS or error.code in _TRANSIENT_CODES


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """Exponential delays with full jitter.

    Attributes:
        max_attempts: tries in all, of which each may fail without progress.
        first_delay: the longest delay after the first failure, seconds; it doubles each time.
        max_delay: seconds.
        budget: seconds after the first attempt in which another may begin; ``Retry-After`` beyond it is not waited for.
        endpoints: those of the service, if it has several: a try that follows a failure goes to another one.
    """

    max_attempts: int = 5
    first_delay: float = 0.1
    max_delay: float = 20.0
    budget: float = 180.0
    endpoints: Endpoints | None = field(default=None, repr=False)

    def route(self) -> Route | None:
        """What one act remembers of several endpoints."""
        if self.endpoints is None:
            return None
        from headrace.endpoints import Route

        return Route(self.endpoints)

    def delay(self, error: HeadraceError, attempt: int, elapsed: float, *, elsewhere: bool = False) -> float | None:
        """Seconds to wait before the next attempt, or None to give up.

        With ``elsewhere`` the next attempt goes to an endpoint that works, as far as is known: it need not wait for a connection to
        heal, nor for as long as the endpoint that failed asks for.
        """
        if attempt >= self.max_attempts or not is_transient(error, elsewhere=elsewhere):
            return None
        if elsewhere and isinstance(error, (ConnectionFailed, Stalled)):
            return 0.0
        seconds = random.uniform(0, min(self.max_delay, self.first_delay * 2 ** (attempt - 1)))
        if error.retry_after is not None and not elsewhere:
            seconds += error.retry_after
        return seconds if elapsed + seconds <= self.budget else None


class Attempts:
    """The tries of one act, as they are made.

    Args:
        policy: how often and how patiently.
        location: what is worked on; goes into errors.
        operation: the verb; goes into errors.
        repeatable: whether a request whose reply was lost may be sent again; refusals such as 503 always may.
        begun: when the first try began, by `time.monotonic`.
        route: how the act goes among several endpoints, if there are such.
    """

    def __init__(
        self, policy: RetryPolicy, location: Location, operation: str, *, repeatable: bool, begun: float, route: Route | None = None
    ) -> None:
        self._policy = policy
        self._location = location
        self._operation = operation
        self._repeatable = repeatable
        self._route = route
        self._begun = self._counted_from = begun
        self._total = self._without_progress = 0

    def failed(self, error: HeadraceError, *, progressed: bool = False) -> float:
        """Take note of a failure; give the seconds to wait before the next try.

        Args:
            error: why this try failed.
            progressed: whether it brought the work forward all the same; then the count and the time budget start anew.

        Raises:
            HeadraceError: ``error`` itself, with its context filled in, if there is to be no other try.
        """
        now = time.monotonic()
        self._total += 1
        if progressed:
            self._without_progress, self._counted_from = 0, now
        self._without_progress += 1
        error.attempts, error.elapsed = self._total, now - self._begun
        error.with_context(uri=self._location.uri, operation=self._operation)
        may_have_happened = isinstance(error, (ConnectionFailed, Stalled, ProtocolError)) and error.code not in ("refused", "connect")
        if may_have_happened and not self._repeatable:
            error.hint = error.hint or "It is not known whether the write took place: look before trying again."
            raise error
        elsewhere = self._route is not None and self._route.leads_elsewhere
        seconds = self._policy.delay(error, self._without_progress, now - self._counted_from, elsewhere=elsewhere)
        if seconds is None:
            raise error
        _log.info("%s; attempt %d follows in %.2f s", error, self._total + 1, seconds)
        return seconds


def retrying(
    attempt: Callable[[], Operation[T]],
    policy: RetryPolicy,
    location: Location,
    operation: str,
    *,
    repeatable: bool = True,
    spent: Sequence[HeadraceError] = (),
) -> Operation[T]:
    """Run ``attempt()``, which gives a new operation for each try, until it succeeds or has failed for good; see `Attempts`.

    An error that is in ``spent`` is raised at once: the step that raised it was tried by itself, and given up.
    """
    route = policy.route()
    attempts = Attempts(policy, location, operation, repeatable=repeatable, begun=time.monotonic(), route=route)
    while True:
        try:
            return (yield from attempt() if route is None else route.follow(attempt()))
        except HeadraceError as error:
            if any(error is each for each in spent):
                raise
            delay = attempts.failed(error)
        if delay:
            yield Sleep(delay)
