"""s3dlio: its `get_many` and `put_many`, and its multipart writer for a large object.

`get_many` answers with a list, so it is called for a batch at a time, as a loader would. That bounds its memory and is also faster
than one call for everything. `put_bytes` sends a large object as one request; the multipart writer is twice as fast.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

import s3dlio  # type: ignore[import-untyped]

from benchmarks.libraries import Body, Target

IN_FLIGHT = 16
LARGE = 1024 * 1024


def connect(target: Target) -> S3dlio:
    return S3dlio(target)


class S3dlio:
    def __init__(self, target: Target) -> None:
        os.environ["AWS_ENDPOINT_URL"] = target.endpoint
        os.environ["S3DLIO_UNSIGNED_PAYLOAD"] = "0" if target.sign_payload else "1"

    def get(self, uri: str) -> Body:
        body: Body = s3dlio.get(uri)
        return body

    def get_many(self, uris: Sequence[str], *, size: int) -> Iterator[Body]:
        batch = 16 if size >= LARGE else 128
        for start in range(0, len(uris), batch):
            for _, body in s3dlio.get_many(list(uris[start : start + batch]), max_in_flight=IN_FLIGHT):
                yield body

    def put(self, uri: str, data: bytes) -> None:
        with s3dlio.MultipartUploadWriter.from_uri(uri) as writer:
            writer.write(data)

    def put_many(self, items: Sequence[tuple[str, bytes]], *, size: int) -> None:
        s3dlio.put_many(list(items), max_in_flight=IN_FLIGHT)
