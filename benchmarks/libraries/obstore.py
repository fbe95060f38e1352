"""obstore: blocking calls from a few threads, which measured faster than its coroutines on an asyncio loop; local files one by one.

One `get` is one stream, so the ranges of a large object are read from several threads into one buffer, which is faster although
it copies them. `put` splits a large object by itself.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import numpy as np
from obstore.store import AzureStore, GCSStore, LocalStore, S3Store

from benchmarks.dataset import ACCOUNT
from benchmarks.libraries import Body, Target

THREADS = 8
BATCH = 512
RANGE = 16 * 1024 * 1024


def connect(target: Target) -> Obstore:
    return Obstore(target)


class Obstore:
    def __init__(self, target: Target) -> None:
        self._bucket = _store(target)
        self._files = LocalStore("/")
        self._threads = ThreadPoolExecutor(THREADS)

    def get(self, uri: str) -> Body:
        key = _key(uri)
        size = self._bucket.head(key)["size"]
        whole = np.empty(size, np.uint8).data

        def fill(start: int) -> None:
            end = min(start + RANGE, size)
            whole[start:end] = memoryview(self._bucket.get_range(key, start=start, end=end))

        list(self._threads.map(fill, range(0, size, RANGE)))
        return whole

    def get_many(self, uris: Sequence[str], *, size: int) -> Iterator[Body]:
        if uris[0].startswith("file:"):
            return (self._files.get(_key(uri)).bytes() for uri in uris)
        return self._get_in_threads(uris)

    def _get_in_threads(self, uris: Sequence[str]) -> Iterator[Body]:
        for start in range(0, len(uris), BATCH):
            yield from self._threads.map(lambda uri: self._bucket.get(_key(uri)).bytes(), uris[start : start + BATCH])

    def put(self, uri: str, data: bytes) -> None:
        self._bucket.put(_key(uri), data)

    def put_many(self, items: Sequence[tuple[str, bytes]], *, size: int) -> None:
        for _ in self._threads.map(lambda item: self.put(*item), items):
            pass


def _store(target: Target) -> S3Store | AzureStore | GCSStore:
    plain = {"allow_http": True}
    if target.scheme == "az":
        return AzureStore(
            target.bucket,
            account_name=ACCOUNT,
            account_key=os.environ["AZURE_STORAGE_KEY"],
            endpoint=f"{target.endpoint}/{ACCOUNT}",
            client_options=plain,
        )
    if target.scheme == "gs":
        # It reads by the XML form, whose paths are those of S3.
        return GCSStore(target.bucket, base_url=target.endpoint, bearer_token=target.token, client_options=plain)
    return S3Store(target.bucket, endpoint=target.endpoint, unsigned_payload=not target.sign_payload, client_options=plain)


def _key(uri: str) -> str:
    return urlsplit(uri).path[1:]
