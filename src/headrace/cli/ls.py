"""``headrace ls``: list what is there."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from typing import Annotated

import typer

from headrace.cli.command import Invocation, JSONLines, Pattern, Recursive
from headrace.cli.locations import as_listed, names_service
from headrace.cli.printing import as_json, as_line, human_size
from headrace.cli.progress import Progress
from headrace.models import BucketInfo, ObjectInfo, Prefix

__all__ = ["ls"]

Entry = ObjectInfo | Prefix | BucketInfo


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
    with invocation.client() as client:
        entries: Iterable[Entry]
        if names_service(uri):
            entries = client.list_containers(uri)
        else:
            entries = client.list(as_listed(uri), recursive=recursive, pattern=pattern)
        if count:
            _print_count(entries, invocation, as_record=json)
        else:
            _print_entries(entries, as_record=json)


def _print_entries(entries: Iterable[Entry], *, as_record: bool) -> None:
    terminal = sys.stdout.isatty()
    line: Callable[[Entry], str] = as_json if as_record else lambda entry: as_line(entry, for_terminal=terminal)
    # A file's name is bytes, and not always text: it is written as it was read.
    sys.stdout.reconfigure(errors="surrogateescape")  # type: ignore[union-attr]
    for entry in entries:
        print(line(entry))


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
        print(f"{objects} objects, {size} bytes ({human_size(size)})")
