"""boto3: `get_object` and `put_object` from a few threads; more threads only fight for the interpreter.

For large objects one plain request is faster here than boto3's transfer manager, so that is what is used.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import boto3  # type: ignore[import-untyped]
from botocore.config import Config  # type: ignore[import-untyped]

from benchmarks.libraries import Target

THREADS = 8
BATCH = 512


def connect(target: Target) -> Boto3:
    return Boto3(target)


class Boto3:
    def __init__(self, target: Target) -> None:
        options = {"addressing_style": "path", "payload_signing_enabled": target.sign_payload}
        self._client = boto3.client("s3", endpoint_url=target.endpoint, config=Config(max_pool_connections=THREADS, s3=options))
        self._threads = ThreadPoolExecutor(THREADS)

    def get(self, uri: str) -> bytes:
        body: bytes = self._client.get_object(**_address(uri))["Body"].read()
        return body

    def get_many(self, uris: Sequence[str], *, size: int) -> Iterator[bytes]:
        for start in range(0, len(uris), BATCH):
            yield from self._threads.map(self.get, uris[start : start + BATCH])

    def put(self, uri: str, data: bytes) -> None:
        self._client.put_object(**_address(uri), Body=data)

    def put_many(self, items: Sequence[tuple[str, bytes]], *, size: int) -> None:
        for _ in self._threads.map(lambda item: self.put(*item), items):
            pass


def _address(uri: str) -> dict[str, str]:
    parts = urlsplit(uri)
    return {"Bucket": parts.netloc, "Key": parts.path[1:]}
