"""Globs."""

from __future__ import annotations

import re

import pytest

from headrace.globs import is_glob, parse, translate


@pytest.mark.parametrize(
    ("glob", "matched", "others"),
    [
        ("*.txt", ["a.txt", ".txt", "new\nline.txt"], ["a/b.txt", "a.txt.gz"]),
        ("a?c", ["abc", "a.c"], ["ac", "a/c"]),
        ("**", ["", "a", "a/b/c"], []),
        ("**/x", ["x", "a/x", "a/b/x"], ["ax", "a/bx"]),
        ("a/**/b", ["a/b", "a/x/b", "a/x/y/b"], ["ab", "a/xb"]),
        ("[a-c]1", ["a1", "c1"], ["d1", "-1"]),
        ("[!a]", ["b", "^", "!"], ["a", "/"]),
        ("[]]", ["]"], ["[", "x"]),
        ("[^a]", ["^", "a"], ["b"]),
        ("a[b", ["a[b"], ["ab"]),
        ("x[]", ["x[]"], ["x"]),
        ("plain+(1).txt", ["plain+(1).txt"], ["plain1.txt"]),
        ("", [""], ["a"]),
    ],
)
def test_what_is_matched(glob: str, matched: list[str], others: list[str]) -> None:
    regex = re.compile(translate(glob))
    assert [text for text in [*matched, *others] if regex.fullmatch(text)] == matched


@pytest.mark.parametrize(("text", "expected"), [("a*", True), ("a?", True), ("[a]", True), ("a{1}", False), ("", False), ("a]", False)])
def test_what_is_a_glob(text: str, expected: bool) -> None:  # noqa: FBT001
    assert is_glob(text) == expected


def test_where_a_glob_begins() -> None:
    assert parse("logs/2026-*/x.gz") == ("logs/", "logs/2026-", "2026-*/x.gz")
    assert parse("*.txt") == ("", "", "*.txt")
    assert (parse("a/*.txt").is_flat, parse("a/*/x").is_flat, parse("a/**").is_flat) == (True, False, False)


def test_with_or_without_what_is_below() -> None:
    exact, below = (re.compile(parse("d/run*").regex(below=wanted)) for wanted in (False, True))
    assert [path for path in ("run1", "run1/a", "run", "xrun1") if exact.search(path)] == ["run1", "run"]
    assert [path for path in ("run1", "run1/a", "run", "xrun1") if below.search(path)] == ["run1", "run1/a", "run"]
    assert [path for path in ("run1", "run1/a") if re.search(parse("d/run*/").regex(below=True), path)] == ["run1/a"]
