"""What ``cp``, ``mv``, ``upload`` and ``download`` have in common: plan, show the plan or carry it out, tell, and sum up."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

from headrace.cli.command import Invocation
from headrace.cli.exits import PartlyDone, complain
from headrace.cli.locations import is_directory, locate
from headrace.cli.plan import Copy, plan
from headrace.cli.printing import as_json, counted, human_size, printable, shown
from headrace.cli.progress import Done, Progress
from headrace.cli.selection import Selection
from headrace.cli.sources import Found, find_all
from headrace.cli.streams import STANDARD_STREAM, receive, send
from headrace.cli.transfers import Act, perform
from headrace.errors import HeadraceError, InvalidOption
from headrace.http.crew import Crew
from headrace.http.effects import Operation
from headrace.models import ObjectInfo
from headrace.transfer.session import Session

__all__ = ["Request", "transfer"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What a transfer is asked for.

    Attributes:
        sources: words of the command line.
        destination: a word, too.
        recursive: prefixes and directories stand for all below them.
        selection: what is taken of that.
        jobs: objects in flight.
        dry_run: only print what would be done.
        as_records: print JSON.
        removes: each source is removed when its copy is made.
    """

    sources: Sequence[str]
    destination: str
    recursive: bool
    selection: Selection
    jobs: int
    dry_run: bool
    as_records: bool
    removes: bool = False


def transfer(invocation: Invocation, request: Request) -> None:
    """Do what is asked.

    Raises:
        PartlyDone: some copies were not made; the user has been told which, and why.
        HeadraceError: nothing was begun, or the only copy failed.
    """
    if STANDARD_STREAM in (*request.sources, request.destination):
        _stream(invocation, request)
        return
    destination = locate(request.destination)
    session = Session(invocation.options)
    session.crew = Crew(max(request.jobs, session.read_plan.at_once))
    try:
        destination = session.interpret(destination)
        found = session.run(find_all(session, request.sources, request.selection, recursive=request.recursive))
        copies = plan(found, destination)
        if request.dry_run:
            _print_plan(copies, as_records=request.as_records)
            return
        _carry_out(invocation, request, session, copies)
        if request.removes and request.selection.is_everything:
            session.run(_remove_directories(session, found))
    finally:
        session.close()


def _stream(invocation: Invocation, request: Request) -> None:
    """Copy from standard input or to standard output."""
    words = [*request.sources, request.destination]
    if len(words) != 2 or words[0] == words[1] or request.removes or not request.selection.is_everything:
        raise InvalidOption("- stands for one object that is to be copied", hint="Name one object as the other end.")
    into = words[0] == STANDARD_STREAM
    location = locate(words[1] if into else words[0]).require_object()
    if into and (location.key.endswith("/") or is_directory(location)):
        raise InvalidOption("what comes from standard input has no name of its own", uri=location.uri, hint="Add one.")
    if request.dry_run:
        print(" -> ".join(words))
        return
    # Progress would be in the way of bytes that people type or see.
    drawn = invocation.shows_progress and not (sys.stdin if into else sys.stdout).isatty()
    with invocation.client() as client, Progress(drawn=drawn) as progress:
        (receive if into else send)(client, location, moved=lambda size: progress.show(0, size))


def _print_plan(copies: Sequence[Copy], *, as_records: bool) -> None:
    for copy in copies:
        print(as_json(copy._asdict()) if as_records else f"{shown(copy.source)} -> {printable(copy.destination)}")


def _carry_out(invocation: Invocation, request: Request, session: Session, copies: Sequence[Copy]) -> None:
    from headrace.transfer import copying

    act: Act = copying.move if request.removes else copying.copy
    total = Done(len(copies), sum(max(copy.size, 0) for copy in copies))
    lines = bool(invocation.verbosity) and not invocation.quiet
    with Progress(drawn=invocation.shows_progress, lines=lines, total=total) as progress:
        teller = _Teller(invocation, progress, as_records=request.as_records, alone=len(copies) == 1)
        session.run(perform(session, copies, act, jobs=request.jobs, watcher=teller))
    teller.sum_up()
    if teller.failures:
        if len(copies) == 1:
            raise teller.failures[0]
        raise PartlyDone(teller.objects, len(copies), teller.failures)


def _remove_directories(session: Session, found: Sequence[Found]) -> Operation[None]:
    """Remove the directories that moving has left empty; prefixes have none."""
    for one in found:
        if one.base is not None and not one.is_glob:
            yield from session.stores.of(one.base).delete_empty_directories(one.base)


class _Teller:
    """Tells what happens: each copy, failures, progress, and the sum; called by several threads.

    Attributes:
        objects: copies that were made.
        failures: why the others were not.
    """

    def __init__(self, invocation: Invocation, progress: Progress, *, as_records: bool, alone: bool) -> None:
        self._invocation = invocation
        self._progress = progress
        self._as_records = as_records
        self._alone = alone
        self._lock = threading.Lock()
        self._begin = time.monotonic()
        self._arrived = self._size = 0
        self.objects = 0
        self.failures: list[HeadraceError] = []

    def moved(self, size: int) -> None:
        with self._lock:
            self._arrived += size
        self._progress.show(self.objects, self._arrived)

    def done(self, copy: Copy, info: ObjectInfo) -> None:
        with self._lock:
            self.objects += 1
            self._size += info.size
            if self._as_records:
                print(as_json(info), flush=True)
            elif self._invocation.verbosity:
                print(f"{shown(copy.source)} -> {printable(copy.destination)}", flush=True)
        self._progress.show(self.objects, self._arrived)

    def failed(self, copy: Copy, error: HeadraceError) -> None:
        with self._lock:
            self.failures.append(error)
            if self._as_records:
                print(as_json({"uri": copy.destination, "source": copy.source, "error": type(error).__name__, "message": str(error)}))
            if not self._alone:
                complain(str(error))

    def sum_up(self) -> None:
        """Say what was done in all: to programs always, to people where progress was shown."""
        seconds = time.monotonic() - self._begin
        rate = self._size / max(seconds, 1e-9)
        if self._as_records:
            report = {
                "objects": self.objects,
                "bytes": self._size,
                "seconds": round(seconds, 6),
                "rate": round(rate),
                "failures": len(self.failures),
            }
            print(as_json(report))
        elif self.objects and (self._invocation.shows_progress or (self._invocation.verbosity and not self._invocation.quiet)):
            text = f"{counted(self.objects, 'object')}, {human_size(self._size)} in {seconds:.1f} s ({human_size(rate)}/s)"
            print(text, file=sys.stderr)
