"""The copies of a plan, made several at once: each fails alone, unless what stops it stops all of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, TypeAlias

from headrace.cli.plan import Copy
from headrace.errors import ConnectionFailed, CredentialsError, HeadraceError, Stalled
from headrace.http.effects import Operation, Parallel
from headrace.models import ObjectInfo
from headrace.transfer.session import Session

__all__ = ["Act", "Watcher", "perform"]

Act: TypeAlias = Callable[..., Operation[ObjectInfo]]
"""`copying.copy` or `copying.move`."""

# What one copy fails for so, the next will fail for too.
_HOPELESS = (ConnectionFailed, CredentialsError, Stalled)
_NO_BUCKET = "NoSuchBucket"


class Watcher(Protocol):
    """Is told what happens, as it happens."""

    def moved(self, size: int) -> None:
        """So many bytes more have arrived; fewer, if it is negative, since an object that had arrived in part failed."""

    def done(self, copy: Copy, info: ObjectInfo) -> None:
        """A copy was made."""

    def failed(self, copy: Copy, error: HeadraceError) -> None:
        """A copy was not made, and nothing of it is visible."""


def perform(session: Session, copies: Sequence[Copy], act: Act, *, jobs: int, watcher: Watcher) -> Operation[None]:
    """Make the copies. What fails is told to the watcher, and the others go on.

    When one fails for what the others would fail for, too, no more are begun, and no more failures are told.
    """
    hopeless: list[HeadraceError] = []

    def one(copy: Copy) -> Operation[None]:
        error = yield from _make(session, copy, act, watcher)
        if error is not None and not hopeless:
            watcher.failed(copy, error)
            if isinstance(error, _HOPELESS) or error.code == _NO_BUCKET:
                hopeless.append(error)
                raise error

    try:
        if copies:
            yield Parallel(map(one, copies), min(jobs, len(copies)))
    except HeadraceError:
        if not hopeless:
            raise


def _make(session: Session, copy: Copy, act: Act, watcher: Watcher) -> Operation[HeadraceError | None]:
    """Make a copy, and tell what moves; what it failed for, if it did."""
    told = 0

    def moved(size: int) -> None:
        nonlocal told
        told += size
        watcher.moved(size)

    try:
        info = yield from act(session, copy.source, copy.destination, expected_size=copy.size, moved=moved)
    except HeadraceError as error:
        watcher.moved(-told)
        return error
    watcher.moved(max(copy.size, 0) - told)
    watcher.done(copy, info)
    return None
