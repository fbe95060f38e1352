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
from collections.abc import Iterable, Sequence
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
_RECEIVE_BUFFER = 256 << 10


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
        self._scheme = "https" if certificate else "http"
        self._certificate = certificate
        self._ca_bundle = ca_bundle
        self._wanted_port = port
        self._port = 0
        self._connections = 0
        self._thread: threading.Thread | None = None
        self._stop = lambda: None
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
        return f"{self._scheme}://{'localhost' if self._certificate else LOOPBACK}:{self._port}"

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
        self._stop = lambda: loop.call_soon_threadsafe(stopped.set)  # type: ignore[assignment, return-value]
        context = None
        if self._certificate is not None:
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            context.load_cert_chain(*self._certificate)
        tasks: set[asyncio.Task[None]] = set()

        def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self._connections += 1
            task = loop.create_task(self._attend((reader, writer), self._connections))
            tasks.add(task)
            task.add_done_callback(tasks.discard)

        server = await asyncio.start_server(accept, sock=listener, ssl=context, limit=HEAD_LIMIT)
        started.set()
        await stopped.wait()
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _attend(self, client: Streams, number: int) -> None:
        """Serve one connection of a client."""
        reader, writer = client
        writer.transport.set_write_buffer_limits(0)
        writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            while (request := await read_head(reader)) is not None:
                fault = self._rulebook.choose(*request.first[:2])
                exchange = Exchange(client, number, request, fault, self._connect)
                self._exchanges.append(exchange)
                if not await exchange.run():
                    break
        except (Ended, OSError):
            pass
        except Exception as error:
            self._failure = self._failure or error
        finally:
            with contextlib.suppress(OSError):
                writer.close()
            # Let the transport's own callbacks run, which close the socket.
            await asyncio.sleep(0)

    async def _connect(self) -> Streams:
        origin = self._origin
        context = ssl.create_default_context(cafile=self._ca_bundle) if origin.scheme == "https" else None
        reader, writer = await asyncio.open_connection(origin.host, origin.port, ssl=context, limit=HEAD_LIMIT)
        writer.transport.set_write_buffer_limits(0)
        writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return reader, writer
