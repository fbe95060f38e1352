"""The endpoints of one service together: which of them serves the next request."""

from __future__ import annotations

import logging
import os
import weakref
from collections.abc import Callable, Collection, Sequence
from operator import attrgetter

from headrace.endpoints.endpoint import Elsewhere, Endpoint
from headrace.endpoints.statistics import EndpointStatistics
from headrace.endpoints.strategies import STRATEGIES, Strategy
from headrace.errors import InvalidOption
from headrace.http.codec import Reply
from headrace.http.effects import Operation, Send

__all__ = ["Endpoints"]

_log = logging.getLogger("headrace")


class Endpoints:
    """Several endpoints with the same objects. What is known of them belongs to one process: a forked child begins anew.

    Args:
        urls: their addresses, all different.
        strategy: the name of a strategy, or one.
    """

    def __init__(self, urls: Sequence[str], strategy: str | Strategy) -> None:
        self._out: set[Endpoint] = set()
        self.all = tuple(Endpoint(url, self._out) for url in urls)
        self._strategy: Strategy = STRATEGIES[strategy]() if isinstance(strategy, str) else strategy
        _log.debug("requests are spread over %d endpoints by %s", len(self.all), type(self._strategy).__name__)
        _groups.add(self)

    def statistics(self) -> list[EndpointStatistics]:
        """What was counted of each endpoint, in the order in which they were given."""
        return [endpoint.statistics() for endpoint in self.all]

    def exchange(self, send_to: Callable[[Endpoint], Send], *, repeatable: bool = True) -> Operation[Reply]:
        """One exchange with an endpoint that is chosen here; the reply may have any status.

        Args:
            send_to: gives the request for an endpoint: addressed to it, and signed for it.
            repeatable: whether it does no harm if it is not known what became of it; then it may find out whether an ejected
                endpoint works again.
        """
        failed: Collection[Endpoint] = ()
        while True:
            prober = self._claim_probe(failed) if self._out and repeatable else None
            endpoint = prober or self.choose(failed)
            try:
                return (yield from endpoint.carry(send_to(endpoint)))
            except Elsewhere as wish:
                failed = wish.failed
            finally:
                if prober is not None:
                    prober.end_probe()

    def choose(self, failed: Collection[Endpoint] = ()) -> Endpoint:
        """One that is not ejected, by the strategy; else the one that will be tried soonest. None of ``failed``, if there is another.

        Raises:
            InvalidOption: the user's strategy gives something else than one of the endpoints that it was offered.
        """
        candidates: Sequence[Endpoint] = self.all
        if self._out or failed:
            candidates = [endpoint for endpoint in self.all if endpoint not in self._out and endpoint not in failed]
            if not candidates:
                others = [endpoint for endpoint in self.all if endpoint not in failed]
                return min(others or self.all, key=attrgetter("out_until"))
        if len(candidates) == 1:
            return candidates[0]
        chosen = self._strategy.choose(candidates)
        if chosen not in candidates:
            kind = type(self._strategy).__name__
            raise InvalidOption(f"the endpoint strategy {kind} gave none of the endpoints", hint="Return one of those that it is given.")
        return chosen

    def has_other(self, failed: Collection[Endpoint]) -> bool:
        """Whether there is an endpoint that is neither ejected nor one of these."""
        return any(endpoint not in self._out and endpoint not in failed for endpoint in self.all)

    def _claim_probe(self, failed: Collection[Endpoint]) -> Endpoint | None:
        for endpoint in self.all:
            if endpoint in self._out and endpoint not in failed and endpoint.claim_probe():
                return endpoint
        return None

    def _reset(self) -> None:
        for endpoint in self.all:
            endpoint.reset()


_groups: weakref.WeakSet[Endpoints] = weakref.WeakSet()


def _reset_after_fork() -> None:
    for group in list(_groups):
        group._reset()


os.register_at_fork(after_in_child=_reset_after_fork)
