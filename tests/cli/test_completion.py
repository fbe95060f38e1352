"""``headrace completion``."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from headrace.cli.application import COMMANDS
from headrace.errors import MissingDependency
from tests.conftest import unavailable

Here = Callable[..., tuple[int, str, str]]

COMMAND_NAMES = {name for section in COMMANDS.values() for name in section}


def completed(script: str, words: list[str]) -> set[str]:
    """What bash offers for the last of the words."""
    asked = " ".join(f"'{word}'" for word in words)
    program = f'{script}\nCOMP_WORDS=({asked}); COMP_CWORD={len(words) - 1}; _headrace; printf "%s\\n" "${{COMPREPLY[@]}}"'
    return set(subprocess.run(["bash", "-uc", program], check=True, capture_output=True, text=True).stdout.split())


def test_bash_completes_commands_and_options(here: Here) -> None:
    status, script, errors = here("completion", "bash")
    assert (status, errors) == (0, "")
    assert completed(script, ["headrace", ""]) == COMMAND_NAMES | {"--help", "--version"}
    assert completed(script, ["headrace", "do"]) == {"download"}
    assert completed(script, ["headrace", "ls", "--re"]) == {"--recursive", "--region", "--request-payer"}
    assert "--dry-run" not in completed(script, ["headrace", "ls", "--"])
    assert "--dry-run" in completed(script, ["headrace", "rm", "--d"])
    assert completed(script, ["headrace", "ls", "s3"]) == set()


def shell_named(name: str) -> str:
    """The path of a shell, without which the test is skipped; in continuous integration, fails."""
    path = shutil.which(name)
    if path is None:
        unavailable(MissingDependency(f"{name} is not installed", hint=f"sudo apt-get install {name}"))
    return path


ZSH = """
compdef() { }
_files() { print -r -- FILES }
_describe() { local name=$2; print -rl -- "${(@P)name}" }
"""
"""What zsh's own functions do, for a program: print what would be offered."""


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["headrace", ""], "download:Copy objects and prefixes into a directory."),
        (["headrace", "ls", "--"], "--recursive:Everything below prefixes and directories."),
        (["headrace", "ls", "s3"], "FILES"),
    ],
)
def test_zsh_completes_commands_and_options(here: Here, words: list[str], offered: str) -> None:
    _, script, _ = here("completion", "zsh")
    asked = " ".join(f"'{word}'" for word in words)
    program = f"{ZSH}\n{script}\nwords=({asked}); CURRENT={len(words)}; _headrace"
    result = subprocess.run([shell_named("zsh"), "-fc", program], check=True, capture_output=True, text=True)
    assert offered in result.stdout.splitlines()
    assert result.stderr == ""
    if words == ["headrace", ""]:
        assert {line.partition(":")[0] for line in result.stdout.splitlines()} == COMMAND_NAMES


@pytest.mark.parametrize(
    ("line", "offered", "not_offered"),
    [
        ("headrace ", COMMAND_NAMES, set()),
        ("headrace do", {"download"}, {"ls"}),
        ("headrace ls --re", {"--recursive", "--region", "--request-payer"}, {"--dry-run"}),
        ("headrace rm --d", {"--dry-run"}, {"--recursive"}),
    ],
)
def test_fish_completes_commands_and_options(here: Here, tmp_path: Path, line: str, offered: set[str], not_offered: set[str]) -> None:
    _, script, _ = here("completion", "fish")
    (tmp_path / "headrace.fish").write_text(script)
    program = f"source {tmp_path}/headrace.fish; complete -C '{line}'"
    environment = {"HOME": str(tmp_path), "PATH": os.environ["PATH"]}
    command = [shell_named("fish"), "--no-config", "-c", program]
    result = subprocess.run(command, check=True, capture_output=True, text=True, env=environment, cwd=tmp_path)
    words = {entry.partition("\t")[0] for entry in result.stdout.splitlines()}
    assert offered <= words
    assert not words & not_offered


def test_an_unknown_shell(here: Here) -> None:
    status, output, errors = here("completion", "tcsh")
    assert (status, output) == (2, "")
    assert "bash, zsh, fish" in errors
