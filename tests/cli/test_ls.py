"""``headrace ls``."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from headrace import Client
from headrace.cli.printing import as_line, counted, human_size, printable
from headrace.models import BucketInfo, ObjectInfo, Prefix
from headrace.testing.servers import Server

Program = Callable[..., "subprocess.CompletedProcess[bytes]"]
Here = Callable[..., tuple[int, str, str]]

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


def uris(output: str | bytes) -> list[str]:
    """The last column of a listing."""
    text = os.fsdecode(output) if isinstance(output, bytes) else output
    return [line.split("\t")[2] for line in text.splitlines()]


def test_a_directory_lists_what_is_in_it_with_sizes_and_times(headrace: Program, tree: Path) -> None:
    finished = headrace("ls", tree)
    assert finished.returncode == 0
    assert finished.stderr == b""
    rows = [line.split("\t") for line in finished.stdout.decode().splitlines()]
    assert [(size, uri) for size, _, uri in rows] == [
        ("1", f"file://{tree}/a.txt"),
        ("2", f"file://{tree}/b.bin"),
        ("-", f"file://{tree}/deep/"),
    ]
    assert datetime.fromisoformat(rows[0][1]).tzinfo is not None
    assert rows[2][1] == "-"


@pytest.mark.parametrize("word", [".", "./", "./.", "{}", "{}/", "file://{}"])
def test_a_directory_may_be_written_in_many_ways(here: Here, tree: Path, monkeypatch: pytest.MonkeyPatch, word: str) -> None:
    monkeypatch.chdir(tree)
    status, output, _ = here("ls", word.format(tree))
    assert status == 0
    assert uris(output) == [f"file://{tree}/a.txt", f"file://{tree}/b.bin", f"file://{tree}/deep/"]


def test_recursive_lists_everything_in_key_order(here: Here, tree: Path) -> None:
    _, output, _ = here("ls", "-r", tree)
    assert uris(output) == [f"file://{tree}/{name}" for name in ("a.txt", "b.bin", "deep/c.txt", "deep/er/d.txt")]


def test_a_pattern_selects_by_the_path_below(here: Here, tree: Path) -> None:
    _, output, _ = here("ls", "-r", "-p", r"^deep/.*\.txt$", tree)
    assert uris(output) == [f"file://{tree}/deep/c.txt", f"file://{tree}/deep/er/d.txt"]


def test_a_prefix_that_is_no_directory_is_literal(here: Here, tree: Path) -> None:
    _, output, _ = here("ls", f"{tree}/b")
    assert uris(output) == [f"file://{tree}/b.bin"]


def test_an_empty_directory_is_an_empty_listing(here: Here, tmp_path: Path) -> None:
    assert here("ls", "-r", str(tmp_path)) == (0, "", "")


def test_a_prefix_that_nothing_begins_with_is_not_found(here: Here, tmp_path: Path) -> None:
    uri = f"file://{tmp_path}/nothing/"
    for options in ([], ["-r"], ["--json"]):
        assert here("ls", *options, uri) == (3, "", f"headrace: list {uri}: nothing is there, nor begins with it\n")
    assert here("ls", "-rc", uri) == (0, "0 objects, 0 bytes (0 B)\n", "")


def test_what_a_pattern_leaves_out_was_found(here: Here, tree: Path) -> None:
    assert here("ls", "-r", "-p", "no such name", tree) == (0, "", "")


def test_json_has_the_fields_of_object_info(here: Here, tree: Path) -> None:
    _, output, _ = here("ls", "--json", tree)
    records: list[dict[str, Any]] = [json.loads(line) for line in output.splitlines()]
    assert set(records[0]) == set(ObjectInfo._fields)
    assert (records[0]["uri"], records[0]["size"]) == (f"file://{tree}/a.txt", 1)
    assert datetime.fromisoformat(records[0]["last_modified"]).tzinfo is not None
    assert records[2] == {"uri": f"file://{tree}/deep/"}


def test_count_gives_objects_and_bytes(here: Here, tree: Path) -> None:
    assert here("ls", "-rc", tree) == (0, "4 objects, 10 bytes (10 B)\n", "")
    status, output, _ = here("ls", "-rc", "--json", tree)
    assert (status, json.loads(output)) == (0, {"objects": 4, "bytes": 10})


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["{}/*.txt"], ["a.txt"]),
        (["{}/*"], ["a.txt", "b.bin", "deep/"]),
        (["{}/*/*.txt"], ["deep/c.txt"]),
        (["-r", "{}/d*"], ["deep/c.txt", "deep/er/d.txt"]),
        (["{}", "--exclude", "deep/"], ["a.txt", "b.bin"]),
        (["{}", "--include", "*.bin"], ["b.bin", "deep/"]),
        (["{}", "-p", "nothing"], ["deep/"]),
        (["-r", "{}", "--exclude", "er", "--include", "*.txt"], ["a.txt", "deep/c.txt"]),
        (["{}/deep", "{}/a"], ["deep/c.txt", "deep/er/", "a.txt"]),
        (["{}/*.none"], []),
    ],
)
def test_globs_and_what_is_left_out(here: Here, tree: Path, words: list[str], expected: list[str]) -> None:
    status, output, errors = here("ls", *(word.format(tree) for word in words))
    assert (status, errors) == (0, "")
    assert uris(output) == [f"file://{tree}/{name}" for name in expected]


def test_names_come_out_as_the_bytes_they_are(headrace: Program, tmp_path: Path) -> None:
    names = [b"plain", b"sp ace", b"caf\xc3\xa9", b"not-utf8-\xff", b"percent%41"]
    for name in names:
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name)).touch()
    lines = headrace("ls", tmp_path).stdout.splitlines()
    assert sorted(line.rpartition(b"/")[2] for line in lines) == sorted(names)
    records = [json.loads(line) for line in headrace("ls", "--json", tmp_path).stdout.splitlines()]
    assert sorted(os.fsencode(record["uri"].rpartition("/")[2]) for record in records) == sorted(names)


def test_buckets_and_objects_of_s3(headrace: Program, s3: Server, bucket: str) -> None:
    with Client() as client:
        client.create_container(f"s3://{bucket}")
        client.put(f"s3://{bucket}/dir/key with + and %41", b"12345")
        client.put(f"s3://{bucket}/top", b"")
    assert f"s3://{bucket}/" in uris(headrace("ls", "s3://").stdout)
    assert uris(headrace("ls", f"s3://{bucket}").stdout) == [f"s3://{bucket}/dir/", f"s3://{bucket}/top"]
    assert uris(headrace("ls", "-r", f"s3://{bucket}/dir").stdout) == [f"s3://{bucket}/dir/key with + and %41"]
    assert headrace("ls", "-rc", f"s3://{bucket}").stdout == b"2 objects, 5 bytes (5 B)\n"
    missing = headrace("ls", f"s3://{bucket}-not-there")
    assert missing.returncode == 3
    assert missing.stdout == b""


def test_a_line_for_people() -> None:
    info = ObjectInfo(uri="s3://b/evil\x1b[2J\n", size=1536, last_modified=NOON)
    local = f"{NOON.astimezone():%Y-%m-%d %H:%M}"
    assert as_line(info, for_terminal=True) == f"   1.5 KiB  {local}  s3://b/evil\\x1b[2J\\n"
    assert as_line(Prefix("s3://b/p/"), for_terminal=True) == " " * 30 + "s3://b/p/"


def test_a_line_for_programs() -> None:
    assert (
        as_line(ObjectInfo(uri="s3://b/k", size=1536, last_modified=NOON), for_terminal=False)
        == "1536\t2026-11-22T12:00:00+00:00\ts3://b/k"
    )
    assert as_line(BucketInfo(uri="s3://b/"), for_terminal=False) == "-\t-\ts3://b/"


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (1023 * 1024, "1.0 MiB"), (5 << 30, "5.0 GiB"), (5000 << 50, "5000.0 PiB")],
)
def test_sizes_for_people(size: int, text: str) -> None:
    assert human_size(size) == text


def test_words_for_people() -> None:
    assert [counted(1, "object"), counted(2, "object")] == ["1 object", "2 objects"]
    assert printable("naïve 文") == "naïve 文"
    assert printable("a\tb\u202e\udcff") == r"a\tb\u202e\udcff"
