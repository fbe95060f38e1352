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


def chosen(here: Here, *words: str | Path) -> list[str]:
    """What a dry run says, after checking that it deletes just that."""
    status, output, errors = here("rm", "--dry-run", *words)
    assert (status, errors) == (0, "")
    uris = [line.split("\t")[2] for line in output.splitlines()]
    assert here("rm", *words) == (0, f"{len(uris)} object{'' if len(uris) == 1 else 's'} deleted\n", "")
    return uris


@pytest.mark.parametrize(
    ("words", "gone"),
    [
        (["{}/a*"], ["ab"]),
        (["-r", "{}/a*"], ["a/b", "a/c", "a/d/e", "ab"]),
        (["{}/a/?", "{}/z"], ["a/b", "a/c", "z"]),
        (["-r", "--include", "[bc]", "{}/a"], ["a/b", "a/c"]),
        (["-r", "--exclude", "d/", "{}/a/"], ["a/b", "a/c"]),
        (["{}/nothing*"], []),
        (["{}/*"], ["ab", "z"]),
    ],
)
def test_globs_and_what_is_left_out(here: Here, objects: str, words: list[str], gone: list[str]) -> None:
    before = left(objects)
    assert chosen(here, *(word.format(objects) for word in words)) == [f"{objects}/{key}" for key in gone]
    assert left(objects) == [key for key in before if key not in gone]


def test_a_glob_for_everything_needs_the_same_word(here: Here, objects: str) -> None:
    for glob in ("*", "**"):
        status, output, errors = here("rm", "-r", f"{objects}/{glob}")
        assert (status, output, errors.count("\n")) == (2, "", 1)
    assert len(left(objects)) == 5
    assert here("rm", "-r", "--bucket", f"{objects}/*")[1] == "5 objects deleted\n"


def test_an_object_whose_name_looks_like_a_glob(here: Here, objects: str) -> None:
    api.put(f"{objects}/a*", b"x")
    assert chosen(here, f"{objects}/a*") == [f"{objects}/a*"]
    assert "ab" in left(objects)


def test_a_link_goes_and_not_what_it_leads_to(here: Here, tree: Path, tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "precious").write_bytes(b"x")
    (tree / "deep" / "to-directory").symlink_to(tmp_path / "kept")
    (tree / "deep" / "to-nowhere").symlink_to("nowhere")
    assert chosen(here, "-r", tree / "deep") == [
        f"file://{tree}/deep/{name}" for name in ("c.txt", "er/d.txt", "to-directory", "to-nowhere")
    ]
    assert not (tree / "deep").exists()
    assert (tmp_path / "kept" / "precious").exists()


@pytest.mark.parametrize("uri", ["/", "file:///", "/*", "file:///**"])
def test_a_whole_file_system_is_refused(here: Here, uri: str) -> None:
    status, output, errors = here("rm", "-r", "--bucket", "--dry-run", uri)
    assert (status, output, errors.count("\n")) == (2, "", 1)


def test_more_than_a_page(here: Here, tmp_path: Path) -> None:
    for number in range(2100):
        (tmp_path / f"{number}").touch()
    assert here("rm", "-r", "--exclude", "7", tmp_path) == (0, "2,099 objects deleted\n", "")
    assert [path.name for path in tmp_path.iterdir()] == ["7"]
