"""A task that is cancelled at any turn of its loop leaves nothing behind: no connection, no upload, no exception that nobody saw."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import pytest

from headrace import aio
from headrace.auth.sigv4 import Credentials
from tests.processes.conftest import MIB, Place
from tests.processes.throttle import WATCHDOG

OPTIONS: dict[str, Any] = {
    "region": "us-east-1",
    "part_size": 5 * MIB,
    "multipart_threshold": 5 * MIB,
    "range_threshold": MIB,
    "checksum": "crc32",
}

Verb = Callable[[aio.Client, str], Coroutine[Any, Any, Any]]


class CountingLoop(asyncio.SelectorEventLoop):
    """An event loop that cancels a task after a number of turns: between two of them lies every await, of every task."""

    def __init__(self) -> None:
        super().__init__()
        self.reports: list[dict[str, Any]] = []
        self.set_exception_handler(lambda loop, context: self.reports.append(context))
        self._victim: asyncio.Task[Any] | None = None
        self._turns = 0
        self._times = 0

    def cancel_after(self, turns: int, victim: asyncio.Task[Any], times: int) -> None:
        """Cancel the task then, and in each of the next turns until it was cancelled so many times."""
        self._victim, self._turns, self._times = victim, turns, times

    def _run_once(self) -> None:
        super()._run_once()  # type: ignore[misc]
        if self._victim is not None:
            if self._turns <= 0 and self._times > 0:
                self._times -= 1
                self._victim.cancel()
            self._turns -= 1


async def consume(items: AsyncIterator[Any]) -> None:
    async for _ in items:
        pass


async def write(client: aio.Client, base: str) -> None:
    async with client.open(f"{base}/new", "wb") as file:
        for _ in range(6):
            await file.write(bytes(2 * MIB))


async def read(client: aio.Client, base: str) -> None:
    async with client.open(f"{base}/large", block_size=MIB) as file:
        for _ in range(3):
            assert len(await file.read(MIB)) == MIB


async def delete(client: aio.Client, base: str) -> None:
    await client.delete_many(f"{base}/new-{number}" for number in range(5))


VERBS: dict[str, Verb] = {
    "get": lambda client, base: client.get(f"{base}/small/1"),
    "get of ranges": lambda client, base: client.get(f"{base}/large"),
    "get_many": lambda client, base: consume(client.get_many(f"{base}/small/{number}" for number in range(12))),
    "put": lambda client, base: client.put(f"{base}/new", b"x"),
    "put in parts": lambda client, base: client.put(f"{base}/new", bytes(11 * MIB)),
    "put_many": lambda client, base: consume(client.put_many((f"{base}/new-{number}", b"x") for number in range(5))),
    "put_many in parts": lambda client, base: consume(client.put_many((f"{base}/new-{number}", bytes(6 * MIB)) for number in range(2))),
    "list": lambda client, base: consume(client.list(f"{base}/")),
    "copy": lambda client, base: client.copy(f"{base}/small/1", f"{base}/new"),
    "open rb": read,
    "open wb": write,
    "delete_many": delete,
}


class Scene:
    """One client on one loop, whose verb is cancelled again and again."""

    def __init__(self, place: Place, verb: Verb, connections: int, times: int) -> None:
        self._place = place
        self._verb = verb
        self._times = times
        self._options = {**OPTIONS, "endpoint_url": place.server.endpoint, "max_connections": connections}
        self._options["credentials"] = Credentials(place.server.access_key, place.server.secret_key)

    async def play(self) -> int:
        """Cancel after 0, 1, 2, ... turns, until the verb is done before; gives that number."""
        async with aio.Client(**self._options) as client:
            turns = 0
            while not await self._is_done_in(turns, client):
                turns += 1
            await self._check(client)
            return turns

    async def _is_done_in(self, turns: int, client: aio.Client) -> bool:
        task = asyncio.ensure_future(self._verb(client, self._place.base))
        loop = asyncio.get_running_loop()
        assert isinstance(loop, CountingLoop)
        loop.cancel_after(turns, task, self._times)
        await asyncio.wait([task], timeout=WATCHDOG)
        assert task.done(), f"hangs, cancelled after {turns} turns"
        if not task.cancelled():
            task.result()
            return True
        await self._check(client)
        return False

    async def _check(self, client: aio.Client) -> None:
        # With the only connection gone, this would wait for ever.
        assert await asyncio.wait_for(client.read_bytes(f"{self._place.base}/small/2"), WATCHDOG) == b"x"
        assert client._session.transport_here()._pool.in_use == 0
        assert self._place.unfinished() == []


@pytest.mark.parametrize(("connections", "times"), [(1, 1), (2, 2)])
@pytest.mark.parametrize("verb", VERBS)
def test_cancelled_at_every_turn(place: Place, verb: str, connections: int, times: int) -> None:
    loop = CountingLoop()
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        turns = runner.run(Scene(place, VERBS[verb], connections, times).play())
    gc.collect()
    assert loop.reports == []
    assert turns > 1
    print(f"{verb}, {connections} connections, cancelled {times} times: {turns} turns")
