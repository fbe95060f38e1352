"""What has to be over before a process forks, or done before another thread can begin with it."""

from __future__ import annotations

import _imp
import hashlib
import hmac
import os
import sys
import threading
import time
from types import FrameType

__all__ = ["register"]

# OpenSSL looks a function up under locks of its own when it is first used, and loads its tables for the first of all. A child that was
# forked in the middle of that would wait for ever. Here it is done inside of an import, which a fork waits for.
for _name in ("sha256", "md5"):
    hashlib.new(_name, usedforsecurity=False).copy().hexdigest()
hmac.new(b"", b"", "sha256").copy().hexdigest()
hmac.digest(b"", b"", "sha256")

_PACKAGE = os.path.dirname(os.path.dirname(__file__)) + os.sep
_IMPORTLIB = "<frozen importlib"
_SECONDS = 10.0
_BETWEEN_LOOKS = 1e-3


def register() -> None:
    """From now on, let a fork wait until no other thread is importing what headrace loads when it is first needed."""
    os.register_at_fork(before=_hold_imports, after_in_parent=_imp.release_lock, after_in_child=_imp.release_lock)


def _hold_imports() -> None:
    """Wait, a few seconds at most, for the imports of other threads, and hold the lock that each import begins with.

    A child that is forked meanwhile waits for ever when it needs the same module: the thread that loads it, and holds its lock, is not
    in the child. Forking itself takes this lock too, and may do so once more.
    """
    own, deadline = threading.get_ident(), time.monotonic() + _SECONDS
    while True:
        _imp.acquire_lock()
        importing = any(_imports_for_us(frame) for thread, frame in sys._current_frames().items() if thread != own)
        if not importing or time.monotonic() > deadline:
            return
        _imp.release_lock()
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
