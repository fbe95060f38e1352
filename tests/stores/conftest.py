"""A store over S3, for operations whose replies come from a script."""

from __future__ import annotations

import pytest

from headrace.backends.s3 import S3Backend
from headrace.config import Options
from headrace.stores.retry import RetryPolicy
from headrace.stores.store import Store
from headrace.uri import Location, parse


@pytest.fixture
def store() -> Store:
    backend = S3Backend(Options(endpoint_url="http://s3.test", anonymous=True, checksum="none"), None)
    return Store(backend, RetryPolicy(max_attempts=3))


@pytest.fixture
def location() -> Location:
    return parse("s3://bucket/key")
