"""How nginx is found, told what to load, and run in the foreground as whoever asks."""

from __future__ import annotations

import os
import resource
from collections.abc import Sequence
from pathlib import Path

from headrace.testing.servers.authority import Certificate
from headrace.testing.servers.installed import missing, program

__all__ = ["command", "settings"]

_PACKAGES = "nginx libnginx-mod-http-lua libnginx-mod-stream"
_MODULE_DIRECTORIES = ("/usr/lib/nginx/modules", "/usr/lib64/nginx/modules", "/usr/share/nginx/modules")
_ENOUGH_OPEN_FILES = 65536


def command(directory: Path, config: Path) -> list[str]:
    """The command that runs nginx with ``config``.

    Raises:
        MissingDependency: nginx is not installed.
    """
    return [program("nginx", packages=_PACKAGES), "-p", str(directory), "-e", str(directory / "error.log"), "-c", str(config)]


def settings(certificate: Certificate, *, modules: Sequence[str]) -> dict[str, str]:
    """What the configuration templates have in common: the modules to load, the user, limits, and the certificate.

    Raises:
        MissingDependency: one of the ``modules`` (``"ngx_stream_module"``, ...) is not installed.
    """
    return {
        "load_modules": "\n".join(f"load_module {_module(name)};" for name in modules),
        # Started by root, the workers would become another user, who may not enter the directory; nobody else may say this.
        "user": "user root;" if os.geteuid() == 0 else "",
        "open_files": str(_open_files()),
        "certificate": certificate.certificate,
        "key": certificate.key,
    }


def _open_files() -> int:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _ENOUGH_OPEN_FILES if most == resource.RLIM_INFINITY else min(most, _ENOUGH_OPEN_FILES)


def _module(name: str) -> str:
    for directory in _MODULE_DIRECTORIES:
        path = Path(directory, f"{name}.so")
        if path.exists():
            return str(path)
    raise missing(f"the nginx module {name!r}", _PACKAGES)
