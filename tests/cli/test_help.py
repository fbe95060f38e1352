"""What the program says of itself. ``python tests/cli/golden`` writes the texts anew."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from headrace.cli.application import COMMANDS, command_named
from headrace.config import SPECS

Program = Callable[..., "subprocess.CompletedProcess[bytes]"]
Here = Callable[..., tuple[int, str, str]]

GOLDEN = Path(__file__).parent / "golden"
SUMMARIES = {name: summary for section in COMMANDS.values() for name, summary in section.items()}


@pytest.fixture(autouse=True)
def width(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


def test_the_program(headrace: Program) -> None:
    expected = (GOLDEN / "headrace.txt").read_bytes()
    for words in ([], ["--help"], ["-h"]):
        finished = headrace(*words)
        assert (finished.returncode, finished.stdout, finished.stderr) == (0, expected, b"")


@pytest.mark.parametrize("command", SUMMARIES)
def test_a_command(here: Here, command: str) -> None:
    status, output, errors = here(command, "--help")
    assert (status, errors) == (0, "")
    assert output == (GOLDEN / f"{command}.txt").read_text()
    assert max(map(len, output.splitlines())) <= 80


@pytest.mark.parametrize("command", SUMMARIES)
def test_the_list_of_commands_says_what_the_command_says(command: str) -> None:
    text = " ".join(command_named(command).help.split())
    assert text.startswith(SUMMARIES[command].rstrip("."))


def test_there_is_a_text_for_each_command_and_for_nothing_else() -> None:
    assert {path.stem for path in GOLDEN.glob("*.txt")} == {"headrace", *SUMMARIES}


def test_client_options_come_last(here: Here) -> None:
    _, output, _ = here("ls", "--help")
    own, _, client = output.partition("\nClient options")
    assert "--recursive" in own
    for name in SPECS:
        flag = name.replace("_", "-")
        assert f"--{flag} " in client or f"--[no-]{flag}" in client
        assert flag not in own


def test_a_wider_terminal_gets_longer_lines_and_a_narrow_one_no_nonsense(here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    lengths = {}
    for columns in (20, 80, 300):
        monkeypatch.setenv("COLUMNS", str(columns))
        lengths[columns] = max(map(len, here("ls", "--help")[1].splitlines()))
    assert lengths[20] <= 60 < lengths[80] <= 80 < lengths[300] <= 100
