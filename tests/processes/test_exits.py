"""Programs that end, however much is open or under way: with their own status, in silence, and leaving nothing behind."""

from __future__ import annotations

from typing import Any

import pytest

from tests.processes.scripts import run_script


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
