"""A command loads what it needs, and not what others need."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SLOW = {"asyncio", "botocore", "headrace.aio", "headrace.backends.s3", "headrace.client", "numpy", "rich", "ssl", "zstandard"}


@pytest.mark.parametrize(
    ("words", "needed"),
    [
        (["--help"], set()),
        (["lss"], set()),
        (["config"], set()),
        (["completion", "bash"], None),
        (["ls", "--help"], {"numpy", "ssl"}),
        (["ls", "{}"], {"numpy", "ssl"}),
        (["cat", "{}/a.txt"], {"numpy", "ssl", "headrace.client"}),
        (["cp", "{}/a.txt", "{}/copy"], {"numpy", "ssl"}),
        (["rm", "-r", "{}"], {"numpy", "ssl"}),
    ],
)
def test_what_is_loaded(tree: Path, words: list[str], needed: set[str] | None) -> None:
    words = [word.format(tree) for word in words]
    script = f"import sys; from headrace.cli.application import run; run({words!r}); print(*sys.modules, file=sys.stderr)"
    finished = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    loaded = set(finished.stderr.splitlines()[-1].split())
    if needed is not None:
        assert SLOW & loaded <= needed
        commands = {name for name in ("cat", "config", "cp", "ls", "mv", "rm", "stat") if f"headrace.cli.{name}" in loaded}
        assert commands <= {words[0]}
    assert "rich" not in loaded
    assert "asyncio" not in loaded
