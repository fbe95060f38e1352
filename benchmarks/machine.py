"""Where a run is made, and on which versions. Nothing here names a host or a person."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import headrace

__all__ = ["describe", "versions"]


def describe() -> dict[str, Any]:
    """Processor, cores this process may use, memory in bytes, kernel, and a short name for a file."""
    processor, cores = _processor(), len(os.sched_getaffinity(0))
    return {
        "name": f"{_slug(processor)}-{cores}-cores",
        "processor": processor,
        "cores": cores,
        "memory": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "kernel": f"{platform.system()} {platform.release().partition('-')[0]} {platform.machine()}",
        "huge_pages": _chosen("/sys/kernel/mm/transparent_hugepage/enabled"),
    }


def versions(libraries: Iterable[str]) -> dict[str, str]:
    """Versions of Python, of what `libraries` are made of, and of the programs that take part."""
    found = {"python": platform.python_version(), "numpy": version("numpy"), "headrace": headrace.__version__}
    for library in libraries:
        try:
            found[library] = version(library)
        except PackageNotFoundError:
            continue
    return found | {"nginx": _program_version("nginx"), "wrk": _program_version("wrk")}


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _slug(text: str) -> str:
    plain = re.sub(r"\((R|TM)\)|CPU|@.*", "", text)
    return "-".join(re.findall(r"[a-z0-9]+", plain.lower()))


def _chosen(path: str) -> str:
    """The word in brackets, as in ``always [madvise] never``."""
    try:
        return Path(path).read_text().partition("[")[2].partition("]")[0]
    except OSError:
        return "unknown"


def _program_version(name: str) -> str:
    # Debian has nginx in a directory that only root's PATH names.
    program = shutil.which(name) or shutil.which(name, path="/usr/sbin")
    if program is None:
        return "not installed"
    done = subprocess.run([program, "-v"], capture_output=True, text=True, check=False)
    found = re.search(r"\d+(\.\d+)+", done.stdout + done.stderr)
    return found.group() if found else "unknown"
