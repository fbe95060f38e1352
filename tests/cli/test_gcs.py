"""The program on ``gs://``: an emulator is found by its variable, and every command knows the scheme."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from headrace.testing.servers import Server

Here = Callable[..., tuple[int, str, str]]


def test_a_bucket_from_its_creation_to_its_end(
    here: Here, fake_gcs: Server, bucket: str, tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", fake_gcs.endpoint.removeprefix("http://"))
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "project")
    uri = f"gs://{bucket}"
    assert here("mb", uri)[0] == 0
    assert f"{uri}/" in here("buckets", "gs://")[1]
    assert here("cp", "-r", tree, f"gcs://{bucket}/copy")[0] == 0
    status, output, _ = here("ls", "-r", f"{uri}/")
    assert status == 0
    assert [line.rpartition("\t")[2].removeprefix(f"{uri}/") for line in output.splitlines()] == [
        "copy/a.txt",
        "copy/b.bin",
        "copy/deep/c.txt",
        "copy/deep/er/d.txt",
    ]
    assert here("cat", f"{uri}/copy/b.bin") == (0, "bb", "")
    assert here("cp", "-r", f"{uri}/copy", tmp_path / "back")[0] == 0
    assert (tmp_path / "back" / "deep" / "er" / "d.txt").read_bytes() == b"dddd"
    assert here("stat", f"{uri}/nothing")[0] == 3
    assert here("rm", "-r", f"{uri}/copy")[0] == 0
    assert here("rb", uri)[0] == 0
    assert here("ls", f"{uri}/")[0] == 3
