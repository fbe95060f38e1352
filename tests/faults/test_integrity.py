"""A byte that changes on the way: never silently wrong where there is a checksum."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from headrace import Client
from headrace.errors import IntegrityError
from headrace.testing.faults import Corrupt, CorruptUpload, FaultProxy, Rule
from headrace.testing.servers import Server
from tests.faults.trial import connect
from tests.faults.verbs import IN_PARTS, LARGE, SMALL, Place

pytestmark = pytest.mark.timeout(60)

ATTEMPTS = 3


def download(client: Client, place: Place) -> None:
    """Copy to a file: of a small object, a request for the whole, which S3 answers with its checksum."""
    path = place.scratch / "copy"
    client.copy(place.uri("small"), str(path))
    assert path.read_bytes() == SMALL


@pytest.fixture(params=["blocking", "asyncio"])
def client(request: pytest.FixtureRequest, proxy: FaultProxy) -> Iterator[Client]:
    with connect(request.param, proxy.endpoint, max_attempts=ATTEMPTS) as client:
        yield client


@pytest.fixture
def place(filled: Callable[[Server], str], ministack: Server, tmp_path: Path) -> Place:
    return Place(filled(ministack), tmp_path)


@pytest.fixture
def direct(ministack: Server) -> Iterator[Client]:
    with Client(endpoint_url=ministack.endpoint, sign_payload=False) as client:
        yield client


@pytest.mark.parametrize("at", [0, 9_999, len(SMALL) - 1])
def test_a_changed_byte_is_read_again(at: int, client: Client, proxy: FaultProxy, place: Place) -> None:
    proxy.inject(Rule(fault=Corrupt(at=at), method="GET", times=1))
    download(client, place)
    assert [passage.fault for passage in proxy.passages(method="GET")] == ["corrupt", None]


def test_bytes_that_stay_wrong_are_not_handed_out(client: Client, proxy: FaultProxy, place: Place) -> None:
    proxy.inject(Rule(fault=Corrupt(at=77), method="GET"))
    with pytest.raises(IntegrityError, match="checksum") as raised:
        download(client, place)
    assert raised.value.attempts == len(proxy.passages(method="GET")) == ATTEMPTS
    assert list(place.scratch.iterdir()) == []
    proxy.inject()
    download(client, place)


def test_a_large_body_is_checked_too(client: Client, proxy: FaultProxy, place: Place, direct: Client) -> None:
    direct.put(place.fresh(LARGE), LARGE * 10)
    proxy.inject(Rule(fault=Corrupt(at=1_500_000), method="GET", times=1))
    client.copy(next(iter(place.written)), str(place.scratch / "copy"))
    assert (place.scratch / "copy").read_bytes() == LARGE * 10
    assert [passage.fault for passage in proxy.passages(method="GET")] == ["corrupt", None]


def test_a_changed_byte_of_a_description_is_no_success(client: Client, proxy: FaultProxy, place: Place) -> None:
    # The first byte of an XML document.
    proxy.inject(Rule(fault=Corrupt(at=0), target="list-type", times=1))
    assert len(list(client.list(place.uri("many/")))) == 8
    assert len(proxy.passages("list-type")) == 2


@pytest.mark.parametrize("size", [len(SMALL), len(IN_PARTS)])
def test_a_changed_byte_of_a_write_is_refused_and_sent_again(
    size: int, client: Client, proxy: FaultProxy, place: Place, direct: Client
) -> None:
    data = IN_PARTS[:size]
    uri = place.fresh(data)
    proxy.inject(Rule(fault=CorruptUpload(at=size // 3), method="PUT", times=1))
    client.put(uri, data)
    assert direct.get(uri) == data
    proxy.inject(Rule(fault=CorruptUpload(at=12), method="PUT"))
    with pytest.raises(IntegrityError):
        client.put(uri, b"x" * 100)
    assert direct.get(uri) == data


def test_a_changed_byte_of_a_signed_write_is_refused(ceph: Server, filled: Callable[[Server], str]) -> None:
    # No checksum besides: the signature covers the body.
    uri = f"{filled(ceph)}own-{secrets.token_hex(6)}"
    with FaultProxy(ceph.endpoint) as proxy, connect("blocking", proxy.endpoint, checksum="auto", max_attempts=2) as client:
        proxy.inject(Rule(fault=CorruptUpload(at=12), method="PUT", times=1))
        client.put(uri, SMALL)
        assert [passage.status for passage in proxy.passages(method="PUT")] == [400, 200]
        assert client.get(uri) == SMALL


def test_of_a_range_there_is_no_checksum(client: Client, proxy: FaultProxy, place: Place) -> None:
    # What docs/errors.md and docs/testing.md say. Where this fails, say there that it has become better.
    proxy.inject(Rule(fault=Corrupt(at=3), target="/small$", times=1))
    assert client.get(place.uri("small")) == SMALL[:3] + bytes([SMALL[3] ^ 0x55]) + SMALL[4:]
    assert client.get(place.uri("small")) == SMALL
