"""How far an exchange has come, and what the kernel still has to do for it."""

from __future__ import annotations

import contextlib
import fcntl
import socket
import sys
import termios

from headrace.errors import HeadraceError, ObjectChanged
from headrace.http.codec import Reply

__all__ = ["file_became_shorter", "progress", "shut_down", "unsent_bytes"]


def progress(reply: Reply) -> str:
    """How far a reply came, for the message of an error."""
    if not reply.status:
        return "before the reply"
    return f"after {reply.received} bytes of the body" + (f" of {reply.length}" if reply.length >= 0 else "")


def shut_down(sock: socket.socket) -> None:
    """Make every call on a socket end that another thread has in progress; the socket stays open."""
    with contextlib.suppress(OSError):
        # Not `SSLSocket.shutdown`: it would let the other thread go on without TLS, and take what is encrypted for the body.
        socket.socket.shutdown(sock, socket.SHUT_RDWR)


def unsent_bytes(descriptor: int) -> int:
    """Bytes that the kernel holds because the peer has not acknowledged them yet; 0 where it does not tell."""
    try:
        return int.from_bytes(fcntl.ioctl(descriptor, termios.TIOCOUTQ, bytes(4)), sys.byteorder)
    except OSError:
        return 0


def file_became_shorter() -> HeadraceError:
    """The error for a file that ends before the `FileRange` that is to be sent from it."""
    return ObjectChanged("the file became shorter while it was sent", hint="Send it again when nobody writes to it.")
