"""``s3://`` keeps the contract on Ceph's gateway, which verifies every signature."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from headrace.testing.contract import BackendContract, WritingContract, differences
from headrace.testing.servers import Server


class TestCeph(BackendContract):
    lacks = differences.CEPH

    @pytest.fixture
    def options(self, connect: Callable[..., dict[str, Any]], ceph: Server) -> dict[str, Any]:
        return connect(ceph)

    @pytest.fixture
    def base(self, s3_prefix: str) -> str:
        return s3_prefix


class TestCephOverTLS(WritingContract):
    lacks = differences.CEPH

    @pytest.fixture
    def options(self, connect: Callable[..., dict[str, Any]], ceph: Server) -> dict[str, Any]:
        return connect(ceph, tls=True)

    @pytest.fixture
    def base(self, s3_prefix: str) -> str:
        return s3_prefix
