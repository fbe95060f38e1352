"""Azurite: Microsoft's emulator of Azure Storage, which verifies signatures, conditions and checksums."""

from __future__ import annotations

import os
from pathlib import Path
from typing import ClassVar

from headrace.errors import MissingDependency
from headrace.testing.servers.authority import Authority
from headrace.testing.servers.installed import program
from headrace.testing.servers.loopback import LOOPBACK, accepts, free_ports
from headrace.testing.servers.process_group import ProcessGroup
from headrace.testing.servers.server import Server

__all__ = ["Azurite"]

VERSION = "3.37.0"

# Every emulator has this account, and the documentation of Azurite prints its key.
_ACCOUNT = "devstoreaccount1"
_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="


class Azurite(Server):
    """Azurite's blob service, from npm, run by node; blobs are kept in its memory.

    It checks shared keys and shared access signatures strictly. ``access_key`` is the account's name, and is part of ``endpoint``.

    Args:
        account: the account's name.
        key: its key, in base64.
        tokens: take bearer tokens too, whose signature is not looked at; ``endpoint`` is then an https one.
        authority: who signs the certificate of ``tls_endpoint``; by default an authority of its own.
    """

    name: ClassVar[str] = "azurite"

    def __init__(self, *, account: str = _ACCOUNT, key: str = _KEY, tokens: bool = False, authority: Authority | None = None) -> None:
        super().__init__(access_key=account, secret_key=key, authority=authority)
        self._tokens = tokens

    @property
    def endpoint(self) -> str:
        """``http://127.0.0.1:PORT/ACCOUNT``, or ``https://localhost:PORT/ACCOUNT`` with ``tokens``."""
        self._running()
        return f"https://localhost:{self._port}/{self.access_key}" if self._tokens else f"{super().endpoint}/{self.access_key}"

    @property
    def tls_endpoint(self) -> str:
        """``https://localhost:PORT/ACCOUNT``."""
        return self.endpoint if self._tokens else f"{super().tls_endpoint}/{self.access_key}"

    def _launch(self, processes: ProcessGroup) -> None:
        (self._port,) = free_ports(1)
        command = [program("node", packages="nodejs npm"), _main_script(), "--blobHost", LOOPBACK, "--blobPort", str(self._port)]
        command += ["--inMemoryPersistence", "--silent", "--disableTelemetry"]
        if self._tokens:
            certificate = self.authority.issue()
            command += ["--oauth", "basic", "--cert", str(certificate.certificate), "--key", str(certificate.key)]
        environment = {"AZURITE_ACCOUNTS": f"{self.access_key}:{self.secret_key}", "HOME": str(processes.directory)}
        processes.spawn("azurite", command, environment=environment)
        processes.wait_until(lambda: accepts(self._port))


def _main_script() -> str:
    """Where ``scripts/install-servers`` puts it: the cache of the user, or ``$XDG_CACHE_HOME``."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    script = cache / "headrace" / f"azurite-{VERSION}" / "node_modules" / "azurite" / "dist" / "src" / "blob" / "main.js"
    if not script.exists():
        raise MissingDependency(f"azurite {VERSION} is not installed", hint="Run scripts/install-servers.")
    return str(script)
