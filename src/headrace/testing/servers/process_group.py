"""Processes that share a temporary directory and end together, at the latest when this process ends."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from headrace.errors import ServiceError
from headrace.testing.servers import lifeline

__all__ = ["ProcessGroup"]

_POLL = 0.01  # seconds
START_SECONDS = 60.0
_LOG_LINES = 15
# What a server needs of the surroundings. All else (AWS_*, CEPH_ARGS, S3_PERSIST, ...) could change how it behaves.
_PASSED_ON = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")


class ProcessGroup:
    """A temporary directory and the processes that work in it.

    ``close`` kills the processes, their children included, and removes the directory. If this process dies first, by whatever
    signal, the same happens (see `headrace.testing.servers.lifeline`). In a forked child ``close`` does nothing to them.

    Args:
        name: names the directory and the errors.
        place: where to make the directory.

    Attributes:
        directory: the working directory of all processes; logs are ``*.log`` in it.
    """

    def __init__(self, name: str, *, place: Path) -> None:
        self.name = name
        self.directory = Path(tempfile.mkdtemp(prefix=f".headrace-{name}-", dir=place))
        self._processes: list[subprocess.Popen[bytes]] = []
        # -I and -S: nothing but the standard library is needed, and it starts in a third of the time.
        self._lifeline = subprocess.Popen(
            [sys.executable, "-I", "-S", lifeline.__file__, str(self.directory)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            process_group=0,
        )
        assert self._lifeline.stdout is not None
        with self._lifeline.stdout as answer:
            self._id = int(answer.readline())

    def spawn(self, label: str, command: Sequence[str], *, environment: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
        """Start a program in the background, in this group; what it prints goes to ``<label>.log``."""
        surroundings = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
        with open(self.directory / f"{label}.log", "ab") as log:
            process = subprocess.Popen(
                command,
                cwd=self.directory,
                env={**surroundings, "TMPDIR": str(self.directory), **(environment or {})},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                process_group=self._id,
            )
        self._processes.append(process)
        return process

    def run(self, label: str, command: Sequence[str]) -> str:
        """Run a program to its end and return what it (and others of this label) printed.

        Raises:
            ServiceError: it failed, or did not end within a minute.
        """
        process = self.spawn(label, command)
        try:
            status = process.wait(START_SECONDS)
        except subprocess.TimeoutExpired:
            raise self._failed(f"{label} did not end") from None
        self._processes.remove(process)
        if status != 0:
            raise self._failed(f"{label} ended with status {status}")
        return (self.directory / f"{label}.log").read_text(errors="replace")

    def wait_until(self, is_ready: Callable[[], bool]) -> None:
        """Wait until ``is_ready()``.

        Raises:
            ServiceError: a process of the group ended, or it took more than a minute.
        """
        deadline = time.monotonic() + START_SECONDS
        while not is_ready():
            self._check_alive()
            if time.monotonic() > deadline:
                raise self._failed("it was not ready within a minute")
            time.sleep(_POLL)
        # Whoever took the port of a process that has ended may have answered in its place.
        self._check_alive()

    def lost_a_port(self) -> bool:
        """Whether a program complained that its port was taken."""
        return "already in use" in self._logs().lower()

    def close(self) -> None:
        """Kill the processes and remove the directory."""
        assert self._lifeline.stdin is not None
        self._lifeline.stdin.close()
        self._lifeline.wait()
        for process in self._processes:
            process.wait()
        self._processes.clear()

    def _check_alive(self) -> None:
        for process in self._processes:
            if process.poll() is not None:
                raise self._failed(f"{os.path.basename(str(process.args[0]))} ended with status {process.returncode}")  # type: ignore[index]

    def _failed(self, reason: str) -> ServiceError:
        tail = "\n".join(self._logs().splitlines()[-_LOG_LINES:])
        return ServiceError(f"{self.name} did not start: {reason}\n{tail}")

    def _logs(self) -> str:
        return "".join(path.read_text(errors="replace") for path in sorted(self.directory.rglob("*.log")))
