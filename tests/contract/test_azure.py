"""``az://`` keeps the contract on Azurite, which verifies signatures, conditions and checksums."""

from __future__ import annotations

import secrets
from typing import Any

import pytest

from headrace import Client
from headrace.backends.azure import AzureBackend, backend
from headrace.testing.contract import BackendContract, DeletingContract, differences
from headrace.testing.servers import Server


@pytest.fixture(scope="module")
def shared_container(azurite: Server) -> str:
    """A container for all tests: making and deleting one for each would take half of their time."""
    name = f"contract-{secrets.token_hex(6)}"
    account = {"account": azurite.access_key, "key": azurite.secret_key}
    with Client(endpoint_url=azurite.endpoint, credentials=account) as client:
        client.create_container(f"az://{name}")
    return name


@pytest.fixture(autouse=True)
def short_pages_and_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """The emulator takes too long for as many blobs as fill two of the usual ones."""
    monkeypatch.setattr(backend, "PAGE", 100)
    monkeypatch.setattr(AzureBackend, "delete_batch_size", 64)


class TestAzurite(BackendContract):
    lacks = differences.AZURITE
    many = 300

    @pytest.fixture
    def options(self, monkeypatch: pytest.MonkeyPatch, azurite: Server) -> dict[str, Any]:
        monkeypatch.setenv("AZURE_STORAGE_ACCOUNT", azurite.access_key)
        monkeypatch.setenv("AZURE_STORAGE_KEY", azurite.secret_key)
        return {"endpoint_url": azurite.endpoint}

    @pytest.fixture
    def base(self, shared_container: str) -> str:
        return f"az://{shared_container}/{secrets.token_hex(4)}/"


class TestAzuriteOverTLS(DeletingContract):
    """With a connection string, and the account in the URI."""

    lacks = differences.AZURITE

    @pytest.fixture
    def options(self, monkeypatch: pytest.MonkeyPatch, azurite: Server) -> dict[str, Any]:
        account = f"AccountName={azurite.access_key};AccountKey={azurite.secret_key}"
        monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", f"{account};BlobEndpoint={azurite.tls_endpoint}")
        return {"ca_bundle": azurite.ca_bundle}

    @pytest.fixture
    def base(self, shared_container: str, azurite: Server) -> str:
        return f"az://{azurite.access_key}/{shared_container}/{secrets.token_hex(4)}/"

    @pytest.fixture
    def container(self, azurite: Server) -> str:
        return f"az://{azurite.access_key}/contract-{secrets.token_hex(6)}/"
