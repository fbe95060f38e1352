"""Free ports on the loopback interface."""

from __future__ import annotations

import http.client
import random
import socket

__all__ = ["LOOPBACK", "accepts", "answer", "free_ports"]

LOOPBACK = "127.0.0.1"

# Below what Linux (32768) and macOS (49152) give to outgoing connections: no client of the machine takes one of these by chance
# between the choice and the server's bind.
_FIRST, _LAST = 10_000, 32_000
_random = random.SystemRandom()


def free_ports(count: int) -> list[int]:
    """Choose ``count`` different ports that nobody listens on.

    Nothing reserves them: a server that finds its port taken after all has to be started again with another.
    """
    ports: set[int] = set()
    while len(ports) < count:
        port = _random.randrange(_FIRST, _LAST)
        if _is_free(port):
            ports.add(port)
    return list(ports)


def accepts(port: int) -> bool:
    """Whether somebody accepts connections on a loopback port."""
    try:
        socket.create_connection((LOOPBACK, port), timeout=1).close()
    except OSError:
        return False
    return True


def answer(port: int, path: str, *, host: str = LOOPBACK) -> tuple[int, bytes] | None:
    """Status and body of ``GET path`` on a port, or None if there is no HTTP server (yet). Proxies are not asked."""
    connection = http.client.HTTPConnection(host, port, timeout=1)
    try:
        connection.request("GET", path)
        reply = connection.getresponse()
        return reply.status, reply.read()
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def _is_free(port: int) -> bool:
    with socket.socket() as listener:
        # As servers do, so that a port whose last connections are in TIME_WAIT counts as free.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((LOOPBACK, port))
        except OSError:
            return False
    return True
