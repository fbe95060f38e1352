"""``headrace cp``: copy."""

from __future__ import annotations

from typing import Annotated

import typer

from headrace.cli.command import DryRun, Exclude, Include, Invocation, Jobs, JSONLines, Pattern, Recursive
from headrace.cli.selection import Selection
from headrace.cli.transferring import Request, transfer
from headrace.errors import InvalidOption

__all__ = ["cp"]


def cp(
    invocation: Invocation,
    sources: Annotated[
        list[str], typer.Argument(metavar="SRC...", help="Objects, files, globs; with -r prefixes and directories; - is standard input.")
    ],
    destination: Annotated[
        str, typer.Argument(metavar="DST", help="The new name of one object, or a directory or prefix/; - is standard output.")
    ],
    *,
    recursive: Recursive = False,
    pattern: Pattern = None,
    include: Include = None,
    exclude: Exclude = None,
    jobs: Jobs = 16,
    dry_run: DryRun = False,
    json: JSONLines = False,
) -> None:
    """Copy objects and files, in any direction.

    What is below one directory or prefix goes to the same paths below DST; of several, each keeps its own name, unless it is
    written with a / at its end. A copy becomes visible when it is whole. Keys that would escape from a directory, and two sources with one
    destination, are refused before anything is copied.
    """
    if recursive and "-" in (*sources, destination):
        raise InvalidOption("- stands for one object", hint="Leave out -r.")
    request = Request(
        sources=sources,
        destination=destination,
        recursive=recursive,
        selection=Selection.of(pattern, include, exclude),
        jobs=jobs,
        dry_run=dry_run,
        as_records=json,
    )
    transfer(invocation, request)
