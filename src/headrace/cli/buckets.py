"""``headrace buckets``: list buckets."""

from __future__ import annotations

from typing import Annotated

import typer

from headrace.cli.command import Invocation, JSONLines
from headrace.cli.locations import locate
from headrace.cli.printing import print_entries

__all__ = ["buckets"]


def buckets(
    invocation: Invocation,
    uri: Annotated[
        str, typer.Argument(metavar="[URI]", help="The service, s3:// if none is named; or a directory, for those in it.")
    ] = "s3://",
    *,
    json: JSONLines = False,
) -> None:
    """List the buckets of a service, with the times of their creation."""
    with invocation.client() as client:
        print_entries(client.list_containers(locate(uri).uri), as_records=json)
