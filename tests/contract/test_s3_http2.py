"""``s3://`` keeps the contract over HTTP/2: with prior knowledge (MiniStack), and chosen in the TLS handshake (nginx)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from headrace.http.http2.connection import Http2Connection
from headrace.testing.contract import BatchContract, ReadingContract, WritingContract, differences
from headrace.testing.servers import Server


@pytest.fixture(autouse=True, scope="module")
def connections() -> Iterator[list[Http2Connection]]:
    """Every connection over HTTP/2 that is made: without one, the tests would be of HTTP/1.1."""
    made: list[Http2Connection] = []
    initialize = Http2Connection.__init__
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Http2Connection, "__init__", lambda self: (made.append(self), initialize(self))[1])
        yield made
    assert made


class TestMiniStack(WritingContract, BatchContract):
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
