"""Where the programs that the servers need are, or how to install them."""

from __future__ import annotations

import os
import shutil

from headrace.errors import MissingDependency

__all__ = ["missing", "program"]

# Debian has servers in directories that only root's PATH names.
SYSTEM_DIRECTORIES = ("/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/local/bin", "/usr/bin", "/opt/homebrew/bin")


def program(name: str, *, packages: str) -> str:
    """The path of a program.

    Args:
        name: the program.
        packages: the Debian packages to install if it is missing.

    Raises:
        MissingDependency: it is nowhere; the hint gives the install line.
    """
    path = os.pathsep.join([os.environ.get("PATH", ""), *SYSTEM_DIRECTORIES])
    found = shutil.which(name, path=path)
    if found is None:
        raise missing(f"the program {name!r}", packages)
    return found


def missing(what: str, packages: str) -> MissingDependency:
    """The error for ``what`` not being there, with the line that installs the Debian ``packages``."""
    line = f"apt-get install -y --no-install-recommends {packages}"
    return MissingDependency(f"{what} is not installed", hint=f"On Debian and Ubuntu, as root: {line}")
