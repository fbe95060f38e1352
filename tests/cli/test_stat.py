"""``headrace stat``."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import headrace as api
from headrace.models import ObjectInfo

Here = Callable[..., tuple[int, str, str]]


def test_what_is_known_is_printed(here: Here, bucket: str) -> None:
    uri = f"memory://{bucket}/odd\nname"
    info = api.put(uri, bytes(2048), content_type="text/x", metadata={"colour": "blue", "shape": "round"})
    status, output, errors = here("stat", uri)
    assert (status, errors) == (0, "")
    name, *lines = output.splitlines()
    assert name == f"memory://{bucket}/odd\\nname"
    assert (
        dict(line.split(maxsplit=1) for line in lines).items()
        >= {
            "size": "2048 (2.0 KiB)",
            "etag": info.etag,
            "content_type": "text/x",
            "metadata": "colour=blue, shape=round",
        }.items()
    )


def test_json_has_the_fields_of_object_info(here: Here, tree: Path) -> None:
    status, output, _ = here("stat", "--json", tree / "a.txt", tree / "b.bin")
    records = [json.loads(line) for line in output.splitlines()]
    assert status == 0
    assert [(record["uri"], record["size"]) for record in records] == [(f"file://{tree}/a.txt", 1), (f"file://{tree}/b.bin", 2)]
    assert set(records[0]) == set(ObjectInfo._fields)


def test_what_is_missing_is_told_and_the_others_are_described(here: Here, tree: Path) -> None:
    status, output, errors = here("stat", tree / "a.txt", tree / "missing", tree / "b.bin")
    assert status == 1
    assert [line for line in output.splitlines() if line.startswith("file:")] == [f"file://{tree}/a.txt", f"file://{tree}/b.bin"]
    assert errors.splitlines()[1] == "headrace: 2 of 3 were done"
    assert here("stat", tree / "missing", tree / "neither")[0] == 3
    status, output, errors = here("stat", tree / "missing")
    assert (status, output, errors.count("\n")) == (3, "", 1)
    assert here("stat", "s3://bucket")[0] == 2
