"""Operations that go from reply to request in the callbacks of the event loop, without a task."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from headrace.errors import ConnectionFailed, InvalidOption, ProtocolError
from headrace.http.effects import Call, Cancelled, Operation, Send, Sleep, with_cleanup
from headrace.http.flight import Flight
from headrace.http.messages import Origin, Request


def get(origin: Origin, target: str = "/", **options: Any) -> Operation[str]:
    reply = yield Send(Request("GET", origin, target, {}, **options))
    return bytes(reply.body).decode()


async def until(condition: Callable[[], object]) -> None:
    """Wait for something that a server's thread does."""
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.001)


class Airport:
    """Starts flights and waits for them.

    Attributes:
        hold: keep the flights whose replies arrive in ``held``, instead of resuming them at once.
    """

    def __init__(self, transport: Any) -> None:
        self.transport = transport
        self.hold = False
        self.held: list[tuple[Flight, Any]] = []
        self.flights: list[Flight] = []
        self.results: dict[Flight, Any] = {}
        self.errors: dict[Flight, BaseException] = {}

    def start(self, operation: Operation[Any]) -> Flight:
        flight = Flight(operation, self.transport, self)
        self.flights.append(flight)
        flight.start()
        return flight

    def arrived(self, flight: Flight, reply: Any) -> None:
        if self.hold:
            self.held.append((flight, reply))
        else:
            flight.resume(reply)

    def landed(self, flight: Flight, result: Any, error: BaseException | None) -> None:
        assert flight not in self.results, "landed twice"
        self.results[flight] = result
        if error is not None:
            self.errors[flight] = error

    async def landing(self, flight: Flight) -> Any:
        await until(lambda: flight in self.results)
        if flight in self.errors:
            raise self.errors[flight]
        return self.results[flight]

    async def fly(self, operation: Operation[Any]) -> Any:
        return await self.landing(self.start(operation))


@pytest.fixture
def fly(on_loop: Any) -> Callable[[Callable[[Airport], Any]], None]:
    """Run a coroutine that is given an airport."""

    async def main(scene: Callable[[Airport], Any]) -> None:
        airport = Airport(await on_loop.transport_here())
        await scene(airport)
        assert all(flight in airport.results for flight in airport.flights)
        assert airport.transport._pool.in_use == 0

    return lambda scene: on_loop.runner.run(main(scene))


def test_exchanges_go_on_over_one_connection(fly: Any, serve: Any) -> None:
    def several() -> Operation[list[str]]:
        texts = []
        for number in range(5):
            texts.append((yield from get(server.origin, f"/{number}")))
        return texts

    async def scene(airport: Airport) -> None:
        for _ in range(3):
            assert await airport.fly(several()) == [f"/{number}" for number in range(5)]

    server = serve()
    fly(scene)
    assert len(server.peers) == 1


def test_bodies_are_sent(fly: Any, serve: Any) -> None:
    def put(length: int) -> Operation[str]:
        reply = yield Send(Request("PUT", server.origin, "/", {}, [memoryview(bytes(length))]))
        return bytes(reply.body).decode()

    async def scene(airport: Airport) -> None:
        for length in (0, 10, 200_000, 2_000_000):
            assert await airport.fly(put(length)) == str(length)

    def script(peer: Any) -> None:
        while True:
            peer.reply(b"%d" % len(peer.request().body))

    server = serve(script)
    fly(scene)
    assert len(server.peers) == 1


def test_what_is_not_a_small_exchange_is_done_too(fly: Any, serve: Any) -> None:
    def mixed() -> Operation[list[Any]]:
        text = yield from get(server.origin, "/one")
        number = yield Call(lambda: 2)
        yield Sleep(0)
        return [text, number, (yield from get(server.origin, "/three"))]

    async def scene(airport: Airport) -> None:
        for _ in range(2):
            assert await airport.fly(mixed()) == ["/one", 2, "/three"]

    server = serve()
    fly(scene)


def test_an_operation_that_asks_for_nothing_lands_at_once(fly: Any) -> None:
    def nothing() -> Operation[int]:
        return 5
        yield

    def failing() -> Operation[None]:
        raise KeyError("why")
        yield

    async def scene(airport: Airport) -> None:
        assert airport.results[airport.start(nothing())] == 5
        assert isinstance(airport.errors[airport.start(failing())], KeyError)

    fly(scene)


def test_many_flights_share_the_connections(fly: Any, serve: Any, on_loop: Any) -> None:
    async def scene(airport: Airport) -> None:
        flights = [airport.start(get(server.origin, f"/{number}")) for number in range(100)]
        assert [await airport.landing(flight) for flight in flights] == [f"/{number}" for number in range(100)]

    on_loop.configure(max_connections=3)
    server = serve()
    fly(scene)
    assert server.most_at_once == 3


@pytest.mark.parametrize("repeatable", ["repeatable", "once"])
def test_a_kept_connection_that_ends_is_replaced_if_that_is_safe(fly: Any, serve: Any, repeatable: str) -> None:
    def script(peer: Any) -> None:
        peer.reply(peer.request().target.encode())
        peer.request()
        if peer.number > 0:
            peer.reply(b"again")

    async def scene(airport: Airport) -> None:
        await airport.fly(get(server.origin, "/first"))
        second = get(server.origin, "/second", repeatable=repeatable == "repeatable")
        if repeatable == "repeatable":
            assert await airport.fly(second) == "/second"
        else:
            with pytest.raises(ConnectionFailed):
                await airport.fly(second)

    server = serve(script)
    fly(scene)
    assert len(server.received) == (3 if repeatable == "repeatable" else 2)


def test_an_exchange_that_closing_ends_is_not_repeated(fly: Any, serve: Any) -> None:
    def script(peer: Any) -> None:
        peer.reply(peer.request().target.encode())
        peer.request()
        peer.rest()

    async def scene(airport: Airport) -> None:
        await airport.fly(get(server.origin))
        flight = airport.start(get(server.origin))
        await until(lambda: len(server.received) == 2)
        airport.transport.close()
        with pytest.raises(ConnectionFailed):
            await airport.landing(flight)

    server = serve(script)
    fly(scene)
    assert len(server.received) == 2


@pytest.mark.parametrize("secure", ["plain", "tls"])
@pytest.mark.parametrize("length", [0, 10, 200_000])
def test_surplus_bytes_are_never_the_next_reply(
    fly: Any, serve: Any, tls: Any, authority: Any, on_loop: Any, length: int, secure: str
) -> None:
    """The next request goes out in the very callback that received the end of the reply before."""

    def script(peer: Any) -> None:
        while True:
            target = peer.request().target.encode()
            if target != b"/first":
                peer.reply(target)
                continue
            peer.reply(bytes(length))
            peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nforged")

    def operation() -> Operation[str]:
        yield from get(server.origin, "/zero")
        reply = yield Send(Request("GET", server.origin, "/first", {}), lambda reply: memoryview(bytearray(reply.length)))
        assert len(reply.body) == length
        # As long as it takes the surplus to arrive, in the same callback.
        threading_sleep()
        return (yield from get(server.origin, "/second"))

    async def scene(airport: Airport) -> None:
        for _ in range(5):
            assert await airport.fly(operation()) == "/second"

    on_loop.configure(ca_bundle=authority.ca_bundle)
    server = serve(script, **({"tls": tls()} if secure == "tls" else {}))
    fly(scene)


def threading_sleep() -> None:
    import time

    time.sleep(0.005)


# Failures.


def test_failures_reach_the_operation(fly: Any, serve: Any) -> None:
    def script(peer: Any) -> None:
        target = ""
        while target != "/bad":
            target = peer.request().target
            peer.reply(target.encode()) if target != "/bad" else peer.send(b"garbage\r\n\r\n")

    def surviving() -> Operation[str]:
        yield from get(server.origin, "/good")
        try:
            yield from get(server.origin, "/bad")
        except ProtocolError:
            return (yield from get(server.origin, "/instead"))
        raise AssertionError

    async def scene(airport: Airport) -> None:
        assert await airport.fly(surviving()) == "/instead"
        await airport.fly(get(server.origin, "/good"))
        with pytest.raises(ProtocolError):
            await airport.fly(get(server.origin, "/bad"))

    server = serve(script)
    fly(scene)


def test_a_request_that_cannot_be_sent_does_not_cost_the_connection(fly: Any, serve: Any) -> None:
    def operation() -> Operation[str]:
        yield from get(server.origin)
        try:
            yield Send(Request("GET", server.origin, "/a b", {}))
        except InvalidOption:
            return (yield from get(server.origin, "/instead"))
        raise AssertionError

    async def scene(airport: Airport) -> None:
        await airport.fly(get(server.origin))
        assert await airport.fly(operation()) == "/instead"

    server = serve()
    fly(scene)
    assert len(server.peers) == 1


def test_a_placement_that_fails_reaches_the_operation(fly: Any, serve: Any) -> None:
    def place(reply: Any) -> memoryview:
        raise MemoryError("no room")

    async def scene(airport: Airport) -> None:
        await airport.fly(get(server.origin))
        with pytest.raises(MemoryError):
            await airport.fly((lambda: (yield Send(Request("GET", server.origin, "/", {}), place)))())
        assert await airport.fly(get(server.origin, "/next")) == "/next"

    server = serve()
    fly(scene)


def test_flights_may_be_resumed_later(fly: Any, serve: Any) -> None:
    """The server may close in the meantime: it has replied."""

    def script(peer: Any) -> None:
        peer.reply(peer.request().target.encode())
        if peer.number < 3:
            peer.reply(peer.request().target.encode())

    async def scene(airport: Airport) -> None:
        for flight in [airport.start(get(server.origin)) for _ in range(3)]:
            await airport.landing(flight)
        airport.hold = True
        flights = [airport.start(get(server.origin, f"/{number}")) for number in range(3)]
        await until(lambda: len(airport.held) == 3)
        await until(lambda: all(peer.closed.is_set() for peer in server.peers))
        airport.hold = False
        for flight, reply in airport.held:
            flight.resume(reply)
        assert [airport.results[flight] for flight in flights] == ["/0", "/1", "/2"]
        assert await airport.fly(get(server.origin, "/next")) == "/next"

    server = serve(script)
    fly(scene)


# Cancelling.


@pytest.mark.parametrize("warm", ["kept connection", "task"])
def test_a_cancelled_flight_lands(fly: Any, serve: Any, warm: str) -> None:
    def script(peer: Any) -> None:
        if warm == "kept connection":
            peer.reply(peer.request().target.encode())
        peer.request()
        peer.rest()

    async def scene(airport: Airport) -> None:
        if warm == "kept connection":
            await airport.fly(get(server.origin))
        flight = airport.start(get(server.origin, "/stalled"))
        await until(lambda: server.received and server.received[-1].target == "/stalled")
        flight.cancel()
        with pytest.raises(Cancelled):
            await airport.landing(flight)
        await until(server.peers[0].closed.is_set)
        flight.cancel()

    server = serve(script)
    fly(scene)


def test_a_cancelled_flight_cleans_up_undisturbed(fly: Any, serve: Any) -> None:
    """The connection that it gave up ends while it cleans up over another: the one must not be taken for the other."""

    def stalling(peer: Any) -> None:
        peer.reply(peer.request().target.encode())
        peer.request()
        peer.rest()

    def cleanup() -> Operation[None]:
        for number in range(3):
            assert (yield from get(server.origin, f"/cleanup/{number}")) == f"/cleanup/{number}"
        done.append("cleaned")

    async def scene(airport: Airport) -> None:
        await airport.fly(get(stalled.origin))
        await airport.fly(get(server.origin))
        flight = airport.start(with_cleanup(get(stalled.origin, "/stalled"), cleanup))
        await until(lambda: len(stalled.received) == 2)
        flight.cancel()
        with pytest.raises(Cancelled):
            await airport.landing(flight)

    def slow(peer: Any) -> None:
        while True:
            target = peer.request().target
            peer.pause(0.02)
            peer.reply(target.encode())

    stalled, server, done = serve(stalling), serve(slow), []
    fly(scene)
    assert done == ["cleaned"]
    assert len(server.received) == 4


def test_a_flight_that_is_cancelled_between_arrival_and_resumption_takes_no_reply_for_another(fly: Any, serve: Any) -> None:
    def cleanup() -> Operation[None]:
        texts.append((yield from get(server.origin, "/cleanup")))

    async def scene(airport: Airport) -> None:
        for flight in [airport.start(get(server.origin)) for _ in range(2)]:
            await airport.landing(flight)
        airport.hold = True
        flight = airport.start(with_cleanup(get(server.origin, "/given-up"), cleanup))
        await until(lambda: airport.held)
        airport.hold = False
        flight.cancel()
        for held, reply in airport.held:
            held.resume(reply)
        with pytest.raises(Cancelled):
            await airport.landing(flight)

    texts: list[str] = []
    server = serve()
    fly(scene)
    assert texts == ["/cleanup"]


def test_a_flight_that_is_cancelled_before_its_task_begins_cleans_up(fly: Any) -> None:
    async def scene(airport: Airport) -> None:
        flight = airport.start(with_cleanup(pausing(), cleanup))
        flight.cancel()
        with pytest.raises(Cancelled):
            await airport.landing(flight)

    def pausing() -> Operation[None]:
        yield Sleep(60)

    def cleanup() -> Operation[None]:
        done.append((yield Call(lambda: "cleaned")))

    done: list[str] = []
    fly(scene)
    assert done == ["cleaned"]
