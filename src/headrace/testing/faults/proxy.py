"""The proxy: a listener, and an event loop in a thread of its own.

In a thread, because a test then changes the rules and reads the record by plain calls, and a fault is in force from the very next
request on. What it costs, the interpreter that client and proxy share, is speed alone; a proxy that must not share it is run from
the shell.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import ssl
import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Self

from headrace.errors import HeadraceError, InvalidOption
from headrace.http.messages import parse_origin
from headrace.testing.faults.exchange import Ended, Exchange, Streams
from headrace.testing.faults.framing import HEAD_LIMIT, read_head
from headrace.testing.faults.record import Passage
from headrace.testing.faults.rules import Rule, Rulebook
from headrace.testing.servers.authority import Certificate
from headrace.testing.servers.loopback import LOOPBACK

__all__ = ["FaultProxy"]

# A kernel that takes megabytes in advance would hide from a client that nobody reads what it sends.
_RECEIVE_BUFFER = 32 << 10
_CLOSE_SECONDS = 1.0


class FaultProxy:
    """An HTTP/1.1 proxy that passes requests to one service as they are, and makes go wrong what its rules say.

    Not a byte of what passes is changed, the ``Host`` header included, so that signatures which cover it hold: the service has to accept a
    ``Host`` of ``127.0.0.1:PORT`` or, over TLS, ``localhost:PORT``. It runs from `start` to `close`, or inside ``with``, in a daemon
    thread of this process; all methods may be called from any thread.

    Args:
        upstream: the service's URL, ``http://`` or ``https://``, without a path.
        rules: the rules in force at first.
        seed: of the dice of rules with a probability.
        certificate: serve TLS with this certificate, such as ``Authority(...).issue()``; None serves plain HTTP.
        port: the port to listen on, on the loopback interface; 0 takes a free one.
        ca_bundle: the PEM file to trust, instead of the system's certificates, for an ``https://`` upstream.

    Raises:
        InvalidURI: the upstream is not such a URL.
        InvalidOption: it has a path.
        OSError: the certificate or the bundle cannot be read.
    """

    def __init__(
        self,
        upstream: str,
        rules: Iterable[Rule] = (),
        *,
        seed: int = 0,
        certificate: Certificate | None = None,
        port: int = 0,
        ca_bundle: str | None = None,
    ) -> None:
        self._origin, path = parse_origin(upstream)
        if path:
            raise InvalidOption("the upstream of a proxy that rewrites nothing can have no path", hint="Name the service alone.")
        self._seed = seed
        self._rulebook = Rulebook(rules, seed=seed)
        self._exchanges: list[Exchange] = []
        self._context = _server_context(certificate) if certificate else None
        self._service_context = ssl.create_default_context(cafile=ca_bundle) if self._origin.scheme == "https" else None
        self._wanted_port = port
        self._port = 0
        self._connections = 0
        self._thread: threading.Thread | None = None
        self._stop: Callable[[], object] = lambda: None
        self._failure: BaseException | None = None

    def start(self) -> Self:
        """Listen; return when clients can connect.

        Raises:
            OSError: the port is taken.
            HeadraceError: it is running already.
        """
        if self._thread is not None:
            raise HeadraceError("the proxy is running already")
        listener = socket.create_server((LOOPBACK, self._wanted_port), backlog=256)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
        self._port = listener.getsockname()[1]
        started = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(listener, started), name="headrace-fault-proxy", daemon=True)
        self._thread.start()
        started.wait()
        return self

    def close(self) -> None:
        """Break all connections off and stop listening. Rules and record stay; closing twice is no error.

        Raises:
            Exception: a defect of the proxy itself that showed while it ran.
        """
        thread, self._thread = self._thread, None
        if thread is None:
            return
        self._stop()
        thread.join()
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def endpoint(self) -> str:
        """The URL for clients: ``http://127.0.0.1:PORT``, or ``https://localhost:PORT`` with a certificate."""
        if self._thread is None:
            raise HeadraceError("the proxy is not running", hint="Use it in a with statement, or call start() first.")
        return f"https://localhost:{self._port}" if self._context else f"http://{LOOPBACK}:{self._port}"

    def inject(self, *rules: Rule) -> None:
        """Put these rules, counted from now on, in the place of all before; without any, everything passes again."""
        self._rulebook = Rulebook(rules, seed=self._seed)

    def passages(self, target: str = "", *, method: str | None = None) -> Sequence[Passage]:
        """What has passed, in the order in which it began; what is still on its way is shown as far as it has come.

        Args:
            target: a regular expression; only requests in whose target it is found.
            method: only requests of this method.
        """
        search = re.compile(target).search
        return [
            exchange.passage()
            for exchange in list(self._exchanges)
            if search(exchange.target) and (method is None or exchange.method == method)
        ]

    def forget(self) -> None:
        """Empty the record."""
        self._exchanges = []

    def _run(self, listener: socket.socket, started: threading.Event) -> None:
        try:
            asyncio.run(self._serve(listener, started))
        except BaseException as error:
            self._failure = self._failure or error
        finally:
            listener.close()
            started.set()

    async def _serve(self, listener: socket.socket, started: threading.Event) -> None:
        loop, stopped = asyncio.get_running_loop(), asyncio.Event()
        self._stop = lambda: loop.call_soon_threadsafe(stopped.set)
        listener.settimeout(0)
        accepting = loop.create_task(self._accept(listener))
        started.set()
        await stopped.wait()
        accepting.cancel()
        await asyncio.gather(accepting, return_exceptions=True)
        # Let the transports' own callbacks run, which close the sockets.
        await asyncio.sleep(0)

    async def _accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        attended: dict[asyncio.Task[None], socket.socket] = {}

        def accept() -> None:
            with contextlib.suppress(BlockingIOError, ConnectionAbortedError):
                sock, _ = listener.accept()
                sock.settimeout(0)
                self._connections += 1
                task = loop.create_task(self._attend(sock, self._connections))
                attended[task] = sock
                task.add_done_callback(lambda task: attended.pop(task).close())

        # Not `sock_accept`: cancelled just when a connection is there, it would leave that open, and its client waiting.
        loop.add_reader(listener, accept)
        try:
            await loop.create_future()
        finally:
            loop.remove_reader(listener)
            for task in list(attended):
                task.cancel()
            await asyncio.gather(*attended, return_exceptions=True)

    async def _attend(self, sock: socket.socket, number: int) -> None:
        """Serve one connection of a client."""
        try:
            reader, writer = await _opened(sock, self._context)
        except OSError:
            # It left during the handshake, or does not trust the certificate.
            sock.close()
            return
        try:
            await self._pass_all((reader, writer), number)
            await _closed(writer)
        finally:
            writer.transport.abort()

    async def _pass_all(self, client: Streams, number: int) -> None:
        try:
            while (request := await read_head(client[0])) is not None:
                fault = self._rulebook.choose(*request.first[:2])
                exchange = Exchange(client, number, request, fault, self._connect)
                self._exchanges.append(exchange)
                if not await exchange.run():
                    break
        except (Ended, OSError):
            return
        except Exception as error:
            self._failure = self._failure or error

    async def _connect(self) -> Streams:
        origin = self._origin
        reader, writer = await asyncio.open_connection(origin.host, origin.port, ssl=self._service_context, limit=HEAD_LIMIT)
        return reader, _prompt(writer)


def _server_context(certificate: Certificate) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*certificate)
    return context


async def _opened(sock: socket.socket, context: ssl.SSLContext | None) -> Streams:
    """Streams over an accepted socket, after the TLS handshake if there is one."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=HEAD_LIMIT)
    protocol = asyncio.StreamReaderProtocol(reader)
    transport, _ = await loop.connect_accepted_socket(lambda: protocol, sock, ssl=context)
    return reader, _prompt(asyncio.StreamWriter(transport, protocol, reader, loop))


async def _closed(writer: asyncio.StreamWriter) -> None:
    """Close in good order, which over TLS takes the client's answer."""
    writer.close()
    with contextlib.suppress(OSError, TimeoutError):
        async with asyncio.timeout(_CLOSE_SECONDS):
            await writer.wait_closed()


def _prompt(writer: asyncio.StreamWriter) -> asyncio.StreamWriter:
    """Make it pass bytes on as they come."""
    # Not 0: asyncio's TLS would wait for its empty buffer to become smaller.
    writer.transport.set_write_buffer_limits(high=1, low=0)
    writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return writer
