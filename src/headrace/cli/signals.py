"""What a signal does to the program: the first one makes it clean up and end, a second one ends it at once.

SIGTERM and SIGHUP do what SIGINT (Ctrl-C) does, so that nothing is left behind when a scheduler or a closed terminal ends the
program. A signal that is ignored when the program starts, as by ``nohup`` or in the background of a script, stays ignored.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from types import FrameType

__all__ = ["INTERRUPTED", "end", "listen"]

_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
INTERRUPTED = 128 + signal.SIGINT
"""The exit status after Ctrl-C."""

# `timeout` signals its child and then the child's group, so that one signal arrives twice; so do shells that pass on Ctrl-C.
_SAME_SIGNAL_SECONDS = 0.2
_SHOW_CURSOR = b"\x1b[?25h\n"

_cause: int | None = None


def listen() -> None:
    """From now on treat signals as the program does. To be called once, in the main thread."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, _interrupt)
    receiving, sending = os.pipe()
    os.set_blocking(sending, False)
    # The number of each signal goes there at once, even while the main thread waits where Python can raise nothing, as in the resolver.
    signal.set_wakeup_fd(sending, warn_on_full_buffer=False)
    threading.Thread(target=_watch, args=(receiving,), name="headrace-signals", daemon=True).start()


def end(status: int) -> int:
    """From now on interrupt nothing, since the command has ended; give the exit status for the one that it ended with."""
    for number in _ENDING:
        if callable(signal.getsignal(number)):
            # Not SIG_IGN: a second signal is still to end the program.
            signal.signal(number, lambda *_: None)
    return status if _cause is None or status != INTERRUPTED else 128 + _cause


def _interrupt(number: int, frame: FrameType | None) -> None:
    """Do what Ctrl-C does at this moment: `asyncio.run` makes it cancel the task that runs."""
    global _cause
    if _cause is not None:
        return
    _cause = number
    handler = signal.getsignal(signal.SIGINT)
    if callable(handler):
        handler(signal.SIGINT, frame)
    else:
        raise KeyboardInterrupt


def _watch(receiving: int) -> None:
    """End the program at the second signal that asks for it."""
    first: float | None = None
    while numbers := os.read(receiving, 64):
        number = next((number for number in numbers if number in _ENDING), None)
        if number is None:
            continue
        if first is None:
            first = time.monotonic()
        elif time.monotonic() - first > _SAME_SIGNAL_SECONDS:
            if os.isatty(2):
                # A progress bar hides it.
                os.write(2, _SHOW_CURSOR)
            os._exit(128 + number)
