"""Servers, processes, rounds.

A library's turn is a fresh process, and libraries take turns: A B C A B C ... So what a machine does over minutes (frequency,
neighbours) falls on all of them alike, and a ratio is taken between neighbours in time.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks import machine, reference
from benchmarks.dataset import ACCOUNT, BUCKET, Dataset
from benchmarks.libraries import LIBRARIES
from benchmarks.link import Hosts, Link
from benchmarks.records import Run, Sample
from benchmarks.sample import Measurement, Task
from benchmarks.workloads import Workload
from headrace.testing.servers import Nginx

__all__ = ["run"]

ROOT = Path(__file__).parent.parent
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "benchmark",
    "AWS_SECRET_ACCESS_KEY": "benchmark",
    "AWS_REGION": "us-east-1",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AZURE_STORAGE_ACCOUNT": ACCOUNT,
    "AZURE_STORAGE_KEY": b64encode(b"benchmark" * 7).decode(),
}
FOREIGN = ("AWS_", "AZURE_", "GOOGLE_", "HEADRACE_", "S3DLIO_", "STORAGE_EMULATOR_")
TIMEOUT = 600.0  # seconds
CHECKED = 256  # operations of a workload whose bytes are checked


def run(workloads: Sequence[Workload], *, libraries: Sequence[str], rounds: int, folder: Path, progress: Callable[[str], None]) -> Run:
    """Check that each library moves the right bytes, then measure.

    Args:
        workloads: what to measure.
        libraries: who may take part; none means all. A workload's baseline takes part in any case.
        rounds: how many rounds count; one more goes before them.
        folder: where the objects are put, some 2.5 GB; should be memory (tmpfs).
        progress: called with a line for every sample.

    Raises:
        RuntimeError: something is not installed, a process failed, or a library moved wrong bytes.
    """
    chosen = [_with_libraries(workload, libraries) for workload in workloads]
    taking_part = dict.fromkeys(library for workload in chosen for library in workload.libraries)
    _require(taking_part)
    record = Run(
        started=datetime.now(UTC).isoformat(timespec="seconds"),
        machine=machine.describe(),
        versions=machine.versions(taking_part),
        settings={
            "rounds": rounds,
            "server": "nginx, 2 workers, loopback, files in memory",
            "sink": "nginx, 2 workers, loopback, bodies discarded",
        },
        workloads=chosen,
        samples=[],
    )
    with tempfile.TemporaryDirectory(prefix="headrace-benchmark-", dir=folder) as root:
        dataset = Dataset(Path(root))
        with Nginx(root=dataset.folder) as server, Nginx(discard=True) as sink:
            bench = Bench(dataset, Served(server.endpoint, server.tls_endpoint, server.ca_bundle), sink.endpoint)
            for workload in chosen:
                with _placed(bench, workload.link) as there:
                    record.samples.extend(there.measure(workload, rounds=workload.rounds or rounds, progress=progress))
    return record


@contextmanager
def _placed(bench: Bench, link: Link | None) -> Iterator[Bench]:
    """The same data, served from the other end of a link."""
    if link is None:
        yield bench
        return
    with Hosts(link) as hosts:
        command = hosts.on_server([sys.executable, "-m", "benchmarks.served", str(bench.dataset.folder), hosts.address])
        with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
            assert server.stdout is not None
            yield replace(bench, server=Served(*server.stdout.readline().split()), sink="", hosts=hosts)


def _require(libraries: Iterable[str]) -> None:
    """Find out what is missing now, not after some minutes."""
    for name in libraries:
        if name == "wrk":
            if shutil.which("wrk") is None:
                raise RuntimeError("wrk is not installed; on Debian: apt-get install wrk")
        elif importlib.util.find_spec(LIBRARIES[name].module) is None:
            raise RuntimeError(f"{name} is not installed: pip install -e '.[bench]'")


def _with_libraries(workload: Workload, libraries: Sequence[str]) -> Workload:
    if not libraries:
        return workload
    return replace(workload, libraries=tuple(name for name in workload.libraries if name in libraries or name == workload.baseline))


class Served(NamedTuple):
    """Where nginx is, without TLS and with it, and the file of the certificates to trust."""

    endpoint: str
    tls_endpoint: str
    ca_bundle: str


@dataclass(frozen=True)
class Bench:
    """The objects, a server that stores and a server that discards; and the hosts, where clients are to run on another than this."""

    dataset: Dataset
    server: Served
    sink: str
    hosts: Hosts | None = None

    def measure(self, workload: Workload, *, rounds: int, progress: Callable[[str], None]) -> list[Sample]:
        """All rounds of a workload, the warm-up included."""
        if workload.objects is not None and not workload.writes:
            self.dataset.write(workload.objects)
        for library in workload.libraries:
            self._check(workload, library)
        samples = []
        for round_ in range(rounds + 1):
            for library in workload.libraries:
                samples.append(self._sample(workload, library, round_))
                progress(_line(samples[-1]))
        return samples

    def _sample(self, workload: Workload, library: str, round_: int) -> Sample:
        measurement, operations = self._measure_once(workload, library)
        return Sample(workload=workload.name, library=library, round=round_, operations=operations, **asdict(measurement))

    def _measure_once(self, workload: Workload, library: str) -> tuple[Measurement, int]:
        objects = workload.objects
        if objects is None:
            entry = LIBRARIES[library]
            seconds = reference.import_seconds(entry.whole or entry.module)
            return Measurement(seconds=seconds, cpu_seconds=0.0, bytes=0, memory=0), 1
        if library == "wrk":
            return reference.wrk(f"{self.server.endpoint}/{BUCKET}/{objects.prefix}", objects)
        task = self._task(workload, library, endpoint=self.sink if workload.writes else self._source(workload), prefix=objects.prefix)
        measurement = Measurement(**self._process(task))
        if measurement.bytes != objects.bytes:
            raise RuntimeError(f"{library} moved {measurement.bytes} bytes of {objects.bytes} in {workload.name}")
        return measurement, objects.count

    def _source(self, workload: Workload) -> str:
        return self.server.tls_endpoint if workload.tls else self.server.endpoint

    def _task(self, workload: Workload, library: str, *, endpoint: str, prefix: str) -> Task:
        assert workload.objects is not None
        return Task(
            library=library,
            verb=workload.verb,
            prefix=self.dataset.prefix(LIBRARIES[library].scheme or workload.scheme, prefix),
            objects=workload.objects,
            endpoint=endpoint,
            sign_payload=workload.sign_payload,
        )

    def _check(self, workload: Workload, library: str) -> None:
        """Compare the bytes that a library moves with those it should, once, in a process of its own."""
        if workload.objects is None or library == "wrk":
            return
        prefix = f"{library}/{workload.name}/" if workload.writes else workload.objects.prefix
        task = self._task(workload, library, endpoint=self._source(workload), prefix=prefix)
        task = replace(task, objects=replace(task.objects, count=min(task.objects.count, CHECKED)), check=True)
        found = self._process(task)["checksum"]
        expected = self.dataset.take_checksum(prefix) if workload.writes else self.dataset.checksum(task.objects, task.objects.count)
        if found != expected:
            raise RuntimeError(f"{library} moved wrong bytes in {workload.name}")

    def _process(self, task: Task) -> dict[str, Any]:
        """Do `task` in a fresh process. Its environment is this one's, less what would set up a cloud client."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
        environment = {**inherited, **CREDENTIALS, "SSL_CERT_FILE": self.server.ca_bundle, **LIBRARIES[task.library].environment}
        command = [sys.executable, "-m", "benchmarks.sample", task.to_json()]
        command = self.hosts.on_client(command) if self.hosts else command
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=TIMEOUT, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"{task.library} failed at {task.verb} of {task.prefix}:\n{done.stderr.strip()}")
        result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return result


def _line(sample: Sample) -> str:
    speed = f"{sample.bytes / sample.seconds / 1e9:7.2f} GB/s" if sample.bytes else ""
    return f"{sample.workload:22} round {sample.round}  {sample.library:18} {sample.seconds:8.3f} s {speed}"
