"""``headrace cat``: print objects."""

from __future__ import annotations

from typing import Annotated

import typer

from headrace.cli.command import Invocation
from headrace.cli.locations import locate
from headrace.cli.sizes import at_least, size_in
from headrace.cli.streams import send

__all__ = ["cat"]


def cat(
    invocation: Invocation,
    uris: Annotated[list[str], typer.Argument(metavar="URI...", help="Objects.")],
    *,
    start: Annotated[str, typer.Option("--start", metavar="SIZE", help="The first byte; -SIZE counts from the end.")] = "0",
    length: Annotated[str | None, typer.Option("--length", metavar="SIZE", help="Bytes to write; else all to the end.")] = None,
) -> None:
    """Write objects, or a range of each, to standard output, one after another."""
    first = size_in(start, "--start")
    count = None if length is None else at_least(0, size_in(length, "--length"), "--length")
    with invocation.client() as client:
        for uri in uris:
            send(client, locate(uri), start=first, length=count)
