"""A proxy before a server that makes a network slow, or silent, at a moment that a test chooses."""

from __future__ import annotations

import contextlib
import re
import socket
import threading
import time
from collections.abc import Callable
from typing import Self, TypeAlias
from urllib.parse import urlsplit

WATCHDOG = 60.0
"""Seconds after which something hangs; nothing here takes as long."""

_REQUEST = re.compile(rb"(?:^|\r\n\r\n)((?:GET|HEAD|PUT|POST|DELETE) \S+) HTTP/1\.1\r\n")
_PIECE = 16 << 10

Look: TypeAlias = Callable[[bytes, threading.Event], None]


class Throttle:
    """Passes bytes on between its clients and a server, in both directions.

    Args:
        endpoint: the server's URL.
        rate: bytes a second, for each connection and direction; None passes all on at once.
        delay: seconds that each piece of a reply is held.
        silent_at: a regular expression; a connection on which a request line matches passes nothing on any more.
    """

    def __init__(self, endpoint: str, *, rate: float | None = None, delay: float = 0, silent_at: str | None = None) -> None:
        parts = urlsplit(endpoint)
        self.rate, self.delay, self.silent_at = rate, delay, silent_at
        self.requests: list[str] = []
        self._server = (parts.hostname, parts.port)
        self._stopped = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self._sockets: set[socket.socket] = set()
        self._acceptor = threading.Thread(target=self._accept)
        self._acceptor.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *reason: object) -> None:
        self._stopped.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._acceptor.join(WATCHDOG)
        self._listener.close()
        deadline = time.monotonic() + WATCHDOG
        while sockets := list(self._sockets):
            assert time.monotonic() < deadline
            for sock in sockets:
                with contextlib.suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)
            time.sleep(0.001)

    @property
    def endpoint(self) -> str:
        """Where the proxy is."""
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def saw(self, pattern: str, times: int = 1) -> bool:
        """Whether so many requests came whose method and target match."""
        return sum(re.search(pattern, request) is not None for request in list(self.requests)) >= times

    def wait_for(self, pattern: str, times: int = 1) -> None:
        """Wait until it `saw` them."""
        deadline = time.monotonic() + WATCHDOG
        while not self.saw(pattern, times):
            assert time.monotonic() < deadline, f"no {pattern} among {self.requests}"
            time.sleep(0.002)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
                server = socket.create_connection(self._server)
            except OSError:
                return
            self._sockets |= {client, server}
            threading.Thread(target=self._relay, args=(client, server), daemon=True).start()

    def _relay(self, client: socket.socket, server: socket.socket) -> None:
        """Pass bytes on in both directions until both have ended."""
        silent = threading.Event()
        back = threading.Thread(target=self._pump, args=(server, client, silent, self._hold), daemon=True)
        back.start()
        self._pump(client, server, silent, self._note)
        back.join()
        self._sockets -= {client, server}
        client.close()
        server.close()

    def _pump(self, source: socket.socket, sink: socket.socket, silent: threading.Event, look: Look) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(_PIECE):
                look(data, silent)
                if self.rate:
                    self._stopped.wait(len(data) / self.rate)
                # Bytes are taken even if they are not passed on, or the sender would notice.
                if not silent.is_set():
                    sink.sendall(data)
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_WR)

    def _note(self, data: bytes, silent: threading.Event) -> None:
        for found in _REQUEST.findall(data):
            request = found.decode("latin-1")
            if self.silent_at is not None and re.search(self.silent_at, request):
                silent.set()
            self.requests.append(request)

    def _hold(self, data: bytes, silent: threading.Event) -> None:
        if self.delay:
            self._stopped.wait(self.delay)
