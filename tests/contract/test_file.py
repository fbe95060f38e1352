"""``file://`` keeps the contract."""

from __future__ import annotations

from pathlib import Path

import pytest

from headrace.testing.contract import BackendContract, differences


class TestFile(BackendContract):
    lacks = differences.FILE

    @pytest.fixture
    def base(self, tmp_path: Path) -> str:
        (tmp_path / "base").mkdir()
        return f"file://{tmp_path}/base/"
