"""S3 as a backend, whose replies come from a script or from a little server."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from headrace.auth.aws import StaticSource
from headrace.auth.sigv4 import Credentials
from headrace.backends.s3 import S3Backend
from headrace.config import Options

KEYS = Credentials("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")


@pytest.fixture
def make_backend() -> Callable[..., S3Backend]:
    """Gives a backend with options, by default at an endpoint of one's own, and with keys."""

    def make(**options: Any) -> S3Backend:
        options = {"endpoint_url": "http://s3.test:9000", "region": "eu-central-1", **options}
        source = options.pop("source", StaticSource(KEYS))
        return S3Backend(Options(**options), None if options.get("anonymous") else source)

    return make


@pytest.fixture
def backend(make_backend: Callable[..., S3Backend]) -> S3Backend:
    return make_backend()


class ScriptedServer:
    """Takes one request after another, on any connection, and sends the bytes of the script; then it closes the connection.

    Attributes:
        endpoint: where it listens.
        requests: the heads that came.
    """

    def __init__(self, listener: socket.socket) -> None:
        self.endpoint = f"http://127.0.0.1:{listener.getsockname()[1]}"
        self.requests: list[str] = []
        self.script: list[bytes] = []
        self._listener = listener

    def serve(self) -> None:
        """Until the listener is closed."""
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection:
                self._answer(connection)

    def _answer(self, connection: socket.socket) -> None:
        received = b""
        while b"\r\n\r\n" not in received:
            piece = connection.recv(65536)
            if not piece:
                return
            received += piece
        head, _, body = received.partition(b"\r\n\r\n")
        length = next((int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0)
        while len(body) < length and (piece := connection.recv(65536)):
            body += piece
        self.requests.append(head.decode("latin-1"))
        connection.sendall(self.script.pop(0) if self.script else b"HTTP/1.1 500 -\r\ncontent-length: 0\r\n\r\n")


@pytest.fixture
def scripted() -> Iterator[ScriptedServer]:
    listener = socket.create_server(("127.0.0.1", 0))
    server = ScriptedServer(listener)
    thread = threading.Thread(target=server.serve)
    thread.start()
    yield server
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join()
