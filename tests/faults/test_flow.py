"""Time limits are on waiting without progress: a slow transfer goes on for as long as it takes, one that stands still does not."""

from __future__ import annotations

import itertools
import secrets
import time
from collections.abc import Callable, Iterator

import pytest

from headrace import Client
from headrace.errors import HeadraceError, Stalled
from headrace.testing.contract.case import payload
from headrace.testing.faults import Delay, Drip, DripUpload, FaultProxy, Rule, Stall, StallUpload
from headrace.testing.servers import Server
from tests.faults.trial import connect
from tests.faults.verbs import SMALL

pytestmark = pytest.mark.timeout(60)

RATE = 50_000
SLOW = payload(75_000, seed=4)
"""What takes 1.5 seconds at that rate."""

STALL_SECONDS = 0.7
# More than kernels hold between two programs.
HUGE = payload(12 << 20, seed=5)


@pytest.fixture(params=["blocking", "asyncio"])
def client(request: pytest.FixtureRequest, proxy: FaultProxy) -> Iterator[Client]:
    limits = {"stall_timeout": STALL_SECONDS, "max_attempts": 1, "range_threshold": 8 << 20, "multipart_threshold": 1 << 30}
    with connect(request.param, proxy.endpoint, **limits) as client:
        yield client


@pytest.fixture
def uri(filled: Callable[[Server], str], ministack: Server) -> str:
    return f"{filled(ministack)}own-{secrets.token_hex(6)}"


@pytest.fixture
def direct(ministack: Server) -> Iterator[Client]:
    with Client(endpoint_url=ministack.endpoint) as client:
        yield client


def test_a_slow_read_goes_on(client: Client, proxy: FaultProxy, uri: str, direct: Client) -> None:
    direct.put(uri, SLOW)
    proxy.inject(Rule(fault=Drip(rate=RATE)))
    begun = time.monotonic()
    assert client.get(uri) == SLOW
    assert time.monotonic() - begun > STALL_SECONDS
    assert len(proxy.passages()) == 1


def test_slow_reads_of_a_batch_go_on(client: Client, proxy: FaultProxy, uri: str, direct: Client) -> None:
    uris = [f"{uri}-{number}" for number in range(3)]
    for name in uris:
        direct.put(name, SLOW)
    proxy.inject(Rule(fault=Drip(rate=RATE)))
    assert [item.data == SLOW for item in client.get_many(uris)] == [True] * 3
    assert len(proxy.passages()) == 3


def test_a_slow_write_goes_on(client: Client, proxy: FaultProxy, uri: str, direct: Client) -> None:
    # Faster than the reads: the last hundred kilobytes are on the way, and no more seen to move, for less than the limit.
    data = HUGE[: 6 * len(SLOW)]
    proxy.inject(Rule(fault=DripUpload(rate=6 * RATE), method="PUT"))
    begun = time.monotonic()
    client.put(uri, data)
    assert time.monotonic() - begun > STALL_SECONDS
    assert len(proxy.passages(method="PUT")) == 1
    assert direct.get(uri) == data


def test_a_reply_that_is_long_in_coming_goes_on_if_it_comes_in_time(client: Client, proxy: FaultProxy, uri: str, direct: Client) -> None:
    direct.put(uri, SMALL)
    # Three waits, each shorter than the limit; together they are longer.
    third = 0.7 * STALL_SECONDS
    proxy.inject(Rule(fault=Stall(at=10_000, seconds=third), times=1))
    assert client.get(uri) == SMALL
    proxy.inject(Rule(fault=Delay(seconds=third)))
    for _ in range(3):
        assert client.get(uri) == SMALL


OTHER = SMALL[::-1]
WAYS = {
    "before the reply": (Stall(), "GET", SMALL),
    "in the reply": (Stall(at=5_000), "GET", SMALL),
    "before the reply to a write": (Stall(), "PUT", OTHER),
    "while it is sent": (StallUpload(at=5_000), "PUT", SMALL),
}


@pytest.mark.parametrize("way", WAYS)
def test_what_stands_still_is_stalled(way: str, client: Client, proxy: FaultProxy, uri: str, direct: Client) -> None:
    fault, method, remains = WAYS[way]
    direct.put(uri, SMALL)
    proxy.inject(Rule(fault=fault, method=method))
    begun = time.monotonic()
    with pytest.raises(Stalled, match=f"no byte moved for {STALL_SECONDS:g} s") as raised:
        client.get(uri) if method == "GET" else client.put(uri, OTHER if remains == OTHER else HUGE)
    assert time.monotonic() - begun >= STALL_SECONDS
    assert raised.value.attempts == 1
    proxy.inject()
    assert client.get(uri) == remains
    assert direct.get(uri) == remains


@pytest.mark.parametrize("driver", ["blocking", "asyncio"])
def test_many_writes_that_stand_still(driver: str, proxy: FaultProxy, uri: str, direct: Client) -> None:
    proxy.inject(Rule(fault=StallUpload(at=100), target=r"-[13]$"))
    names = [f"{uri}-{number}" for number in range(5)]
    with connect(driver, proxy.endpoint, stall_timeout=STALL_SECONDS, max_attempts=1) as client:
        items = client.put_many(zip(names, itertools.repeat(SMALL)), on_error="yield")
        failed = {item.uri: item.error for item in items if item.error}
    assert sorted(failed) == [names[1], names[3]]
    assert all(isinstance(error, Stalled) for error in failed.values())
    assert [direct.exists(name) for name in names] == [True, False, True, False, True]


def test_the_attempts_of_a_stalled_verb_are_counted(proxy: FaultProxy, uri: str) -> None:
    proxy.inject(Rule(fault=Stall()))
    with connect("blocking", proxy.endpoint, stall_timeout=0.1, max_attempts=3) as client, pytest.raises(HeadraceError) as raised:
        client.get(uri)
    assert isinstance(raised.value, Stalled)
    assert raised.value.attempts == len(proxy.passages()) == 3
