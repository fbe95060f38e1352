"""A bucket that answers as S3 does, for operations that are performed by hand."""

from __future__ import annotations

import re
from urllib.parse import parse_qs, unquote

import pytest

from headrace.backends.s3 import S3Backend
from headrace.config import Options
from headrace.http.messages import Request
from headrace.stores.retry import RetryPolicy
from headrace.stores.store import Store
from headrace.testing.contract.stepping import Answer


class Bucket:
    """Objects, and answers to the requests that concern them.

    Attributes:
        objects: content by key.
        version: goes into every ETag; a change makes all objects other ones.
        uploads: the parts of each unfinished upload, by number.
    """

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.version = 1
        self.uploads: dict[str, dict[int, bytes]] = {}

    def __call__(self, request: Request) -> Answer:
        path, _, query = request.target.partition("?")
        key = unquote(path.removeprefix("/bucket/"))
        arguments = {name: values[0] for name, values in parse_qs(query, keep_blank_values=True).items()}
        body = b"".join(bytes(part) for part in request.body if isinstance(part, memoryview))
        if "uploads" in arguments or "uploadId" in arguments:
            return self._upload(request.method, key, arguments, body)
        if request.method == "PUT":
            self.objects[key] = body
            return Answer(headers=self._headers())
        if key not in self.objects:
            return Answer(status=404)
        return self._read(request, self.objects[key])

    def _headers(self, **more: str) -> dict[str, str]:
        return {"etag": f'"v{self.version}"', **more}

    def _read(self, request: Request, data: bytes) -> Answer:
        if request.method == "HEAD":
            return Answer(headers=self._headers(**{"content-length": str(len(data))}))
        if request.headers.get("if-match", f'"v{self.version}"') != f'"v{self.version}"':
            return Answer(status=412)
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", request.headers.get("range", ""))
        if asked is None:
            return Answer(headers=self._headers(), body=data)
        first, last = int(asked[1]), min(int(asked[2] or len(data)), len(data) - 1)
        if first >= len(data):
            return Answer(status=416)
        shown = self._headers(**{"content-range": f"bytes {first}-{last}/{len(data)}"})
        return Answer(status=206, headers=shown, body=data[first : last + 1])

    def _upload(self, method: str, key: str, arguments: dict[str, str], body: bytes) -> Answer:
        if "uploads" in arguments:
            self.uploads["one"] = {}
            return Answer(body=b"<InitiateMultipartUploadResult><UploadId>one</UploadId></InitiateMultipartUploadResult>")
        if method == "DELETE":
            del self.uploads[arguments["uploadId"]]
            return Answer(status=204)
        if method == "PUT":
            self.uploads[arguments["uploadId"]][int(arguments["partNumber"])] = body
            return Answer(headers=self._headers())
        parts = self.uploads.pop(arguments["uploadId"])
        self.objects[key] = b"".join(parts[number] for number in sorted(parts))
        return Answer(body=b"<CompleteMultipartUploadResult><ETag>&quot;m&quot;</ETag></CompleteMultipartUploadResult>")


@pytest.fixture
def bucket() -> Bucket:
    return Bucket()


@pytest.fixture
def store() -> Store:
    backend = S3Backend(Options(endpoint_url="http://s3.test", anonymous=True, checksum="none"), None)
    return Store(backend, RetryPolicy(max_attempts=3))
