"""``headrace download``: objects into a directory."""

from __future__ import annotations

from typing import Annotated

import typer

from headrace.cli.command import DryRun, Exclude, Include, Invocation, Jobs, JSONLines, Pattern
from headrace.cli.locations import is_local, locate
from headrace.cli.selection import Selection
from headrace.cli.transferring import Request, transfer
from headrace.errors import InvalidOption

__all__ = ["download"]


def download(
    invocation: Invocation,
    sources: Annotated[list[str], typer.Argument(metavar="SRC...", help="Objects, prefixes, globs.")],
    destination: Annotated[str, typer.Argument(metavar="DST", help="A directory, or the new name of one file; - is standard output.")],
    *,
    pattern: Pattern = None,
    include: Include = None,
    exclude: Exclude = None,
    jobs: Jobs = 16,
    dry_run: DryRun = False,
    json: JSONLines = False,
) -> None:
    """Copy objects and prefixes into a directory.

    What is below one prefix goes to the same paths below DST; of several, each keeps its own name, unless it is written with a / at its
    end. A file becomes visible when it is whole. Keys that would escape from the directory are refused before anything is written.
    """
    if destination != "-" and not is_local(locate(destination)):
        raise InvalidOption("download writes into a directory", uri=destination, hint="Say cp, or upload.")
    request = Request(
        sources=sources,
        destination=destination,
        recursive=True,
        selection=Selection.of(pattern, include, exclude),
        jobs=jobs,
        dry_run=dry_run,
        as_records=json,
    )
    transfer(invocation, request)
