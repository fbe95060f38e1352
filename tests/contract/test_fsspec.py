"""Schemes that headrace leaves to fsspec keep the contract: objects in fsspec's memory, and files as fsspec sees them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from headrace import Client
from headrace.testing.contract import (
    BackendContract,
    ContainerContract,
    DeletingContract,
    ListingContract,
    differences,
)


class ForeignMemory(MemoryFileSystem):
    """fsspec's memory under a name that headrace leaves to it."""

    protocol = "fsmem"
    store: ClassVar[dict[str, Any]] = {}
    pseudo_dirs: ClassVar[list[str]] = [""]

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return MemoryFileSystem._strip_protocol(path.removeprefix("fsmem://"))


fsspec.register_implementation("fsmem", ForeignMemory)


class TestFsspec(BackendContract):
    lacks = differences.FSSPEC

    @pytest.fixture
    def base(self, blocking_client: Client, bucket: str) -> Iterator[str]:
        blocking_client.create_container(f"fsmem://{bucket}")
        yield f"fsmem://{bucket}/prefix/"
        blocking_client.delete(f"fsmem://{bucket}", recursive="bucket")
        blocking_client.delete_container(f"fsmem://{bucket}")


class TestFsspecLocal(ListingContract, DeletingContract, ContainerContract):
    lacks = differences.FSSPEC_LOCAL

    @pytest.fixture
    def base(self, tmp_path: Path) -> str:
        (tmp_path / "base").mkdir()
        return f"local://{tmp_path}/base/"
