"""When an endpoint is left out, when it is tried again, and what is counted."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Callable, Iterator

import pytest

from headrace.endpoints import Endpoint, Endpoints
from headrace.endpoints.statistics import Latencies
from headrace.errors import ConnectionFailed, HeadraceError, InvalidOption, ProtocolError, Stalled
from headrace.http.effects import Cancelled, Send
from headrace.http.messages import Origin, Request
from headrace.testing.contract.stepping import Answer, Script

REFUSED = ConnectionFailed("refused", code="refused")
URLS = ["http://a", "http://b", "http://c"]


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("headrace.endpoints.endpoint.monotonic", clock)
    return clock


@pytest.fixture
def endpoints(clock: Clock) -> Endpoints:
    return Endpoints(URLS, "round_robin")


def send_to(endpoint: Endpoint) -> Send:
    return Send(Request("PUT", Origin("http", endpoint.url[7:], 80), "/", {}, [memoryview(b"12345")]))


def exchange(target: Endpoint | Endpoints, answer: Answer | Exception) -> str:
    """One exchange, with this outcome; the endpoint that it went to."""
    script = Script(answer)
    with contextlib.suppress(HeadraceError):
        script.run(target.carry(send_to(target)) if isinstance(target, Endpoint) else target.exchange(send_to))
    return script.requests[0].origin.host


def break_down(endpoint: Endpoint) -> None:
    for _ in range(3):
        exchange(endpoint, REFUSED)
    assert endpoint.is_out


@pytest.mark.parametrize(
    "failure",
    [REFUSED, Stalled("silent"), ProtocolError("no HTTP"), *(Answer(status=status) for status in (429, 500, 502, 503, 504))],
    ids=str,
)
def test_three_failures_in_a_row_eject(endpoints: Endpoints, failure: Answer | Exception) -> None:
    endpoint = endpoints.all[0]
    for outcome in (failure, failure, Answer(status=404), failure, failure):
        exchange(endpoint, outcome)
        assert not endpoint.is_out
    exchange(endpoint, failure)
    assert endpoint.is_out
    assert {endpoints.choose().url for _ in range(10)} == {"http://b", "http://c"}


@pytest.mark.parametrize(
    "outcome", [InvalidOption("a header"), *(Answer(status=status) for status in (200, 400, 403, 404, 412, 416, 501))], ids=str
)
def test_what_does_not_count_against_an_endpoint(endpoints: Endpoints, outcome: Answer | Exception) -> None:
    for _ in range(4):
        exchange(endpoints.all[0], outcome)
    assert (endpoints.all[0].is_out, endpoints.statistics()[0].errors) == (False, 0)


def test_one_request_finds_out_whether_it_works_again(endpoints: Endpoints, clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "headrace")
    break_down(endpoints.all[0])
    clock.now += 0.9
    assert "a" not in {exchange(endpoints, Answer()) for _ in range(10)}
    clock.now += 0.2
    probe = endpoints.exchange(send_to)
    assert next(probe).endpoint is endpoints.all[0]  # type: ignore[union-attr]
    # While it is under way, nobody else tries; when it is given up, the next one does.
    assert "a" not in {exchange(endpoints, Answer()) for _ in range(10)}
    with pytest.raises(Cancelled):
        probe.throw(Cancelled())
    assert exchange(endpoints, Answer()) == "a"
    assert not endpoints.all[0].is_out
    assert "a" in {exchange(endpoints, Answer()) for _ in range(3)}
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]


def test_the_pause_doubles_to_a_minute_and_begins_anew(endpoints: Endpoints, clock: Clock) -> None:
    endpoint = endpoints.all[0]
    break_down(endpoint)
    pauses = []
    for _ in range(8):
        pauses.append(endpoint.out_until - clock.now)
        clock.now = endpoint.out_until
        assert exchange(endpoints, REFUSED) == "a"
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60]
    # What was begun before and fails during the pause does not make it longer.
    until = endpoint.out_until
    exchange(endpoint, REFUSED)
    assert endpoint.out_until == until
    exchange(endpoint, Answer())
    break_down(endpoint)
    assert endpoint.out_until - clock.now == 1


def test_no_race_leaves_an_endpoint_out_for_good(endpoints: Endpoints, clock: Clock) -> None:
    endpoint = endpoints.all[0]
    break_down(endpoint)
    # Just as far as a recovery came in another thread, when this one ejected it.
    endpoint.failures, endpoint.out_until = 0, 0.0
    assert exchange(endpoints, Answer()) == "a"
    assert not endpoint.is_out


def test_a_request_that_must_not_be_lost_is_no_probe(endpoints: Endpoints, clock: Clock) -> None:
    break_down(endpoints.all[0])
    clock.now += 2
    for _ in range(6):
        effect = next(endpoints.exchange(send_to, repeatable=False))
        assert isinstance(effect, Send)
        assert effect.endpoint is not endpoints.all[0]


def test_when_all_are_out_the_one_that_is_due_first_is_used(endpoints: Endpoints, clock: Clock) -> None:
    for endpoint in (endpoints.all[1], endpoints.all[0], endpoints.all[2]):
        break_down(endpoint)
        clock.now += 0.1
    assert {endpoints.choose().url for _ in range(5)} == {"http://b"}
    assert endpoints.choose(failed=[endpoints.all[1]]).url == "http://a"
    assert not endpoints.has_other(())


def test_bytes_and_errors_are_counted(endpoints: Endpoints) -> None:
    endpoint = endpoints.all[0]
    exchange(endpoint, Answer(body=b"1234567"))
    exchange(endpoint, Answer(status=503, body=b"123"))
    exchange(endpoint, REFUSED)
    exchange(endpoint, InvalidOption("a header"))
    for stop in (Cancelled(), KeyboardInterrupt()):
        operation = endpoint.carry(send_to(endpoint))
        next(operation)
        assert endpoint.active == 1
        with pytest.raises(type(stop)):
            operation.throw(stop)
    assert endpoint.statistics()[:6] == ("http://a", 4, 2, 10, 10, 0)


def test_latencies_are_rounded_up_by_an_eighth_at_most() -> None:
    latencies = Latencies()
    assert latencies.percentile(0.5) is None
    for milliseconds in range(1, 101):
        latencies.add(milliseconds / 1e3)
    for share, seconds in ((0.5, 0.05), (0.99, 0.099), (1.0, 0.1), (0.01, 0.001)):
        found = latencies.percentile(share)
        assert found is not None
        assert seconds < found <= seconds * 1.125


@pytest.mark.parametrize("seconds", [0.0, 1e-9, 1e6])
def test_a_time_beyond_all_buckets_is_counted_in_the_last_one(seconds: float) -> None:
    latencies = Latencies()
    latencies.add(seconds)
    assert latencies.percentile(0.5) is not None


@pytest.fixture
def in_child() -> Iterator[Callable[[Callable[[], bool]], bool]]:
    """Forks, and tells what a function gives in the child."""

    def ask(question: Callable[[], bool]) -> bool:
        child = os.fork()
        if not child:
            os._exit(0 if question() else 1)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0

    return ask


@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_a_forked_child_begins_anew(endpoints: Endpoints, in_child: Callable[[Callable[[], bool]], bool]) -> None:
    break_down(endpoints.all[0])
    under_way = endpoints.all[1].carry(send_to(endpoints.all[1]))
    next(under_way)

    def is_new() -> bool:
        under_way.close()
        return (
            all(endpoint.statistics()[1:] == (0, 0, 0, 0, 0, None, None, False) for endpoint in endpoints.all)
            and not endpoints.all[0].is_out
        )

    assert in_child(is_new)
    assert endpoints.all[0].is_out
    assert endpoints.all[1].active == 1
    under_way.close()
