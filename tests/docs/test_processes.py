"""The programs that the page on processes shows run."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = (Path(__file__).parents[2] / "docs" / "processes.md").read_text(encoding="utf-8")
BLOCKS: list[str] = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
END = "\nimport os\nos.kill(os.getpid(), signal.SIGTERM)\n"


def test_there_are_programs() -> None:
    assert len(BLOCKS) == 2


@pytest.mark.parametrize(("block", "status"), [(BLOCKS[0] + END, 143), (BLOCKS[1], 0)])
def test_it_runs(block: str, status: int) -> None:
    finished = subprocess.run([sys.executable, "-W", "error", "-c", block], capture_output=True, text=True, timeout=60)
    assert (finished.returncode, finished.stderr) == (status, "")
