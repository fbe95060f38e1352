"""What the page on the command line shows works."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from headrace.cli.application import COMMANDS
from headrace.cli.exits import end_with
from headrace.errors import NotFound
from headrace.testing.servers import Server

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "cli.md").read_text(encoding="utf-8")
BLOCKS: list[tuple[str, str]] = re.findall(r"^```(\w*)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def test_the_examples_run(ministack: Server, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert {kind for kind, _ in BLOCKS} == {"sh"}
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "no-configuration"))
    monkeypatch.setenv("HEADRACE_ENDPOINT_URL", ministack.endpoint)
    monkeypatch.setenv("HEADRACE_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ministack.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", ministack.secret_key)
    monkeypatch.setenv("BUCKET", f"s3://{bucket}")
    script = f'headrace() {{ {shlex.join([sys.executable, "-m", "headrace"])} "$@"; }}\n' + "".join(text for _, text in BLOCKS)
    finished = subprocess.run(["bash", "-euo", "pipefail", "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=110)
    assert (finished.returncode, finished.stderr) == (0, "")
    there = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert there == {
        *("data/a.txt", "data/deep/b.txt", "data/tmp/junk"),
        *("copy/a.txt", "copy/deep/b.txt"),
        *("back/a.txt", "back/deep/b.txt"),
        "completion.bash",
    }
    assert "one\n" in finished.stdout
    assert "data/tmp/junk\n" in finished.stdout


def test_every_command_is_shown() -> None:
    shown = set(re.findall(r"headrace ([a-z]+)", "".join(text for _, text in BLOCKS)))
    assert {name for section in COMMANDS.values() for name in section} <= shown


def test_every_status_is_in_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    told = {int(status) for status in re.findall(r"^\| (\d+) \|", PAGE, re.MULTILINE)}
    assert told == {0, 1, 2, 3, 4, 5, 130, 141}
    assert end_with(NotFound("x"), debug=False) in told
    assert capsys.readouterr().err == "headrace: x\n"


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\((?!http)([^)#]+)", PAGE))))
def test_links_lead_somewhere(link: str) -> None:
    assert (DOCS / link).exists()
