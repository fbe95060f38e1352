"""How one of several endpoints is chosen."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from operator import attrgetter
from random import random
from typing import Any, Protocol

from headrace.endpoints.endpoint import WORTH_OF_A_REQUEST, Endpoint

__all__ = ["STRATEGIES", "LeastConnections", "PowerOfTwoChoices", "RoundRobin", "Strategy"]

_activity = attrgetter("active")


class Strategy(Protocol):
    """Chooses endpoints. An object of your own can be given as the option ``endpoint_strategy``."""

    def choose(self, endpoints: Sequence[Endpoint]) -> Endpoint:
        """The endpoint that the next request goes to: one of ``endpoints``, of which there are two or more.

        Those that are ejected, or have just failed what is to be done, are not among them. Called for each request, from any
        thread, also from event loops: it must not block, and what it takes is added to every request.
        """


class RoundRobin:
    """One endpoint after another: alike in number, whatever becomes of the requests."""

    def __init__(self) -> None:
        self._turns = itertools.count()

    def choose(self, endpoints: Sequence[Endpoint]) -> Endpoint:
        """See `Strategy.choose`."""
        return endpoints[next(self._turns) % len(endpoints)]

    def __reduce__(self) -> tuple[Any, ...]:
        return RoundRobin, ()


class LeastConnections:
    """The endpoint with the fewest requests under way; of several such, one after another."""

    def __init__(self) -> None:
        self._turns = itertools.count()

    def choose(self, endpoints: Sequence[Endpoint]) -> Endpoint:
        """See `Strategy.choose`."""
        first = next(self._turns) % len(endpoints)
        return min([*endpoints[first:], *endpoints[:first]], key=_activity)

    def __reduce__(self) -> tuple[Any, ...]:
        return LeastConnections, ()


class PowerOfTwoChoices:
    """Of two endpoints that are drawn by lot, the one that would have done with what it has to do sooner.

    That is estimated from the bytes and requests under way and from how fast the last ones went. Looking at two instead of all of
    them costs the same for any number of endpoints, and keeps many clients, none of which knows of the others, from rushing
    together to the same one (M. Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing", 2001).
    """

    def choose(self, endpoints: Sequence[Endpoint]) -> Endpoint:
        """See `Strategy.choose`."""
        count = len(endpoints)
        first, second = int(random() * count), int(random() * (count - 1))
        one, other = endpoints[first], endpoints[second + (second >= first)]
        # An endpoint of which nothing is known yet counts as fast as the other.
        pace, other_pace = one.pace, other.pace
        cost = (pace or other_pace or 1.0) * (one.load + WORTH_OF_A_REQUEST)
        other_cost = (other_pace or pace or 1.0) * (other.load + WORTH_OF_A_REQUEST)
        return one if cost <= other_cost else other


STRATEGIES: Mapping[str, Callable[[], Strategy]] = {
    "round_robin": RoundRobin,
    "least_connections": LeastConnections,
    "power_of_two_choices": PowerOfTwoChoices,
}
"""What the words of the option ``endpoint_strategy`` stand for."""
