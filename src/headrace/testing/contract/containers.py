"""Buckets, containers, directories."""

from __future__ import annotations

import pytest

from headrace.client import Client
from headrace.errors import AlreadyExists, NotFound, ServiceError
from headrace.testing.contract.case import ContractCase, needs

__all__ = ["ContainerContract"]


class ContainerContract(ContractCase):
    """``create_container``, ``list_containers``, ``delete_container``."""

    def test_container_a_life(self, client: Client, container: str, siblings: str) -> None:
        assert container not in [info.uri for info in client.list_containers(siblings)]
        client.create_container(container)
        assert container in [info.uri for info in client.list_containers(siblings)]
        client.put(f"{container}object", b"data")
        assert client.read_bytes(f"{container}object") == b"data"
        client.delete(f"{container}object")
        client.delete_container(container)
        assert container not in [info.uri for info in client.list_containers(siblings)]

    @pytest.fixture
    def siblings(self, container: str) -> str:
        """The URI whose containers ``container`` is one of."""
        return container.rstrip("/").rpartition("/")[0] + "/"

    @needs("create_tells")
    def test_container_creating_one_that_is_there(self, client: Client, container: str) -> None:
        client.create_container(container)
        try:
            with pytest.raises(AlreadyExists):
                client.create_container(container)
        finally:
            client.delete_container(container)

    def test_container_deleting_one_that_is_not_there(self, client: Client, container: str) -> None:
        with pytest.raises(NotFound):
            client.delete_container(container)

    def test_container_one_that_is_not_empty_stays(self, client: Client, container: str) -> None:
        client.create_container(container)
        client.put(f"{container}object", b"data")
        with pytest.raises(ServiceError) as caught:
            client.delete_container(container)
        assert caught.value.code == "NotEmpty"
        assert client.read_bytes(f"{container}object") == b"data"
        client.delete(f"{container}object")
        client.delete_container(container)

    @needs("needs_container")
    def test_container_writing_into_one_that_is_not_there(self, client: Client, container: str) -> None:
        with pytest.raises(NotFound):
            client.put(f"{container}object", b"data")
