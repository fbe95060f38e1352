"""What the tests of processes share: clients, objects, and a place where programs are interrupted."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from headrace import Client
from headrace.auth.sigv4 import Credentials
from headrace.testing.servers import Server
from tests.processes.reading import COUNT, LARGE, expected, read_all
from tests.processes.throttle import WATCHDOG, Throttle

MIB = 1 << 20


@pytest.fixture
def options(nginx: Server, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", nginx.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", nginx.secret_key)
    return {"endpoint_url": nginx.endpoint, "range_threshold": MIB}


@pytest.fixture
def client(options: dict[str, Any]) -> Iterator[Client]:
    with Client(**options) as client:
        yield client


@pytest.fixture
def uris(client: Client, bucket: str) -> list[str]:
    """Small objects and, last, a large one; the client has been used for all that it does."""
    client.create_container(f"s3://{bucket}")
    uris = [f"s3://{bucket}/{number:02}" for number in range(COUNT)]
    for _ in client.put_many([*((uri, uri.encode()) for uri in uris), (f"s3://{bucket}/large", bytes(LARGE))]):
        pass
    uris.append(f"s3://{bucket}/large")
    assert read_all(client, uris) == expected(uris)
    return uris


class Place:
    """A bucket on a real server, with what the verbs read: ``large``, ``small/`` and ``doomed/`` below ``base``."""

    def __init__(self, server: Server, bucket: str) -> None:
        self.server = server
        self.base = f"s3://{bucket}/base"
        credentials = Credentials(server.access_key, server.secret_key)
        self.client = Client(endpoint_url=server.endpoint, region="us-east-1", checksum="crc32", credentials=credentials)
        self.client.create_container(f"s3://{bucket}")
        self.client.put(f"{self.base}/large", os.urandom(8 * MIB))
        for _ in self.client.put_many((f"{self.base}/{kind}/{number}", b"x") for kind in ("small", "doomed") for number in range(40)):
            pass

    def environment(self, throttle: Throttle) -> dict[str, str]:
        """For a program that reaches the server through a throttle."""
        ours = {"HEADRACE_ENDPOINT_URL": throttle.endpoint, "HEADRACE_REGION": "us-east-1", "HEADRACE_CHECKSUM": "crc32"}
        keys = {"AWS_ACCESS_KEY_ID": self.server.access_key, "AWS_SECRET_ACCESS_KEY": self.server.secret_key}
        return {**os.environ, **ours, **keys}

    def unfinished(self) -> list[Any]:
        """Uploads on the server that nobody has completed or aborted."""
        store, location = self.client._session.locate(self.base)
        return [info.upload for info in self.client._session.run(store.list_uploads(location))]

    def clear(self) -> None:
        """Abort what is unfinished, and delete what was written."""
        store, _ = self.client._session.locate(self.base)
        for upload in self.unfinished():
            self.client._session.run(store.abort_upload(upload))
        self.client.delete_many(self.written())

    def written(self) -> list[str]:
        """What verbs have written."""
        return [entry.uri for name in ("new", "large-") for entry in self.client.list(f"{self.base}/{name}")]


@pytest.fixture(scope="session")
def shared_place(ministack: Server) -> Iterator[Place]:
    place = Place(ministack, "interrupted")
    yield place
    place.client.close()


@pytest.fixture
def place(shared_place: Place) -> Iterator[Place]:
    """The place, cleared after each test."""
    yield shared_place
    shared_place.clear()


def until(condition: Callable[[], object]) -> None:
    """Wait for something that another thread or process does."""
    deadline = time.monotonic() + WATCHDOG
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)
