"""The arithmetic of the benchmarks and its tables, on figures made up here."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.figures import Spread, bounds, cpu_per_byte, operations_per_second, ratios, spread
from benchmarks.records import Run, Sample
from benchmarks.report import markdown
from benchmarks.workloads import WORKLOADS, Goal, Objects, Workload, select

WORKLOAD = Workload(
    name="get-few",
    verb="get_many",
    objects=Objects(prefix="few/", count=10, size=100, distinct=5),
    libraries=("headrace", "s3dlio"),
    goal=Goal(throughput=2, cpu=0.5),
)


def sample(library: str, round_: int, seconds: float, cpu_seconds: float = 1.0, memory: int = 0) -> Sample:
    return Sample(
        workload="get-few",
        library=library,
        round=round_,
        seconds=seconds,
        cpu_seconds=cpu_seconds,
        operations=10,
        bytes=1000,
        memory=memory,
    )


SAMPLES = [
    sample("headrace", 0, 100.0),
    sample("s3dlio", 0, 1.0),
    sample("headrace", 1, 1.0),
    sample("s3dlio", 1, 2.0),
    sample("headrace", 2, 1.0),
    sample("s3dlio", 2, 6.0),
    sample("headrace", 3, 2.0, cpu_seconds=3.0),
    sample("s3dlio", 3, 6.0),
]


def run(*workloads: Workload, samples: list[Sample]) -> Run:
    return Run(
        started="2030-01-02T03:04:05+00:00",
        machine={
            "name": "abacus-2-cores",
            "processor": "Abacus",
            "cores": 2,
            "memory": 8_000_000_000,
            "kernel": "Linux",
            "huge_pages": "always",
        },
        versions={"python": "3.11"},
        settings={"rounds": 3, "server": "a server", "sink": "a sink"},
        workloads=list(workloads),
        samples=samples,
    )


def test_ratio_is_taken_within_a_round_and_the_warm_up_is_left_out() -> None:
    assert ratios(SAMPLES, "headrace", "s3dlio", operations_per_second) == Spread(median=3.0, lowest=2.0, highest=6.0)


def test_ratio_of_cost_is_below_one_when_the_library_is_better() -> None:
    cheap, dear = sample("headrace", 1, 1.0, cpu_seconds=1.0), sample("s3dlio", 1, 1.0, cpu_seconds=4.0)
    assert ratios([cheap, dear], "headrace", "s3dlio", cpu_per_byte).median == 0.25


def test_median_of_an_even_number_of_rounds_lies_between_the_middle_ones() -> None:
    assert spread([sample("s3dlio", 1, 1.0), sample("s3dlio", 2, 4.0)], "s3dlio", lambda one: one.seconds).median == 2.5


def test_ratio_without_a_common_round_is_an_error() -> None:
    with pytest.raises(ValueError, match="no measured round in common"):
        ratios([sample("headrace", 1, 1.0), sample("s3dlio", 2, 1.0)], "headrace", "s3dlio", operations_per_second)


def test_goals_are_compared_with_the_median() -> None:
    throughput, cpu = bounds(run(WORKLOAD, samples=SAMPLES), "headrace")
    assert (throughput.found.median, throughput.limit, throughput.reached) == (3.0, 2, True)
    assert (cpu.found.median, cpu.limit, cpu.reached) == (1.0, 0.5, False)


def test_a_memory_goal_can_be_relative_to_another_workload() -> None:
    few, many = (
        Workload(name=name, verb="get", objects=WORKLOAD.objects, libraries=("headrace",), goal=goal)
        for name, goal in (("few", Goal()), ("many", Goal(memory=2 << 20, memory_beyond="few")))
    )
    samples = [
        replace(sample("headrace", 1, 1.0, memory=3 << 20), workload="few"),
        replace(sample("headrace", 1, 1.0, memory=6 << 20), workload="many"),
    ]
    (bound,) = bounds(run(few, many, samples=samples), "headrace")
    assert (bound.found.median, bound.limit, bound.reached) == (6.0, 5.0, False)


def test_report_shows_goals_figures_and_circumstances() -> None:
    lines = markdown(run(WORKLOAD, samples=SAMPLES)).splitlines()
    assert "| get-few | throughput / s3dlio | 3 (2 to 6) | ≥ 2 | yes |" in lines
    assert "| get-few | CPU a byte / s3dlio | 1 (1 to 3) | ≤ 0.5 | **no** |" in lines
    assert any(line.startswith("| s3dlio | 1.67 | 0.00 |") for line in lines)
    assert "`get_many` of 10 objects of 0 KiB (5 different ones), `s3://`." in lines
    assert lines[0] == "# Benchmark of 2030-01-02"


def test_a_run_is_the_same_after_saving_and_loading(tmp_path: Path) -> None:
    imported = Workload(name="import-time", verb="import")
    record = run(WORKLOAD, imported, samples=SAMPLES)
    path = record.save(tmp_path)
    assert path.name == "2030-01-02-abacus-2-cores.json"
    assert Run.load(path) == record


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("put-small", ["put-small"]),
        ("put-small*", ["put-small", "put-small-unsigned"]),
        ("memory", ["memory-10000", "memory-100000", "memory-large"]),
    ],
)
def test_workloads_are_selected_by_name_pattern_or_first_word(pattern: str, names: list[str]) -> None:
    assert [workload.name for workload in select([pattern])] == names


def test_no_pattern_selects_every_workload() -> None:
    assert select([]) == list(WORKLOADS)


def test_a_pattern_that_names_nothing_is_an_error() -> None:
    with pytest.raises(ValueError, match="no workload is called 'gte-small'"):
        select(["gte-small"])
