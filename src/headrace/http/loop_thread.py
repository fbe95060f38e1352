"""An event loop in a thread of its own, for blocking callers that want many requests in flight."""

from __future__ import annotations

import asyncio
import os
import threading
import weakref
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

from headrace.http.asynchronous import AsyncTransport, cancel_all, run_async
from headrace.http.blocking import Settings
from headrace.http.effects import FINISH_SECONDS, Operation

__all__ = ["LoopThread"]

T = TypeVar("T")


class LoopThread:
    """Starts its thread when it is first used, and again in a child after a fork. The thread never keeps a program alive.

    Args:
        settings: how connections are made.
        kind: the transport that performs exchanges on the loop.
    """

    def __init__(self, settings: Settings, kind: type[AsyncTransport] = AsyncTransport) -> None:
        self._settings = settings
        self._kind = kind
        self._forget()
        _loop_threads.add(self)

    def _forget(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._transport: AsyncTransport | None = None
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    def start(self) -> AsyncTransport:
        """The transport of the running loop; starts the thread if need be."""
        with self._lock:
            if self._transport is None:
                ready: Future[None] = Future()
                self._thread = threading.Thread(target=self._run, args=(ready,), name="headrace-loop", daemon=True)
                self._thread.start()
                ready.result()
            assert self._transport is not None
            return self._transport

    def call_soon(self, callback: Callable[..., object], *arguments: Any) -> bool:
        """Call a function in the loop's thread; does nothing, and gives False, if the loop has ended."""
        loop = self._loop
        if loop is None:
            return False
        try:
            loop.call_soon_threadsafe(callback, *arguments)
        except RuntimeError:
            # The loop ends at this moment.
            return False
        return True

    def submit(self, operation: Operation[T]) -> Future[T]:
        """Begin an operation; cancelling the future cancels the operation."""
        transport = self.start()
        assert self._loop is not None
        return asyncio.run_coroutine_threadsafe(_as_coroutine(run_async(operation, transport)), self._loop)

    def _run(self, ready: Future[None]) -> None:
        async def main() -> None:
            self._loop = asyncio.get_running_loop()
            self._transport = transport = self._kind(self._settings)
            self._ended = ended = asyncio.Event()
            ready.set_result(None)
            # By then the attributes may be those of the next loop.
            await ended.wait()
            await cancel_all(FINISH_SECONDS)
            transport.close()

        try:
            with asyncio.Runner() as runner:
                runner.run(main())
        except BaseException as error:
            if ready.done():
                raise
            # There is no loop, for want of file descriptors perhaps: who waits for it is told.
            ready.set_exception(error)

    def close(self, wait: float = 0.0) -> None:
        """End the loop and its connections; with ``wait``, give that up to so many seconds."""
        with self._lock:
            thread = self._thread
            if self._loop is not None:
                self.call_soon(self._ended.set)
            self._loop = self._transport = self._thread = None
        if thread is not None and wait:
            thread.join(wait)


async def _as_coroutine(coroutine: Coroutine[Any, Any, T]) -> T:
    return await coroutine


_loop_threads: weakref.WeakSet[LoopThread] = weakref.WeakSet()


def _forget_after_fork() -> None:
    for thread in list(_loop_threads):
        thread._forget()


os.register_at_fork(after_in_child=_forget_after_fork)
