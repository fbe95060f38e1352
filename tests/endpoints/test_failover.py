"""Three endpoints before one server: what one of them does wrong, the others make good."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import pytest

from headrace import Client
from headrace.endpoints import Endpoint, RoundRobin
from headrace.errors import ConnectionFailed, ServiceError
from headrace.testing.contract.case import payload
from headrace.testing.faults import Cut, Delay, FaultProxy, Rule, Stall, Status
from headrace.testing.servers import Authority, Server

Connect = Callable[..., Client]

MIB = 1 << 20


class EndsAt:
    """Takes turns, and when so many requests have been given an endpoint, does something."""

    def __init__(self, requests: int, act: Callable[[], object]) -> None:
        self._turns = RoundRobin()
        self._left = requests
        self._act = act

    def choose(self, endpoints: Sequence[Endpoint]) -> Endpoint:
        self._left -= 1
        if self._left == 0:
            self._act()
        return self._turns.choose(endpoints)


def fill(client: Client, base: str, count: int) -> dict[str, bytes]:
    """Write some objects."""
    objects = {f"{base}/{number}": payload(4096, number) for number in range(count)}
    for item in client.put_many(objects.items()):
        assert item.info is not None
    return objects


def test_requests_take_turns_and_are_counted(connect: Connect, bucket_uri: str, proxies: list[FaultProxy]) -> None:
    client = connect()
    objects = fill(client, f"{bucket_uri}/turns", 30)
    assert {item.uri: bytes(item.data) for item in client.get_many(objects)} == objects
    assert [len(proxy.passages()) for proxy in proxies] == [20, 20, 20]
    found = client.endpoints()
    assert [endpoint.url for endpoint in found] == [proxy.endpoint for proxy in proxies]
    for endpoint in found:
        assert endpoint[1:6] == (20, 0, 10 * 4096, 10 * 4096, 0)
        assert endpoint.latency_p50 is not None
        assert endpoint.latency_p99 is not None
        assert 0 < endpoint.latency_p50 <= endpoint.latency_p99
        assert not endpoint.ejected


def test_no_read_of_a_batch_fails_when_an_endpoint_dies(connect: Connect, bucket_uri: str, proxies: list[FaultProxy]) -> None:
    objects = fill(connect(), f"{bucket_uri}/batch", 200)
    client = connect(endpoint_strategy=EndsAt(60, proxies[0].close))
    assert {item.uri: bytes(item.data) for item in client.get_many(objects)} == objects
    dead, *others = client.endpoints()
    assert dead.ejected
    assert dead.errors >= 3
    assert not any(endpoint.ejected or endpoint.errors for endpoint in others)
    assert dead.active == 0
    assert min(endpoint.requests for endpoint in others) > 60


def test_a_large_read_goes_on_when_an_endpoint_dies(connect: Connect, bucket_uri: str, proxies: list[FaultProxy]) -> None:
    data = payload(16 * MIB)
    connect().put(f"{bucket_uri}/large", data)
    client = connect(endpoint_strategy=EndsAt(5, proxies[1].close), range_threshold=MIB)
    assert client.get(f"{bucket_uri}/large") == data
    assert client.endpoints()[1].errors > 0


def test_a_write_in_parts_goes_on_when_an_endpoint_dies(
    connect: Connect, bucket_uri: str, proxies: list[FaultProxy], nginx: Server
) -> None:
    data = payload(30 * MIB)
    client = connect(endpoint_strategy=EndsAt(5, proxies[2].close), part_size=5 * MIB, multipart_threshold=5 * MIB)
    assert client.put(f"{bucket_uri}/parts", data).size == len(data)
    assert client.endpoints()[2].errors > 0
    with Client(endpoint_url=nginx.endpoint) as direct:
        assert direct.get(f"{bucket_uri}/parts") == data


def test_a_dead_endpoint_that_comes_back_is_used_again(connect: Connect, bucket_uri: str, proxies: list[FaultProxy], nginx: Server) -> None:
    client = connect()
    (uri, data), *_ = fill(client, f"{bucket_uri}/back", 1).items()
    port = int(proxies[0].endpoint.rpartition(":")[2])
    proxies[0].close()
    while not client.endpoints()[0].ejected:
        assert client.get(uri) == data
    with FaultProxy(nginx.endpoint, port=port) as revived:
        while client.endpoints()[0].ejected:
            assert client.get(uri) == data
            time.sleep(0.02)
        # One request was enough to find out, and from then on it has its share.
        assert len(revived.passages()) == 1
        for _ in range(9):
            client.get(uri)
        assert len(revived.passages()) == 4


def test_a_body_that_breaks_goes_on_at_another_endpoint(connect: Connect, bucket_uri: str, proxies: list[FaultProxy]) -> None:
    client, data = connect(), payload(10_000)
    client.put(f"{bucket_uri}/cut", data)
    for proxy in proxies:
        proxy.forget()
    for proxy in proxies[:2]:
        proxy.inject(Rule(fault=Cut(at=4000), method="GET"))
    for _ in range(3):
        assert client.get(f"{bucket_uri}/cut") == data
    sizes = [[passage.downloaded for passage in proxy.passages(method="GET")] for proxy in proxies]
    assert set(sizes[0] + sizes[1]) <= {4000, 6000}
    assert set(sizes[2]) & {2000, 6000}


def test_every_try_goes_to_another_endpoint(connect: Connect, bucket_uri: str, proxies: list[FaultProxy]) -> None:
    client = connect(max_attempts=3)
    for proxy in proxies:
        proxy.inject(Rule(fault=Status(status=500)))
    with pytest.raises(ServiceError) as caught:
        client.stat(f"{bucket_uri}/nothing")
    assert caught.value.attempts == 3
    # Of each refusal of a HEAD the reason is asked for only where credentials could be the reason.
    assert [len(proxy.passages()) for proxy in proxies] == [1, 1, 1]


def test_an_endpoint_that_is_silent_is_passed_over(connect: Connect, bucket_uri: str, proxies: list[FaultProxy]) -> None:
    objects = fill(connect(), f"{bucket_uri}/silent", 40)
    client = connect(stall_timeout=0.3)
    proxies[1].inject(Rule(fault=Stall()))
    assert {item.uri: bytes(item.data) for item in client.get_many(objects)} == objects
    assert client.endpoints()[1].ejected


def test_when_all_are_dead_it_says_so(connect: Connect, bucket_uri: str, proxies: list[FaultProxy]) -> None:
    client = connect(max_attempts=4)
    endpoints = {proxy.endpoint for proxy in proxies}
    for proxy in proxies:
        proxy.close()
    for _ in range(4):
        with pytest.raises(ConnectionFailed, match="refused") as caught:
            client.get(f"{bucket_uri}/key")
        assert caught.value.attempts == 4
        assert any(endpoint in str(caught.value) for endpoint in endpoints)
    assert all(endpoint.ejected for endpoint in client.endpoints())


@pytest.mark.parametrize("strategy", ["least_connections", "power_of_two_choices"])
def test_a_slow_endpoint_gets_little_of_the_load(connect: Connect, bucket_uri: str, proxies: list[FaultProxy], strategy: str) -> None:
    objects = fill(connect(), f"{bucket_uri}/slow", 200)
    client = connect(endpoint_strategy=strategy)
    for proxy in proxies:
        proxy.forget()
        proxy.inject(Rule(fault=Delay(seconds=0.3 if proxy is proxies[0] else 0.03)))
    assert {item.uri: bytes(item.data) for item in client.get_many(objects, concurrency=16)} == objects
    slow, *others = (len(proxy.passages()) for proxy in proxies)
    assert slow < 0.15 * len(objects)
    assert min(others) > 0.3 * len(objects)


def test_over_tls(connect: Connect, bucket_uri: str, nginx: Server, authority: Authority) -> None:
    certificate = authority.issue()
    proxies = [FaultProxy(nginx.endpoint, certificate=certificate).start() for _ in range(3)]
    client = connect(endpoints=[proxy.endpoint for proxy in proxies], ca_bundle=str(authority.ca_bundle))
    try:
        objects = fill(client, f"{bucket_uri}/tls", 30)
        proxies[0].close()
        assert {item.uri: bytes(item.data) for item in client.get_many(objects)} == objects
        assert [len(proxy.passages()) >= 10 for proxy in proxies] == [True] * 3
    finally:
        for proxy in proxies:
            proxy.close()


def test_an_endpoint_whose_certificate_is_not_right_is_passed_over(
    connect: Connect, bucket_uri: str, nginx: Server, authority: Authority
) -> None:
    """It gets nothing, and the others do."""
    wrong = authority.self_signed("localhost")
    with FaultProxy(nginx.endpoint, certificate=wrong) as bad, FaultProxy(nginx.endpoint, certificate=authority.issue()) as good:
        client = connect(endpoints=[bad.endpoint, good.endpoint], ca_bundle=str(authority.ca_bundle))
        objects = fill(client, f"{bucket_uri}/certificate", 6)
        assert {item.uri: bytes(item.data) for item in client.get_many(objects)} == objects
        assert not bad.passages()


def test_a_file_is_read_and_written_through_all(connect: Connect, bucket_uri: str, proxies: list[FaultProxy]) -> None:
    client, data = connect(part_size=5 * MIB), payload(12 * MIB)
    with client.open(f"{bucket_uri}/file", "wb") as file:
        file.write(data)
    proxies[0].close()
    with client.open(f"{bucket_uri}/file", block_size=MIB) as file:
        assert file.read() == data
    assert all(endpoint.requests for endpoint in client.endpoints())


def test_each_request_is_signed_for_its_own_endpoint(monkeypatch: pytest.MonkeyPatch, ceph: Server, bucket: str) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ceph.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", ceph.secret_key)
    with FaultProxy(ceph.endpoint) as other, Client(endpoints=[ceph.endpoint, other.endpoint]) as client:
        client.create_container(f"s3://{bucket}")
        objects = fill(client, f"s3://{bucket}", 4)
        assert {item.uri: bytes(item.data) for item in client.get_many(objects)} == objects
        assert client.delete(f"s3://{bucket}", recursive="bucket") == 4
        client.delete_container(f"s3://{bucket}")
        assert len(other.passages()) >= 4
