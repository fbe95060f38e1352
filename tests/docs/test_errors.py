"""The page on errors is about those that there are."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from headrace import errors
from headrace.cli.exits import exit_status

PAGE = (Path(__file__).parents[2] / "docs" / "errors.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL))
KINDS = [getattr(errors, name) for name in errors.__all__ if name != "HeadraceError"]


def test_every_error_has_a_section() -> None:
    assert set(SECTIONS) == {kind.__name__ for kind in KINDS}


@pytest.mark.parametrize("kind", KINDS)
def test_a_section_names_the_builtin_and_the_exit_status(kind: type[errors.HeadraceError]) -> None:
    section = SECTIONS[kind.__name__]
    builtin = re.search(r"^Also an? `(\w+)`", section, re.MULTILINE)
    bases = [base.__name__ for base in kind.__bases__ if base is not errors.HeadraceError]
    assert ([builtin[1]] if builtin else []) == bases
    assert f"Exit status {exit_status(kind('x'))}." in section


def test_the_attributes_are_those_of_an_error() -> None:
    table = PAGE.partition("| attribute |")[2].partition("## ")[0]
    named = set(re.findall(r"`(\w+)`", "\n".join(line.split("|")[1] for line in table.splitlines() if line.startswith("| `"))))
    assert named == set(vars(errors.HeadraceError("x")))
