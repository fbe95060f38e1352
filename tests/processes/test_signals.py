"""Ctrl-C and SIGTERM in the middle of each verb: the program ends, and leaves nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import pytest

from tests.processes.conftest import MIB, Place, until
from tests.processes.interrupted import AIO, BLOCKING
from tests.processes.throttle import WATCHDOG, Throttle

PROGRAM = str(Path(__file__).parent / "interrupted.py")

SLOW = 2 * MIB
"""Bytes a second: what is large takes many seconds."""

MIDDLE = {
    "get": "GET .*large",
    "get_many": "GET .*small",
    "get_many_large": "GET .*large",
    "put": "PUT .*partNumber",
    "put_many": "PUT .*partNumber",
    "open_wb": "PUT .*partNumber",
    "open_wb_left": "PUT .*partNumber",
    "open_rb": "GET .*large",
    "list": "GET .*list-type",
    "stat_many": "HEAD .*small",
    "delete": "GET .*list-type",
    "copy_up": "PUT .*partNumber",
    "copy_down": "GET .*large",
    "copy_down_direct": "GET .*large",
}
"""The request that shows that a verb is in the middle of its work."""

SIGNALS = {"INT": signal.SIGINT, "TERM": signal.SIGTERM}


class Interrupted:
    """A program, interrupted when a request of its verb has come to the throttle.

    Attributes:
        status: the exit status.
        output: what it printed, on both streams.
        seconds: how long it took to end. For people: no test looks at it.
    """

    def __init__(self, place: Place, throttle: Throttle, folder: Path, colour: str, verb: str, name: str, when: str) -> None:
        (folder / "large").write_bytes(bytes(64 * MIB))
        words = [sys.executable, "-W", "error", PROGRAM, colour, verb, place.base, str(folder)]
        environment = {**place.environment(throttle), "PYTHONPATH": os.pathsep.join(sys.path)}
        with subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
            try:
                throttle.wait_for(when)
                time.sleep(0.03)
                begun = time.monotonic()
                process.send_signal(SIGNALS[name])
                self.output, _ = process.communicate(timeout=WATCHDOG)
                self.seconds = time.monotonic() - begun
            finally:
                process.kill()
        self.status = process.returncode
        print(f"{colour} {verb} {name} {when}: {self.seconds:.2f} s")

    @classmethod
    def expect_clean(cls, place: Place, throttle: Throttle, folder: Path, colour: str, verb: str, name: str, when: str) -> None:
        """The program ends with the status of the signal, silently, and nothing is left on the server or in the folder."""
        ended = cls(place, throttle, folder, colour, verb, name, when)
        assert (ended.status, ended.output) == (128 + SIGNALS[name], "")
        # What the server got last it may not have done yet.
        until(lambda: place.unfinished() == [])
        assert place.written() == []
        assert [path.name for path in folder.iterdir()] == ["large"]


@pytest.mark.parametrize("verb", sorted(BLOCKING))
def test_ctrl_c_in_a_blocking_verb(place: Place, tmp_path: Path, verb: str) -> None:
    with Throttle(place.server.endpoint, rate=SLOW, delay=0.05) as throttle:
        Interrupted.expect_clean(place, throttle, tmp_path, "blocking", verb, "INT", MIDDLE[verb])


@pytest.mark.parametrize("verb", sorted(AIO))
def test_ctrl_c_in_a_coroutine(place: Place, tmp_path: Path, verb: str) -> None:
    with Throttle(place.server.endpoint, rate=SLOW, delay=0.05) as throttle:
        Interrupted.expect_clean(place, throttle, tmp_path, "plain", verb, "INT", MIDDLE[verb])


@pytest.mark.parametrize("verb", ["put", "open_wb"])
@pytest.mark.parametrize("colour", ["blocking", "aio"])
def test_sigterm(place: Place, tmp_path: Path, colour: str, verb: str) -> None:
    with Throttle(place.server.endpoint, rate=SLOW, delay=0.05) as throttle:
        Interrupted.expect_clean(place, throttle, tmp_path, colour, verb, "TERM", MIDDLE[verb])


@pytest.mark.parametrize("verb", ["put", "put_many", "open_wb"])
@pytest.mark.parametrize("colour", ["blocking", "plain"])
def test_ctrl_c_while_an_upload_begins(place: Place, tmp_path: Path, colour: str, verb: str) -> None:
    """The server has begun it, but its reply, which names it, is still on its way."""
    with Throttle(place.server.endpoint, delay=0.2) as throttle:
        Interrupted.expect_clean(place, throttle, tmp_path, colour, verb, "INT", "POST .*uploads")


@pytest.mark.parametrize("verb", ["put", "open_wb", "open_rb"])
@pytest.mark.parametrize("colour", ["blocking", "plain"])
def test_ctrl_c_with_a_server_that_has_fallen_silent(place: Place, tmp_path: Path, colour: str, verb: str) -> None:
    """Nothing can be removed then; the program ends all the same."""
    with Throttle(place.server.endpoint, silent_at=f"DELETE|{MIDDLE[verb]}") as throttle:
        ended = Interrupted(place, throttle, tmp_path, colour, verb, "INT", MIDDLE[verb])
    assert ended.status == 130
    assert "Traceback" not in ended.output


@pytest.mark.parametrize("work", ["get", "get_many", "files", "stalled"])
def test_ctrl_c(options: dict[str, Any], uris: list[str], work: str, tmp_path: Any) -> None:
    """Raises KeyboardInterrupt where the program is, and nothing keeps it from ending."""
    (tmp_path / "file").write_bytes(b"data")
    script = """
    import itertools, socket, sys, headrace
    work, endpoint, file, *uris = sys.argv[1:]
    client = headrace.Client(endpoint_url=endpoint)
    if work == "stalled":
        silent = socket.create_server(("127.0.0.1", 0))
        client = headrace.Client(endpoint_url=f"http://127.0.0.1:{silent.getsockname()[1]}")
    print("begun", flush=True)
    try:
        if work == "get":
            while True:
                client.get(uris[-1])
        for item in client.get_many(itertools.cycle([file] if work == "files" else uris)):
            pass
    except KeyboardInterrupt:
        print("interrupted", flush=True)
    if work == "stalled":
        silent.close()
    """
    process = subprocess.Popen(
        [sys.executable, "-X", "dev", "-c", textwrap.dedent(script), work, options["endpoint_url"], str(tmp_path / "file"), *uris],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.3)
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=WATCHDOG)
    assert (process.returncode, stdout, stderr) == (0, "interrupted\n", "")
