"""Two measures that are no library's: `wrk`, a load generator in C, and the time that an import takes."""

from __future__ import annotations

import json
import re
import resource
import subprocess
import sys
from pathlib import Path

from benchmarks.sample import Measurement
from benchmarks.workloads import Objects

__all__ = ["import_seconds", "wrk"]

SCRIPT = Path(__file__).with_name("wrk.lua")


def wrk(url: str, objects: Objects, *, seconds: int = 2) -> tuple[Measurement, int]:
    """What `wrk` with one thread and 16 connections takes to read `objects` over and over, and how many it read.

    It parses the replies but keeps no body, so it is about the most that one core can ask of the server.

    Args:
        url: what the URLs of the objects begin with.
        objects: the objects.
        seconds: how long it runs.

    Raises:
        RuntimeError: some of its requests failed.
    """
    command = ["wrk", "-t1", "-c16", f"-d{seconds}s", "-s", str(SCRIPT), url, "--", str(objects.distinct)]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    summary = json.loads(output.splitlines()[-1])
    if summary["errors"]:
        raise RuntimeError(f"wrk: {summary['errors']} requests of {summary['requests']} failed")
    requests = int(summary["requests"])
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Measurement(seconds=summary["seconds"], cpu_seconds=cpu, bytes=requests * objects.size, memory=0), requests


def import_seconds(module: str) -> float:
    """How long ``import module``, its packages included, takes in a fresh interpreter that has imported numpy already."""
    command = [sys.executable, "-X", "importtime", "-c", f"import numpy, {module}"]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    found = re.search(rf"^import time: +\d+ \| +(\d+) \| {re.escape(module)}$", output, re.MULTILINE)
    if found is None:
        raise RuntimeError(f"the interpreter did not say how long `import {module}` took")
    return int(found.group(1)) / 1e6
