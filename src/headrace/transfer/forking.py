"""What has to be over before a process forks."""

from __future__ import annotations

import os
import sys
import threading
import time
from types import FrameType

__all__ = ["wait_for_imports"]

_PACKAGE = os.path.dirname(os.path.dirname(__file__)) + os.sep
_IMPORTLIB = "<frozen importlib"
_SECONDS = 10.0
_BETWEEN_LOOKS = 1e-3


def wait_for_imports() -> None:
    """Wait, a few seconds at most, until no other thread is importing what headrace loads when it is first needed.

    A child that is forked meanwhile waits for ever when it needs the same module: the thread that loads it, and holds its lock, is not
    in the child.
    """
    own, deadline = threading.get_ident(), time.monotonic() + _SECONDS
    while any(_imports_for_us(frame) for thread, frame in sys._current_frames().items() if thread != own):
        if time.monotonic() > deadline:
            return
        time.sleep(_BETWEEN_LOOKS)


def _imports_for_us(frame: FrameType | None) -> bool:
    """Whether a thread with this stack is in an import that headrace has begun."""
    importing = False
    while frame is not None:
        name = frame.f_code.co_filename
        importing = importing or name.startswith(_IMPORTLIB)
        if importing and name.startswith(_PACKAGE):
            return True
        frame = frame.f_back
    return False
