"""One process of a benchmark: ``python -m benchmarks.sample TASK`` does what the JSON of a `Task` says and prints what it took as JSON.

Imports, the client, its first request and the bodies to send come before the clock starts.
"""

from __future__ import annotations

import gc
import json
import os
import resource
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

from benchmarks.dataset import BUCKET, checksum, payloads
from benchmarks.libraries import Body, Library, Target, connect
from benchmarks.workloads import Objects

__all__ = ["Measurement", "Task"]


@dataclass(frozen=True, kw_only=True)
class Task:
    """What a process does: ``verb`` of ``library`` over ``objects``, whose URIs begin with ``prefix``.

    Attributes:
        check: print a checksum of the bodies instead of measuring.
    """

    library: str
    verb: str
    prefix: str
    objects: Objects
    endpoint: str
    sign_payload: bool
    check: bool = False

    @classmethod
    def from_json(cls, text: str) -> Task:
        value: dict[str, Any] = json.loads(text)
        return cls(**{**value, "objects": Objects(**value["objects"])})

    def to_json(self) -> str:
        return json.dumps(asdict(self))


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """What some work took.

    Attributes:
        seconds: wall time.
        cpu_seconds: user and system time of all threads of the process.
        bytes: body bytes that were moved, counted body by body.
        memory: peak resident bytes beyond what was resident before.
    """

    seconds: float
    cpu_seconds: float
    bytes: int
    memory: int


def measure(work: Callable[[], int]) -> Measurement:
    """Run `work`, which returns the bytes it moved, once."""
    gc.collect()
    resident = _start_peak()
    cpu, start = _cpu_seconds(), time.perf_counter()
    moved = work()
    seconds, cpu = time.perf_counter() - start, _cpu_seconds() - cpu
    return Measurement(seconds=seconds, cpu_seconds=cpu, bytes=moved, memory=_process_bytes("VmHWM") - resident)


def _cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def _start_peak() -> int:
    """Forget the peak so far, which imports may have set; return the bytes that are resident now."""
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")
    return _process_bytes("VmRSS")


def _process_bytes(name: str) -> int:
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith(f"{name}:"))


def _uris(task: Task) -> list[str]:
    return [f"{task.prefix}{index % task.objects.distinct:05}" for index in range(task.objects.count)]


def _read(library: Library, task: Task, uris: list[str]) -> Iterator[Body]:
    if task.verb == "get":
        return map(library.get, uris)
    return iter(library.get_many(uris, size=task.objects.size))


def _views(bodies: Iterable[Body]) -> Iterator[memoryview]:
    # Python 3.11 has no type for what has the buffer interface.
    return map(memoryview, bodies)  # type: ignore[arg-type]


def _write(library: Library, task: Task, items: list[tuple[str, bytes]]) -> int:
    if task.verb == "put":
        for uri, data in items:
            library.put(uri, data)
    else:
        library.put_many(items, size=task.objects.size)
    return sum(len(data) for _, data in items)


def _run_reader(library: Library, task: Task) -> dict[str, Any]:
    uris = _uris(task)
    checksum(_views(library.get_many([f"{task.prefix}warm"], size=4)))
    if task.check:
        return {"checksum": checksum(_views(_read(library, task, uris)))}
    return asdict(measure(lambda: sum(map(len, _read(library, task, uris)))))


def _run_writer(library: Library, task: Task) -> dict[str, Any]:
    bodies = payloads(task.objects)
    items = [(uri, bodies[index % len(bodies)]) for index, uri in enumerate(_uris(task))]
    library.put_many([(f"{task.prefix}warm", b"warm")], size=4)
    if task.check:
        _write(library, task, items)
        return {"checksum": checksum(data for _, data in items)}
    return asdict(measure(lambda: _write(library, task, items)))


def _main() -> None:
    task = Task.from_json(sys.argv[1])
    scheme = task.prefix.partition(":")[0]
    library = connect(task.library, Target(scheme=scheme, endpoint=task.endpoint, bucket=BUCKET, sign_payload=task.sign_payload))
    run = _run_writer if task.verb in ("put", "put_many") else _run_reader
    print(json.dumps(run(library, task)), flush=True)
    # Some native libraries abort when the interpreter ends under their threads. How a process ends is not measured.
    os._exit(0)


if __name__ == "__main__":
    _main()
