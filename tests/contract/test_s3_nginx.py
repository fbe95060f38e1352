"""``s3://`` keeps the contract on nginx, as far as the small S3 there goes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from headrace.testing.contract import BackendContract, ReadingContract, differences
from headrace.testing.servers import Server


class TestNginx(BackendContract):
    lacks = differences.NGINX

    @pytest.fixture
    def options(self, connect: Callable[..., dict[str, Any]], nginx: Server) -> dict[str, Any]:
        return connect(nginx)

    @pytest.fixture
    def base(self, s3_prefix: str) -> str:
        return s3_prefix


class TestNginxOverTLS(ReadingContract):
    lacks = differences.NGINX

    @pytest.fixture
    def options(self, connect: Callable[..., dict[str, Any]], nginx: Server) -> dict[str, Any]:
        return connect(nginx, tls=True)

    @pytest.fixture
    def base(self, s3_prefix: str) -> str:
        return s3_prefix
