"""Azure as a backend, whose replies come from a script."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import pytest

from headrace.auth.azure import Found, StaticSource
from headrace.auth.azure_signing import SharedKey
from headrace.backends.azure import AzureBackend
from headrace.config import Options

KEY = SharedKey("mine", base64.b64encode(b"a key").decode())


@pytest.fixture
def make_backend() -> Callable[..., AzureBackend]:
    """Gives a backend with options, by default at the cloud and with a key; ``source`` gives others, None none."""

    def make(**options: Any) -> AzureBackend:
        source = options.pop("source", StaticSource(KEY))
        return AzureBackend(Options(**options), Found(options.get("account", "mine"), None, source))

    return make


@pytest.fixture
def backend(make_backend: Callable[..., AzureBackend]) -> AzureBackend:
    return make_backend()
