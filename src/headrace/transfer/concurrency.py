"""How many operations of a batch are in flight: one rule, for every scheme and size.

What is best cannot be told beforehand. From loopback a processor is busy with a few requests in flight; across a continent
hundreds must be under way to fill the link. So a batch begins with a number that suits what it does, and doubles it for as long as
that makes it faster.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from typing import NamedTuple

__all__ = ["LARGE", "LOCAL", "SMALL", "Bounds", "Concurrency"]

_log = logging.getLogger("headrace")

_WORTH_IT = 1.3
_SHORTEST_ROUND = 16
_PATIENCE = 64


class Bounds(NamedTuple):
    """From how many operations at once a batch begins, and the most that it may come to."""

    first: int
    most: int


_PROCESSORS = os.cpu_count() or 1

SMALL = Bounds(32, 256)
"""Small objects, on an event loop: there the next request costs little, and waits for nobody."""
# A few more threads than processors, so that one that waits for the server leaves none idle.
LARGE = Bounds(max(4, min(16, 2 * _PROCESSORS)), 64)
"""Large bodies, in threads that spend their time in the kernel."""
LOCAL = Bounds(max(2, min(8, _PROCESSORS)), 64)
"""Files, in threads that spend their time in system calls."""


class Concurrency:
    """The number of operations in flight, as it follows from how fast results come.

    A round is as many results as operations are in flight. After each change one round passes that is not counted, since its operations
    began before. Twice as many are kept if results then come 1.3 times as fast; else it goes back to what it was, and tries again
    after 64 rounds: links and consumers change. A slow consumer is no reason to grow: results come no faster than it takes them.

    Args:
        bounds: where it begins, and where it ends.
        limit: the most, whatever the bounds say.
        clock: gives the time in seconds.

    Attributes:
        at_once: operations that may be in flight now.
    """

    __slots__ = ("_before", "_clock", "_count", "_most", "_pause", "_round", "_settling", "_since", "at_once")

    def __init__(self, bounds: Bounds, limit: int, clock: Callable[[], float] = time.perf_counter) -> None:
        self._most = min(bounds.most, limit)
        self._clock = clock
        self._before: float | None = None
        self._pause = 0
        self._since = 0.0
        self._set(min(bounds.first, limit))

    def landed(self) -> None:
        """Take note of a result."""
        self._count += 1
        if self._count >= self._round:
            self._end_round()

    def _set(self, at_once: int) -> None:
        self.at_once = at_once
        self._count, self._round, self._settling = 0, max(_SHORTEST_ROUND, at_once), True

    def _end_round(self) -> None:
        now = self._clock()
        rate = self._count / max(now - self._since, 1e-9)
        self._since, self._count = now, 0
        if self._settling:
            self._settling = False
        elif self._before is not None and rate < _WORTH_IT * self._before:
            _log.debug("batch: %d operations at once, twice as many gain nothing (%.0f/s, %.0f/s)", self.at_once // 2, self._before, rate)
            self._before, self._pause = None, _PATIENCE
            self._set(self.at_once // 2)
        elif self._pause:
            self._pause -= 1
        elif 2 * self.at_once <= self._most:
            _log.debug("batch: %d operations at once (%.0f/s), trying twice as many", self.at_once, rate)
            self._before = rate
            self._set(2 * self.at_once)
        else:
            self._before = None
