"""``headrace head``, and the ranges of ``headrace cat``."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

Program = Callable[..., "subprocess.CompletedProcess[bytes]"]


@pytest.fixture
def digits(tmp_path: Path) -> Path:
    (tmp_path / "digits").write_bytes(b"0123456789")
    (tmp_path / "empty").touch()
    return tmp_path / "digits"


def test_the_first_bytes_of_each(headrace: Program, digits: Path) -> None:
    assert headrace("head", "-c", "3", digits, digits.with_name("empty"), digits).stdout == b"012012"
    assert headrace("head", "-c", "-8", digits, digits).stdout == b"0101"
    assert headrace("head", digits).stdout == b"0123456789"
    large = digits.with_name("large")
    large.write_bytes(bytes(3000))
    assert len(headrace("head", large).stdout) == 1024
    assert len(headrace("head", "--bytes", "2KiB", large).stdout) == 2048
    # More than is read at once.
    with large.open("r+b") as file:
        file.truncate(40 << 20)
    assert len(headrace("head", "-c", "33MiB", large).stdout) == 33 << 20


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--start", "7"], b"789"),
        (["--start", "-2"], b"89"),
        (["--start", "-99"], b"0123456789"),
        (["--start", "2", "--length", "3"], b"234"),
        (["--start", "8", "--length", "33MiB"], b"89"),
        (["--start", "-4", "--length", "2"], b"67"),
        (["--start", "10"], b""),
        (["--length", "0"], b""),
    ],
)
def test_a_range(headrace: Program, digits: Path, words: list[str], expected: bytes) -> None:
    finished = headrace("cat", *words, digits)
    assert (finished.returncode, finished.stdout, finished.stderr) == (0, expected, b"")


@pytest.mark.parametrize(
    "words",
    [
        ["cat", "--start", "11"],
        ["cat", "--start", "11", "--length", "1"],
        ["cat", "--length", "-1"],
        ["cat", "--start", "x"],
        ["head", "-c", "1.5"],
        ["head", "-c", ""],
        ["head", "-c", "--5"],
    ],
)
def test_no_such_range(headrace: Program, digits: Path, words: list[str]) -> None:
    finished = headrace(*words, digits)
    assert (finished.returncode, finished.stdout, finished.stderr.count(b"\n")) == (2, b"", 1)
