"""The number of operations in flight follows what the link gives, on a clock of its own."""

from __future__ import annotations

import pytest

from headrace.transfer.concurrency import LARGE, LOCAL, SMALL, Bounds, Concurrency


class Link:
    """Results come ``at_once`` for each ``latency`` seconds, but not more than ``most`` a second."""

    def __init__(self, latency: float, most: float) -> None:
        self.latency = latency
        self.most = most
        self.now = 0.0

    def run(self, concurrency: Concurrency, results: int) -> list[int]:
        """Deliver results; tell how many operations were in flight at each."""
        seen = []
        for _ in range(results):
            self.now += max(self.latency / concurrency.at_once, 1 / self.most)
            concurrency.landed()
            seen.append(concurrency.at_once)
        return seen


def begun(link: Link, bounds: Bounds = SMALL, limit: int = 1000) -> Concurrency:
    return Concurrency(bounds, limit, clock=lambda: link.now)


def test_a_distant_link_is_filled_within_a_thousand_results() -> None:
    link = Link(latency=0.02, most=5_000)
    concurrency = begun(link)
    link.run(concurrency, 1000)
    assert concurrency.at_once / link.latency >= link.most


def test_what_gains_nothing_is_taken_back() -> None:
    link = Link(latency=0.02, most=5_000)
    seen = link.run(begun(link), 20_000)
    assert sorted(set(seen)) == [32, 64, 128, 256]
    assert seen.count(256) < 0.2 * len(seen)
    assert seen[-1] == 128


def test_a_busy_processor_or_a_slow_consumer_is_seldom_asked_for_more() -> None:
    link = Link(latency=0, most=10_000)
    seen = link.run(begun(link), 100_000)
    assert set(seen) == {32, 64}
    assert seen.count(64) < 0.1 * len(seen)


def test_a_link_that_becomes_longer_is_noticed() -> None:
    link = Link(latency=0, most=10_000)
    concurrency = begun(link)
    link.run(concurrency, 1000)
    link.latency = 0.1
    link.run(concurrency, 10_000)
    assert concurrency.at_once == SMALL.most


@pytest.mark.parametrize("bounds", [SMALL, LARGE, LOCAL])
@pytest.mark.parametrize("limit", [1, 7, 100])
def test_neither_bound_is_passed(bounds: Bounds, limit: int) -> None:
    link = Link(latency=1, most=1e9)
    seen = link.run(begun(link, bounds, limit), 10_000)
    assert max(seen) <= min(bounds.most, limit)
    assert seen[0] == min(bounds.first, limit)
