"""The suite itself: no part hides a test of another, and no lack is misspelt or without a test."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from headrace.testing import contract
from headrace.testing.contract import BackendContract, ContractCase, differences, needs

PARTS = [kind for kind in BackendContract.__mro__ if issubclass(kind, ContractCase) and kind not in (BackendContract, ContractCase)]
TABLES = [
    differences.FILE,
    differences.DIRECT,
    differences.MEMORY,
    differences.MINISTACK,
    differences.CEPH,
    differences.NGINX,
    differences.FAKE_GCS,
    differences.AZURITE,
    differences.WEB,
]


def test_no_part_hides_a_member_of_another() -> None:
    members = Counter(name for part in PARTS for name in vars(part) if not name.startswith("__"))
    assert [name for name, count in members.items() if count > 1] == []


def test_every_part_is_exported() -> None:
    exported = [getattr(contract, name) for name in contract.__all__]
    assert [part for part in PARTS if part not in exported] == []


def test_every_capability_is_tested() -> None:
    tests = [test for _, test in inspect.getmembers(BackendContract, inspect.isfunction)]
    assert {name for test in tests for name in getattr(test, "needs", ())} == set(differences.CAPABILITIES)


@pytest.mark.parametrize("table", TABLES)
def test_every_lack_is_a_capability_with_a_reason(table: dict[str, str]) -> None:
    assert set(table) <= set(differences.CAPABILITIES)
    assert all(table.values())


def test_a_capability_that_nobody_declared() -> None:
    with pytest.raises(AssertionError, match="flying"):
        needs("flying")


MODEST = """
import pytest
from headrace.testing.contract import WritingContract

class TestModest(WritingContract):
    lacks = {"metadata": "so it is said, and it is not true"}

    @pytest.fixture
    def base(self):
        return "memory://modest/"
"""


def test_a_lack_that_is_none_fails(tmp_path: Path) -> None:
    """Outside of this project, with nothing of its configuration."""
    (tmp_path / "test_modest.py").write_text(MODEST)
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-k", "metadata_is_kept or every_buffer"]
    # With CI set, pytest repeats the reasons in its summary.
    environ = {name: value for name, value in os.environ.items() if name != "CI"}
    done = subprocess.run([*command, str(tmp_path)], cwd=tmp_path, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stdout.count("[XPASS(strict)] so it is said, and it is not true") == 2
    assert " 2 failed, 14 passed" in done.stdout
