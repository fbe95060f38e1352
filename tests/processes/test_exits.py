"""Programs that end, however much is open or under way: with their own status, in silence, and leaving nothing behind."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.processes.conftest import Place, until
from tests.processes.scripts import run_script
from tests.processes.throttle import Throttle


def test_a_program_ends_with_everything_open(options: dict[str, Any], uris: list[str]) -> None:
    script = """
    import sys, headrace
    endpoint, *uris = sys.argv[1:]
    client = headrace.Client(endpoint_url=endpoint, range_threshold=1 << 20)
    client.get(uris[-1])
    unfinished = client.get_many(uris * 100)
    next(unfinished)
    file = client.open(uris[-1], block_size=1000)
    file.read(10); file.read(5000)
    written = client.open(uris[0] + "-written", "wb")
    written.write(b"never published")
    print("done")
    """
    done = run_script(script, options["endpoint_url"], *uris)
    assert (done.returncode, done.stdout, done.stderr) == (0, "done\n", "")


def test_a_program_ends_though_nobody_closed_the_default_client(
    options: dict[str, Any], uris: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADRACE_ENDPOINT_URL", options["endpoint_url"])
    script = """
    import asyncio, sys, headrace
    from headrace import aio
    uris = sys.argv[1:]
    headrace.get(uris[-1])
    print(sum(1 for item in headrace.get_many(uris)))
    async def main():
        data = await aio.get(uris[0])
        print(len([item async for item in aio.get_many(uris)]), bytes(data).decode() == uris[0])
        async for item in aio.get_many(uris):
            break
    asyncio.run(main())
    """
    done = run_script(script, *uris)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{len(uris)}\n{len(uris)} True\n", "")


def test_a_program_that_fails_in_the_middle_of_a_batch_shows_its_own_error(options: dict[str, Any], uris: list[str]) -> None:
    script = """
    import sys, headrace
    endpoint, *uris = sys.argv[1:]
    for item in headrace.Client(endpoint_url=endpoint).get_many(uris * 100):
        raise SystemExit("its own error")
    """
    done = run_script(script, options["endpoint_url"], *uris)
    assert (done.returncode, done.stderr) == (1, "its own error\n")


def test_a_client_that_is_dropped_leaves_no_thread_and_no_socket(options: dict[str, Any], uris: list[str]) -> None:
    script = """
    import gc, os, sys, threading, time, headrace
    endpoint, *uris = sys.argv[1:]

    def sockets():
        with os.scandir("/proc/self/fd") as entries:
            return sum("socket:" in os.path.realpath(entry.path) for entry in entries)

    for _ in range(3):
        client = headrace.Client(endpoint_url=endpoint, range_threshold=1 << 20)
        client.get(uris[-1])
        for item in client.get_many(uris):
            pass
        del client, item
    watchdog = time.monotonic() + 30
    while (threading.active_count() > 1 or sockets()) and time.monotonic() < watchdog:
        gc.collect()
        time.sleep(0.01)
    print([thread.name for thread in threading.enumerate()], sockets())
    """
    done = run_script(script, options["endpoint_url"], *uris)
    assert (done.returncode, done.stdout, done.stderr) == (0, "['MainThread'] 0\n", "")


KINDS = {
    "get": "client.get(large)",
    "get_many": "assert len(list(client.get_many(uris))) == len(uris)",
    "get_many, half": "items = client.get_many(uris * 100); next(items)",
    "get_many of large ones, half": "items = client.get_many([large] * 100); next(items)",
    "put in parts": "client.put(large + '-put', bytes(12 << 20))",
    "put_many in parts, half": "items = client.put_many((f'{large}-{n}', bytes(6 << 20)) for n in range(50)); next(items)",
    "default client": "assert len(list(headrace.get_many(uris))) == len(uris)",
    "aio": "asyncio.run(use_aio())",
    "aio, left": "asyncio.run(leave_aio())",
    "open rb": "file = client.open(large, block_size=100_000); file.read(10); file.read(150_000)",
    "open wb": "file = client.open(large + '-never', 'wb'); file.write(bytes(11 << 20))",
    "open wb in a cycle": "file = client.open(large + '-never', 'wb'); file.write(bytes(6 << 20)); cycle = [file]; cycle.append(cycle)",
    "open wb of a file": "file = client.open(folder + '/never', 'wb'); file.write(bytes(17 << 20))",
    "threads in verbs": "in_threads(lambda: client.get(large), lambda: list(client.get_many(uris * 1000)), put_on)",
    "threads in files": "in_threads(write_on, lambda: [client.open(large, block_size=100_000).read() for _ in range(1000)])",
    "closed": "client.get(large); client.close()",
}
"""What a short program does, and leaves as it is."""

PROGRAM = """
import asyncio, sys, threading, time, headrace
from headrace import aio
kind, endpoint, folder, *uris = sys.argv[1:]
large = uris[-1]
options = dict(endpoint_url=endpoint, range_threshold=1 << 20, part_size=5 << 20, multipart_threshold=5 << 20)
client = headrace.Client(**options)

async def use_aio():
    async with aio.Client(**options) as twin:
        await twin.get(large)
        assert len([item async for item in twin.get_many(uris)]) == len(uris)
        await twin.put(large + "-aio", bytes(6 << 20))

async def leave_aio():
    twin = aio.Client(**options)
    file = twin.open(large + "-never", "wb")
    await file.write(bytes(11 << 20))
    task = asyncio.create_task(twin.put(large + "-task", bytes(50 << 20)))
    async for item in twin.get_many(uris * 100):
        break

def put_on():
    client.put(large + "-thread", bytes(64 << 20))

def write_on():
    file = client.open(large + "-never", "wb")
    while True:
        file.write(bytes(1 << 20))

def in_threads(*works):
    for work in works:
        threading.Thread(target=work, daemon=True).start()
    time.sleep(0.1)

exec(KINDS[kind])
"""

NUMBER = int(os.environ.get("HEADRACE_TEST_EXITS", str(len(KINDS))))
"""How many short programs are run; each kind once, unless this says more."""


def test_short_programs_end_well(place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Four at the same time, before a server on which everything takes a little."""
    with Throttle(place.server.endpoint, rate=64 << 20) as throttle:
        for name, value in place.environment(throttle).items():
            monkeypatch.setenv(name, value)
        uris = [f"{place.base}/small/{number}" for number in range(10)] + [f"{place.base}/large"]
        script = f"import os\nKINDS = {KINDS!r}\n{PROGRAM}"

        def run(number: int) -> tuple[str, int, str, str]:
            kind = list(KINDS)[number % len(KINDS)]
            done = run_script(script, kind, throttle.endpoint, str(tmp_path), *uris, flags=("-W", "error"))
            return kind, done.returncode, done.stdout, done.stderr

        with ThreadPoolExecutor(4) as programs:
            ends = list(programs.map(run, range(NUMBER)))
    assert [end for end in ends if end[1:] != (0, "", "")] == []
    until(lambda: [upload for upload in place.unfinished() if "-never" in upload.location.key] == [])
    assert [entry.uri for entry in place.client.list(f"{place.base}/large-never")] == []
    assert list(tmp_path.iterdir()) == []
