"""A program that is in the middle of one verb when a signal comes: ``interrupted.py blocking|aio VERB BASE DIRECTORY``.

It does what the documentation says that a program must do: Ctrl-C is an exception by itself, and SIGTERM is made one.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import headrace
from headrace import aio

MIB = 1 << 20
OPTIONS: dict[str, Any] = {"part_size": 5 * MIB, "multipart_threshold": 5 * MIB, "range_threshold": MIB, "checksum": "crc32"}


def consume(items: Any) -> None:
    for _ in items:
        pass


def write_slowly(client: headrace.Client, uri: str, pieces: int = 1000) -> None:
    with client.open(uri, "wb") as file:
        for _ in range(pieces):
            file.write(bytes(MIB))


def keep_open(client: headrace.Client, uri: str) -> None:
    """As a program that does not use ``with``."""
    file = client.open(uri, "wb")
    for _ in range(1000):
        file.write(bytes(MIB))


def read_slowly(client: headrace.Client, uri: str) -> None:
    with client.open(uri, block_size=MIB) as file:
        while file.read(MIB // 2):
            pass


BLOCKING: dict[str, Callable[[headrace.Client, str, Path], Any]] = {
    "get": lambda client, base, _: client.get(f"{base}/large"),
    "get_many": lambda client, base, _: consume(client.get_many(f"{base}/small/{n}" for n in range(1000))),
    "get_many_large": lambda client, base, _: consume(client.get_many([f"{base}/large"] * 100)),
    "put": lambda client, base, _: client.put(f"{base}/new", bytes(64 * MIB)),
    "put_many": lambda client, base, _: consume(client.put_many((f"{base}/new-{n}", bytes(16 * MIB)) for n in range(100))),
    "open_wb": lambda client, base, _: write_slowly(client, f"{base}/new"),
    "open_wb_left": lambda client, base, _: keep_open(client, f"{base}/new"),
    "open_rb": lambda client, base, _: read_slowly(client, f"{base}/large"),
    "list": lambda client, base, _: consume(client.list(f"{base}/")),
    "stat_many": lambda client, base, _: consume(client.stat_many(f"{base}/small/{n}" for n in range(1000))),
    "delete": lambda client, base, _: client.delete(f"{base}/doomed", recursive=True),
    "copy_up": lambda client, base, folder: client.copy(folder / "large", f"{base}/new"),
    "copy_down": lambda client, base, folder: client.copy(f"{base}/large", folder / "down"),
    "copy_down_direct": lambda client, base, folder: client.copy(f"{base}/large", f"direct://{folder}/down"),
}


async def consume_async(items: Any) -> None:
    async for _ in items:
        pass


async def write_async(client: aio.Client, uri: str) -> None:
    async with client.open(uri, "wb") as file:
        for _ in range(1000):
            await file.write(bytes(MIB))


async def read_async(client: aio.Client, uri: str) -> None:
    async with client.open(uri, block_size=MIB) as file:
        while await file.read(MIB // 2):
            pass


AIO: dict[str, Callable[[aio.Client, str, Path], Any]] = {
    "get": lambda client, base, _: client.get(f"{base}/large"),
    "get_many": lambda client, base, _: consume_async(client.get_many(f"{base}/small/{n}" for n in range(1000))),
    "get_many_large": lambda client, base, _: consume_async(client.get_many([f"{base}/large"] * 100)),
    "put": lambda client, base, _: client.put(f"{base}/new", bytes(64 * MIB)),
    "put_many": lambda client, base, _: consume_async(client.put_many((f"{base}/new-{n}", bytes(16 * MIB)) for n in range(100))),
    "open_wb": lambda client, base, _: write_async(client, f"{base}/new"),
    "open_rb": lambda client, base, _: read_async(client, f"{base}/large"),
    "list": lambda client, base, _: consume_async(client.list(f"{base}/")),
    "stat_many": lambda client, base, _: consume_async(client.stat_many(f"{base}/small/{n}" for n in range(1000))),
    "delete": lambda client, base, _: client.delete(f"{base}/doomed", recursive=True),
    "copy_up": lambda client, base, folder: client.copy(folder / "large", f"{base}/new"),
    "copy_down": lambda client, base, folder: client.copy(f"{base}/large", folder / "down"),
    "copy_down_direct": lambda client, base, folder: client.copy(f"{base}/large", f"direct://{folder}/down"),
}


def terminate(number: int, frame: object) -> None:
    raise SystemExit(128 + number)


def run_blocking(verb: str, base: str, folder: Path) -> int:
    signal.signal(signal.SIGTERM, terminate)
    try:
        BLOCKING[verb](headrace.Client(**OPTIONS), base, folder)
    except KeyboardInterrupt:
        return 130
    return 0


async def run_verb(verb: str, base: str, folder: Path) -> int:
    received: list[int] = []

    def cancel(number: int) -> None:
        received.append(number)
        task.cancel()

    task = asyncio.ensure_future(AIO[verb](aio.Client(**OPTIONS), base, folder))
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, cancel, number)
    with contextlib.suppress(asyncio.CancelledError):
        await task
    return 128 + received[0] if received else 0


def run_plain(verb: str, base: str, folder: Path) -> int:
    """As most programs: without a thought of signals; `asyncio.run` turns Ctrl-C into a cancellation."""

    async def main() -> None:
        await AIO[verb](aio.Client(**OPTIONS), base, folder)

    try:
        asyncio.run(main())
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    colour, verb, base, directory = sys.argv[1:]
    if colour == "blocking":
        status = run_blocking(verb, base, Path(directory))
    elif colour == "aio":
        status = asyncio.run(run_verb(verb, base, Path(directory)))
    else:
        status = run_plain(verb, base, Path(directory))
    sys.exit(status)
