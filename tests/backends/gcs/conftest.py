"""Google Cloud Storage as a backend, whose replies come from a script, or from a server behind a proxy that breaks things."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from headrace.auth.bearer import Token
from headrace.auth.gcs import FixedToken
from headrace.backends.gcs import GcsBackend
from headrace.config import Options
from headrace.testing.contract.stepping import Answer
from headrace.testing.faults import FaultProxy
from headrace.testing.servers import Server

SIZES: dict[str, Any] = {"part_size": 5 << 20, "multipart_threshold": 5 << 20}


@pytest.fixture
def make_backend() -> Callable[..., GcsBackend]:
    """Gives a backend with options, by default with a token."""

    def make(**options: Any) -> GcsBackend:
        source = options.pop("source", FixedToken(Token("a-token")))
        return GcsBackend(Options(**options), None if options.get("anonymous") else source)

    return make


@pytest.fixture
def backend(make_backend: Callable[..., GcsBackend]) -> GcsBackend:
    return make_backend()


@pytest.fixture
def proxy(fake_gcs: Server) -> Iterator[FaultProxy]:
    """A proxy before fake-gcs-server."""
    with FaultProxy(fake_gcs.endpoint) as proxy:
        yield proxy


@pytest.fixture
def options(proxy: FaultProxy) -> dict[str, Any]:
    """Of a client that tries once, and writes a few MiB in parts."""
    return {"endpoint_url": proxy.endpoint, "anonymous": True, "project": "project", "max_attempts": 1, **SIZES}


def stored(size: int = 11, generation: str = "7", **more: object) -> Answer:
    """The reply that describes an object."""
    return document({"name": "key", "size": str(size), "generation": generation, "updated": "2026-01-02T03:04:05.678Z", **more})


def document(content: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Answer:
    return Answer(status=status, headers={"content-type": "application/json", **(headers or {})}, body=json.dumps(content).encode())


def refusal(status: int, reason: str, message: str = "No.", headers: Mapping[str, str] | None = None) -> Answer:
    """An error as the JSON API has it."""
    details = [{"message": message, "domain": "global", "reason": reason}]
    return document({"error": {"code": status, "message": message, "errors": details}}, status, headers)


def batch_reply(*replies: tuple[int, int, str], boundary: str = "b=1") -> Answer:
    """The reply to a batch: for each number a status and a body."""
    parts = "".join(
        f"--{boundary}\r\nContent-Type: application/http\r\nContent-ID: <response-{number}>\r\n\r\n"
        f"HTTP/1.1 {status} Word\r\nX-GUploader-UploadID: u\r\n\r\n{body}\r\n"
        for number, status, body in replies
    )
    headers = {"content-type": f'multipart/mixed; boundary="{boundary}"'}
    return Answer(headers=headers, body=f"{parts}--{boundary}--\r\n".encode())
