"""What --pattern, --include and --exclude select."""

from __future__ import annotations

import re
from typing import Any

import pytest

from headrace.cli.selection import Selection
from headrace.errors import InvalidOption

PATHS = ["a.txt", "b.bin", "tmp/a.txt", "x/tmp/b.bin", "x/y.TXT", "x/tmp"]


def selected(**said: Any) -> list[str]:
    regex = Selection.of(said.get("pattern"), said.get("include"), said.get("exclude")).regex()
    return [path for path in PATHS if regex is None or re.search(regex, path)]


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({}, PATHS),
        ({"include": ["*.txt"]}, ["a.txt", "tmp/a.txt"]),
        ({"include": ["*.txt", "*.bin"]}, ["a.txt", "b.bin", "tmp/a.txt", "x/tmp/b.bin"]),
        ({"exclude": ["*.txt"]}, ["b.bin", "x/tmp/b.bin", "x/y.TXT", "x/tmp"]),
        ({"exclude": ["tmp"]}, ["a.txt", "b.bin", "x/y.TXT"]),
        ({"exclude": ["tmp/"]}, ["a.txt", "b.bin", "x/y.TXT", "x/tmp"]),
        ({"exclude": ["/tmp"]}, ["a.txt", "b.bin", "x/tmp/b.bin", "x/y.TXT", "x/tmp"]),
        ({"exclude": ["x/*"]}, ["a.txt", "b.bin", "tmp/a.txt"]),
        ({"include": ["x"]}, ["x/tmp/b.bin", "x/y.TXT", "x/tmp"]),
        ({"include": ["x/**/*.bin"]}, ["x/tmp/b.bin"]),
        ({"include": ["*.txt"], "exclude": ["tmp"]}, ["a.txt"]),
        ({"pattern": "(?i)txt$"}, ["a.txt", "tmp/a.txt", "x/y.TXT"]),
        ({"pattern": "^x", "exclude": ["tmp"]}, ["x/y.TXT"]),
        ({"pattern": "a|y", "include": ["x"]}, ["x/y.TXT"]),
    ],
)
def test_what_is_selected(said: dict[str, Any], expected: list[str]) -> None:
    assert selected(**said) == expected


@pytest.mark.parametrize(
    ("said", "named"),
    [({"include": ["*.txt"], "exclude": ["*"]}, "--include alone"), ({"include": [""]}, "empty"), ({"pattern": "("}, r"pattern '\('")],
)
def test_what_makes_no_sense(said: dict[str, Any], named: str) -> None:
    with pytest.raises(InvalidOption, match=named):
        selected(**said)
