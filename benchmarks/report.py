"""A run as Markdown: the goals, a table a workload, and where it was made."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from benchmarks.figures import (
    Spread,
    bounds,
    bytes_per_second,
    cpu_per_byte,
    memory,
    operations_per_second,
    ratios,
    seconds,
    spread,
)
from benchmarks.link import Link
from benchmarks.records import Run, Sample
from benchmarks.workloads import KIB, MIB, Workload

__all__ = ["markdown"]

GB = 1e9
SUBJECT = "headrace"


def markdown(run: Run) -> str:
    """The whole report.

    A figure is the median over the rounds, a ratio the median of the rounds' ratios, with the lowest and the highest behind it.
    """
    workloads = [_workload(workload, run.samples_of(workload.name)) for workload in run.workloads]
    sections = [_circumstances(run), _goals(run), *workloads]
    return "\n\n".join(section for section in sections if section) + "\n"


def _circumstances(run: Run) -> str:
    machine, versions = run.machine, ", ".join(f"{name} {version}" for name, version in run.versions.items())
    return "\n".join(
        [
            f"# Benchmark of {run.started[:10]}",
            "",
            f"{machine['processor']}, {machine['cores']} cores, {machine['memory'] / GB:.0f} GB, {machine['kernel']},",
            f"huge pages: {machine['huge_pages']}.",
            f"{versions}.",
            f"Server: {run.settings['server']}. Sink of puts: {run.settings['sink']}.",
            f"Rounds: {run.settings['rounds']} after one of warm-up, unless a table says otherwise.",
            "GB is 10^9 bytes, CPU is that of the library's process, memory the peak beyond what it held before.",
            "In brackets: the lowest and the highest round.",
        ]
    )


def _goals(run: Run) -> str:
    rows = [
        [
            bound.workload,
            bound.figure,
            _with_ends(bound.found),
            f"{'≥' if bound.least else '≤'} {bound.limit:.3g}",
            "yes" if bound.reached else "**no**",
        ]
        for bound in bounds(run, SUBJECT)
    ]
    return f"## Goals of {SUBJECT}\n\n{_table(['workload', 'figure', 'measured', 'goal', 'reached'], rows)}" if rows else ""


def _workload(workload: Workload, samples: Sequence[Sample]) -> str:
    rounds = "" if workload.rounds is None else f" Rounds: {workload.rounds}."
    table = _import_table(workload, samples) if workload.objects is None else _transfer_table(workload, samples)
    return f"## {workload.name}\n\n{_description(workload)}.{rounds}\n\n{table}"


def _description(workload: Workload) -> str:
    objects = workload.objects
    if objects is None:
        return "`import` in a fresh interpreter that has imported numpy"
    size = f"{objects.size // MIB} MiB" if objects.size >= MIB else f"{objects.size // KIB} KiB"
    repeated = f" ({objects.distinct:,} different ones)" if objects.distinct < objects.count else ""
    payload = "" if not workload.writes else ", signed payload" if workload.sign_payload else ", unsigned payload"
    number = "one object" if objects.count == 1 else f"{objects.count:,} objects"
    return f"`{workload.verb}` of {number} of {size}{repeated}, `{workload.scheme}://`{payload}{_distance(workload.link)}"


def _distance(link: Link | None) -> str:
    if link is None:
        return ""
    loss = f", {link.loss:.1%} of the packets lost" if link.loss else ""
    return f", over a link of {link.rate / 1e6:.0f} MB/s and {link.round_trip * 1000:.0f} ms there and back{loss}"


def _import_table(workload: Workload, samples: Sequence[Sample]) -> str:
    return _table(["library", "seconds"], [[name, _with_ends(spread(samples, name, seconds))] for name in workload.libraries])


def _transfer_table(workload: Workload, samples: Sequence[Sample]) -> str:
    base = workload.baseline
    head = ["library", "objects/s", "GB/s", "CPU s/GB", f"throughput / {base}", f"CPU / {base}", "memory, MiB"]
    return _table(head, [_transfer_row(name, base, samples) for name in workload.libraries])


def _transfer_row(library: str, baseline: str, samples: Sequence[Sample]) -> list[str]:
    return [
        library,
        _three_digits(spread(samples, library, operations_per_second).median),
        f"{spread(samples, library, bytes_per_second).median / GB:.2f}",
        f"{spread(samples, library, cpu_per_byte).median * GB:.2f}",
        _with_ends(ratios(samples, library, baseline, operations_per_second)),
        _with_ends(ratios(samples, library, baseline, cpu_per_byte)),
        f"{spread(samples, library, memory).median / MIB:,.0f}",
    ]


def _with_ends(figures: Spread) -> str:
    if figures.lowest == figures.highest:
        return _three_digits(figures.median)
    return f"{_three_digits(figures.median)} ({_three_digits(figures.lowest)} to {_three_digits(figures.highest)})"


def _three_digits(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    rule = ["---", *("---:" for _ in head[1:])]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, rule, *rows))
