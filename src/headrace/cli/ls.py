"""``headrace ls``: list what is there."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Annotated

import typer

from headrace.cli.command import Exclude, Include, Invocation, JSONLines, Pattern, Recursive
from headrace.cli.locations import as_listed, is_directory, locate
from headrace.cli.printing import Entry, as_json, counted, human_size, print_entries
from headrace.cli.progress import Progress
from headrace.cli.selection import Selection
from headrace.cli.sources import pages, scope_of
from headrace.errors import NotFound
from headrace.http.effects import Operation
from headrace.models import ObjectInfo, Prefix
from headrace.transfer.session import Session

__all__ = ["ls"]


def ls(
    invocation: Invocation,
    uris: Annotated[
        list[str], typer.Argument(metavar="URI...", help="A prefix, taken literally; a directory; a glob; s3:// for the buckets.")
    ],
    *,
    recursive: Recursive = False,
    count: Annotated[bool, typer.Option("--count", "-c", help="Print only how many objects there are, and bytes in them.")] = False,
    pattern: Pattern = None,
    include: Include = None,
    exclude: Exclude = None,
    json: JSONLines = False,
) -> None:
    """List objects with their sizes and times.

    Into a file or a pipe: size in bytes, time in UTC, and URI, with tabs between them. A prefix that nothing begins with is not found;
    an empty bucket or directory is listed as empty.
    """
    selection = Selection.of(pattern, include, exclude)
    session = Session(invocation.options)
    try:
        entries = chain.from_iterable([_entries(session, word, selection, recursive=recursive, may_be_none=count) for word in uris])
        if count:
            _print_count(entries, invocation, as_record=json)
        else:
            print_entries(entries, as_records=json)
    finally:
        session.close()


def _entries(session: Session, word: str, selection: Selection, *, recursive: bool, may_be_none: bool) -> Iterator[Entry]:
    location = session.interpret(locate(word))
    if not location.container and not location.key:
        containers: Operation[Sequence[Entry]] = session.stores.of(location).list_containers(location)
        yield from session.run(containers)
        return
    scope = session.run(scope_of(session, location, as_listed(location)))
    wanted = re.compile(selection.regex(scope.regex(below=recursive)) or "")
    # What is folded cannot be found by what is in it.
    wanted_prefixes = re.compile(selection.without_inclusions().regex(scope.regex(below=True)) or "")
    empty = True
    for page in pages(session, scope, recursive=recursive):
        for entry in session.run(page):
            empty = False
            if (wanted_prefixes if isinstance(entry, Prefix) else wanted).search(scope.path_of(entry)):
                yield entry
    if empty and not may_be_none and location.key and not is_directory(location):
        raise NotFound("nothing is there, nor begins with it", uri=location.uri, operation="list")


def _print_count(entries: Iterable[Entry], invocation: Invocation, *, as_record: bool) -> None:
    objects = size = 0
    with Progress(drawn=invocation.shows_progress, lines=bool(invocation.verbosity)) as progress:
        for entry in entries:
            if isinstance(entry, ObjectInfo):
                objects += 1
                size += entry.size
                progress.show(objects, size)
    if as_record:
        print(as_json({"objects": objects, "bytes": size}))
    else:
        print(f"{counted(objects, 'object')}, {counted(size, 'byte')} ({human_size(size)})")
