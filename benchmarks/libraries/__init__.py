"""One module a library, all of one shape: ``connect(target) -> Library``.

Each one uses its library as that library's own documents advise for throughput, with the concurrency that measured best on small
machines. Whatever is read must end up in memory that Python can see; how it is held there is the library's choice.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

__all__ = ["LIBRARIES", "Body", "Entry", "Library", "Target", "connect"]


class Body(Protocol):
    """Bytes in memory: anything with a length that also has the buffer interface."""

    def __len__(self) -> int: ...


class Library(Protocol):
    """The four verbs that are measured. Bodies of ``get_many`` may come in any order."""

    def get(self, uri: str) -> Body: ...

    def get_many(self, uris: Sequence[str], *, size: int) -> Iterable[Body]: ...

    def put(self, uri: str, data: bytes) -> None: ...

    def put_many(self, items: Sequence[tuple[str, bytes]], *, size: int) -> None: ...


@dataclass(frozen=True, kw_only=True)
class Target:
    """Where a library connects to. Keys and region are in the environment as ``AWS_*`` and ``AZURE_STORAGE_*``.

    Attributes:
        scheme: of the URIs; the form of the requests.
        endpoint: what answers them.
        bucket: where the objects are.
        token: for services that take one instead of a signature.
    """

    scheme: str
    endpoint: str
    bucket: str
    token: str = "benchmark"
    sign_payload: bool = True


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A line of the report: a library, and the environment variables that set it up.

    Attributes:
        module: what is imported.
        scheme: what it reads by, whatever the workload's scheme is.
        whole: the module that has been imported, with all that it needs, once the first verb was called; None if it is ``module``.
    """

    module: str
    whole: str | None = None
    scheme: str | None = None
    environment: Mapping[str, str] = field(default_factory=dict)


LIBRARIES: Mapping[str, Entry] = {
    "headrace": Entry(module="headrace", whole="headrace.client"),
    "headrace-s3": Entry(module="headrace", scheme="s3"),
    "headrace-http2": Entry(module="headrace", environment={"HEADRACE_HTTP2": "1"}),
    "s3dlio": Entry(module="s3dlio"),
    # By default s3dlio asks for the size of each object before it reads it, to know which to split into ranges. This saves the question.
    "s3dlio-no-ranges": Entry(module="s3dlio", environment={"S3DLIO_ENABLE_RANGE_OPTIMIZATION": "0"}),
    "obstore": Entry(module="obstore"),
    "boto3": Entry(module="boto3"),
}


def connect(name: str, target: Target) -> Library:
    """Import the library that `name` stands for, here and only here, and make its client."""
    module = importlib.import_module(f"{__name__}.{LIBRARIES[name].module}")
    library: Library = module.connect(target)
    return library
