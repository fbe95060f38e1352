"""``headrace cp``."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

import headrace as api
from headrace import Client
from headrace.testing.servers import Server

Program = Callable[..., "subprocess.CompletedProcess[bytes]"]
Here = Callable[..., tuple[int, str, str]]

ODD_NAMES = [
    "plain",
    "sp ace",
    "plus+and&=?#",
    "percent%41",
    "quote'\"`$(no)",
    "caf\N{LATIN SMALL LETTER E WITH ACUTE}",
    "\N{GRINNING FACE}",
    "-r",
    "...",
    "..hidden",
    "deep/er/x",
    "new\nline",
    "tab\tkey",
]


@pytest.fixture
def bucket_uri(s3: Server, bucket: str) -> str:
    """A bucket that exists."""
    with Client() as client:
        client.create_container(f"s3://{bucket}")
    return f"s3://{bucket}"


@pytest.fixture
def memory(bucket: str) -> str:
    """A prefix in this process's memory."""
    return f"memory://{bucket}/from"


def contents(top: Path) -> dict[str, bytes]:
    """Every file below a directory."""
    return {str(path.relative_to(top)): path.read_bytes() for path in top.rglob("*") if path.is_file()}


class TestOneObject:
    def test_file_to_file_says_nothing(self, headrace: Program, tree: Path, tmp_path: Path) -> None:
        finished = headrace("cp", tree / "b.bin", tmp_path / "new" / "name")
        assert (finished.returncode, finished.stdout, finished.stderr) == (0, b"", b"")
        assert (tmp_path / "new" / "name").read_bytes() == b"bb"

    @pytest.mark.parametrize("destination", ["{}/new/", "{}/tree/deep", "{}/tree/deep/.", "file://{}/tree/deep"])
    def test_a_directory_takes_the_last_name(self, here: Here, tree: Path, tmp_path: Path, destination: str) -> None:
        directory = destination.format(tmp_path)
        assert here("cp", tree / "b.bin", directory) == (0, "", "")
        assert Path(directory.removeprefix("file://"), "b.bin").read_bytes() == b"bb"

    def test_relative_paths(self, here: Here, tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tree / "deep")
        assert here("cp", "../b.bin", ".") == (0, "", "")
        assert (tree / "deep" / "b.bin").read_bytes() == b"bb"

    def test_verbose_names_the_copy(self, here: Here, tree: Path, tmp_path: Path) -> None:
        _, output, _ = here("cp", "-v", tree / "a.txt", tmp_path / "x")
        assert output == f"file://{tree}/a.txt -> file://{tmp_path}/x\n"

    def test_json_describes_the_copy(self, here: Here, tree: Path, tmp_path: Path) -> None:
        _, output, _ = here("cp", "--json", tree / "b.bin", tmp_path / "x")
        record, report = map(json.loads, output.splitlines())
        assert (record["uri"], record["size"]) == (f"file://{tmp_path}/x", 2)
        assert (report["objects"], report["bytes"], report["failures"]) == (1, 2, 0)

    def test_a_bucket_takes_the_last_name_and_gives_it_back(self, headrace: Program, bucket_uri: str, tree: Path, tmp_path: Path) -> None:
        assert headrace("cp", tree / "b.bin", bucket_uri).returncode == 0
        assert headrace("cp", f"{bucket_uri}/b.bin", f"{bucket_uri}/deep/").returncode == 0
        assert headrace("cp", f"{bucket_uri}/deep/b.bin", tmp_path).returncode == 0
        assert (tmp_path / "b.bin").read_bytes() == b"bb"

    @pytest.mark.parametrize("source", ["{}", "{}/", "memory://bucket/prefix/"])
    def test_a_directory_needs_recursive(self, here: Here, tree: Path, tmp_path: Path, source: str) -> None:
        status, _, errors = here("cp", source.format(tree), tmp_path / "x")
        assert status == 2
        assert "-r" in errors
        assert not (tmp_path / "x").exists()

    @pytest.mark.parametrize("name", ["..", "."])
    def test_a_last_name_that_is_no_file_is_refused(self, here: Here, memory: str, tmp_path: Path, name: str) -> None:
        api.put(f"{memory}/{name}", b"x")
        status, _, errors = here("cp", f"{memory}/{name}", f"{tmp_path}/to/")
        assert status == 2
        assert "no path of a file" in errors
        assert not (tmp_path / "to").exists()

    def test_a_missing_source_leaves_nothing(self, here: Here, tmp_path: Path) -> None:
        status, _, errors = here("cp", tmp_path / "missing", tmp_path / "new")
        assert status == 3
        assert errors.startswith("headrace: ")
        assert list(tmp_path.iterdir()) == []


class TestStandardStreams:
    def test_through_an_object(self, headrace: Program, bucket_uri: str) -> None:
        data = os.urandom(100_000)
        assert headrace("cp", "-", f"{bucket_uri}/piped", stdin=data).returncode == 0
        assert headrace("cp", f"{bucket_uri}/piped", "-").stdout == data

    def test_more_than_a_part(self, headrace: Program, bucket_uri: str) -> None:
        data = os.urandom(1 << 20) * 17
        assert headrace("cp", "-", f"{bucket_uri}/piped", stdin=data).returncode == 0
        assert headrace("cat", f"{bucket_uri}/piped").stdout == data

    def test_to_a_file(self, headrace: Program, tmp_path: Path) -> None:
        assert headrace("cp", "-", tmp_path / "x", stdin=b"abc").returncode == 0
        assert (tmp_path / "x").read_bytes() == b"abc"

    @pytest.mark.parametrize("words", [("-", "{}/"), ("-", "{}"), ("-", "-"), ("-r", "-", "{}/x"), ("-", "s3://bucket")])
    def test_what_makes_no_sense(self, here: Here, tmp_path: Path, words: tuple[str, ...]) -> None:
        status, output, errors = here("cp", *(word.format(tmp_path) for word in words))
        assert (status, output) == (2, "")
        assert errors.startswith("headrace: ")
        assert list(tmp_path.iterdir()) == []


class TestRecursive:
    def test_round_trip_through_s3(self, headrace: Program, bucket_uri: str, tree: Path, tmp_path: Path) -> None:
        for name in ODD_NAMES:
            path = tree / "odd" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(name.encode())
        up = headrace("cp", "-r", tree, f"{bucket_uri}/data")
        assert (up.returncode, up.stdout, up.stderr) == (0, b"", b"")
        across = headrace("cp", "-r", f"{bucket_uri}/data/", f"{bucket_uri}/copy/")
        assert (across.returncode, across.stderr) == (0, b"")
        down = headrace("cp", "-r", "-j", "3", f"{bucket_uri}/copy", tmp_path / "back")
        assert (down.returncode, down.stderr) == (0, b"")
        assert contents(tmp_path / "back") == contents(tree)

    def test_a_pattern_selects(self, here: Here, tree: Path, tmp_path: Path) -> None:
        assert here("cp", "-r", "-p", "^deep/", tree, tmp_path / "to") == (0, "", "")
        assert contents(tmp_path / "to") == {"deep/c.txt": b"ccc", "deep/er/d.txt": b"dddd"}
        assert here("cp", "-p", "x", tree / "a.txt", tmp_path / "to")[0] == 2

    def test_a_file_is_copied_as_without(self, here: Here, tree: Path, tmp_path: Path) -> None:
        assert here("cp", "-r", tree / "a.txt", f"{tmp_path}/to/") == (0, "", "")
        assert contents(tmp_path / "to") == {"a.txt": b"a"}

    def test_an_empty_directory_is_done_at_once(self, here: Here, tmp_path: Path) -> None:
        (tmp_path / "empty").mkdir()
        assert here("cp", "-r", tmp_path / "empty", tmp_path / "to") == (0, "", "")

    @pytest.mark.parametrize("source", ["memory://bucket/nothing", "{}/nothing"])
    def test_nothing_there_is_not_found(self, here: Here, tmp_path: Path, source: str) -> None:
        assert here("cp", "-r", source.format(tmp_path), tmp_path / "to")[0] == 3

    def test_onto_itself_or_a_file_is_refused(self, here: Here, tree: Path) -> None:
        assert here("cp", "-r", tree, f"{tree}/")[0] == 2
        assert here("cp", "-r", tree / "deep", tree / "a.txt")[0] == 2

    def test_below_itself_does_not_run_away(self, here: Here, tree: Path) -> None:
        before = contents(tree)
        assert here("cp", "-r", tree, tree / "deep" / "copy") == (0, "", "")
        assert contents(tree / "deep" / "copy") == before

    @pytest.mark.parametrize("key", ["../outside", "a/../../outside", "/etc/outside", "a//b", "./a", "a/.", "nul\0", "..", "a/.."])
    def test_a_key_that_would_escape_is_refused_before_anything_is_written(self, here: Here, memory: str, tmp_path: Path, key: str) -> None:
        api.put(f"{memory}/a-first", b"innocent")
        api.put(f"{memory}/{key}", b"x")
        status, _, errors = here("cp", "-r", memory, tmp_path / "to")
        assert status == 2
        assert "below the destination" in errors
        assert errors.count("\n") == 1
        assert list(tmp_path.iterdir()) == []

    def test_such_keys_may_be_copied_to_where_they_are_only_keys(self, here: Here, memory: str) -> None:
        for key in ("../x", "a//b", "/c"):
            api.put(f"{memory}/{key}", key.encode())
        assert here("cp", "-r", memory, f"{memory}-copy") == (0, "", "")
        assert [bytes(api.get(f"{memory}-copy/{key}")).decode() for key in ("../x", "a//b", "/c")] == ["../x", "a//b", "/c"]

    def test_markers_of_folders_become_no_files(self, here: Here, memory: str, tmp_path: Path) -> None:
        for key, data in {"/": b"", "/sub/": b"", "/sub/x": b"x"}.items():
            api.put(f"{memory}{key}", data)
        assert here("cp", "-r", memory, tmp_path / "to") == (0, "", "")
        assert contents(tmp_path / "to") == {"sub/x": b"x"}

    def test_one_failure_is_told_and_the_rest_goes_on(self, here: Here, memory: str, tmp_path: Path) -> None:
        for key in ("a", "a/b", "c", "d/e"):
            api.put(f"{memory}/{key}", key.encode())
        status, output, errors = here("cp", "-r", "-j", "1", memory, tmp_path / "to")
        # "a" cannot be a file and a directory.
        assert status == 1
        assert output == ""
        first, last = errors.splitlines()
        assert "a/b" in first
        assert last == "headrace: 3 of 4 were done"
        assert contents(tmp_path / "to") == {"a": b"a", "c": b"c", "d/e": b"d/e"}

    def test_verbose_and_json(self, here: Here, tree: Path, tmp_path: Path) -> None:
        _, output, _ = here("cp", "-rv", tree / "deep", tmp_path / "one")
        assert sorted(output.splitlines()) == [
            f"file://{tree}/deep/c.txt -> file://{tmp_path}/one/c.txt",
            f"file://{tree}/deep/er/d.txt -> file://{tmp_path}/one/er/d.txt",
        ]
        _, output, _ = here("cp", "-r", "--json", tree / "deep", tmp_path / "two")
        *records, report = map(json.loads, output.splitlines())
        assert {record["size"] for record in records} == {3, 4}
        assert report.keys() == {"objects", "bytes", "seconds", "rate", "failures"}
        assert (report["objects"], report["bytes"], report["failures"]) == (2, 7, 0)

    def test_an_unreachable_service_is_given_up_at_once(self, headrace: Program, tree: Path, free_port: int) -> None:
        options = ["--endpoint-url", f"http://127.0.0.1:{free_port}", "--anonymous", "--region", "r", "--max-attempts", "1"]
        finished = headrace("cp", "-r", tree, "s3://bucket/x", *options)
        assert finished.returncode == 5
        assert len(finished.stderr.splitlines()) == 2


class TestSeveralSources:
    def test_go_into_a_directory_under_their_names(self, here: Here, tree: Path, tmp_path: Path) -> None:
        status, _, errors = here("cp", "-r", tree / "a.txt", tree / "deep", f"{tree}/deep/er/", f"{tmp_path}/to/")
        assert (status, errors) == (0, "")
        assert contents(tmp_path / "to") == {"a.txt": b"a", "deep/c.txt": b"ccc", "deep/er/d.txt": b"dddd", "d.txt": b"dddd"}

    def test_need_a_directory(self, here: Here, tree: Path, tmp_path: Path) -> None:
        for destination in (f"{tmp_path}/new", f"{tree}/b.bin", f"{tree}/b.bin/", "memory://bucket/new"):
            status, _, errors = here("cp", tree / "a.txt", tree / "deep" / "c.txt", destination)
            assert (status, errors.count("\n")) == (2, 1)
        assert not (tmp_path / "new").exists()

    def test_with_one_destination_are_refused_before_anything_is_copied(self, here: Here, tree: Path, tmp_path: Path) -> None:
        (tree / "deep" / "a.txt").write_bytes(b"another")
        for words in ([tree / "a.txt", tree / "deep" / "a.txt"], [f"{tree}/", f"{tree}/deep/"]):
            status, _, errors = here("cp", "-r", *words, f"{tmp_path}/to/")
            assert status == 2
            assert f"{tree}/a.txt" in errors
            assert f"{tree}/deep/a.txt" in errors
            assert not (tmp_path / "to").exists()

    def test_the_same_one_twice_is_one(self, here: Here, tree: Path, tmp_path: Path) -> None:
        assert here("cp", tree / "a.txt", tree / "a.txt", f"{tmp_path}/to/") == (0, "", "")
        assert contents(tmp_path / "to") == {"a.txt": b"a"}

    def test_a_copy_over_what_is_to_be_copied_is_refused(self, here: Here, memory: str) -> None:
        for key in ("x", "deep/x"):
            api.put(f"{memory}/{key}", key.encode())
        for command in ("cp", "mv"):
            status, _, errors = here(command, "-r", f"{memory}/", f"{memory}/deep/")
            assert status == 2
            assert "source and a destination" in errors
        assert api.read_bytes(f"{memory}/deep/x") == b"deep/x"


class TestGlobs:
    @pytest.mark.parametrize(
        ("glob", "options", "expected"),
        [
            ("*.txt", [], ["a.txt"]),
            ("**/*.txt", [], ["a.txt", "deep/c.txt", "deep/er/d.txt"]),
            ("d*/?.txt", [], ["deep/c.txt"]),
            ("d*", ["-r"], ["deep/c.txt", "deep/er/d.txt"]),
            ("*", ["-r", "--exclude", "er/"], ["a.txt", "b.bin", "deep/c.txt"]),
            ("*", ["-r", "--include", "*.bin", "-p", "^b"], ["b.bin"]),
        ],
    )
    def test_what_they_match(
        self, here: Here, memory: str, tree: Path, tmp_path: Path, glob: str, options: list[str], expected: list[str]
    ) -> None:
        assert here("cp", "-r", tree, memory)[0] == 0
        for number, top in enumerate((str(tree), memory)):
            assert here("cp", *options, f"{top}/{glob}", tmp_path / f"to{number}") == (0, "", "")
            assert sorted(contents(tmp_path / f"to{number}")) == expected

    def test_a_name_that_is_there_is_no_glob(self, here: Here, memory: str, tmp_path: Path) -> None:
        for key in ("a*", "ab", "x[1]", "x1"):
            api.put(f"{memory}/{key}", key.encode())
        assert here("cp", f"{memory}/a*", f"{memory}/x[1]", f"{tmp_path}/to/") == (0, "", "")
        assert here("cp", f"{tmp_path}/to/a*", f"{tmp_path}/to/x[1]", f"{memory}/back/") == (0, "", "")
        assert contents(tmp_path / "to") == {"a*": b"a*", "x[1]": b"x[1]"}
        assert [entry.uri.rpartition("/")[2] for entry in api.list(f"{memory}/back/")] == ["a*", "x[1]"]

    def test_nothing_matched_is_not_found(self, here: Here, tree: Path, tmp_path: Path) -> None:
        for glob in ("*.none", "de*", "nothing/*"):
            status, _, errors = here("cp", f"{tree}/{glob}", tmp_path / "to")
            assert (status, errors.count("\n")) == (3, 1)


def test_a_dry_run_prints_the_plan(here: Here, tree: Path, tmp_path: Path) -> None:
    status, output, _ = here("cp", "-r", "-n", tree / "deep", tmp_path / "to")
    lines = [f"file://{tree}/deep/{name} -> file://{tmp_path}/to/{name}" for name in ("c.txt", "er/d.txt")]
    assert (status, output.splitlines()) == (0, lines)
    _, output, _ = here("cp", "-r", "-n", "--json", tree / "deep", tmp_path / "to")
    assert json.loads(output.splitlines()[0]) == {
        "source": f"file://{tree}/deep/c.txt",
        "destination": f"file://{tmp_path}/to/c.txt",
        "size": 3,
    }
    assert here("cp", "-n", "-", tmp_path / "to") == (0, f"- -> {tmp_path}/to\n", "")
    assert not (tmp_path / "to").exists()


def test_the_same_file_by_another_path_is_refused(here: Here, tree: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tree)
    for command in ("cp", "mv"):
        assert here(command, tree / "a.txt", tmp_path / "link" / "a.txt")[0] == 2
        assert here(command, f"direct://{tree}/a.txt", tree / "a.txt")[0] == 2
    assert (tree / "a.txt").read_bytes() == b"a"


@pytest.mark.parametrize("key", ["x" * 256, "\N{GRINNING FACE}" * 64, "/".join(["d" * 200] * 21), ".headrace-1/x"])
def test_a_key_that_no_file_can_have_is_refused_before_anything_is_written(here: Here, memory: str, tmp_path: Path, key: str) -> None:
    for name in ("a", key):
        api.put(f"{memory}/{name}", b"x")
    status, _, errors = here("cp", "-r", memory, tmp_path / "to")
    assert (status, errors.count("\n")) == (2, 1)
    assert not (tmp_path / "to").exists()


def test_a_failure_is_a_record_too(here: Here, memory: str, tmp_path: Path) -> None:
    for key in ("a", "a/b"):
        api.put(f"{memory}/{key}", key.encode())
    status, output, errors = here("cp", "-r", "-j", "1", "--json", memory, tmp_path / "to")
    done, failed, report = map(json.loads, output.splitlines())
    assert (status, done["uri"]) == (1, f"file://{tmp_path}/to/a")
    assert (failed["uri"], failed["source"]) == (f"file://{tmp_path}/to/a/b", f"{memory}/a/b")
    assert failed["message"] in errors
    assert (report["objects"], report["failures"]) == (1, 1)


def test_links_are_followed(here: Here, tree: Path, tmp_path: Path) -> None:
    (tree / "link").symlink_to("a.txt")
    (tree / "deep" / "round").symlink_to("..")
    (tree / "broken").symlink_to("nowhere")
    assert here("cp", "-r", tree, tmp_path / "to") == (0, "", "")
    copied = contents(tmp_path / "to")
    assert copied["link"] == b"a"
    assert sorted(copied) == ["a.txt", "b.bin", "deep/c.txt", "deep/er/d.txt", "link"]
    assert not (tmp_path / "to" / "link").is_symlink()
