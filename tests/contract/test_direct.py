"""``direct://`` keeps the contract."""

from __future__ import annotations

from pathlib import Path

import pytest

from headrace.testing.contract import BackendContract, differences


class TestDirect(BackendContract):
    lacks = differences.DIRECT

    @pytest.fixture
    def base(self, tmp_path: Path) -> str:
        (tmp_path / "base").mkdir()
        return f"direct://{tmp_path}/base/"
