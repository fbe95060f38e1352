"""The options and prefixes of each server."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from headrace import Client
from headrace.testing.servers import Server


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, Any]]:
    """Gives the client options for a server; its keys are in the environment, where worker processes find them too."""

    def options(server: Server, *, tls: bool = False) -> dict[str, Any]:
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", server.access_key)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", server.secret_key)
        if tls:
            return {"endpoint_url": server.tls_endpoint, "ca_bundle": server.ca_bundle}
        return {"endpoint_url": server.endpoint}

    return options


@pytest.fixture
def s3_prefix(options: dict[str, Any], bucket: str) -> Iterator[str]:
    """A prefix in a bucket of the test's own, which goes with all that is in it."""
    yield from _prefix_in(f"s3://{bucket}", options)


@pytest.fixture
def gs_prefix(options: dict[str, Any], bucket: str) -> Iterator[str]:
    """As `s3_prefix`."""
    yield from _prefix_in(f"gs://{bucket}", options)


def _prefix_in(container: str, options: dict[str, Any]) -> Iterator[str]:
    with Client(**options) as client:
        client.create_container(container)
        yield f"{container}/prefix-{secrets.token_hex(2)}/"
        client.delete(container, recursive="bucket")
        client.delete_container(container)
