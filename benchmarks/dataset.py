"""The objects that are read and the bytes that are written: random, the same in every run."""

from __future__ import annotations

import shutil
import zlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from benchmarks.workloads import MIB, Objects

__all__ = ["ACCOUNT", "BUCKET", "Dataset", "checksum", "payloads"]

BUCKET = "benchmark"
ACCOUNT = "devstoreaccount1"

#: More than a processor's second-level cache holds, so that hashing a body reads memory.
PAYLOAD_BYTES = 64 * MIB


def payloads(objects: Objects) -> list[bytes]:
    """Different bodies for a put, to be used over and over."""
    number = min(objects.count, max(1, PAYLOAD_BYTES // objects.size))
    return [_random_bytes(index, objects.size) for index in range(number)]


def checksum(bodies: Iterable[bytes | memoryview]) -> int:
    """A checksum of all bodies, whatever their order: the sum of their CRC-32."""
    return sum(map(zlib.crc32, bodies))


class Dataset:
    """A folder of buckets of files, that a server serves.

    Args:
        folder: where it is; made by somebody else, on a file system in memory if the disk is not to be measured.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._bucket = folder / BUCKET
        self._bucket.mkdir()
        # Where the requests of other services look for the same objects: /ACCOUNT/CONTAINER/BLOB, /storage/v1/b/BUCKET/o/OBJECT.
        (folder / ACCOUNT).symlink_to(folder)
        (folder / "storage/v1/b" / BUCKET).mkdir(parents=True)
        (folder / "storage/v1/b" / BUCKET / "o").symlink_to(self._bucket)

    def write(self, objects: Objects) -> None:
        """Make the files of `objects` that are not there yet, and one more to warm up with."""
        (self._bucket / objects.prefix).mkdir(exist_ok=True)
        self._file(objects, "warm").write_bytes(b"warm")
        for index in range(objects.distinct):
            path = self._file(objects, f"{index:05}")
            if not path.exists():
                path.write_bytes(_random_bytes(index, objects.size))

    def checksum(self, objects: Objects, operations: int) -> int:
        """What `checksum` gives for the first `operations` objects."""
        return checksum(self._file(objects, f"{index % objects.distinct:05}").read_bytes() for index in range(operations))

    def take_checksum(self, prefix: str) -> int:
        """What `checksum` gives for all files below `prefix` but the warm one, which are then removed."""
        folder = self._bucket / prefix
        value = checksum(path.read_bytes() for path in folder.iterdir() if path.name != "warm")
        shutil.rmtree(folder)
        return value

    def prefix(self, scheme: str, prefix: str) -> str:
        """The URI that the keys of `prefix` begin with."""
        return f"file://{self._bucket}/{prefix}" if scheme == "file" else f"{scheme}://{BUCKET}/{prefix}"

    def _file(self, objects: Objects, name: str) -> Path:
        return self._bucket / f"{objects.prefix}{name}"


def _random_bytes(seed: int, size: int) -> bytes:
    return np.random.default_rng(seed).bytes(size)
