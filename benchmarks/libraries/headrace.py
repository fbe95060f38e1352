"""headrace with its defaults: the library chooses the concurrency."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import headrace
from benchmarks.dataset import ACCOUNT
from benchmarks.libraries import Target


def connect(target: Target) -> Headrace:
    return Headrace(target)


class Headrace:
    def __init__(self, target: Target) -> None:
        self._client = headrace.Client(**_options(target))

    def get(self, uri: str) -> memoryview:
        return self._client.get(uri)

    def get_many(self, uris: Sequence[str], *, size: int) -> Iterator[memoryview]:
        for item in self._client.get_many(uris):
            assert item.data is not None
            yield item.data

    def put(self, uri: str, data: bytes) -> None:
        self._client.put(uri, data)

    def put_many(self, items: Sequence[tuple[str, bytes]], *, size: int) -> None:
        for _ in self._client.put_many(items):
            pass


def _options(target: Target) -> dict[str, Any]:
    if target.scheme == "az":
        return {"endpoint_url": f"{target.endpoint}/{ACCOUNT}"}
    if target.scheme == "gs":
        return {"endpoint_url": target.endpoint, "credentials": lambda: target.token}
    return {"endpoint_url": target.endpoint, "sign_payload": target.sign_payload}
