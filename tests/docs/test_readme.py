"""What the README shows works."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS: list[tuple[str, str]] = re.findall(r"^```(\w*)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def blocks(language: str) -> list[str]:
    return [text for kind, text in BLOCKS if kind == language]


def test_every_block_is_of_a_kind_that_is_tried() -> None:
    assert {kind for kind, _ in BLOCKS} == {"python", "sh", "console"}
    assert len(blocks("python")) >= 3
    # What installs things is tried by whoever installs.
    assert {line.removeprefix("$ sudo ").removeprefix("$ ").split()[0] for text in blocks("console") for line in text.splitlines()} == {
        "apt-get",
        "pip",
        "scripts/demo",
        "scripts/test",
    }


@pytest.mark.parametrize("block", blocks("python"))
def test_python(block: str, tmp_path: Path) -> None:
    # The blocks are read one after another; so each has what those before it wrote.
    script = "\n".join(blocks("python")[: blocks("python").index(block) + 1])
    finished = subprocess.run([sys.executable, "-W", "error", "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert (finished.returncode, finished.stderr) == (0, "")


@pytest.mark.parametrize("block", blocks("sh"))
def test_shell(block: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "no-configuration"))
    script = f'headrace() {{ {shlex.join([sys.executable, "-m", "headrace"])} "$@"; }}\n{block}'
    finished = subprocess.run(["bash", "-euo", "pipefail", "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert (finished.returncode, finished.stderr) == (0, "")
    assert "one\ntwo\n" in finished.stdout


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\((?!http)([^)#]+)", README))))
def test_links_lead_somewhere(link: str) -> None:
    assert (ROOT / link).exists()


def test_there_is_a_place_for_results() -> None:
    assert README.count("<!-- results -->") == README.count("<!-- /results -->") == 1
