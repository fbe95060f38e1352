"""Servers that speak HTTP/2 by a script, and the two drivers over HTTP/2."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, TypeVar

import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import DataReceived, Event, RequestReceived, StreamEnded
from h2.settings import SettingCodes, Settings

from headrace.http.http2.asynchronous import AsyncHttp2Transport
from headrace.http.http2.blocking import BlockingHttp2Transport
from headrace.http.loop_thread import LoopThread
from tests.http.conftest import WATCHDOG_SECONDS, AsyncioDriver, BlockingDriver, ClientLeft, Peer, _perform, _used_up

__all__ = ["Host", "_perform", "echo"]

E = TypeVar("E", bound=Event)


class Asked(NamedTuple):
    """A request as the server saw it."""

    stream: int
    headers: dict[str, str]
    body: bytes


class Host:
    """The server's end of one HTTP/2 connection."""

    def __init__(self, peer: Peer, **settings: int) -> None:
        self.peer = peer
        self.h2 = H2Connection(H2Configuration(client_side=False, header_encoding="latin-1", validate_outbound_headers=False))
        values = {SettingCodes[name.upper()]: value for name, value in settings.items()}
        self.h2.local_settings = Settings(client=False, initial_values={SettingCodes.MAX_CONCURRENT_STREAMS: 100, **values})
        self.h2.decoder.max_allowed_table_size = settings.get("header_table_size", 4096)
        self.h2.initiate_connection()
        self.events: deque[Event] = deque()
        self.flush()

    def flush(self) -> None:
        self.peer.send(self.h2.data_to_send())

    def raw(self, kind: int, payload: bytes = b"", *, flags: int = 0, stream: int = 0) -> None:
        """Send a frame just as it is."""
        self.peer.send(len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload)

    def wait(self, kind: type[E], stream: int | None = None) -> E:
        """The next event of a kind, of one stream if that is named; events of others are kept."""
        while True:
            for event in self.events:
                if isinstance(event, kind) and stream in (None, getattr(event, "stream_id", None)):
                    self.events.remove(event)
                    return event
            data = self.peer.socket.recv(1 << 20)
            if not data:
                raise ClientLeft
            self.events += self.h2.receive_data(data)
            self.flush()

    def head(self) -> Asked:
        """The head of the next request; its body stays unread."""
        event = self.wait(RequestReceived)
        asked = Asked(event.stream_id, dict(event.headers), b"")  # type: ignore[arg-type]
        self.peer.server.received.append(asked)  # type: ignore[arg-type]
        return asked

    def body(self, stream: int) -> bytes:
        """The body of a request, for which the windows are opened again as it comes."""
        body = bytearray()
        while (event := self.wait(Event, stream)) and not isinstance(event, StreamEnded):  # type: ignore[type-var]
            if isinstance(event, DataReceived):
                body += event.data
                if event.flow_controlled_length:
                    self.h2.acknowledge_received_data(event.flow_controlled_length, stream)
                    self.flush()
        return bytes(body)

    def request(self) -> Asked:
        """The next request, as a whole."""
        asked = self.head()
        return asked._replace(body=self.body(asked.stream))

    def begin(self, stream: int, status: int = 200, *, end: bool = False, **headers: object) -> None:
        """Send the head of a reply."""
        fields = [(":status", str(status)), *((name.replace("_", "-"), str(value)) for name, value in headers.items())]
        self.h2.send_headers(stream, [(name.encode(), value.encode("latin-1")) for name, value in fields], end_stream=end)
        self.flush()

    def data(self, stream: int, body: bytes, *, end: bool = True) -> None:
        """Send a body, as the client's windows allow."""
        view = memoryview(body)
        while view:
            room = min(self.h2.local_flow_control_window(stream), self.h2.max_outbound_frame_size)
            if room == 0:
                self.events += self.h2.receive_data(self.peer.socket.recv(1 << 16))
                continue
            self.h2.send_data(stream, view[:room], end_stream=end and len(view) <= room)
            self.flush()
            view = view[room:]

    def reply(self, stream: int, body: bytes = b"", status: int = 200, **headers: object) -> None:
        """Send a whole reply."""
        self.begin(stream, status, end=not body, content_length=len(body), **headers)
        self.data(stream, body)

    def reset(self, stream: int, code: ErrorCodes) -> None:
        """Break a stream off."""
        self.h2.reset_stream(stream, code)
        self.flush()

    def go_away(self, last: int, code: int = 0) -> None:
        """Say that nothing after the stream ``last`` will be looked at; the others go on."""
        self.raw(7, last.to_bytes(4, "big") + code.to_bytes(4, "big"))


def echo(host: Host) -> None:
    """Answer every request with its own path."""
    while True:
        asked = host.request()
        host.reply(asked.stream, asked.headers[":path"].encode())


class BlockingHttp2Driver(BlockingDriver):
    """Exchanges that the test's own thread waits for."""

    loops: LoopThread | None = None

    @property
    def transport(self) -> BlockingHttp2Transport:
        if self._transport is None:
            self.loops = LoopThread(self.settings, AsyncHttp2Transport)
            self._transport = BlockingHttp2Transport(self.settings, self.loops)
        return self._transport  # type: ignore[return-value]

    def close(self) -> None:
        super().close()
        if self.loops is not None:
            self.loops.close(wait=WATCHDOG_SECONDS)


class AsyncioHttp2Driver(AsyncioDriver):
    """Exchanges on an event loop that runs while the test waits."""

    async def transport_here(self) -> AsyncHttp2Transport:
        if self._transport is None:
            self._transport = AsyncHttp2Transport(self.settings)
        return self._transport  # type: ignore[return-value]


@pytest.fixture(params=[BlockingHttp2Driver, AsyncioHttp2Driver], ids=["blocking", "asyncio"])
def driver(request: pytest.FixtureRequest) -> Iterator[Any]:
    """Each of the two drivers."""
    yield from _used_up(request.param())


@pytest.fixture
def blocking() -> Iterator[BlockingHttp2Driver]:
    yield from _used_up(BlockingHttp2Driver())


@pytest.fixture
def on_loop() -> Iterator[AsyncioHttp2Driver]:
    yield from _used_up(AsyncioHttp2Driver())


@pytest.fixture
def host(serve: Callable[..., Any]) -> Callable[..., Any]:
    """Starts servers that play a script on each connection: ``host(script, initial_window_size=10)``."""

    def start(script: Callable[[Host], object] = echo, *, tls: Any = None, **settings: int) -> Any:
        if tls is not None:
            tls.set_alpn_protocols(["h2"])
        return serve(lambda peer: script(Host(peer, **settings)), tls=tls)

    return start
