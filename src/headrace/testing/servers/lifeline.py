"""Ends a group of processes, and removes their directory, when the process that started them closes the pipe or is gone.

A program, run as ``python lifeline.py DIRECTORY``. It prints the id of a new process group for others to join and reads its
standard input to the end. The kernel closes the other end of that pipe however its owner dies, SIGKILL included, which no
``atexit`` survives; and unlike Linux's parent-death signal it does not depend on which thread started whom. Forked children of
the owner hold the pipe too, so it is the last of them that ends the servers.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time

__all__: list[str] = []

_REMOVE_ATTEMPTS = 250
_REMOVE_PAUSE = 0.02  # seconds


def _lead_group() -> int:
    """Start a process that does nothing but keep its process group's id from being given to anybody else."""
    leader = os.fork()
    if leader == 0:
        os.setpgid(0, 0)
        while True:
            signal.pause()
    # Both sides set the group, since neither knows who runs first.
    os.setpgid(leader, leader)
    return leader


def _remove(directory: str) -> None:
    # A process that was just killed may still be finishing a system call that creates a file.
    for _ in range(_REMOVE_ATTEMPTS):
        shutil.rmtree(directory, ignore_errors=True)
        if not os.path.exists(directory):
            return
        time.sleep(_REMOVE_PAUSE)


def _main(directory: str) -> None:
    leader = _lead_group()
    os.write(sys.stdout.fileno(), f"{leader}\n".encode())
    while os.read(sys.stdin.fileno(), 1):
        pass
    os.killpg(leader, signal.SIGKILL)
    os.waitpid(leader, 0)
    _remove(directory)


if __name__ == "__main__":
    _main(sys.argv[1])
