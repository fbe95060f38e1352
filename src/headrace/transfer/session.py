"""What the verbs of one client share: its options, stores, connections and threads; all made when first needed."""

from __future__ import annotations

import atexit
import logging
import weakref
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from headrace import config, memory
from headrace.backends.protocol import Fetched
from headrace.errors import HeadraceError, InvalidOption, NotSupported
from headrace.http.blocking import BlockingTransport, Lane
from headrace.http.crew import Crew, run_blocking
from headrace.http.effects import Operation
from headrace.stores.making import connection_settings
from headrace.stores.registry import Stores
from headrace.stores.store import Store
from headrace.transfer import forking
from headrace.transfer.reading import ReadPlan, fetch
from headrace.transfer.writing import WritePlan
from headrace.uri import URI, Addressed, Location, parse

if TYPE_CHECKING:
    import asyncio

    from headrace.endpoints import EndpointStatistics
    from headrace.http.asynchronous import AsyncTransport
    from headrace.http.loop_thread import LoopThread

__all__ = ["Configured", "Session"]

T = TypeVar("T")

_log = logging.getLogger("headrace")

_AT_ONCE = 8
_CREW_SIZE = 16


class Session:
    """The state behind a client.

    It is picklable as configuration: connections, threads and caches stay behind, and so do secrets. It may be shared by
    threads, event loops and forked children.
    """

    def __init__(self, arguments: Mapping[str, object]) -> None:
        self.arguments = dict(arguments)
        resolved = _resolve_for_all(self.arguments)
        self.options = resolved.options
        _refuse_what_is_not_built(self.options)
        for name in resolved.unknown:
            _log.warning("the environment variable %s is read by nobody; `headrace config` shows those that are", name)
        self.settings = connection_settings(self.options)
        self.stores = Stores(lambda scheme: config.resolve(self.arguments, scheme=scheme))
        self.read_plan = ReadPlan(self.options.range_threshold, _AT_ONCE)
        self.write_plan = WritePlan(self.options.multipart_threshold, self.options.part_size, _AT_ONCE)
        self._loop_thread: LoopThread | None = None
        self.transport = self._http2_transport() if self.options.http2 else BlockingTransport(self.settings)
        self.crew = Crew(_CREW_SIZE)
        # Sockets and waiting threads would outlive a client that nobody closed.
        weakref.finalize(self, self.transport.close).atexit = False
        weakref.finalize(self, self.crew.close).atexit = False
        self._uses_http: dict[str, bool] = {}
        self._transports: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, AsyncTransport] = weakref.WeakKeyDictionary()
        _sessions.add(self)

    def locate(self, uri: URI) -> tuple[Store, Location]:
        """The store that serves a URI, and the URI parsed."""
        location = parse(uri)
        store = self.stores.of(location)
        return store, store.interpret(location)

    def locate_object(self, uri: URI) -> tuple[Store, Location]:
        """As `locate`, for a URI that must name an object."""
        location = parse(uri).require_object()
        store = self.stores.of(location)
        return store, store.interpret(location).require_object()

    def interpret(self, location: Location) -> Location:
        """A location as the options say that its URI is meant; see `Store.interpret`."""
        return self.stores.of(location).interpret(location)

    def uses_http(self, uri: URI) -> bool:
        """Whether a URI is served by HTTP exchanges; True for one that nobody serves, whose operation will tell."""
        scheme = uri.partition("://")[0] if isinstance(uri, str) else uri.location.scheme if isinstance(uri, Addressed) else "file"
        known = self._uses_http.get(scheme)
        if known is None:
            try:
                known = self._uses_http[scheme] = self.locate(uri)[0].uses_http
            except HeadraceError:
                return True
        return known

    def fetch(self, uri: URI, *, start: int | None = None, length: int | None = None, into: object = None) -> Operation[Fetched]:
        """The operation behind ``get``."""
        store, location = self.locate_object(uri)
        view = memory.destination(into) if into is not None else None
        return fetch(store, location, self.read_plan, start=start, length=length, into=view)

    def run(self, operation: Operation[T], lane: Lane | None = None) -> T:
        """Perform an operation in the caller's thread; see `run_blocking`."""
        return run_blocking(operation, self.transport, self.crew, lane)

    @property
    def loop_thread(self) -> LoopThread:
        """The background event loop for blocking batches of small requests."""
        if self._loop_thread is None:
            from headrace.http.loop_thread import LoopThread

            # Two threads that come here at once make two, of which at worst both run: no harm, and no lock for a fork to hold for ever.
            self._loop_thread = LoopThread(self.settings, self._transport_kind())
            # A running thread would outlive a client that nobody closed.
            weakref.finalize(self, self._loop_thread.close).atexit = False
        return self._loop_thread

    def _http2_transport(self) -> BlockingTransport:
        from headrace.http.http2.blocking import BlockingHttp2Transport

        return BlockingHttp2Transport(self.settings, self.loop_thread)

    def _transport_kind(self) -> type[AsyncTransport]:
        if self.options.http2:
            from headrace.http.http2.asynchronous import AsyncHttp2Transport

            return AsyncHttp2Transport
        from headrace.http.asynchronous import AsyncTransport

        return AsyncTransport

    def transport_here(self) -> AsyncTransport:
        """The transport of the running event loop."""
        import asyncio

        loop = asyncio.get_running_loop()
        transport = self._transports.get(loop)
        if transport is None:
            transport = self._transports[loop] = self._transport_kind()(self.settings)
        return transport

    def close(self) -> None:
        """Close connections and let threads end."""
        self.transport.close()
        self.crew.close()
        if self._loop_thread is not None:
            self._loop_thread.close(wait=1.0)

    def close_here(self) -> None:
        """Close the connections of the running event loop."""
        import asyncio

        transport = self._transports.pop(asyncio.get_running_loop(), None)
        if transport is not None:
            transport.close()


def _resolve_for_all(arguments: Mapping[str, object]) -> config.Resolved:
    """The options that connections are made with, the variables of every service's SDK included (`AWS_CA_BUNDLE`)."""
    try:
        return config.resolve(arguments)
    except InvalidOption:
        # A mistake in one service's variables must not keep the others from working: that service will report it.
        return config.resolve(arguments, scheme="")


def _refuse_what_is_not_built(options: config.Options) -> None:
    """An option that would do nothing is an error, not a surprise."""
    for name in ("oplog",):
        if getattr(options, name):
            raise NotSupported(f"the option {name} is not supported by this version")


class Configured:
    """What the blocking client and its asyncio twin have in common: options, and a session that is made when it is first used.

    It pickles as configuration; options that hold a secret refuse (`CredentialsError`).
    """

    def __init__(self, **options: Any) -> None:
        self._arguments = options
        self._opened: Session | None = Session(options) if options else None

    @property
    def _session(self) -> Session:
        # Without a lock, which a fork could leave held for ever: of two sessions made at once, one is dropped unused.
        if self._opened is None:
            self._opened = Session(self._arguments)
        return self._opened

    @property
    def options(self) -> config.Options:
        """The options in force."""
        return self._session.options

    def endpoints(self, uri: URI = "s3://") -> list[EndpointStatistics]:
        """What has become so far of the requests to each of several endpoints (``endpoints=``), in their order; empty if there is one.

        What this client has done in this process is counted, by whichever driver. See docs/endpoints.md.

        Args:
            uri: any URI of the service that the endpoints are those of.
        """
        endpoints = self._session.locate(uri)[0].policy.endpoints
        return [] if endpoints is None else endpoints.statistics()

    def __repr__(self) -> str:
        return f"{type(self).__qualname__}({', '.join(f'{name}=...' for name in self._arguments)})"

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (type(self), config.portable(self._arguments))


def _restore(kind: type[Configured], arguments: Mapping[str, Any]) -> Configured:
    return kind(**arguments)


_sessions: weakref.WeakSet[Session] = weakref.WeakSet()


@atexit.register
def _close_all() -> None:
    """Close what was left open when the program ends: nobody closes the default client."""
    for session in list(_sessions):
        session.close()


forking.register()
