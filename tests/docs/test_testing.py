"""What the page on testing shows works, and it names every fault."""

from __future__ import annotations

import dataclasses
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from headrace.testing.faults import KINDS, Fault, parse_rules
from headrace.testing.servers import Server

PAGE = (Path(__file__).parents[2] / "docs" / "testing.md").read_text(encoding="utf-8")
ROWS = dict(re.findall(r"^\| `(\w+\([^`]*\))` \| `([\w-]+)` \|", PAGE, re.MULTILINE))


def test_the_example_runs(ministack: Server, tmp_path: Path) -> None:
    # The fixture is asked for so that a server that is missing is reported as everywhere.
    (example,) = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    finished = subprocess.run([sys.executable, "-W", "error", "-c", example], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert (finished.returncode, finished.stderr) == (0, "")


def test_the_rules_in_the_example_are_rules() -> None:
    (text,) = re.findall(r"<<'END'\n(.*?)^END$", PAGE, re.MULTILINE | re.DOTALL)
    assert len(parse_rules(text)) == len(json.loads(text)) == 2


def test_every_fault_is_there() -> None:
    assert sorted(ROWS.values()) == sorted(KINDS)


@pytest.mark.parametrize("spelled", ROWS)
def test_a_fault_is_spelled_as_it_is(spelled: str) -> None:
    name, _, arguments = spelled.rstrip(")").partition("(")
    kind: type[Fault] = KINDS[ROWS[spelled]]
    assert kind.__name__ == name
    assert re.findall(r"(\w+)=", arguments) == [field.name for field in dataclasses.fields(kind)]
