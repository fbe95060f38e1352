"""``s3://`` keeps the contract on MiniStack, which verifies checksums and conditions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from headrace.testing.contract import BackendContract, BatchContract, differences
from headrace.testing.servers import Server


class TestMiniStack(BackendContract):
    lacks = differences.MINISTACK

    @pytest.fixture
    def options(self, connect: Callable[..., dict[str, Any]], ministack: Server) -> dict[str, Any]:
        return connect(ministack)

    @pytest.fixture
    def base(self, s3_prefix: str) -> str:
        return s3_prefix


class TestMiniStackOverTLS(BatchContract):
    lacks = differences.MINISTACK

    @pytest.fixture
    def options(self, connect: Callable[..., dict[str, Any]], ministack: Server) -> dict[str, Any]:
        return connect(ministack, tls=True)

    @pytest.fixture
    def base(self, s3_prefix: str) -> str:
        return s3_prefix
