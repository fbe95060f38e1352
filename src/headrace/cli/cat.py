"""``headrace cat``: print objects."""

from __future__ import annotations

from typing import Annotated

import typer

from headrace.cli.command import Invocation
from headrace.cli.locations import locate
from headrace.cli.streams import send

__all__ = ["cat"]


def cat(invocation: Invocation, uris: Annotated[list[str], typer.Argument(metavar="URI...", help="Objects.")]) -> None:
    """Write objects, one after another, to standard output."""
    with invocation.client() as client:
        for uri in uris:
            send(client, locate(uri))
