"""Loops, threads, forks, signals: a client works wherever a program uses it, and never keeps the program from ending."""

from __future__ import annotations

import asyncio
import gc
import itertools
import multiprocessing
import os
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from headrace import Client, aio
from headrace.testing.servers import Server

COUNT = 40
LARGE = 3_000_000
WATCHDOG = 60.0
"""Seconds after which something hangs; nothing here takes as long."""

CI = os.environ.get("CI") == "true"


@pytest.fixture
def options(nginx: Server, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", nginx.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", nginx.secret_key)
    return {"endpoint_url": nginx.endpoint, "range_threshold": 1 << 20}


@pytest.fixture
def client(options: dict[str, Any]) -> Iterator[Client]:
    with Client(**options) as client:
        yield client


@pytest.fixture
def uris(client: Client, bucket: str) -> list[str]:
    """Small objects and, last, a large one; the client has been used for all that it does."""
    client.create_container(f"s3://{bucket}")
    uris = [f"s3://{bucket}/{number:02}" for number in range(COUNT)]
    for _ in client.put_many([*((uri, uri.encode()) for uri in uris), (f"s3://{bucket}/large", bytes(LARGE))]):
        pass
    uris.append(f"s3://{bucket}/large")
    assert read_all(client, uris) == expected(uris)
    return uris


def expected(uris: list[str]) -> int:
    return sum(len(uri) for uri in uris[:-1]) + LARGE


def read_all(client: Client, uris: list[str]) -> int:
    """Read by each way that there is: one by one, large in parallel, in a batch, as a file. Bytes read, if all ways agree."""
    one_by_one = sum(client.get(uri).nbytes for uri in uris)
    batch = sum(item.data.nbytes for item in client.get_many(uris) if item.data is not None)
    with client.open(uris[-1], block_size=500_000) as file:
        assert sum(len(piece) for piece in iter(lambda: file.read(100_000), b"")) == LARGE
    assert one_by_one == batch
    return batch


def run_script(script: str, *arguments: str, flags: tuple[str, ...] = ("-X", "dev", "-W", "error")) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *flags, "-c", textwrap.dedent(script), *arguments], capture_output=True, text=True, timeout=WATCHDOG, check=False
    )


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


def test_a_forked_child_uses_its_parents_client(client: Client, uris: list[str]) -> None:
    """While the parent goes on with it, and its threads with it, which are not in the child."""
    stop = threading.Event()

    def go_on() -> None:
        while not stop.is_set():
            read_all(client, uris)

    others = [threading.Thread(target=go_on) for _ in range(2)]
    for thread in others:
        thread.start()
    try:
        for _ in range(5):
            child = os.fork()
            if child == 0:
                signal.alarm(int(WATCHDOG))
                os._exit(0 if read_all(client, uris) == expected(uris) else 1)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    finally:
        stop.set()
        for thread in others:
            thread.join()
    assert read_all(client, uris) == expected(uris)


@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_a_pool_of_processes(options: dict[str, Any], uris: list[str], method: str) -> None:
    client = Client(**options)
    assert read_all(client, uris) == expected(uris)
    with multiprocessing.get_context(method).Pool(2) as pool:
        assert pool.starmap(read_all, [(client, uris)] * 4) == [expected(uris)] * 4
    client.close()


class Samples:
    """A map-style dataset of objects."""

    def __init__(self, client: Client, uris: list[str]) -> None:
        self.client = client
        self.uris = uris

    def __len__(self) -> int:
        return len(self.uris)

    def __getitem__(self, index: int) -> bytes:
        (item,) = self.client.get_many([self.uris[index]])
        assert item.data == self.client.get(self.uris[index])
        return bytes(item.data)


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_the_workers_of_a_data_loader(client: Client, uris: list[str], method: str) -> None:
    """Started after the parent has read with the same client."""
    if CI:
        import torch
    else:
        torch = pytest.importorskip("torch")
    loader = torch.utils.data.DataLoader(
        Samples(client, uris[:-1]), batch_size=8, num_workers=2, collate_fn=list, multiprocessing_context=method, timeout=WATCHDOG
    )
    for _ in range(2):
        assert list(itertools.chain.from_iterable(loader)) == [uri.encode() for uri in uris[:-1]]
    assert read_all(client, uris) == expected(uris)


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


@pytest.mark.parametrize("work", ["get", "get_many", "files", "stalled"])
def test_ctrl_c(options: dict[str, Any], uris: list[str], work: str, tmp_path: Any) -> None:
    """Raises KeyboardInterrupt where the program is, and nothing keeps it from ending."""
    (tmp_path / "file").write_bytes(b"data")
    script = """
    import itertools, socket, sys, headrace
    work, endpoint, file, *uris = sys.argv[1:]
    client = headrace.Client(endpoint_url=endpoint)
    if work == "stalled":
        silent = socket.create_server(("127.0.0.1", 0))
        client = headrace.Client(endpoint_url=f"http://127.0.0.1:{silent.getsockname()[1]}")
    print("begun", flush=True)
    try:
        if work == "get":
            while True:
                client.get(uris[-1])
        for item in client.get_many(itertools.cycle([file] if work == "files" else uris)):
            pass
    except KeyboardInterrupt:
        print("interrupted", flush=True)
    if work == "stalled":
        silent.close()
    """
    process = subprocess.Popen(
        [sys.executable, "-X", "dev", "-c", textwrap.dedent(script), work, options["endpoint_url"], str(tmp_path / "file"), *uris],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.3)
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=WATCHDOG)
    assert (process.returncode, stdout, stderr) == (0, "interrupted\n", "")


def test_leaving_a_batch_lets_the_memory_go(client: Client, uris: list[str]) -> None:
    items = client.get_many(uris)
    view = next(items).data
    items.close()  # type: ignore[attr-defined]
    del items
    gc.collect()
    assert view is not None
    assert view.nbytes
