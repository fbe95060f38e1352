"""``s3://`` keeps the contract over HTTP/2: with prior knowledge (MiniStack), and chosen in the TLS handshake (nginx)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from headrace.testing.contract import BackendContract, ReadingContract, differences
from headrace.testing.servers import Server


class TestMiniStack(BackendContract):
    lacks = differences.MINISTACK

    @pytest.fixture
    def options(self, connect: Callable[..., dict[str, Any]], ministack: Server) -> dict[str, Any]:
        return {**connect(ministack), "http2": True}

    @pytest.fixture
    def base(self, s3_prefix: str) -> str:
        return s3_prefix


class TestNginxOverTLS(ReadingContract):
    lacks = differences.NGINX

    @pytest.fixture
    def options(self, connect: Callable[..., dict[str, Any]], nginx: Server) -> dict[str, Any]:
        return {**connect(nginx, tls=True), "http2": True}

    @pytest.fixture
    def base(self, s3_prefix: str) -> str:
        return s3_prefix
