"""MiniStack: an S3 that pip alone brings, and that verifies checksums, conditions and versions."""

from __future__ import annotations

import importlib.util
import sys
from typing import ClassVar

from headrace.errors import MissingDependency
from headrace.testing.servers.loopback import LOOPBACK, answer, free_ports
from headrace.testing.servers.process_group import ProcessGroup
from headrace.testing.servers.server import Server

__all__ = ["MiniStack"]


class MiniStack(Server):
    """MiniStack, from PyPI, run by this Python; objects are kept in its memory.

    It refuses unknown access keys and anonymous requests, and verifies presigned URLs, but not the signature in a header: test
    signing on `CephRGW`. Buckets are also reached as ``BUCKET.s3.local:PORT``, for whoever resolves that name to loopback.
    """

    name: ClassVar[str] = "ministack"

    def _launch(self, processes: ProcessGroup) -> None:
        if importlib.util.find_spec("ministack") is None:
            raise MissingDependency("the package 'ministack' is not installed", hint="Install it: pip install ministack")
        (self._port,) = free_ports(1)
        processes.spawn("ministack", [sys.executable, "-m", "ministack"], environment=self._environment(processes))
        processes.wait_until(self._is_healthy)

    def _environment(self, processes: ProcessGroup) -> dict[str, str]:
        return {
            "AUTH": "true",
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "SERVICES": "s3",
            "BIND_HOST": LOOPBACK,
            "GATEWAY_PORT": str(self._port),
            "MINISTACK_HOST": "s3.local",
            "LOG_LEVEL": "ERROR",
            # It would open a second port, on all interfaces, ...
            "IOT_MTLS_ENABLED": "0",
            # ... and delete containers of other MiniStacks on this machine.
            "DOCKER_HOST": f"unix://{processes.directory}/no-docker",
            "HOME": str(processes.directory),
        }

    def _is_healthy(self) -> bool:
        reply = answer(self._port, "/_ministack/health")
        return reply is not None and reply[0] == 200
