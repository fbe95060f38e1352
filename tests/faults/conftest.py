"""Servers that hold what the verbs read, and a proxy that makes the way to one go wrong."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator

import pytest

from headrace import Client
from headrace.stores import retry
from headrace.testing.faults import FaultProxy
from headrace.testing.servers import Server
from tests.faults import verbs


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testkey")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testsecret")


@pytest.fixture(autouse=True)
def lucky_delays(monkeypatch: pytest.MonkeyPatch) -> None:
    """The random delays between attempts are the shortest that they can be: nothing here depends on them but the time it takes."""
    monkeypatch.setattr(retry.random, "uniform", lambda low, high: low)


@pytest.fixture(scope="session")
def filled() -> Callable[[Server], str]:
    """Gives the URI of a bucket of a server that holds what the verbs read; it is filled when it is first asked for."""
    made: dict[Server, str] = {}

    def base(server: Server) -> str:
        if server not in made:
            uri = f"s3://faults-{secrets.token_hex(6)}/"
            with Client(endpoint_url=server.endpoint, **verbs.OPTIONS) as client:
                client.create_container(uri)
                verbs.fill(client, uri)
            made[server] = uri
        return made[server]

    return base


@pytest.fixture
def proxy(ministack: Server) -> Iterator[FaultProxy]:
    """A proxy before MiniStack."""
    with FaultProxy(ministack.endpoint) as proxy:
        yield proxy
