"""``headrace rm``."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

import headrace as api

Here = Callable[..., tuple[int, str, str]]


@pytest.fixture
def objects(bucket: str) -> str:
    """A bucket in this process's memory, with a few objects."""
    top = f"memory://{bucket}"
    for key in ("a/b", "a/c", "a/d/e", "ab", "z"):
        api.put(f"{top}/{key}", key.encode())
    return top


def left(top: str) -> list[str]:
    return [entry.uri.removeprefix(f"{top}/") for entry in api.list(f"{top}/")]


def test_one_object(here: Here, objects: str) -> None:
    assert here("rm", f"{objects}/ab") == (0, "1 object deleted\n", "")
    assert left(objects) == ["a/b", "a/c", "a/d/e", "z"]


def test_several_objects(here: Here, objects: str) -> None:
    assert here("rm", f"{objects}/ab", f"{objects}/z") == (0, "2 objects deleted\n", "")
    assert left(objects) == ["a/b", "a/c", "a/d/e"]


@pytest.mark.parametrize("prefix", ["a", "a/"])
def test_a_prefix_ends_at_the_slash(here: Here, objects: str, prefix: str) -> None:
    assert here("rm", "-r", f"{objects}/{prefix}") == (0, "3 objects deleted\n", "")
    assert left(objects) == ["ab", "z"]


def test_a_pattern_selects(here: Here, objects: str) -> None:
    assert here("rm", "-r", "-p", "^[bc]$", f"{objects}/a") == (0, "2 objects deleted\n", "")
    assert left(objects) == ["a/d/e", "ab", "z"]


def test_dry_run_deletes_nothing_and_names_everything(here: Here, objects: str) -> None:
    before = left(objects)
    status, output, _ = here("rm", "-r", "--dry-run", f"{objects}/a")
    assert status == 0
    assert [line.split("\t")[2] for line in output.splitlines()] == [f"{objects}/{key}" for key in ("a/b", "a/c", "a/d/e")]
    status, output, _ = here("rm", "--dry-run", "--json", f"{objects}/z")
    assert (status, json.loads(output)["uri"]) == (0, f"{objects}/z")
    assert here("rm", "--dry-run", f"{objects}/missing")[0] == 3
    assert left(objects) == before


def test_a_whole_bucket_only_when_that_is_said(here: Here, objects: str) -> None:
    before = left(objects)
    for words in (["-r"], ["-r", "-p", "a"], []):
        status, output, errors = here("rm", *words, f"{objects}/z", objects)
        assert (status, output) == (2, "")
        assert errors.count("\n") == 1
    assert left(objects) == before
    assert here("rm", "-r", "--bucket", objects) == (0, "5 objects deleted\n", "")
    assert left(objects) == []


def test_what_it_says(here: Here, objects: str) -> None:
    assert here("rm", "--quiet", f"{objects}/ab") == (0, "", "")
    status, output, _ = here("rm", "--json", f"{objects}/z")
    assert (status, json.loads(output)) == (0, {"deleted": 1})


def test_a_missing_file_is_not_found(here: Here, tmp_path: Path) -> None:
    assert here("rm", tmp_path / "missing")[0] == 3


def test_a_directory_needs_recursive(here: Here, tree: Path) -> None:
    status, output, _ = here("rm", tree)
    assert status != 0
    assert output == ""
    assert tree.exists()
    assert here("rm", "-r", tree) == (0, "4 objects deleted\n", "")
    assert not tree.exists()


def test_a_pattern_without_recursive_is_refused(here: Here, objects: str) -> None:
    assert here("rm", "-p", "x", f"{objects}/z")[0] == 2
    assert "z" in left(objects)
