"""Credentials that end: when to fetch others, by whom, and once for all the threads that need them.

Two times matter in the life of temporary credentials. From the first one on they are fetched *early*: one caller makes the effort
and everybody else goes on with those at hand, so nobody waits at the same moment, and a failure does no harm yet. After the second
one they are *due*: they could end while a request is on its way, so every caller waits for others.
"""

from __future__ import annotations

import logging
import os
import threading
from abc import ABC, abstractmethod
from copy import copy
from datetime import UTC, datetime
from math import inf
from time import time
from typing import Any, Generic, Protocol, TypeVar
from weakref import WeakSet

from headrace.errors import CredentialsError, HeadraceError

__all__ = ["Expiring", "Lease", "RefreshingSource", "refuse_expired"]


class Expiring(Protocol):
    """Credentials of any service."""

    @property
    def expires(self) -> float | None:
        """When they end, in POSIX seconds; None where that is never, or not known."""


C = TypeVar("C", bound=Expiring)

_log = logging.getLogger("headrace.auth")

_EARLY = 15 * 60
_DUE = 60
_BETWEEN_EARLY_TRIES = 60


class Lease(Generic[C]):
    """Credentials with the times, in POSIX seconds, at which others should and must take their place.

    Fetched early when 15 minutes are left and due when one minute is left. Of a short life it is the last half and the last quarter,
    so that even credentials for a few seconds serve more than one request.

    Attributes:
        credentials: what is leased.
        early_at: from when on others are wanted.
        due_at: from when on these are not handed out any more.
    """

    __slots__ = ("_next_try", "credentials", "due_at", "early_at")

    def __init__(self, credentials: C, *, fetched_at: float) -> None:
        self.credentials = credentials
        self.early_at = self.due_at = inf
        if credentials.expires is not None:
            life = credentials.expires - fetched_at
            self.early_at = credentials.expires - min(_EARLY, life / 2)
            self.due_at = credentials.expires - min(_DUE, life / 4)
        self._next_try = self.early_at

    def claim(self, now: float) -> C | None:
        """Return the credentials, or None to whoever is to fetch others: one caller a minute when it is early, all when it is due."""
        if now < self._next_try:
            return self.credentials
        if now < self.due_at:
            # Two threads may both get here and both be told to fetch: the second finds the first one's result.
            self._next_try = min(now + _BETWEEN_EARLY_TRIES, self.due_at)
        return None

    def revoke(self) -> None:
        """Make the credentials due at once."""
        self.early_at = self.due_at = self._next_try = -inf


class RefreshingSource(ABC, Generic[C]):
    """Keeps credentials until they need replacing, and lets one thread at a time replace them.

    A subclass says in `_fetch` where they come from, and in ``__reduce__`` how it travels to another process: as configuration,
    never with what it keeps. After a fork the child goes on with the credentials at hand.
    """

    def __init__(self) -> None:
        self._lease: Lease[C] | None = None
        self._fetching = threading.Lock()
        self._failure: HeadraceError | None = None
        _sources.add(self)

    @abstractmethod
    def _fetch(self) -> C:
        """Return fresh credentials, or raise a `HeadraceError`. May block; never called by two threads at once."""

    def current(self) -> C | None:
        """Return credentials that are good to use, or None when the caller is to call `refresh`. Never blocks."""
        lease = self._lease
        return None if lease is None else lease.claim(time())

    def refresh(self) -> C:
        """Return credentials that need no replacing, fetching them if there are none. May block.

        Of several threads, one fetches; the others wait, and get what it got: the same credentials or the same error.

        Raises:
            CredentialsError: there are none to be had, or they have already expired.
        """
        known_failure = self._failure
        with self._fetching:
            lease = self._lease
            if lease is not None and time() < lease.early_at:
                return lease.credentials
            failure = self._failure
            if failure is not None and failure is not known_failure:
                raise copy(failure)
            return self._replace(lease)

    def invalidate(self, rejected: C) -> None:
        """Drop credentials that the service calls expired or unknown, unless others have already taken their place. Never blocks."""
        lease = self._lease
        if lease is not None and lease.credentials == rejected:
            lease.revoke()

    def _replace(self, lease: Lease[C] | None) -> C:
        try:
            credentials = self._fetch()
            refuse_expired(credentials)
        except HeadraceError as error:
            if lease is not None and time() < lease.due_at:
                _log.warning("credentials could not be refreshed ahead of time, the present ones are still good: %s", error)
                return lease.credentials
            # A copy, because the error itself would keep every frame that it passed through alive.
            self._failure = copy(error)
            raise
        self._lease, self._failure = Lease(credentials, fetched_at=time()), None
        return credentials

    def _after_fork(self) -> None:
        # The thread that held the lock in the parent does not exist in the child.
        self._fetching = threading.Lock()


def refuse_expired(credentials: Expiring) -> None:
    """Raise `CredentialsError` if these credentials have ended."""
    if credentials.expires is not None and credentials.expires <= time():
        ended = datetime.fromtimestamp(credentials.expires, UTC).isoformat(timespec="seconds")
        raise CredentialsError(f"these credentials ended at {ended}", hint="Get new ones, or correct the local clock")


_sources: WeakSet[RefreshingSource[Any]] = WeakSet()


def _repair_after_fork() -> None:
    for source in _sources:
        source._after_fork()


os.register_at_fork(after_in_child=_repair_after_fork)
