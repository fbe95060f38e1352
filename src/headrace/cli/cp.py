"""``headrace cp``: copy."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Annotated, TypeAlias

import typer

from headrace import aio
from headrace.cli.command import Invocation, JSONLines, Pattern, Recursive
from headrace.cli.exits import PartlyDone, complain
from headrace.cli.locations import is_directory, is_file, locate
from headrace.cli.plan import Copy, plan_below, plan_one
from headrace.cli.printing import as_json, printable
from headrace.cli.progress import Progress
from headrace.cli.streams import STANDARD_STREAM, receive, send
from headrace.errors import ConnectionFailed, CredentialsError, HeadraceError, InvalidOption, Stalled
from headrace.models import ObjectInfo
from headrace.uri import Location

__all__ = ["cp"]

_Report: TypeAlias = Callable[[Copy, ObjectInfo], None]

# What one copy fails for so, the next will fail for too.
_HOPELESS = (ConnectionFailed, CredentialsError, Stalled)


def cp(
    invocation: Invocation,
    source: Annotated[str, typer.Argument(metavar="SRC", help="An object or file; - is standard input.")],
    destination: Annotated[
        str, typer.Argument(metavar="DST", help="Its new name, or a directory or prefix/ for it; - is standard output.")
    ],
    *,
    recursive: Recursive = False,
    pattern: Pattern = None,
    jobs: Annotated[int, typer.Option("--jobs", "-j", min=1, metavar="N", help="Copies at the same time, with -r.")] = 16,
    json: JSONLines = False,
) -> None:
    """Copy objects and files, in any direction.

    With -r, what is below SRC goes to the same paths below DST. A key that would escape from a destination directory is refused
    before anything is copied. A copy becomes visible when it is whole.
    """
    if pattern is not None and not recursive:
        raise InvalidOption("a pattern selects among what lies below SRC", hint="Say -r.")
    if STANDARD_STREAM in (source, destination):
        _stream(invocation, source, destination, recursive=recursive)
        return
    report = _reporter(invocation, as_records=json)
    start, end = locate(source), locate(destination)
    if recursive and not is_file(start):
        asyncio.run(_copy_below(invocation, start, end, pattern, jobs, report))
        return
    copy = plan_one(start, end)
    with invocation.client() as client:
        report(copy, client.copy(copy.source, copy.destination))


def _stream(invocation: Invocation, source: str, destination: str, *, recursive: bool) -> None:
    if recursive or source == destination:
        raise InvalidOption("- stands for one object", hint="Name the other end, without -r.")
    location = locate(destination if source == STANDARD_STREAM else source).require_object()
    if source == STANDARD_STREAM and (location.key.endswith("/") or is_directory(location)):
        raise InvalidOption("what comes from standard input has no name of its own", uri=location.uri, hint="Add one.")
    with invocation.client() as client:
        (receive if source == STANDARD_STREAM else send)(client, location)


def _reporter(invocation: Invocation, *, as_records: bool) -> _Report:
    """What is said of each copy that was made."""

    def report(copy: Copy, info: ObjectInfo) -> None:
        if as_records:
            print(as_json(info))
        elif invocation.verbosity:
            print(f"{printable(copy.source)} -> {printable(copy.destination)}")

    return report


async def _copy_below(
    invocation: Invocation, source: Location, destination: Location, pattern: str | None, jobs: int, report: _Report
) -> None:
    async with aio.Client(**invocation.options) as client:
        copies = await plan_below(client, source, destination, pattern)
        with Progress(shown=invocation.shows_progress, total=sum(copy.size for copy in copies)) as progress:
            await _copy_all(client, copies, jobs, report, progress)


async def _copy_all(client: aio.Client, copies: Sequence[Copy], jobs: int, report: _Report, progress: Progress) -> None:
    """Make the copies, some at once. One that fails is told of, and the others go on, unless they would fail too.

    Raises:
        PartlyDone: some failed.
    """
    pending = iter(copies)
    failures: list[HeadraceError] = []
    done = size = 0

    async def work() -> None:
        nonlocal done, size
        for copy in pending:
            try:
                report(copy, await client.copy(copy.source, copy.destination))
            except HeadraceError as error:
                failures.append(error)
                complain(str(error))
            else:
                done, size = done + 1, size + copy.size
                progress.show(done, size)
            if any(isinstance(failure, _HOPELESS) for failure in failures):
                return

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(min(jobs, len(copies))):
                group.create_task(work())
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from None
    if failures:
        raise PartlyDone(done, len(copies), failures)
