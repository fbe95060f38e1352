"""Programs that a test runs in a process of their own."""

from __future__ import annotations

import subprocess
import sys
import textwrap

from tests.processes.throttle import WATCHDOG

__all__ = ["run_script"]


def run_script(script: str, *arguments: str, flags: tuple[str, ...] = ("-X", "dev", "-W", "error")) -> subprocess.CompletedProcess[str]:
    """Run Python code with warnings as errors; gives its status and what it printed."""
    return subprocess.run(
        [sys.executable, *flags, "-c", textwrap.dedent(script), *arguments], capture_output=True, text=True, timeout=WATCHDOG, check=False
    )
