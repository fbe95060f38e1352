"""What breaks on the way to a server, and that reads and writes get over it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from headrace import Client
from headrace.backends.protocol import Landing
from headrace.errors import IntegrityError, ObjectChanged
from headrace.stores import retry
from headrace.testing.faults import Corrupt, Cut, Fault, FaultProxy, Reset, Rule, Status

DATA = bytes(range(256)) * 4000


@pytest.fixture(autouse=True)
def lucky_delays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry.random, "uniform", lambda low, high: low)


@pytest.fixture
def client(options: dict[str, Any]) -> Iterator[Client]:
    with Client(**{**options, "max_attempts": 3}) as client:
        yield client


@pytest.fixture
def uri(client: Client, bucket: str, proxy: FaultProxy) -> Iterator[str]:
    client.create_container(f"gs://{bucket}")
    client.put(f"gs://{bucket}/object", DATA)
    yield f"gs://{bucket}/object"
    proxy.inject()
    client.delete(f"gs://{bucket}", recursive="bucket")
    client.delete_container(f"gs://{bucket}")


def test_a_read_goes_on_where_it_broke_with_the_same_version(client: Client, uri: str, proxy: FaultProxy) -> None:
    proxy.inject(Rule(fault=Cut(at=400_000), target="alt=media", times=1))
    assert client.get(uri) == DATA
    first, second = proxy.passages("alt=media")
    assert (first.downloaded, second.downloaded) == (400_000, len(DATA) - 400_000)
    assert f"ifGenerationMatch={client.stat(uri).version_id}" in second.target


def test_a_read_does_not_go_on_with_another_version(client: Client, uri: str, proxy: FaultProxy) -> None:
    """The server ignores the condition; its reply tells."""
    before = client.stat(uri).etag
    client.put(uri, DATA[::-1])
    store, location = client._session.locate(uri)
    with pytest.raises(ObjectChanged):
        client._session.run(store.get(location, Landing(), start=5, if_match=before))


@pytest.mark.parametrize("fault", [Status(status=503), Status(status=429), Reset()], ids=lambda fault: type(fault).__name__)
def test_what_fails_once_is_done_again(client: Client, uri: str, proxy: FaultProxy, fault: Fault) -> None:
    for verb in (
        lambda: client.put(uri, DATA),
        lambda: client.get(uri),
        lambda: client.stat(uri),
        lambda: list(client.list(uri)),
        lambda: client.copy(uri, f"{uri}-copy"),
        lambda: client.delete_many([f"{uri}-copy"]),
        lambda: client.put(uri, bytes(6 << 20)),
    ):
        proxy.inject(Rule(fault=fault, times=1))
        verb()
    assert client.get(uri) == bytes(6 << 20)


def test_bytes_that_were_damaged_are_read_again_and_then_refused(client: Client, uri: str, proxy: FaultProxy) -> None:
    proxy.inject(Rule(fault=Corrupt(at=1000), target="alt=media", times=1))
    assert client.get(uri) == DATA
    proxy.inject(Rule(fault=Corrupt(at=1000), target="alt=media"))
    with pytest.raises(IntegrityError, match="crc32c"):
        client.get(uri)
