"""``headrace rb``: remove buckets."""

from __future__ import annotations

from typing import Annotated

import typer

from headrace.cli.command import Invocation
from headrace.cli.locations import bucket_named

__all__ = ["rb"]


def rb(invocation: Invocation, uris: Annotated[list[str], typer.Argument(metavar="URI...", help="s3://bucket, or a directory.")]) -> None:
    """Delete empty buckets. What is in one is deleted before by rm -r --bucket."""
    locations = [bucket_named(uri) for uri in uris]
    with invocation.client() as client:
        for location in locations:
            client.delete_container(location.uri)
            if invocation.verbosity:
                print(f"deleted {location.uri}")
