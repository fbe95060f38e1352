"""The record of a run: every sample, with where, on what and how they were taken. One JSON file a run."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.workloads import Workload

__all__ = ["Run", "Sample"]


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One library's turn in one round of one workload.

    Attributes:
        round: 0 is the warm-up, which no figure uses.
        operations: objects moved, or imports.
        memory: peak resident bytes beyond what was resident before; 0 where it is not measured.
    """

    workload: str
    library: str
    round: int
    seconds: float
    cpu_seconds: float
    operations: int
    bytes: int
    memory: int = 0


@dataclass(frozen=True, kw_only=True)
class Run:
    """A run of some workloads.

    Attributes:
        started: ISO 8601, UTC.
        machine: processor, cores, memory, kernel.
        versions: of Python, the libraries and the servers.
        settings: what was asked for on the command line.
    """

    started: str
    machine: dict[str, Any]
    versions: dict[str, str]
    settings: dict[str, Any]
    workloads: list[Workload]
    samples: list[Sample]

    def samples_of(self, workload: str) -> list[Sample]:
        """The samples of one workload, the warm-up round included."""
        return [sample for sample in self.samples if sample.workload == workload]

    def save(self, folder: Path) -> Path:
        """Write ``DATE-MACHINE.json`` and return its path. A run of the same day on the same kind of machine is replaced."""
        folder.mkdir(exist_ok=True)
        path = folder / f"{self.started[:10]}-{self.machine['name']}.json"
        path.write_text(self.to_json())
        return path

    def to_json(self) -> str:
        """JSON with a line a sample, so that a difference between two runs can be read."""
        value = asdict(self)
        samples = ",\n".join(f"  {json.dumps(sample)}" for sample in value.pop("samples"))
        head = json.dumps(value, indent=1).removesuffix("\n}")
        return f'{head},\n "samples": [\n{samples}\n ]\n}}\n'

    @classmethod
    def load(cls, path: Path) -> Run:
        value = json.loads(path.read_text())
        value["workloads"] = [Workload.from_json(workload) for workload in value["workloads"]]
        value["samples"] = [Sample(**sample) for sample in value["samples"]]
        return cls(**value)
