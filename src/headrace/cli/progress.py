"""Progress on standard error: how much is done, and how fast."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from rich.progress import Progress as Bar

__all__ = ["Progress"]

_SECONDS_BETWEEN = 0.1


class Progress:
    """One line that says how many objects and bytes are done, and their rates. It goes when the block ends.

    Args:
        shown: False shows nothing, and costs nothing.
        total: the bytes that will be done, where that is known.
    """

    def __init__(self, *, shown: bool, total: int | None = None) -> None:
        self._bar = _bar(total) if shown else None
        self._task = self._bar.add_task("", total=total, objects=0, rate=0.0) if self._bar else None
        self._begin = self._latest = time.monotonic()

    def __enter__(self) -> Self:
        if self._bar:
            self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._bar:
            self._bar.stop()

    def show(self, objects: int, size: int) -> None:
        """So many objects, of so many bytes together, are done."""
        if self._bar is None or self._task is None:
            return
        now = time.monotonic()
        if now - self._latest >= _SECONDS_BETWEEN:
            self._latest = now
            self._bar.update(self._task, completed=size, objects=objects, rate=objects / (now - self._begin))


def _bar(total: int | None) -> Bar:
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, ProgressColumn, SpinnerColumn, TextColumn, TransferSpeedColumn
    from rich.progress import Progress as Bar

    columns: list[ProgressColumn] = [SpinnerColumn() if total is None else BarColumn()]
    columns.append(TextColumn("{task.fields[objects]:,} objects, {task.fields[rate]:,.0f}/s,"))
    columns += [DownloadColumn(binary_units=True), TransferSpeedColumn()]
    # Results that go into a file or a pipe are not to be drawn above the bar, with it, on the terminal.
    return Bar(*columns, console=Console(stderr=True), transient=True, redirect_stdout=sys.stdout.isatty())
