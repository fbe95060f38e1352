"""Writes the texts of help anew: python tests/cli/golden. Then look at what git says has changed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from headrace.cli.application import COMMANDS

HERE = Path(__file__).parent


def help_of(words: list[str]) -> str:
    environment = os.environ | {"COLUMNS": "80"}
    return subprocess.check_output([sys.executable, "-m", "headrace", *words, "--help"], env=environment, text=True)


for old in HERE.glob("*.txt"):
    old.unlink()
(HERE / "headrace.txt").write_text(help_of([]))
for name in (name for section in COMMANDS.values() for name in section):
    (HERE / f"{name}.txt").write_text(help_of([name]))
