"""``s3://`` keeps the contract where the service has two endpoints, whichever of them each request goes to."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from headrace import Client
from headrace.testing.contract import BackendContract, differences
from headrace.testing.faults import FaultProxy
from headrace.testing.servers import Server


@pytest.fixture(scope="module")
def endpoints(nginx: Server) -> Iterator[list[str]]:
    """Two ways to one server."""
    with FaultProxy(nginx.endpoint) as proxy:
        yield [nginx.endpoint, proxy.endpoint]


@pytest.fixture(scope="module")
def shared_bucket(nginx: Server) -> str:
    uri = f"s3://endpoints-{secrets.token_hex(6)}"
    with Client(endpoint_url=nginx.endpoint, anonymous=True) as client:
        client.create_container(uri)
    return uri


class TestTwoEndpoints(BackendContract):
    lacks = differences.NGINX

    @pytest.fixture
    def options(self, connect: Callable[..., dict[str, Any]], nginx: Server, endpoints: list[str]) -> dict[str, Any]:
        connect(nginx)
        return {"endpoints": endpoints}

    @pytest.fixture
    def base(self, shared_bucket: str) -> str:
        return f"{shared_bucket}/{secrets.token_hex(4)}/"

    # How names are spelled in a request has nothing to do with where it goes: this alone would take a fifth of the time.
    test_key_an_odd_name = None
    test_key_every_printable_character = None
    test_listing_thousands_of_objects = None
