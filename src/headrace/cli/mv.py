"""``headrace mv``: move."""

from __future__ import annotations

from typing import Annotated

import typer

from headrace.cli.command import DryRun, Exclude, Include, Invocation, Jobs, JSONLines, Pattern, Recursive
from headrace.cli.selection import Selection
from headrace.cli.transferring import Request, transfer

__all__ = ["mv"]


def mv(
    invocation: Invocation,
    sources: Annotated[list[str], typer.Argument(metavar="SRC...", help="Objects, files, globs; with -r prefixes and directories.")],
    destination: Annotated[str, typer.Argument(metavar="DST", help="The new name of one object, or a directory or prefix/.")],
    *,
    recursive: Recursive = False,
    pattern: Pattern = None,
    include: Include = None,
    exclude: Exclude = None,
    jobs: Jobs = 16,
    dry_run: DryRun = False,
    json: JSONLines = False,
) -> None:
    """Move objects and files, in any direction.

    Each is copied as by cp, and removed when its copy is whole; what could not be copied stays. Directories that are left empty are
    removed, too.
    """
    request = Request(
        sources=sources,
        destination=destination,
        recursive=recursive,
        selection=Selection.of(pattern, include, exclude),
        jobs=jobs,
        dry_run=dry_run,
        as_records=json,
        removes=True,
    )
    transfer(invocation, request)
