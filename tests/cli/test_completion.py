"""``headrace completion``."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable

import pytest

from headrace.cli.application import COMMANDS

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


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_accept_theirs(here: Here, shell: str) -> None:
    status, script, _ = here("completion", shell)
    assert status == 0
    for name in COMMAND_NAMES:
        assert name in script
    for word in ("recursive", "endpoint-url"):
        assert word in script
    if shutil.which(shell):
        subprocess.run([shell, "-n"], input=script, text=True, check=True)


def test_an_unknown_shell(here: Here) -> None:
    status, output, errors = here("completion", "tcsh")
    assert (status, output) == (2, "")
    assert "bash, zsh, fish" in errors
