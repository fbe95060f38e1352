"""One client for several threads, event loops and processes at once."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from headrace import Client, aio
from tests.processes.reading import expected, read_all
from tests.processes.throttle import WATCHDOG


def test_blocking_verbs_in_a_running_loop(client: Client, uris: list[str]) -> None:
    """As in a notebook."""

    async def cell() -> int:
        return read_all(client, uris)

    assert asyncio.run(cell()) == expected(uris)


def test_one_client_in_one_loop_after_another(options: dict[str, Any], uris: list[str]) -> None:
    client = aio.Client(**options)

    async def read() -> int:
        return sum([item.data.nbytes async for item in client.get_many(uris) if item.data is not None])

    assert [asyncio.run(read()) for _ in range(3)] == [expected(uris)] * 3


def test_many_tasks(options: dict[str, Any], uris: list[str]) -> None:
    async def main() -> int:
        async with aio.Client(**options) as client:
            return sum(len(data) for data in await asyncio.gather(*(client.get(uri) for uri in uris * 5)))

    assert asyncio.run(main()) == 5 * expected(uris)


def test_a_task_that_is_cancelled_leaves_the_client_usable(options: dict[str, Any], uris: list[str]) -> None:
    async def main() -> bytes:
        async with aio.Client(**options) as client:
            for turns in range(30):
                task = asyncio.ensure_future(client.get(uris[turns % len(uris)]))
                for _ in range(turns):
                    await asyncio.sleep(0)
                task.cancel()
                await asyncio.wait([task])
            return await client.read_bytes(uris[0])

    assert asyncio.run(main()) == uris[0].encode()


def test_threads_share_a_client(client: Client, uris: list[str]) -> None:
    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(lambda _: read_all(client, uris), range(16))) == [expected(uris)] * 16


def test_leaving_a_batch_lets_the_memory_go(client: Client, uris: list[str]) -> None:
    items = client.get_many(uris)
    view = next(items).data
    items.close()  # type: ignore[attr-defined]
    del items
    gc.collect()
    assert view is not None
    assert view.nbytes


def test_threads_loops_and_a_fork_share_a_client(options: dict[str, Any], uris: list[str]) -> None:
    """At the same time, and each loop has connections of its own."""
    blocking, twin = Client(**options), aio.Client(**options)
    transports: list[Any] = []
    sums: list[int] = []

    async def in_a_loop() -> int:
        total = 0
        for _ in range(4):
            total += sum([item.data.nbytes async for item in twin.get_many(uris) if item.data is not None])
            total += sum(data.nbytes for data in await asyncio.gather(*(twin.get(uri) for uri in uris)))
        transports.append(twin._session.transport_here())
        await twin.close()
        return total

    threads = [threading.Thread(target=lambda: sums.append(asyncio.run(in_a_loop()))) for _ in range(2)]
    threads += [threading.Thread(target=lambda: sums.append(sum(read_all(blocking, uris) for _ in range(8)))) for _ in range(2)]
    for thread in threads:
        thread.start()
    children = []
    for _ in range(4):
        child = os.fork()
        if child == 0:
            signal.alarm(int(WATCHDOG))
            read = read_all(blocking, uris) + asyncio.run(in_a_loop())
            os._exit(0 if read == 9 * expected(uris) else 1)
        children.append(child)
    assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0] * 4
    for thread in threads:
        thread.join(WATCHDOG)
    blocking.close()
    assert sums == [8 * expected(uris)] * 4
    assert len({id(transport) for transport in transports}) == 2
