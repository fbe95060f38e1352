"""The arithmetic: medians over rounds, ratios within rounds, and whether the goals are reached."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from statistics import median

from benchmarks.records import Run, Sample
from benchmarks.workloads import MIB, Workload

__all__ = [
    "Bound",
    "Metric",
    "Spread",
    "bounds",
    "bytes_per_second",
    "cpu_per_byte",
    "memory",
    "operations_per_second",
    "ratios",
    "seconds",
    "spread",
]

Metric = Callable[[Sample], float]


def operations_per_second(sample: Sample) -> float:
    return sample.operations / sample.seconds


def bytes_per_second(sample: Sample) -> float:
    return sample.bytes / sample.seconds


def cpu_per_byte(sample: Sample) -> float:
    return sample.cpu_seconds / sample.bytes


def memory(sample: Sample) -> float:
    return sample.memory


def seconds(sample: Sample) -> float:
    return sample.seconds


@dataclass(frozen=True)
class Spread:
    """The middle and the ends of some figures."""

    median: float
    lowest: float
    highest: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Spread:
        ordered = sorted(values)
        return cls(median(ordered), ordered[0], ordered[-1])


def spread(samples: Iterable[Sample], library: str, metric: Metric) -> Spread:
    """`metric` of `library` over all rounds but the warm-up, round 0."""
    return Spread.of(_by_round(samples, library, metric).values())


def ratios(samples: Sequence[Sample], library: str, baseline: str, metric: Metric) -> Spread:
    """`metric` of `library` divided by that of `baseline`, round by round: samples of one round are neighbours in time.

    Raises:
        ValueError: they have no measured round in common.
    """
    own, base = _by_round(samples, library, metric), _by_round(samples, baseline, metric)
    common = own.keys() & base.keys()
    if not common:
        raise ValueError(f"{library} and {baseline} have no measured round in common")
    return Spread.of(own[round_] / base[round_] for round_ in common)


def _by_round(samples: Iterable[Sample], library: str, metric: Metric) -> dict[int, float]:
    return {sample.round: metric(sample) for sample in samples if sample.library == library and sample.round > 0}


@dataclass(frozen=True, kw_only=True)
class Bound:
    """A goal of one workload and what was found.

    Attributes:
        least: whether the figure should be at least `limit`; otherwise at most.
    """

    workload: str
    figure: str
    found: Spread
    limit: float
    least: bool

    @property
    def reached(self) -> bool:
        return self.found.median >= self.limit if self.least else self.found.median <= self.limit


def bounds(run: Run, library: str) -> Iterator[Bound]:
    """The goals of all workloads that `library` took part in."""
    for workload in run.workloads:
        if library in workload.libraries:
            yield from _ratio_bounds(run, workload, library)
            yield from _absolute_bounds(run, workload, library)


def _ratio_bounds(run: Run, workload: Workload, library: str) -> Iterator[Bound]:
    samples, goal, baseline = run.samples_of(workload.name), workload.goal, workload.baseline
    if goal.throughput is not None:
        found = ratios(samples, library, baseline, operations_per_second)
        yield Bound(workload=workload.name, figure=f"throughput / {baseline}", found=found, limit=goal.throughput, least=True)
    if goal.cpu is not None:
        found = ratios(samples, library, baseline, cpu_per_byte)
        yield Bound(workload=workload.name, figure=f"CPU a byte / {baseline}", found=found, limit=goal.cpu, least=False)


def _absolute_bounds(run: Run, workload: Workload, library: str) -> Iterator[Bound]:
    samples, goal = run.samples_of(workload.name), workload.goal
    if goal.memory is not None:
        found, limit = spread(samples, library, lambda sample: sample.memory / MIB), goal.memory / MIB
        if goal.memory_beyond is not None:
            limit += spread(run.samples_of(goal.memory_beyond), library, memory).median / MIB
        yield Bound(workload=workload.name, figure="peak memory, MiB", found=found, limit=limit, least=False)
    if goal.share is not None and workload.link is not None:
        rate = workload.link.rate
        found = spread(samples, library, lambda sample: bytes_per_second(sample) / rate)
        yield Bound(workload=workload.name, figure="share of the link", found=found, limit=goal.share, least=True)
    if goal.seconds is not None:
        found = spread(samples, library, lambda sample: sample.seconds * 1000)
        yield Bound(workload=workload.name, figure="milliseconds", found=found, limit=goal.seconds * 1000, least=False)
