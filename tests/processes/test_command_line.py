"""Signals in the middle of a command: its exit status tells which one, and nothing is left behind."""

from __future__ import annotations

import itertools
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.processes.conftest import MIB, Place, until
from tests.processes.throttle import WATCHDOG, Throttle

SLOW = 2 * MIB

COMMANDS = {
    "cp up": (["cp", "{folder}/large", "{base}/new"], "PUT .*partNumber"),
    "cp down": (["cp", "{base}/large", "{folder}/down"], "GET .*large"),
    "cp down direct": (["cp", "{base}/large", "direct://{folder}/down"], "GET .*large"),
    "cp -r up": (["cp", "-r", "{folder}", "{base}/new"], "PUT .*partNumber"),
    "cp -r down": (["cp", "-r", "{base}", "{folder}/down"], "GET .*large"),
    "cp from a pipe": (["cp", "-", "{base}/new"], "PUT .*partNumber"),
    "ls -r": (["ls", "-r", "{base}"], "GET .*list-type"),
    "cat": (["cat", "{base}/large"], "GET .*large"),
    "rm -r": (["rm", "-r", "{base}/doomed"], "GET .*list-type"),
    "mv up": (["mv", "{folder}/large", "{base}/new"], "PUT .*partNumber"),
    "mv down": (["mv", "{base}/large", "{folder}/down"], "GET .*large"),
    "upload": (["upload", "{folder}", "{base}/new/"], "PUT .*partNumber"),
    "download": (["download", "{base}/large", "{folder}/down/"], "GET .*large"),
    "head": (["head", "-c", "6MiB", "{base}/large"], "GET .*large"),
    "du": (["du", "{base}"], "GET .*list-type"),
}

SILENT = {
    "stat": (["stat", "{base}/large"], "HEAD .*large"),
    "ls": (["ls", "{base}/"], "GET .*list-type"),
    "rm": (["rm", "{base}/doomed/1"], "DELETE"),
    "mb": (["mb", "s3://never-made"], "PUT .*never-made"),
    "rb": (["rb", "s3://never-made"], "(DELETE|GET) .*never-made"),
    "buckets": (["buckets"], "GET /"),
}
"""What is done in one exchange is interrupted in it: the server does not reply."""


def start(*words: str, environment: dict[str, str], ignoring: str = "") -> subprocess.Popen[bytes]:
    """The program, in a process that ignores some signals from the beginning."""
    shell = ["bash", "-c", f"trap '' {ignoring}; exec \"$@\"", "bash"] if ignoring else []
    return subprocess.Popen(
        [*shell, sys.executable, "-m", "headrace", *words],
        env={"HEADRACE_MULTIPART_THRESHOLD": "5MiB", "HEADRACE_PART_SIZE": "5MiB", **environment},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def words_of(command: str, place: Place, folder: Path) -> tuple[list[str], str]:
    words, when = COMMANDS[command]
    return [word.format(base=place.base, folder=folder) for word in words], when


IN_THE_MIDDLE = [
    *itertools.product(COMMANDS, [signal.SIGINT]),
    *itertools.product(["cp up", "cp -r up", "cp from a pipe", "cat"], [signal.SIGTERM]),
    ("cp -r up", signal.SIGHUP),
]


@pytest.mark.parametrize(("command", "number"), IN_THE_MIDDLE)
def test_a_signal_in_the_middle(place: Place, tmp_path: Path, command: str, number: signal.Signals) -> None:
    (tmp_path / "large").write_bytes(bytes(64 * MIB))
    words, when = words_of(command, place, tmp_path)
    with (
        Throttle(place.server.endpoint, rate=SLOW, delay=0.05) as throttle,
        start(*words, environment=place.environment(throttle)) as process,
    ):
        try:
            if "-" in words:
                assert process.stdin is not None
                process.stdin.write(bytes(12 * MIB))
                process.stdin.flush()
            throttle.wait_for(when)
            time.sleep(0.03)
            begun = time.monotonic()
            process.send_signal(number)
            # Not `communicate`: it would end the standard input.
            assert process.wait(WATCHDOG) == 128 + number
            print(f"{command} {number.name}: {time.monotonic() - begun:.2f} s")
        finally:
            process.kill()
        assert process.stderr is not None
        assert process.stderr.read() == b"headrace: interrupted\n"
    until(lambda: place.unfinished() == [])
    assert place.written() == []
    # What was to be moved is still where it was.
    assert (tmp_path / "large").stat().st_size == 64 * MIB
    assert place.client.stat(f"{place.base}/large").size == 8 * MIB
    # Of many copies, those that are made are whole.
    left = [path for path in tmp_path.rglob("*") if path.is_file() and path.parent != tmp_path]
    assert {path.read_bytes() for path in left} <= {b"x"}
    assert [path.name for path in tmp_path.rglob(".headrace-*")] == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("command", SILENT)
def test_a_signal_while_a_reply_is_waited_for(place: Place, command: str, number: signal.Signals) -> None:
    words, when = SILENT[command]
    with (
        Throttle(place.server.endpoint, silent_at=when) as throttle,
        start(*(word.format(base=place.base) for word in words), environment=place.environment(throttle)) as process,
    ):
        try:
            throttle.wait_for(when)
            process.send_signal(number)
            assert process.wait(WATCHDOG) == 128 + number
        finally:
            process.kill()
        assert process.stderr is not None
        assert process.stderr.read() == b"headrace: interrupted\n"


WAITING = """
import threading
from headrace.cli import signals
signals.listen()
lock = threading.Lock(); lock.acquire()
while True:
    try:
        print("waiting", flush=True)
        lock.acquire()
    except KeyboardInterrupt:
        pass
"""


@pytest.mark.parametrize("numbers", [(signal.SIGINT, signal.SIGINT), (signal.SIGTERM, signal.SIGTERM), (signal.SIGTERM, signal.SIGINT)])
def test_a_second_signal_ends_the_program_at_once(numbers: tuple[signal.Signals, ...]) -> None:
    """Though it catches what the first one raised, and waits on."""
    with subprocess.Popen([sys.executable, "-c", WAITING], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == "waiting\n"
        process.send_signal(numbers[0])
        assert process.stdout.readline() == "waiting\n"
        # Twice within a moment is how `timeout` sends one.
        process.send_signal(numbers[0])
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.5)
        process.send_signal(numbers[1])
        assert process.wait(WATCHDOG) == 128 + numbers[1]
        assert process.stderr.read() == ""


def test_what_is_ignored_from_the_beginning_stays_ignored(place: Place, tmp_path: Path) -> None:
    """As by nohup: what it runs goes on when the terminal is closed."""
    with Throttle(place.server.endpoint, rate=8 * MIB) as throttle:
        words, when = words_of("cat", place, tmp_path)
        with start(*words, environment=place.environment(throttle), ignoring="HUP INT") as process:
            throttle.wait_for(when)
            process.send_signal(signal.SIGHUP)
            process.send_signal(signal.SIGINT)
            output, errors = process.communicate(timeout=WATCHDOG)
        assert (process.returncode, len(output), errors) == (0, 8 * MIB, b"")


@pytest.mark.parametrize("pause", [0.05, 0.1, 0.2, 0.3])
def test_a_signal_while_the_program_is_loaded(pause: float) -> None:
    """At whatever moment of its start: at most one line, and no traceback of an import."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        environment = {**os.environ, "HEADRACE_ENDPOINT_URL": f"http://127.0.0.1:{silent.getsockname()[1]}", "HEADRACE_ANONYMOUS": "1"}
        script = "from headrace.cli import main, signals\nprint('begun', flush=True)\nmain()"
        words = [sys.executable, "-c", script, "cat", "s3://bucket/key"]
        with subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "begun\n"
            time.sleep(pause)
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=WATCHDOG)
    assert process.returncode == 130
    assert errors in ("", "headrace: interrupted\n")
