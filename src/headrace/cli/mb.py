"""``headrace mb``: make buckets."""

from __future__ import annotations

from typing import Annotated

import typer

from headrace.cli.command import Invocation
from headrace.cli.locations import bucket_named

__all__ = ["mb"]


def mb(invocation: Invocation, uris: Annotated[list[str], typer.Argument(metavar="URI...", help="s3://bucket, or a directory.")]) -> None:
    """Create buckets, in the region of --region. One that is there already is an error."""
    locations = [bucket_named(uri) for uri in uris]
    with invocation.client() as client:
        for location in locations:
            client.create_container(location.uri)
            if invocation.verbosity:
                print(f"created {location.uri}")
