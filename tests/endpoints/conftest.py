"""Three ways to one server, each of which can be broken by itself."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest

from headrace import Client, aio
from headrace.testing.contract.asyncio_client import AsyncioClient
from headrace.testing.faults import FaultProxy
from headrace.testing.servers import Server


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testkey")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testsecret")


@pytest.fixture(scope="session")
def bucket_uri(nginx: Server) -> str:
    """A bucket on nginx."""
    uri = f"s3://endpoints-{secrets.token_hex(6)}"
    with Client(endpoint_url=nginx.endpoint, anonymous=True) as client:
        client.create_container(uri)
    return uri


@pytest.fixture
def proxies(nginx: Server) -> Iterator[list[FaultProxy]]:
    """Three endpoints of one namespace."""
    proxies = [FaultProxy(nginx.endpoint).start() for _ in range(3)]
    yield proxies
    for proxy in proxies:
        proxy.close()


@pytest.fixture(params=["blocking", "asyncio"])
def connect(request: pytest.FixtureRequest, proxies: list[FaultProxy]) -> Iterator[Callable[..., Client]]:
    """Makes clients of the three endpoints, in either driver."""
    made: list[Any] = []

    def make(**options: Any) -> Client:
        options = {"endpoints": [proxy.endpoint for proxy in proxies], **options}
        made.append(Client(**options) if request.param == "blocking" else AsyncioClient(aio.Client(**options)))
        return cast(Client, made[-1].__enter__())

    yield make
    for client in made:
        client.__exit__(None, None, None)
