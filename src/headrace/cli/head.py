"""``headrace head``: print the beginning of objects."""

from __future__ import annotations

from typing import Annotated

import typer

from headrace.cli.command import Invocation
from headrace.cli.locations import locate
from headrace.cli.sizes import size_in
from headrace.cli.streams import send

__all__ = ["head"]


def head(
    invocation: Invocation,
    uris: Annotated[list[str], typer.Argument(metavar="URI...", help="Objects.")],
    *,
    count: Annotated[
        str, typer.Option("--bytes", "-c", metavar="SIZE", help="So many bytes (1KiB); with -SIZE, all but so many at the end.")
    ] = "1KiB",
) -> None:
    """Write the first bytes of objects to standard output, one object after another. Nothing else of them is read."""
    size = size_in(count, "-c")
    with invocation.client() as client:
        for uri in uris:
            if size < 0:
                send(client, locate(uri), without_last=-size)
            else:
                send(client, locate(uri), length=size)
