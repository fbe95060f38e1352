"""``memory://`` keeps the contract."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from headrace import Client
from headrace.testing.contract import BackendContract, differences


class TestMemory(BackendContract):
    lacks = differences.MEMORY

    @pytest.fixture
    def base(self, blocking_client: Client, bucket: str) -> Iterator[str]:
        blocking_client.create_container(f"memory://{bucket}")
        yield f"memory://{bucket}/prefix/"
        blocking_client.delete(f"memory://{bucket}", recursive="bucket")
        blocking_client.delete_container(f"memory://{bucket}")
