"""Small web servers, each of which does what its test needs, and clients of both kinds."""

from __future__ import annotations

import asyncio
import inspect
import ssl
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple, TypeAlias

import pytest

from headrace import Client, aio
from headrace.testing.servers import Authority


class Asked(NamedTuple):
    """A request as the server saw it; names of headers in lower case."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes


class Answered(NamedTuple):
    """What it replies; without ``sized`` neither length nor chunks are told, so that the body lasts until the connection ends."""

    status: int = 200
    headers: dict[str, str] = {}  # noqa: RUF012
    body: bytes = b""
    sized: bool = True
    chunked: bool = False
    announced: int | None = None


Answering: TypeAlias = Callable[[Asked], Answered]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Site

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except OSError:
            # The client has heard enough.
            self.close_connection = True

    def _answer(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        answered = None
        if "expect" in headers:
            answered = self.server.answer(Asked(self.command, self.path, headers, b""))
            if answered.status < 300:
                self.send_response_only(100)
                self.end_headers()
                answered = None
        body = b"" if answered else self.rfile.read(int(headers.get("content-length", 0)))
        asked = Asked(self.command, self.path, headers, body)
        self.server.asked.append(asked)
        self._send(answered or self.server.answer(asked))

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _answer  # noqa: N815

    def _send(self, answered: Answered) -> None:
        self.send_response_only(answered.status)
        for name, value in answered.headers.items():
            self.send_header(name, value)
        if answered.chunked:
            self.send_header("transfer-encoding", "chunked")
        elif answered.sized:
            self.send_header("content-length", str(len(answered.body) if answered.announced is None else answered.announced))
        self.close_connection = not answered.sized or answered.announced is not None or self.headers.get("expect") is not None
        self.end_headers()
        if self.command == "HEAD":
            return
        if answered.chunked:
            for start in range(0, len(answered.body), 100_000):
                piece = answered.body[start : start + 100_000]
                self.wfile.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
            self.wfile.write(b"0\r\n\r\n")
        else:
            self.wfile.write(answered.body)

    def log_message(self, *_: object) -> None:
        """Nothing."""


class Site(ThreadingHTTPServer):
    """A web server on loopback.

    Attributes:
        url: its address.
        asked: the requests that came.
        connections: how many connections came, whether or not anything was asked on them.
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, answer: Answering, tls: ssl.SSLContext | None) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answer, self.tls = answer, tls
        self.asked: list[Asked] = []
        self.connections = 0
        self.url = f"{'https://localhost' if tls else 'http://127.0.0.1'}:{self.server_port}"

    def get_request(self) -> tuple[Any, Any]:
        connection, address = super().get_request()
        self.connections += 1
        if self.tls:
            # The handshake is made by the thread that serves the connection.
            connection = self.tls.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        return connection, address

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that does not trust the certificate, or leaves, is what many tests are about."""


@pytest.fixture
def site() -> Iterator[Callable[..., Site]]:
    """Starts a server: ``site(answer, tls=context)``."""
    running: list[tuple[Site, threading.Thread]] = []

    def start(answer: Answering, tls: ssl.SSLContext | None = None) -> Site:
        server = Site(answer, tls)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        running.append((server, thread))
        return server

    yield start
    for server, thread in running:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def server_tls(authority: Authority) -> Callable[..., ssl.SSLContext]:
    """A server's TLS; by default with a certificate that ``authority.ca_bundle`` vouches for."""

    def context(certificate: Any = None) -> ssl.SSLContext:
        certificate = certificate or authority.issue()
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        made.load_cert_chain(certificate.certificate, certificate.key)
        return made

    return context


@pytest.fixture(params=["blocking", "asyncio"])
def call(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """Performs a verb with a client of its own: ``call("get", uri, start=5, options={...})``."""

    def blocking(verb: str, *arguments: Any, options: Any = None, **more: Any) -> Any:
        with Client(**{"max_attempts": 1, **(options or {})}) as client:
            return getattr(client, verb)(*arguments, **more)

    async def on_a_loop(verb: str, *arguments: Any, options: Any = None, **more: Any) -> Any:
        async with aio.Client(**{"max_attempts": 1, **(options or {})}) as client:
            result = getattr(client, verb)(*arguments, **more)
            return await result if inspect.isawaitable(result) else [item async for item in result]

    if request.param == "blocking":
        return blocking
    return lambda *arguments, **more: asyncio.run(on_a_loop(*arguments, **more))
