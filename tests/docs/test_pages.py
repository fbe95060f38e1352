"""What the pages on paths and on fsspec show works."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from headrace import Path as HeadracePath

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize("page", ["fsspec.md", "paths.md"])
def test_the_programs_run(page: str, tmp_path: Path) -> None:
    blocks = re.findall(r"^```python\n(.*?)^```$", (DOCS / page).read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert blocks
    finished = subprocess.run(
        [sys.executable, "-W", "error", "-c", "".join(blocks)], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert (finished.returncode, finished.stderr) == (0, "")


@pytest.mark.parametrize("page", ["fsspec.md", "paths.md"])
def test_links_lead_somewhere(page: str) -> None:
    for link in re.findall(r"\]\((?!http)([^)#]+)", (DOCS / page).read_text(encoding="utf-8")):
        assert (DOCS / link).exists()


def test_every_method_that_the_page_names_is_there() -> None:
    table = (DOCS / "paths.md").read_text(encoding="utf-8").partition("| method |")[2]
    for name in re.findall(r"`(\w+)`", "".join(line.split("|")[1] for line in table.splitlines() if line.startswith("| `"))):
        assert callable(getattr(HeadracePath, name))
