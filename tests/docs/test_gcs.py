"""What the page on Google Cloud Storage shows works."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from headrace.testing.servers import Server

PAGE = (Path(__file__).parents[2] / "docs" / "gcs.md").read_text(encoding="utf-8")


def test_the_example_runs(fake_gcs: Server, tmp_path: Path) -> None:
    # The fixture is asked for so that a server that is missing is reported as everywhere.
    (example,) = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    finished = subprocess.run([sys.executable, "-W", "error", "-c", example], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert (finished.returncode, finished.stderr) == (0, "")
