"""``headrace du``."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

Here = Callable[..., tuple[int, str, str]]

WHOLE = (10, 4, "")
DEEP = (7, 2, "deep/")
DEEPER = (4, 1, "deep/er/")


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ([], [DEEP, WHOLE]),
        (["-s"], [WHOLE]),
        (["-d", "0"], [WHOLE]),
        (["-d", "9"], [DEEP, DEEPER, WHOLE]),
        (["--exclude", "er/"], [(3, 1, "deep/"), (6, 3, "")]),
        (["-p", "nothing"], [(0, 0, "")]),
    ],
)
def test_what_lies_below(here: Here, tree: Path, options: list[str], expected: list[tuple[int, int, str]]) -> None:
    status, output, errors = here("du", *options, tree)
    assert (status, errors) == (0, "")
    assert output.splitlines() == [f"{size}\t{objects}\tfile://{tree}/{path}" for size, objects, path in expected]
    _, output, _ = here("du", "--json", *options, tree)
    assert [json.loads(line) for line in output.splitlines()] == [
        {"uri": f"file://{tree}/{path}", "objects": objects, "bytes": size} for size, objects, path in expected
    ]


def test_several(here: Here, tree: Path) -> None:
    _, output, _ = here("du", "-s", tree / "deep", tree / "deep" / "er")
    assert output == f"7\t2\tfile://{tree}/deep/\n4\t1\tfile://{tree}/deep/er/\n"


def test_a_missing_bucket(here: Here) -> None:
    assert here("du", "memory://nobody-made-this")[0] == 3
