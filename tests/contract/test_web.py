"""``http://`` and ``https://`` keep the reading part of the contract; what is read is written through S3, on the same nginx."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest

from headrace import Client, aio
from headrace.testing.contract import ReadingContract, differences
from headrace.testing.contract.asyncio_client import AsyncioClient
from headrace.testing.contract.case import SMALL_SIZES
from headrace.testing.servers import Server


class Reader:
    """A client whose reads are of the web; its writes go to the same names by S3.

    Args:
        reads: the client for URLs.
        writes: the client for ``s3://``.
        site: the URL that stands for ``s3:/``.
    """

    def __init__(self, reads: Any, writes: Client, site: str) -> None:
        self._reads, self._writes, self._site = reads, writes, site

    def put(self, uri: str, data: Any) -> Any:
        return self._writes.put(uri.replace(self._site, "s3:/"), data)

    def __getattr__(self, verb: str) -> Any:
        return getattr(self._reads, verb)


class TestNginx(ReadingContract):
    lacks = differences.WEB
    tls = False

    @pytest.fixture
    def site(self, nginx: Server) -> str:
        return nginx.tls_endpoint if self.tls else nginx.endpoint

    @pytest.fixture
    def options(self, connect: Callable[..., dict[str, Any]], nginx: Server) -> dict[str, Any]:
        return connect(nginx, tls=self.tls)

    @pytest.fixture
    def base(self, s3_prefix: str, site: str) -> str:
        return s3_prefix.replace("s3:/", site)

    @pytest.fixture
    def container(self, site: str, bucket: str) -> str:
        return f"{site}/{bucket}-missing/"

    @pytest.fixture(params=["blocking", "asyncio"])
    def client(self, request: pytest.FixtureRequest, options: dict[str, Any], site: str) -> Iterator[Client]:
        both = {**SMALL_SIZES, **options}
        twin: Any = Client(**both) if request.param == "blocking" else AsyncioClient(aio.Client(**both))
        with Client(**both) as writes, twin as reads:
            yield cast(Client, Reader(reads, writes, site))

    @pytest.fixture
    def blocking_client(self, options: dict[str, Any], site: str) -> Iterator[Client]:
        both = {**SMALL_SIZES, **options}
        with Client(**both) as reads, Client(**both) as writes:
            yield cast(Client, Reader(reads, writes, site))


class TestNginxOverTLS(TestNginx):
    tls = True
