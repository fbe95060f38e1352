"""``headrace rm``: delete."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Annotated

import typer

from headrace.cli.command import DryRun, Exclude, Include, Invocation, JSONLines, Pattern, Recursive
from headrace.cli.locations import as_prefix, is_local, locate
from headrace.cli.printing import as_json, counted, print_entries
from headrace.cli.progress import Progress
from headrace.cli.selection import Selection
from headrace.cli.sources import pages, scope_of
from headrace.errors import InvalidOption
from headrace.models import ObjectInfo
from headrace.transfer import deleting
from headrace.transfer.session import Session
from headrace.uri import Location

__all__ = ["rm"]


def rm(
    invocation: Invocation,
    uris: Annotated[list[str], typer.Argument(metavar="URI...", help="Objects, globs; with -r prefixes and directories.")],
    *,
    recursive: Recursive = False,
    pattern: Pattern = None,
    include: Include = None,
    exclude: Exclude = None,
    bucket: Annotated[bool, typer.Option("--bucket", help="Everything in a bucket is really meant.")] = False,
    dry_run: DryRun = False,
    json: JSONLines = False,
) -> None:
    """Delete objects.

    Buckets stay, and so do directories unless they are deleted with -r. A symbolic link is deleted itself, not what it leads to.
    """
    selection = Selection.of(pattern, include, exclude)
    session = Session(invocation.options)
    try:
        targets = [_Target(session, session.interpret(locate(uri)), recursive=recursive) for uri in uris]
        for target in targets:
            target.check(selection, bucket=bucket)
        if dry_run:
            print_entries(chain.from_iterable(chain.from_iterable(target.pages(selection) for target in targets)), as_records=json)
            return
        deleted = _delete(invocation, session, targets, selection)
    finally:
        session.close()
    if json:
        print(as_json({"deleted": deleted}))
    elif not invocation.quiet:
        print(f"{counted(deleted, 'object')} deleted")


class _Target:
    """What one word names: an object, what is below a prefix, or what a glob matches."""

    def __init__(self, session: Session, location: Location, *, recursive: bool) -> None:
        self._session = session
        self.location = location
        self.scope = session.run(scope_of(session, location, as_prefix(location)))
        self.recursive = recursive

    @property
    def is_object(self) -> bool:
        return self.scope.glob is None and not self.recursive

    def check(self, selection: Selection, *, bucket: bool) -> None:
        """Refuse what cannot be meant, before anything is deleted."""
        selection.regex()
        if self.is_object:
            self.location.require_object()
            if not selection.is_everything:
                raise InvalidOption("this is one object, of which nothing is to be selected", uri=self.location.uri, hint="Say -r.")
        elif self.recursive and not bucket and self._is_whole_bucket():
            hint = "Say --bucket if that is meant."
            raise InvalidOption("this would delete everything in the bucket", uri=self.location.uri, hint=hint)
        elif is_local(self.location) and not self.location.key.strip("/*"):
            raise InvalidOption("refusing to delete a whole file system", uri=self.location.uri)

    def _is_whole_bucket(self) -> bool:
        return not is_local(self.location) and not self.location.key.strip("/*")

    def pages(self, selection: Selection) -> Iterator[list[ObjectInfo]]:
        """What will be deleted, a page at a time."""
        if self.is_object:
            yield [self._session.run(self._session.stores.of(self.location).head(self.location))]
            return
        wanted = re.compile(selection.regex(self.scope.regex(below=self.recursive)) or "")
        for page in pages(self._session, self.scope, recursive=self.recursive, follow_links=False):
            entries = self._session.run(page)
            yield [entry for entry in entries if isinstance(entry, ObjectInfo) and wanted.search(self.scope.path_of(entry))]


def _delete(invocation: Invocation, session: Session, targets: Sequence[_Target], selection: Selection) -> int:
    deleted = size = 0
    with Progress(drawn=invocation.shows_progress) as progress:
        for target in targets:
            if target.is_object:
                deleted += session.run(deleting.delete(session, target.location.uri, recursive=False, pattern=None))
                continue
            for page in target.pages(selection):
                deleted += session.run(deleting.delete_all(session, [info.uri for info in page]))
                size += sum(info.size for info in page)
                progress.show(deleted, size)
            if target.scope.glob is None and selection.is_everything:
                session.run(session.stores.of(target.location).delete_empty_directories(target.scope.base))
    return deleted
