"""The command line: ``python -m benchmarks [WORKLOAD ...]``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.libraries import LIBRARIES
from benchmarks.records import Run
from benchmarks.report import markdown
from benchmarks.runner import run
from benchmarks.workloads import WORKLOADS, select
from headrace import HeadraceError

RESULTS = Path(__file__).with_name("results")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what is asked for; return the exit status."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.list:
        print("\n".join(f"{workload.name:22} {', '.join(workload.libraries)}" for workload in WORKLOADS))
        return 0
    if options.report:
        print(markdown(Run.load(options.report)), end="")
        return 0
    try:
        workloads = select(options.workloads)
    except ValueError as error:
        parser.error(str(error))
    try:
        record = run(workloads, libraries=options.libraries, rounds=options.rounds, folder=options.folder, progress=_progress)
    except (RuntimeError, HeadraceError) as error:
        print(error, file=sys.stderr)
        return 1
    print(markdown(record), end="")
    if options.save:
        _save(record)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="Measure headrace and its peers on this machine, over loopback."
    )
    parser.add_argument(
        "workloads", nargs="*", metavar="WORKLOAD", help="a name, a shell pattern or the first word of names; all by default"
    )
    parser.add_argument("--rounds", type=_positive, default=5, metavar="N", help="rounds that count, after one of warm-up (default: 5)")
    parser.add_argument(
        "--libraries", nargs="+", choices=LIBRARIES, default=[], metavar="NAME", help=f"of {', '.join(LIBRARIES)}; all by default"
    )
    parser.add_argument(
        "--folder", type=Path, default=Path("/dev/shm"), metavar="DIR", help="where the objects are put (default: /dev/shm)"
    )
    parser.add_argument("--save", action="store_true", help=f"write the samples and the report to {RESULTS.parent.name}/{RESULTS.name}")
    parser.add_argument("--report", type=Path, metavar="FILE", help="print the report of a saved run, and measure nothing")
    parser.add_argument("--list", action="store_true", help="name the workloads and who takes part")
    return parser


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return number


def _progress(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _save(record: Run) -> None:
    path = record.save(RESULTS)
    (RESULTS / "README.md").write_text(
        f"{markdown(record)}\nEvery sample: [{path.name}]({path.name}). How: [../README.md](../README.md).\n"
    )
    _progress(f"saved as {path}")


if __name__ == "__main__":
    sys.exit(main())
