"""``headrace ls``: list what is there."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

import typer

from headrace.cli.command import Invocation, JSONLines, Pattern, Recursive
from headrace.cli.locations import as_listed, locate
from headrace.cli.printing import Entry, as_json, counted, human_size, print_entries
from headrace.cli.progress import Progress
from headrace.models import ObjectInfo

__all__ = ["ls"]


def ls(
    invocation: Invocation,
    uri: Annotated[str, typer.Argument(metavar="URI", help="A prefix, taken literally; a local directory; s3:// for the buckets.")],
    *,
    recursive: Recursive = False,
    count: Annotated[bool, typer.Option("--count", "-c", help="Print only the number of objects and of their bytes.")] = False,
    pattern: Pattern = None,
    json: JSONLines = False,
) -> None:
    """List objects with their sizes and times."""
    location = locate(uri)
    with invocation.client() as client:
        entries: Iterable[Entry]
        if location.container or location.key:
            entries = client.list(as_listed(location).uri, recursive=recursive, pattern=pattern)
        else:
            entries = client.list_containers(location.uri)
        if count:
            _print_count(entries, invocation, as_record=json)
        else:
            print_entries(entries, as_records=json)


def _print_count(entries: Iterable[Entry], invocation: Invocation, *, as_record: bool) -> None:
    objects = size = 0
    with Progress(shown=invocation.shows_progress) as progress:
        for entry in entries:
            if isinstance(entry, ObjectInfo):
                objects += 1
                size += entry.size
                progress.show(objects, size)
    if as_record:
        print(as_json({"objects": objects, "bytes": size}))
    else:
        print(f"{counted(objects, 'object')}, {counted(size, 'byte')} ({human_size(size)})")
