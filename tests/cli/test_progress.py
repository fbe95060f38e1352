"""What people see on a terminal, and only there: progress, sums, emphasis."""

from __future__ import annotations

import os
import pty
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from headrace.cli import progress as module
from headrace.cli.progress import Done, Progress, describe

Here = Callable[..., tuple[int, str, str]]

ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Shown(NamedTuple):
    """What a program wrote: to the terminal, and to standard output if that was none."""

    terminal: str
    output: str

    @property
    def text(self) -> str:
        return ESCAPE.sub("", self.terminal)


@pytest.fixture
def on_terminal(program: list[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Shown]:
    """Runs the program with standard error, and if asked standard output, on a terminal."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("COLUMNS", "100")

    def run(*words: str | Path, both: bool = False) -> Shown:
        ours, theirs = pty.openpty()
        with subprocess.Popen([*program, *map(str, words)], stderr=theirs, stdout=theirs if both else subprocess.PIPE) as process:
            os.close(theirs)
            shown = b""
            try:
                while more := os.read(ours, 65536):
                    shown += more
            except OSError:  # the other end is closed
                pass
            finally:
                os.close(ours)
            output = process.stdout.read() if process.stdout else b""
        assert process.returncode == 0
        return Shown(shown.decode().replace("\r\n", "\n"), output.decode())

    return run


def test_a_transfer_draws_and_sums_up(on_terminal: Callable[..., Shown], tree: Path, tmp_path: Path) -> None:
    shown = on_terminal("cp", "-r", tree, tmp_path / "to")
    assert "\x1b[?25l" in shown.terminal  # the cursor is hidden while a line is drawn again and again,
    assert shown.terminal.rindex("\x1b[?25h") > shown.terminal.rindex("\x1b[?25l")  # and comes back
    assert re.fullmatch(r"4 objects, 10 B in [0-9.]+ s \([0-9.]+ \S*B/s\)", shown.text.splitlines()[-1])
    assert shown.output == ""


def test_a_listing_is_in_columns_and_a_count_is_live(on_terminal: Callable[..., Shown], tree: Path) -> None:
    assert re.search(r"^ +2 B  \d{4}-\d\d-\d\d \d\d:\d\d  file://.*/b\.bin$", on_terminal("ls", tree, both=True).text, re.MULTILINE)
    counted = on_terminal("ls", "-rc", tree)
    assert "\x1b[?25l" in counted.terminal
    assert counted.output == "4 objects, 10 bytes (10 B)\n"
    assert re.search(r"[\r\n] +7 B +2 objects  file://.*/deep/$", on_terminal("du", tree, both=True).text, re.MULTILINE)


def test_nothing_is_drawn_for_those_who_object(
    on_terminal: Callable[..., Shown], tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert on_terminal("cp", "-r", "-q", tree, tmp_path / "quiet").terminal == ""
    monkeypatch.setenv("TERM", "dumb")
    assert on_terminal("cp", "-r", tree, tmp_path / "dumb").terminal == ""
    assert "\x1b" not in on_terminal("--help", both=True).terminal


def test_emphasis_goes_with_no_color(on_terminal: Callable[..., Shown], monkeypatch: pytest.MonkeyPatch) -> None:
    assert "\x1b[1mUsage:\x1b[0m" in on_terminal("--help", both=True).terminal
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in on_terminal("--help", both=True).terminal


def test_no_colours_are_drawn_with_no_color(
    on_terminal: Callable[..., Shown], tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    colours = re.compile(r"\x1b\[(?:3[0-7]|38|9[0-7])")
    assert not colours.search(on_terminal("cp", "-r", tree, tmp_path / "to").terminal)


def test_elsewhere_only_who_asks_gets_lines(here: Here, tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_SECONDS_BETWEEN_LINES", 0.0)
    assert here("cp", "-r", tree, tmp_path / "one") == (0, "", "")
    _, _, errors = here("cp", "-r", "-v", "-j", "1", tree, tmp_path / "two")
    assert errors.splitlines()[-2].startswith("headrace: 4 of 4 objects, 10 B of 10 B, ")
    assert errors.splitlines()[-1].startswith("4 objects, 10 B in ")
    assert here("cp", "-r", "-v", "-q", tree, tmp_path / "three")[2] == ""


@pytest.mark.parametrize(
    ("done", "total", "rate", "text"),
    [
        (Done(3, 1536), Done(9, 4096), Done(1, 512), "3 of 9 objects, 1.5 KiB of 4.0 KiB, 512 B/s, 0:05 left"),
        (Done(0, 0), Done(1, 10 << 30), Done(0, 1 << 20), "0 of 1 object, 0 B of 10.0 GiB, 1.0 MiB/s, 2:50:40 left"),
        (Done(0, 0), Done(2000, 5), Done(0, 0), "0 of 2,000 objects, 0 B of 5 B, 0 B/s"),
        (Done(1, 9), Done(1, 5), Done(0, 3), "1 of 1 object, 9 B of 5 B, 3 B/s, 0:00 left"),
        (Done(1, 0), Done(2, 5), Done(0, -3), "1 of 2 objects, 0 B of 5 B, 0 B/s"),
        (Done(12345, 1 << 30), None, Done(2000, 7), "12,345 objects, 1.0 GiB, 2,000/s"),
    ],
)
def test_the_words(done: Done, total: Done | None, rate: Done, text: str) -> None:
    assert describe(done, total, rate) == text


def test_the_rate_is_that_of_the_last_seconds(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    clock = 0.0
    monkeypatch.setattr(module.time, "monotonic", lambda: clock)
    with Progress(drawn=False, lines=True, total=Done(1000, 100_000)) as progress:
        for clock, size in ((10.0, 50_000), (20.0, 50_100), (30.0, 50_200)):  # noqa: B007 - the lambda reads it
            progress.show(0, size)
    rates = re.findall(r"(\S+ \S*B)/s", capsys.readouterr().err)
    assert rates == ["4.9 KiB", "10 B", "10 B"]
