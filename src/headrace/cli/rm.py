"""``headrace rm``: delete."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

import typer

from headrace.cli.command import Invocation, JSONLines, Pattern, Recursive
from headrace.cli.locations import as_prefix
from headrace.cli.printing import as_json, counted, printable
from headrace.client import Client
from headrace.errors import InvalidOption
from headrace.models import ObjectInfo
from headrace.uri import parse

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
    for uri in uris:
        _check(uri, recursive=recursive, pattern=pattern, bucket=bucket)
    with invocation.client() as client:
        if dry_run:
            for uri in uris:
                for info in _chosen(client, uri, recursive=recursive, pattern=pattern):
                    print(as_json(info) if json else printable(info.uri))
            return
        deleted = sum(client.delete(uri, recursive=_extent(uri, recursive=recursive), pattern=pattern) for uri in uris)
    if json:
        print(as_json({"deleted": deleted}))
    elif not invocation.quiet:
        print(f"{counted(deleted, 'object')} deleted")


def _check(uri: str, *, recursive: bool, pattern: str | None, bucket: bool) -> None:
    """Refuse what cannot be meant, before anything is deleted."""
    location = parse(uri)
    if not recursive:
        location.require_object()
        if pattern is not None:
            raise InvalidOption("a pattern selects among what lies below a prefix", uri=uri, hint="Say -r.")
    elif not location.key and not bucket:
        raise InvalidOption("this would delete everything in the bucket", uri=uri, hint="Say --bucket if that is meant.")


def _extent(uri: str, *, recursive: bool) -> bool | Literal["bucket"]:
    return "bucket" if recursive and not parse(uri).key else recursive


def _chosen(client: Client, uri: str, *, recursive: bool, pattern: str | None) -> Iterator[ObjectInfo]:
    if not recursive:
        yield client.stat(uri)
        return
    for entry in client.list(as_prefix(parse(uri)).uri, pattern=pattern):
        if isinstance(entry, ObjectInfo):
            yield entry
