"""``headrace du``: how many bytes lie below prefixes."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Annotated

import typer

from headrace.cli.command import Exclude, Include, Invocation, JSONLines, Pattern
from headrace.cli.locations import as_prefix, locate
from headrace.cli.printing import as_json, counted, human_size, keep_odd_names, printable
from headrace.cli.progress import Progress
from headrace.cli.selection import Selection
from headrace.client import Client
from headrace.models import ObjectInfo
from headrace.uri import Location

__all__ = ["du"]


def du(
    invocation: Invocation,
    uris: Annotated[list[str], typer.Argument(metavar="URI...", help="Prefixes, directories, buckets.")],
    *,
    depth: Annotated[int, typer.Option("--depth", "-d", min=0, metavar="N", help="Levels that get a line of their own (1).")] = 1,
    summarize: Annotated[bool, typer.Option("--summarize", "-s", help="Only the sum of each URI; the same as -d 0.")] = False,
    pattern: Pattern = None,
    include: Include = None,
    exclude: Exclude = None,
    json: JSONLines = False,
) -> None:
    """Add up the bytes and objects below prefixes and directories, for each level down to a depth."""
    regex = Selection.of(pattern, include, exclude).regex()
    keep_odd_names()
    tops = [as_prefix(locate(uri)) for uri in uris]
    with invocation.client() as client:
        for top in tops:
            with Progress(drawn=invocation.shows_progress) as progress:
                sums = _add_up(client, top, regex, 0 if summarize else depth, progress)
            for line in _lines(sums, as_records=json):
                print(line)


def _add_up(client: Client, top: Location, regex: str | None, depth: int, progress: Progress) -> dict[str, tuple[int, int]]:
    """Objects and bytes of each prefix down to ``depth``, the whole last."""
    sums: dict[str, tuple[int, int]] = {}
    objects = size = 0
    skip = len(top.uri)
    for entry in client.list(top.uri, pattern=regex):
        if isinstance(entry, ObjectInfo):
            objects, size = objects + 1, size + entry.size
            names = entry.uri[skip:].split("/")
            for level in range(1, min(depth + 1, len(names))):
                uri = f"{top.uri}{'/'.join(names[:level])}/"
                before = sums.get(uri, (0, 0))
                sums[uri] = before[0] + 1, before[1] + entry.size
            progress.show(objects, size)
    return {**sums, top.uri: (objects, size)}


def _lines(sums: dict[str, tuple[int, int]], *, as_records: bool) -> Iterator[str]:
    terminal = sys.stdout.isatty()
    for uri, (objects, size) in sums.items():
        if as_records:
            yield as_json({"uri": uri, "objects": objects, "bytes": size})
        elif terminal:
            yield f"{human_size(size):>10}  {counted(objects, 'object'):>16}  {printable(uri)}"
        else:
            yield f"{size}\t{objects}\t{uri}"
