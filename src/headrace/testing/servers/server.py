"""What all servers have in common: a life, endpoints with and without TLS, and keys."""

from __future__ import annotations

import os
import tempfile
from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar, Self

from headrace.errors import HeadraceError, ServiceError
from headrace.testing.servers import nginx_program
from headrace.testing.servers.authority import Authority
from headrace.testing.servers.configuration import fill_in
from headrace.testing.servers.loopback import LOOPBACK, accepts, free_ports
from headrace.testing.servers.process_group import ProcessGroup

__all__ = ["Server"]

_START_ATTEMPTS = 3
_SHARED_MEMORY = Path("/dev/shm")
# A container's /dev/shm may be 64 MiB, which a test of large objects would fill.
_ENOUGH_SHARED_MEMORY = 2 << 30


class Server(ABC):
    """A real server on free loopback ports, in a temporary directory of its own.

    It runs from ``start`` to ``stop``, or inside ``with``; it starts empty, and everything that it stored goes when it stops. It
    also stops, and leaves no file behind, when this process dies. It may be started again, and will then have other ports.

    Args:
        access_key: the key that clients sign with.
        secret_key: its secret.
        authority: who signs the certificate of ``tls_endpoint``; by default an authority of its own, made when first asked for.
    """

    name: ClassVar[str]

    def __init__(self, *, access_key: str = "testkey", secret_key: str = "testsecret", authority: Authority | None = None) -> None:
        self.access_key = access_key
        self.secret_key = secret_key
        self._given_authority = authority
        self._authority: Authority | None = None
        self._processes: ProcessGroup | None = None
        self._port = 0
        self._tls_port = 0

    def start(self) -> Self:
        """Start the server and return when it answers.

        Raises:
            MissingDependency: a program that it needs is not installed; the hint gives the install line.
            ServiceError: it did not come up; the message ends with its log.
            HeadraceError: it is running already.
        """
        if self._processes is not None:
            raise HeadraceError(f"{self.name} is running already")
        for attempt in range(_START_ATTEMPTS):
            self._processes = ProcessGroup(self.name, place=self._place())
            try:
                self._launch(self._processes)
                return self
            except ServiceError:
                # Nothing reserves a free port: in the moment since it was chosen another program may have taken it.
                if attempt == _START_ATTEMPTS - 1 or not self._processes.lost_a_port():
                    self.stop()
                    raise
                self.stop()
            except BaseException:
                self.stop()
                raise
        raise AssertionError("unreachable")

    def stop(self) -> None:
        """Kill the server's processes and remove its directory. Stopping twice is no error."""
        if self._processes is not None:
            self._processes.close()
        self._processes = self._authority = None
        self._port = self._tls_port = 0

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def endpoint(self) -> str:
        """``http://127.0.0.1:PORT``."""
        self._running()
        return f"http://{LOOPBACK}:{self._port}"

    @property
    def tls_endpoint(self) -> str:
        """``https://localhost:PORT``: the same data over TLS, by nginx, which is started when this is first asked for.

        Raises:
            MissingDependency: ``openssl``, nginx or its stream module is not installed.
        """
        if not self._tls_port:
            self._tls_port = self._launch_tls(self._running())
        return f"https://localhost:{self._tls_port}"

    @property
    def authority(self) -> Authority:
        """The authority that signed the server's certificate."""
        if self._given_authority is not None:
            return self._given_authority
        if self._authority is None:
            self._authority = Authority(self._running().directory / "authority")
        return self._authority

    @property
    def ca_bundle(self) -> str:
        """The path of the PEM file that a client of ``tls_endpoint`` must trust."""
        return self.authority.ca_bundle

    @abstractmethod
    def _launch(self, processes: ProcessGroup) -> None:
        """Choose ports, set ``_port``, start the processes, and wait until they serve."""

    def _launch_tls(self, processes: ProcessGroup) -> int:
        (port,) = free_ports(1)
        settings = nginx_program.settings(self.authority.issue(), modules=["ngx_stream_module"])
        config = fill_in("tls.conf", processes.directory, port=self._port, tls_port=port, **settings)
        processes.spawn("tls", nginx_program.command(processes.directory, config))
        processes.wait_until(lambda: accepts(port))
        return port

    def _place(self) -> Path:
        """Where the server's directory is made: in memory if there is enough."""
        if os.access(_SHARED_MEMORY, os.W_OK | os.X_OK):
            space = os.statvfs(_SHARED_MEMORY)
            if space.f_bavail * space.f_frsize >= _ENOUGH_SHARED_MEMORY:
                return _SHARED_MEMORY
        return Path(tempfile.gettempdir())

    def _running(self) -> ProcessGroup:
        if self._processes is None:
            raise HeadraceError(f"{self.name} is not running", hint="Use it in a with statement, or call start() first.")
        return self._processes
