"""A server that means harm, and clients of both kinds to harm."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import socket
import ssl
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple, TypeAlias

import pytest

from headrace import Client, aio
from headrace.auth.sigv4 import Credentials

ACCESS_KEY, SECRET_KEY = "AKIDHOSTILE", "secret-that-signs"
FAST = {"max_attempts": 1, "connect_timeout": 10.0, "stall_timeout": 10.0}


class Asked(NamedTuple):
    """A request as the server saw it."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes


Answering: TypeAlias = Callable[[Asked], "bytes | Iterable[bytes]"]


class Hostile:
    """Answers one request on each connection with whatever bytes it likes, and closes it.

    Attributes:
        endpoint: where it is.
        asked: the requests that came.
        connections: how many connections came, whether or not anything was asked on them.
    """

    def __init__(self, answer: Answering, tls: ssl.SSLContext | None = None) -> None:
        self.asked: list[Asked] = []
        self.connections = 0
        self._answer, self._tls = answer, tls
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.endpoint = f"https://localhost:{self.port}" if tls else f"http://127.0.0.1:{self.port}"
        self._open: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def stop(self) -> None:
        for sock in [self._listener, *self._open]:
            with contextlib.suppress(OSError):
                socket.socket.shutdown(sock, socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(20)
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                sock, _ = self._listener.accept()
                sock.settimeout(20)
                self.connections += 1
                self._open.append(sock)
                self._threads.append(threading.Thread(target=self._serve, args=(sock,)))
                self._threads[-1].start()

    def _serve(self, sock: socket.socket) -> None:
        with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
            stack.callback(sock.close)
            if self._tls:
                sock = stack.enter_context(self._tls.wrap_socket(sock, server_side=True))
            asked = self._read(sock)
            if asked is not None:
                self.asked.append(asked)
                answer = self._answer(asked)
                for piece in [answer] if isinstance(answer, bytes) else answer:
                    sock.sendall(piece)

    @staticmethod
    def _read(sock: socket.socket) -> Asked | None:
        data = b""
        while b"\r\n\r\n" not in data:
            piece = sock.recv(1 << 16)
            if piece[:1] == b"\x16":
                # A client that speaks TLS.
                sock.sendall(b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n")
                return None
            if not piece:
                return None
            data += piece
        head, _, body = data.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines)
        if headers.get("expect"):
            sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        while len(body) < int(headers.get("content-length", 0)) and (piece := sock.recv(1 << 16)):
            body += piece
        method, target, _ = first.split(" ")
        return Asked(method, target, headers, body)


@pytest.fixture
def hostile() -> Iterator[Callable[..., Hostile]]:
    """Starts such servers: ``hostile(answer, tls=context)``."""
    servers: list[Hostile] = []

    def start(answer: Answering, tls: ssl.SSLContext | None = None) -> Hostile:
        servers.append(Hostile(answer, tls))
        return servers[-1]

    yield start
    for server in servers:
        server.stop()


Call: TypeAlias = Callable[..., Any]


@pytest.fixture(params=["blocking", "asyncio"])
def call(request: pytest.FixtureRequest) -> Call:
    """Performs a verb with a client of its own: ``call(server, "get", uri)``; what a verb iterates over comes as a list."""

    def blocking(server: Any, verb: str, *arguments: Any, options: Any = None, **more: Any) -> Any:
        with Client(**_options(server, options)) as client:
            result = getattr(client, verb)(*arguments, **more)
            return list(result) if isinstance(result, Iterator) else result

    async def in_a_loop(server: Any, verb: str, *arguments: Any, options: Any = None, **more: Any) -> Any:
        async with aio.Client(**_options(server, options)) as client:
            result = getattr(client, verb)(*arguments, **more)
            return await result if inspect.isawaitable(result) else [item async for item in result]

    return blocking if request.param == "blocking" else lambda *arguments, **more: asyncio.run(in_a_loop(*arguments, **more))


def _options(server: Any, options: dict[str, Any] | None) -> dict[str, Any]:
    credentials = Credentials(ACCESS_KEY, SECRET_KEY)
    return {"endpoint_url": server.endpoint, "region": "us-east-1", "credentials": credentials, **FAST, **(options or {})}


@pytest.fixture(scope="session")
def server_tls(authority: Any) -> Callable[..., ssl.SSLContext]:
    """A server's TLS: ``server_tls()`` is trusted by ``authority.ca_bundle``; ``server_tls(certificate)`` uses another certificate."""
    usual = authority.issue("localhost", "127.0.0.1")

    def context(certificate: Any = usual) -> ssl.SSLContext:
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        made.load_cert_chain(certificate.certificate, certificate.key)
        return made

    return context
