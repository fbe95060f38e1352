"""Servers that follow a script, byte for byte, and the two drivers as one thing to test."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import pytest

from headrace.http.asynchronous import AsyncTransport, run_async
from headrace.http.blocking import BlockingTransport, Settings
from headrace.http.codec import Placement, Reply
from headrace.http.crew import Crew, run_blocking
from headrace.http.effects import Operation, Parallel, Send
from headrace.http.messages import FileRange, Origin, Request
from headrace.http.tls import client_context
from headrace.testing.servers import Authority

WATCHDOG_SECONDS = 20.0


class ClientLeft(ConnectionError):
    """The client closed the connection; ends a script."""


class Received(NamedTuple):
    """A request as the server saw it."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes


class Peer:
    """The server's end of one connection, for a script to play on.

    Attributes:
        number: how many connections came before.
        closed: set when the script has ended and the connection is closed.
    """

    def __init__(self, server: ScriptedServer, sock: socket.socket, number: int) -> None:
        self.server = server
        self.number = number
        self.socket = sock
        self.closed = threading.Event()
        self._ahead = b""

    def head(self) -> Received:
        """Read the head of a request; its body stays unread."""
        while b"\r\n\r\n" not in self._ahead:
            self._ahead += self._some()
        head, _, self._ahead = self._ahead.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        method, target, _ = first.split(" ")
        headers = dict(line.split(": ", 1) for line in lines)
        received = Received(method, target, headers, b"")
        self.server.received.append(received)
        return received

    def body(self, length: int) -> bytes:
        """Read ``length`` bytes of a body."""
        data = bytearray(self._ahead)
        while len(data) < length:
            data += self._some()
        self._ahead = bytes(data[length:])
        return bytes(data[:length])

    def request(self) -> Received:
        """Read a whole request."""
        received = self.head()._replace(body=b"")
        received = received._replace(body=self.body(int(received.headers.get("content-length", 0))))
        self.server.received[-1] = received
        return received

    def rest(self) -> bytes:
        """Read until the client closes."""
        data = bytearray(self._ahead)
        with contextlib.suppress(OSError):
            while piece := self.socket.recv(1 << 20):
                data += piece
        return bytes(data)

    def send(self, *pieces: bytes, pause: float = 0) -> None:
        """Send bytes just as they are, with a pause after each piece."""
        for piece in pieces:
            self.socket.sendall(piece)
            self.pause(pause)

    def reply(self, body: bytes = b"", status: str = "200 OK", headers: str = "") -> None:
        """Send a plain reply; each of ``headers`` ends with a line break."""
        self.send(f"HTTP/1.1 {status}\r\ncontent-length: {len(body)}\r\n{headers}\r\n".encode("latin-1") + body)

    def pause(self, seconds: float) -> None:
        """Wait, unless the test is over."""
        if seconds:
            self.server.stopped.wait(seconds)

    def stall(self) -> None:
        """Do nothing more until the test is over."""
        self.server.stopped.wait(WATCHDOG_SECONDS)

    def reset(self) -> None:
        """Break the connection off (RST)."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def relay_to(self, host: str, port: int) -> None:
        """Pass bytes in both directions, as a proxy does after CONNECT."""
        with socket.create_connection((host, port), timeout=WATCHDOG_SECONDS) as upstream:
            back = threading.Thread(target=_pump, args=(upstream, self.socket))
            back.start()
            _pump(self.socket, upstream)
            back.join()

    def _some(self) -> bytes:
        data = self.socket.recv(1 << 20)
        if not data:
            raise ClientLeft
        return data


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(1 << 16):
            sink.sendall(data)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


Script = Callable[[Peer], object]


def echo(peer: Peer) -> None:
    """Answer every request with its own target."""
    while True:
        peer.reply(peer.request().target.encode())


class ScriptedServer:
    """A server on loopback that runs a script for each connection, in a thread.

    Attributes:
        origin: where it is.
        received: the requests of all connections.
        peers: the connections, in the order of their coming.
        most_at_once: how many connections were open at the same time.
        stopped: set when the test is over.
    """

    def __init__(self, script: Script, *, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1", receive_buffer: int = 0) -> None:
        self.received: list[Received] = []
        self.peers: list[Peer] = []
        self.most_at_once = 0
        self.stopped = threading.Event()
        self._script = script
        self._tls = tls
        self._open = 0
        self._failures: list[BaseException] = []
        self._lock = threading.Lock()
        self._listener = socket.create_server((host, 0), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
        if receive_buffer:
            self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.origin = Origin("https" if tls else "http", "localhost" if tls else host, self._listener.getsockname()[1])
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    @property
    def port(self) -> int:
        return self.origin.port

    def stop(self) -> None:
        """Close everything; raise what went wrong in a script."""
        self.stopped.set()
        for sock in [self._listener, *[peer.socket for peer in self.peers]]:
            with contextlib.suppress(OSError):
                socket.socket.shutdown(sock, socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(WATCHDOG_SECONDS)
        self._listener.close()
        if self._failures:
            raise self._failures[0]

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            sock.settimeout(WATCHDOG_SECONDS)
            # Otherwise a reply that waits for an acknowledgement is lost when the script closes with a request unread.
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            peer = Peer(self, sock, len(self.peers))
            self.peers.append(peer)
            with self._lock:
                self._open += 1
                self.most_at_once = max(self.most_at_once, self._open)
            self._threads.append(threading.Thread(target=self._play, args=(peer,)))
            self._threads[-1].start()

    def _play(self, peer: Peer) -> None:
        try:
            if self._tls:
                peer.socket = self._tls.wrap_socket(peer.socket, server_side=True, suppress_ragged_eofs=True)
            self._script(peer)
        except OSError:
            # The client left, which tests make it do.
            pass
        except BaseException as error:
            self._failures.append(error)
        finally:
            with self._lock:
                self._open -= 1
            peer.socket.close()
            peer.closed.set()


@pytest.fixture
def serve() -> Iterator[Callable[..., ScriptedServer]]:
    """Start servers: ``serve(script, tls=context)``. Without a script, a server answers with the target of the request."""
    servers: list[ScriptedServer] = []

    def start(script: Script = echo, **options: Any) -> ScriptedServer:
        servers.append(ScriptedServer(script, **options))
        return servers[-1]

    yield start
    for server in servers:
        server.stop()


@pytest.fixture(scope="session")
def tls(authority: Authority) -> Callable[..., ssl.SSLContext]:
    """A server's TLS: ``tls()`` is trusted by ``authority.ca_bundle``; ``tls(certificate)`` uses another certificate."""
    usual = authority.issue("localhost", "127.0.0.1")

    def context(certificate: Any = usual) -> ssl.SSLContext:
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        made.load_cert_chain(certificate.certificate, certificate.key)
        return made

    return context


@pytest.fixture(autouse=True)
def fresh_tls_contexts() -> Iterator[None]:
    """What a test says about trust holds for that test."""
    client_context.cache_clear()
    yield
    client_context.cache_clear()


@pytest.fixture
def unanswering() -> Iterator[Origin]:
    """A server whose queue of connections is full: the kernel drops further ones."""
    with socket.socket() as listener, contextlib.ExitStack() as fillers:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            filler = fillers.enter_context(socket.socket())
            filler.settimeout(0)
            filler.connect_ex(listener.getsockname())
        yield Origin("http", "127.0.0.1", listener.getsockname()[1])


class Driver:
    """One of the two ways to perform operations, with a transport of its own, made at first use."""

    def __init__(self) -> None:
        self.settings = Settings(connect_timeout=WATCHDOG_SECONDS, stall_timeout=WATCHDOG_SECONDS)

    def configure(self, **settings: Any) -> None:
        """Choose settings, before the first exchange."""
        self.settings = Settings(**{"connect_timeout": WATCHDOG_SECONDS, "stall_timeout": WATCHDOG_SECONDS, **settings})

    def run(self, operation: Operation[Any]) -> Any:
        raise NotImplementedError

    def close(self) -> None:
        raise NotImplementedError

    def exchange(
        self,
        origin: Origin,
        target: str = "/",
        method: str = "GET",
        *,
        body: Sequence[memoryview | FileRange] = (),
        headers: dict[str, str] | None = None,
        place: Placement | None = None,
        repeatable: bool | None = None,
        expect_continue: bool = False,
    ) -> Reply:
        request = Request(method, origin, target, headers or {}, body, repeatable=repeatable, expect_continue=expect_continue)
        return self.send(Send(request, place))

    def send(self, send: Send) -> Reply:
        reply: Reply = self.run(_perform(send))
        return reply

    def at_once(self, sends: Sequence[Send], limit: int) -> list[Reply]:
        """Perform exchanges side by side."""
        replies: list[Reply] = self.run(_perform(Parallel([_perform(send) for send in sends], limit)))
        return replies


def _perform(effect: Any) -> Operation[Any]:
    return (yield effect)


class BlockingDriver(Driver):
    """Exchanges in the test's own thread."""

    def __init__(self) -> None:
        super().__init__()
        self.crew = Crew(8)
        self._transport: BlockingTransport | None = None

    @property
    def transport(self) -> BlockingTransport:
        if self._transport is None:
            self._transport = BlockingTransport(self.settings)
        return self._transport

    def run(self, operation: Operation[Any]) -> Any:
        return run_blocking(operation, self.transport, self.crew)

    def close(self) -> None:
        assert self.transport._pool.in_use == 0
        self.transport.close()
        self.crew.close()


class AsyncioDriver(Driver):
    """Exchanges on an event loop that runs while the test waits."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.reports: list[dict[str, Any]] = []
        self.runner.get_loop().set_exception_handler(lambda loop, context: self.reports.append(context))
        self._transport: AsyncTransport | None = None

    async def transport_here(self) -> AsyncTransport:
        if self._transport is None:
            self._transport = AsyncTransport(self.settings)
        return self._transport

    async def perform(self, operation: Operation[Any]) -> Any:
        return await run_async(operation, await self.transport_here())

    def run(self, operation: Operation[Any]) -> Any:
        return self.runner.run(self.perform(operation))

    def close(self) -> None:
        if self._transport is not None:
            assert self._transport._pool.in_use == 0
            self._transport.close()
        self.runner.close()
        gc.collect()
        # Among them: exceptions of futures that nobody looked at.
        assert self.reports == []


@pytest.fixture
def blocking() -> Iterator[BlockingDriver]:
    """The blocking driver."""
    yield from _used_up(BlockingDriver())


@pytest.fixture
def on_loop() -> Iterator[AsyncioDriver]:
    """The asyncio driver."""
    yield from _used_up(AsyncioDriver())


@pytest.fixture(params=[BlockingDriver, AsyncioDriver], ids=["blocking", "asyncio"])
def driver(request: pytest.FixtureRequest) -> Iterator[Driver]:
    """Each of the two drivers."""
    yield from _used_up(request.param())


def _used_up(driver: Any) -> Iterator[Any]:
    """Whatever a test did, nothing may be left open: a socket that is forgotten warns when it is collected."""
    gc.freeze()
    yield driver
    driver.close()
    del driver
    gc.collect()
    gc.unfreeze()


@pytest.fixture(params=["plain", "tls"])
def secure(request: pytest.FixtureRequest) -> str:
    """Whether connections are plain or use TLS."""
    return str(request.param)


@pytest.fixture
def serve_either(serve: Any, tls: Any, driver: Any, authority: Any, secure: str) -> Callable[..., Any]:
    """As ``serve``, once plain and once with TLS that the driver trusts."""

    def start(script: Any = None, *, receive_buffer: int = 0, **settings: Any) -> Any:
        driver.configure(ca_bundle=authority.ca_bundle, **settings)
        options = {"tls": tls()} if secure == "tls" else {}
        return serve(script, receive_buffer=receive_buffer, **options) if script else serve(**options)

    return start
