"""PyTorch's DataLoader, whose workers use the client that their parent has used, or is using."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from headrace import Client
from headrace.testing.servers import Server
from tests.processes.reading import expected, read_all
from tests.processes.throttle import WATCHDOG, Throttle

CI = os.environ.get("CI") == "true"


class Samples:
    """A map-style dataset of objects."""

    def __init__(self, client: Client, uris: list[str]) -> None:
        self.client = client
        self.uris = uris

    def __len__(self) -> int:
        return len(self.uris)

    def __getitem__(self, index: int) -> bytes:
        (item,) = self.client.get_many([self.uris[index]])
        assert item.data == self.client.get(self.uris[index])
        return bytes(item.data)


@pytest.fixture
def torch() -> Any:
    if CI:
        import torch

        return torch
    return pytest.importorskip("torch")


@pytest.fixture
def reading(options: dict[str, Any], uris: list[str]) -> Iterator[Client]:
    """A client with which another thread is in the middle of a GET, all the time."""
    with Throttle(options["endpoint_url"], rate=1 << 20) as throttle, Client(**{**options, "endpoint_url": throttle.endpoint}) as client:
        stop = threading.Event()

        def read() -> None:
            while not stop.is_set():
                client.get(uris[-1])

        thread = threading.Thread(target=read)
        thread.start()
        throttle.wait_for("GET .*large")
        yield client
        stop.set()
        thread.join(WATCHDOG)
        assert not thread.is_alive()


@pytest.mark.parametrize("kind", ["fork", "fork, persistent", "forkserver, persistent", "spawn, persistent"])
def test_the_workers_of_a_data_loader(reading: Client, client: Client, uris: list[str], torch: Any, kind: str) -> None:
    """For two epochs, of which a persistent worker serves both."""
    loader = torch.utils.data.DataLoader(
        Samples(reading, uris[:-1]),
        batch_size=8,
        num_workers=2,
        collate_fn=list,
        multiprocessing_context=kind.partition(",")[0],
        persistent_workers="persistent" in kind,
        timeout=WATCHDOG,
    )
    for _ in range(2):
        assert [sample for batch in loader for sample in batch] == [uri.encode() for uri in uris[:-1]]
    assert read_all(client, uris) == expected(uris)


def test_the_workers_of_a_data_loader_over_http2(nginx: Server, options: dict[str, Any], uris: list[str], torch: Any) -> None:
    """They do not use the connection that their parent has."""
    with Client(**{**options, "endpoint_url": nginx.tls_endpoint, "ca_bundle": nginx.ca_bundle, "http2": True}) as client:
        assert read_all(client, uris) == expected(uris)
        loader = torch.utils.data.DataLoader(
            Samples(client, uris[:-1]), batch_size=8, num_workers=2, collate_fn=list, multiprocessing_context="fork", timeout=WATCHDOG
        )
        assert [sample for batch in loader for sample in batch] == [uri.encode() for uri in uris[:-1]]
        assert read_all(client, uris) == expected(uris)
