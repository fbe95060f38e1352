"""``headrace rm``: delete."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import Annotated, Literal

import typer

from headrace.cli.command import Invocation, JSONLines, Pattern, Recursive
from headrace.cli.locations import as_prefix, locate
from headrace.cli.printing import as_json, counted, print_entries
from headrace.client import Client
from headrace.errors import InvalidOption
from headrace.models import ObjectInfo
from headrace.uri import Location

__all__ = ["rm"]


def rm(
    invocation: Invocation,
    uris: Annotated[list[str], typer.Argument(metavar="URI...", help="Objects; with -r prefixes and directories.")],
    *,
    recursive: Recursive = False,
    pattern: Pattern = None,
    bucket: Annotated[bool, typer.Option("--bucket", help="Everything in a bucket is really meant.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what would be deleted, and delete nothing.")] = False,
    json: JSONLines = False,
) -> None:
    """Delete objects. The buckets themselves stay, and so do directories unless they are deleted with -r."""
    locations = [locate(uri) for uri in uris]
    for location in locations:
        _check(location, recursive=recursive, pattern=pattern, bucket=bucket)
    with invocation.client() as client:
        if dry_run:
            chosen = (_chosen(client, location, recursive=recursive, pattern=pattern) for location in locations)
            print_entries(chain.from_iterable(chosen), as_records=json)
            return
        extent: bool | Literal["bucket"] = "bucket" if recursive and bucket else recursive
        deleted = sum(client.delete(location.uri, recursive=extent, pattern=pattern) for location in locations)
    if json:
        print(as_json({"deleted": deleted}))
    elif not invocation.quiet:
        print(f"{counted(deleted, 'object')} deleted")


def _check(location: Location, *, recursive: bool, pattern: str | None, bucket: bool) -> None:
    """Refuse what cannot be meant, before anything is deleted."""
    if not recursive:
        location.require_object()
        if pattern is not None:
            raise InvalidOption("a pattern selects among what lies below a prefix", uri=location.uri, hint="Say -r.")
    elif not location.key and not bucket:
        raise InvalidOption("this would delete everything in the bucket", uri=location.uri, hint="Say --bucket if that is meant.")


def _chosen(client: Client, location: Location, *, recursive: bool, pattern: str | None) -> Iterator[ObjectInfo]:
    if not recursive:
        yield client.stat(location.uri)
        return
    for entry in client.list(as_prefix(location).uri, pattern=pattern):
        if isinstance(entry, ObjectInfo):
            yield entry
