"""How the program ends: the exit status of an error, and its one line on standard error."""

from __future__ import annotations

import logging
import os
import sys
import traceback
import warnings
from collections.abc import Sequence

from headrace.cli.printing import printable
from headrace.errors import (
    ConnectionFailed,
    CredentialsError,
    HeadraceError,
    InvalidOption,
    InvalidURI,
    NotFound,
    PermissionDenied,
    Stalled,
)

__all__ = ["FAILED", "USAGE", "PartlyDone", "complain", "end_with", "exit_status", "show_warnings"]

FAILED = 1
USAGE = 2

_STATUSES: tuple[tuple[type[BaseException] | tuple[type[BaseException], ...], int], ...] = (
    ((InvalidURI, InvalidOption), USAGE),
    (NotFound, 3),
    ((PermissionDenied, CredentialsError), 4),
    ((ConnectionFailed, Stalled), 5),
    (KeyboardInterrupt, 130),
    (BrokenPipeError, 141),
)


class PartlyDone(Exception):
    """Of many things some were not done, and the user has been told why each time.

    Attributes:
        status: the exit status; if nothing at all was done, and always for the same reason, that of the reason.
    """

    def __init__(self, done: int, asked: int, failures: Sequence[HeadraceError]) -> None:
        super().__init__(f"{done} of {asked} were done")
        statuses = {exit_status(failure) for failure in failures}
        self.status = statuses.pop() if not done and len(statuses) == 1 else FAILED


def exit_status(error: BaseException) -> int:
    """The exit status for an error that ended a command."""
    if isinstance(error, PartlyDone):
        return error.status
    return next((status for kinds, status in _STATUSES if isinstance(error, kinds)), FAILED)


def end_with(error: BaseException, *, debug: bool) -> int:
    """Tell the user of an error that ended a command, and give the exit status.

    Args:
        error: what was raised.
        debug: show where it came from, too.
    """
    if debug and not isinstance(error, BrokenPipeError):
        traceback.print_exception(error)
    elif isinstance(error, KeyboardInterrupt):
        complain("interrupted")
    elif isinstance(error, (HeadraceError, PartlyDone)):
        complain(str(error))
    elif isinstance(error, OSError):
        # The verbs raise errors of their own: this one is about the standard streams.
        _drop_output()
        if not isinstance(error, BrokenPipeError):
            complain(f"standard input or output: {error.strerror or error}")
    else:
        complain(f"{type(error).__name__}: {error} (a defect of headrace; -vv shows where)")
    return exit_status(error)


def complain(message: str) -> None:
    """Print a message on standard error, as one line."""
    print(f"headrace: {printable(' '.join(message.splitlines()))}", file=sys.stderr)


def show_warnings() -> None:
    """From now on print what is logged, from warnings up, and Python's own warnings as this program's messages."""
    log = logging.getLogger("headrace")
    log.addHandler(_Messages())
    log.setLevel(logging.WARNING)
    warnings.showwarning = lambda message, *_: complain(str(message))


class _Messages(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        complain(record.getMessage())


def _drop_output() -> None:
    """What is still in the buffer would be written, and fail again, when the interpreter ends."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
