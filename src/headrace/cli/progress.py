"""Progress on standard error: how much is done, how fast in the last seconds, and how long it will take."""

from __future__ import annotations

import sys
import threading
import time
from collections import deque
from types import TracebackType
from typing import TYPE_CHECKING, NamedTuple, Self

from headrace.cli.printing import counted, human_size

if TYPE_CHECKING:
    from rich.progress import Progress as Bar

__all__ = ["Done", "Progress", "describe"]

_WINDOW = 5.0
_SECONDS_BETWEEN_DRAWINGS = 0.1
_SECONDS_BETWEEN_LINES = 10.0


class Done(NamedTuple):
    """How much is done, or is to be done: objects, and their bytes together."""

    objects: int
    size: int


def describe(done: Done, total: Done | None, rate: Done) -> str:
    """A line such as ``"3 of 9 objects, 1.5 MiB of 4.0 MiB, 512.0 KiB/s, 0:05 left"``; without a total only what is known.

    Args:
        done: so far.
        total: in the end, if that is known.
        rate: a second.
    """
    if total is None:
        return f"{counted(done.objects, 'object')}, {human_size(done.size)}, {rate.objects:,}/s"
    objects = f"{done.objects:,} of {counted(total.objects, 'object')}"
    left = f", {_minutes((total.size - done.size) / rate.size)} left" if rate.size > 0 else ""
    return f"{objects}, {human_size(done.size)} of {human_size(total.size)}, {human_size(max(rate.size, 0))}/s{left}"


class Progress:
    """Shows how far things have come, until the ``with`` block ends: one line drawn again and again, or a new line from time to time.

    It may be told by several threads.

    Args:
        drawn: draw on the terminal; the line goes when the block ends.
        lines: if it is not drawn, print a line every ten seconds.
        total: what will be done, where that is known.
    """

    def __init__(self, *, drawn: bool, lines: bool = False, total: Done | None = None) -> None:
        self._bar = _bar(total) if drawn else None
        self._total = total
        self._period = _SECONDS_BETWEEN_DRAWINGS if drawn else _SECONDS_BETWEEN_LINES
        self._shown = drawn or lines
        self._lock = threading.Lock()
        self._latest = time.monotonic()
        self._history = deque([(self._latest, Done(0, 0))])

    def __enter__(self) -> Self:
        if self._bar:
            self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._bar:
            self._bar.stop()

    def show(self, objects: int, size: int) -> None:
        """So many objects, and bytes, are done."""
        now = time.monotonic()
        if not self._shown or now - self._latest < self._period or not self._lock.acquire(blocking=False):
            return
        try:
            self._latest = now
            done = Done(objects, size)
            text = describe(done, self._total, self._rate(now, done))
            if self._bar:
                self._bar.update(self._bar.task_ids[0], completed=size, text=text)
            else:
                print(f"headrace: {text}", file=sys.stderr, flush=True)
        finally:
            self._lock.release()

    def _rate(self, now: float, done: Done) -> Done:
        """A second, over the last seconds."""
        self._history.append((now, done))
        while len(self._history) > 2 and now - self._history[1][0] >= max(_WINDOW, self._period):
            self._history.popleft()
        since, before = self._history[0]
        return Done(*(int((new - old) / max(now - since, 1e-9)) for new, old in zip(done, before, strict=True)))


def _bar(total: Done | None) -> Bar:
    from rich.console import Console
    from rich.progress import BarColumn, ProgressColumn, SpinnerColumn, TextColumn
    from rich.progress import Progress as Bar

    column: ProgressColumn = SpinnerColumn() if total is None else BarColumn(bar_width=20)
    # Results that go into a file or a pipe are not to be drawn above the bar, with it, on the terminal.
    bar = Bar(column, TextColumn("{task.fields[text]}"), console=Console(stderr=True), transient=True, redirect_stdout=sys.stdout.isatty())
    bar.add_task("", total=total.size if total else None, text="")
    return bar


def _minutes(seconds: float) -> str:
    minutes, rest = divmod(int(max(seconds, 0)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
