"""Which endpoint each strategy chooses."""

from __future__ import annotations

import pickle
from collections import Counter
from collections.abc import Callable

import pytest

from headrace.endpoints import Endpoint, Endpoints, LeastConnections, PowerOfTwoChoices, RoundRobin, Strategy
from headrace.endpoints.endpoint import WORTH_OF_A_REQUEST
from headrace.endpoints.strategies import STRATEGIES
from headrace.errors import InvalidOption
from headrace.http.codec import Reply, scratch
from headrace.http.effects import Operation, Send
from headrace.http.messages import Origin, Request

URLS = ["http://a", "http://b", "http://c"]


def request_to(endpoint: Endpoint, *, limit: int | None = None) -> Send:
    return Send(Request("GET", Origin("http", endpoint.url[7:], 80), "/", {}), limit=limit)


def begin(endpoint: Endpoint, *, limit: int | None = None) -> Operation[object]:
    """An exchange under way."""
    operation = endpoint.carry(request_to(endpoint, limit=limit))
    next(operation)
    return operation


class Clock:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr("headrace.endpoints.endpoint.monotonic", lambda: self.now)

    def exchange(self, endpoint: Endpoint, seconds: float) -> None:
        """An exchange that takes so long."""
        operation = begin(endpoint)
        self.now += seconds
        with pytest.raises(StopIteration):
            operation.send(Reply("HEAD", scratch()))


def choices(strategy: Strategy, endpoints: Endpoints, count: int = 300) -> Counter[str]:
    return Counter(strategy.choose(endpoints.all).url for _ in range(count))


@pytest.mark.parametrize("strategy", [RoundRobin(), LeastConnections()], ids=["round robin", "least connections"])
def test_idle_endpoints_take_turns(strategy: Strategy) -> None:
    assert choices(strategy, Endpoints(URLS, strategy)) == dict.fromkeys(URLS, 100)


def test_two_choices_among_alike_are_by_lot() -> None:
    strategy = PowerOfTwoChoices()
    assert min(choices(strategy, Endpoints(URLS, strategy)).values()) > 50


def test_the_fewest_under_way() -> None:
    endpoints = Endpoints(URLS, LeastConnections())
    under_way = [begin(endpoints.all[0]), begin(endpoints.all[2])]
    assert choices(LeastConnections(), endpoints) == {"http://b": 300}
    for operation in under_way:
        operation.close()
    assert [endpoint.active for endpoint in endpoints.all] == [0, 0, 0]
    assert len(choices(LeastConnections(), endpoints)) == 3


def test_two_choices_avoid_bytes_under_way() -> None:
    endpoints = Endpoints(URLS, PowerOfTwoChoices())
    under_way = begin(endpoints.all[1], limit=8 << 20)
    assert endpoints.all[1].load > 8 << 20
    assert "http://b" not in choices(PowerOfTwoChoices(), endpoints)
    under_way.close()
    assert endpoints.all[1].load == 0


def test_two_choices_avoid_what_was_slow_until_it_is_idle_and_the_others_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    endpoints, clock = Endpoints(URLS, PowerOfTwoChoices()), Clock(monkeypatch)
    for endpoint, seconds in zip(endpoints.all, (0.1, 0.01, 0.01), strict=True):
        clock.exchange(endpoint, seconds)
    assert "http://a" not in choices(PowerOfTwoChoices(), endpoints)
    under_way = [begin(endpoint) for endpoint in endpoints.all[1:] for _ in range(20)]
    assert choices(PowerOfTwoChoices(), endpoints)["http://a"] > 50
    for operation in under_way:
        operation.close()


def test_a_pace_is_an_average_that_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    endpoint, clock = Endpoints(URLS, "round_robin").all[0], Clock(monkeypatch)
    assert endpoint.pace is None
    clock.exchange(endpoint, 1.0)
    clock.exchange(endpoint, 2.0)
    assert endpoint.pace == 1.25 / WORTH_OF_A_REQUEST
    clock.now += 11
    assert endpoint.pace is None
    clock.exchange(endpoint, 2.0)
    assert endpoint.pace == 2.0 / WORTH_OF_A_REQUEST


@pytest.mark.parametrize("make", STRATEGIES.values(), ids=STRATEGIES)
def test_a_strategy_travels_to_another_process(make: Callable[[], Strategy]) -> None:
    assert type(pickle.loads(pickle.dumps(make()))) is make


def test_a_strategy_of_the_users_own_is_asked_and_checked() -> None:
    class Last:
        def choose(self, endpoints: object) -> Endpoint:
            return endpoints[-1]  # type: ignore[index, no-any-return]

    class Wrong:
        def __init__(self, choice: object) -> None:
            self.choice = choice

        def choose(self, endpoints: object) -> Endpoint:
            return self.choice  # type: ignore[return-value]

    assert Endpoints(URLS, Last()).choose().url == "http://c"
    for choice in (None, 0, "http://a", Endpoints(URLS, "round_robin").all[0]):
        with pytest.raises(InvalidOption, match="strategy Wrong gave none of the endpoints"):
            Endpoints(URLS, Wrong(choice)).choose()
    # One that was left out must not be insisted upon either.
    stubborn = Wrong(None)
    endpoints = Endpoints(URLS, stubborn)
    stubborn.choice = endpoints.all[0]
    assert endpoints.choose().url == "http://a"
    with pytest.raises(InvalidOption):
        endpoints.choose(failed=[endpoints.all[0]])
    # Where there is nothing to choose, nobody is asked.
    assert Endpoints(URLS[:1], Wrong(0)).choose().url == "http://a"
