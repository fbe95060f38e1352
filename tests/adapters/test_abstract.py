"""fsspec's own suite for filesystems, over S3 and memory."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from typing import Any

import fsspec
import pytest
from fsspec.tests.abstract import (
    AbstractCopyTests,
    AbstractFixtures,
    AbstractGetTests,
    AbstractOpenTests,
    AbstractPipeTests,
    AbstractPutTests,
)

from headrace.testing.servers import Server


class Suite(AbstractCopyTests, AbstractGetTests, AbstractPutTests, AbstractOpenTests, AbstractPipeTests, AbstractFixtures):
    """All of it, where a path is made of names with a slash between them, and directories exist for what is in them."""

    @pytest.fixture
    def fs_join(self) -> Callable[..., str]:
        return lambda *names: "/".join(names)

    @pytest.fixture
    def supports_empty_directories(self) -> bool:
        return False


@pytest.fixture(scope="module")
def s3(ministack: Server) -> Iterator[Any]:
    options = {"key": ministack.access_key, "secret": ministack.secret_key, "endpoint_url": ministack.endpoint}
    filesystem = fsspec.filesystem("headrace+s3", **options)
    filesystem.mkdir("abstract-suite")
    yield filesystem
    filesystem.rm("abstract-suite", recursive=True)


class TestS3(Suite):
    @pytest.fixture
    def fs(self, s3: Any) -> Any:
        return s3

    @pytest.fixture
    def fs_path(self) -> str:
        return f"abstract-suite/{uuid.uuid4()}"


class TestMemory(Suite):
    @pytest.fixture
    def fs(self) -> Any:
        return fsspec.filesystem("headrace+memory")

    @pytest.fixture
    def fs_path(self, fs: Any, bucket: str) -> Iterator[str]:
        fs.mkdir(bucket)
        yield f"{bucket}/prefix"
        fs.rm(bucket, recursive=True)
