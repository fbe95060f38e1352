"""``headrace upload``: files into an object store."""

from __future__ import annotations

from typing import Annotated

import typer

from headrace.cli.command import DryRun, Exclude, Include, Invocation, Jobs, JSONLines, Pattern
from headrace.cli.locations import is_local, locate
from headrace.cli.selection import Selection
from headrace.cli.transferring import Request, transfer
from headrace.errors import InvalidOption

__all__ = ["upload"]


def upload(
    invocation: Invocation,
    sources: Annotated[list[str], typer.Argument(metavar="SRC...", help="Files, directories, globs; - is standard input.")],
    destination: Annotated[str, typer.Argument(metavar="DST", help="A bucket or prefix/, or the new name of one file.")],
    *,
    pattern: Pattern = None,
    include: Include = None,
    exclude: Exclude = None,
    jobs: Jobs = 16,
    dry_run: DryRun = False,
    json: JSONLines = False,
) -> None:
    """Copy files and directories to an object store.

    What is in one directory goes to the same paths below DST; of several, each keeps its own name, unless it is written with a / at its
    end. Links are followed. An object becomes visible when it is whole.
    """
    for word in sources:
        if word != "-" and not is_local(locate(word)):
            raise InvalidOption("upload takes files and directories", uri=word, hint="Say cp, or download.")
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
