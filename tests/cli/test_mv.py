"""``headrace mv``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import headrace as api

Here = Callable[..., tuple[int, str, str]]


def files(top: Path) -> list[str]:
    return sorted(str(path.relative_to(top)) for path in top.rglob("*") if path.is_file())


def keys(top: str) -> list[str]:
    return [entry.uri.removeprefix(f"{top}/") for entry in api.list(f"{top}/")]


def test_one_file_gets_a_new_name(here: Here, tree: Path) -> None:
    assert here("mv", tree / "a.txt", tree / "new") == (0, "", "")
    assert files(tree) == ["b.bin", "deep/c.txt", "deep/er/d.txt", "new"]


def test_a_tree_goes_there_and_back_and_leaves_no_empty_directories(here: Here, tree: Path, bucket: str) -> None:
    before = files(tree)
    assert here("mv", "-r", tree, f"memory://{bucket}/x") == (0, "", "")
    assert not tree.exists()
    assert keys(f"memory://{bucket}/x") == before
    assert here("mv", "-r", f"memory://{bucket}/x", tree) == (0, "", "")
    assert files(tree) == before
    assert keys(f"memory://{bucket}") == []


def test_what_is_not_selected_stays(here: Here, tree: Path, tmp_path: Path) -> None:
    (tree / "empty").mkdir()
    assert here("mv", "-r", "--exclude", "deep/", tree, tmp_path / "to") == (0, "", "")
    assert (files(tree), files(tmp_path / "to")) == (["deep/c.txt", "deep/er/d.txt"], ["a.txt", "b.bin"])
    assert (tree / "empty").exists()


def test_what_could_not_be_copied_stays(here: Here, bucket: str, tmp_path: Path) -> None:
    top = f"memory://{bucket}/x"
    for key in ("a", "a/b", "c"):
        api.put(f"{top}/{key}", key.encode())
    status, _, errors = here("mv", "-r", "-j", "1", top, tmp_path / "to")
    assert (status, errors.splitlines()[-1]) == (1, "headrace: 2 of 3 were done")
    assert (files(tmp_path / "to"), keys(top)) == (["a", "c"], ["a/b"])


def test_markers_of_folders_move_between_buckets(here: Here, bucket: str) -> None:
    for key in ("x/", "x/sub/", "x/sub/a"):
        api.put(f"memory://{bucket}/{key}", b"")
    assert here("mv", "-r", f"memory://{bucket}/x/", f"memory://{bucket}/y/") == (0, "", "")
    assert keys(f"memory://{bucket}") == ["y/", "y/sub/", "y/sub/a"]


def test_a_stream_cannot_be_moved(here: Here, tree: Path) -> None:
    for words in (("-", tree / "new"), (tree / "a.txt", "-")):
        assert here("mv", *words)[0] == 2
    assert files(tree) == ["a.txt", "b.bin", "deep/c.txt", "deep/er/d.txt"]
