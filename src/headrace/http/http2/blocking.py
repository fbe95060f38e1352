"""Exchanges over HTTP/2 for blocking callers: a connection carries those of all threads, and so it belongs to none of them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

from headrace.errors import ConnectionFailed
from headrace.http.blocking import BlockingTransport, Lane
from headrace.http.codec import Reply
from headrace.http.connecting import Settings
from headrace.http.effects import FINISH_SECONDS, Cancelled, Send
from headrace.http.http2.asynchronous import AsyncHttp2Transport
from headrace.http.loop_thread import LoopThread

__all__ = ["BlockingHttp2Transport"]

_LOOK_UP_SECONDS = 0.5


class BlockingHttp2Transport(BlockingTransport):
    """Performs `Send` effects for any number of threads: hands each to a loop's thread, and waits for it there.

    An origin that turns out not to speak HTTP/2 is served as `BlockingTransport` does, from then on.

    Args:
        settings: how connections are made.
        loop_thread: has an `AsyncHttp2Transport`.
    """

    def __init__(self, settings: Settings, loop_thread: LoopThread) -> None:
        super().__init__(settings)
        self._loop_thread = loop_thread

    def exchange(self, send: Send, lane: Lane | None = None) -> Reply:
        """Perform one exchange; see `BlockingTransport.exchange`."""
        transport = self._loop_thread.start()
        assert isinstance(transport, AsyncHttp2Transport)
        if transport.goes_without(send.request.origin):
            return super().exchange(send, lane)
        return _Errand(send, transport).run(lane)


class _Errand:
    """One exchange in the thread of a loop, for which another thread waits."""

    def __init__(self, send: Send, transport: AsyncHttp2Transport) -> None:
        self._send: Send | None = send
        self._transport = transport
        self._task: asyncio.Task[Reply] | None = None
        self._reply: Reply | None = None
        self._failure: BaseException | None = None
        self._ended = threading.Event()
        self._interrupted = False

    def run(self, lane: Lane | None) -> Reply:
        """Have it done; an interruption of this thread, or of the lane, ends it."""
        if lane is not None:
            lane.enter(self._interrupt)
        try:
            self._call(self._begin)
            self._wait()
        except BaseException:
            self._interrupt()
            # What it receives into is the caller's memory: the loop, which may yet call `_cancel`, is not to refer to it.
            self._ended.wait(FINISH_SECONDS)
            self._send = self._reply = self._failure = None
            raise
        finally:
            if lane is not None:
                lane.leave()
        return self._outcome()

    def _call(self, function: Callable[[], None]) -> None:
        try:
            self._transport.loop.call_soon_threadsafe(function)
        except RuntimeError:
            # The loop has ended.
            self._ended.set()

    def _interrupt(self) -> None:
        self._interrupted = True
        self._call(self._cancel)

    def _wait(self) -> None:
        # Not without end: a signal that comes just before a wait begins does not end it, and the loop may have ended.
        while not self._ended.wait(_LOOK_UP_SECONDS):
            if self._transport.loop.is_closed():
                return

    def _outcome(self) -> Reply:
        reply, failure = self._reply, self._failure
        self._reply = self._failure = None
        if reply is not None:
            return reply
        if isinstance(failure, Exception):
            try:
                raise failure
            finally:
                # An exception that its own traceback refers to would live, with the body, until the garbage collector comes.
                del failure
        raise Cancelled if self._interrupted else ConnectionFailed("the client was closed before the reply came")

    # Called in the loop's thread.

    def _begin(self) -> None:
        send, self._send = self._send, None
        if send is not None:
            self._task = self._transport.loop.create_task(self._transport.exchange(send))
            self._task.add_done_callback(self._finish)

    def _cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()

    def _finish(self, task: asyncio.Task[Reply]) -> None:
        self._task = None
        self._failure = asyncio.CancelledError() if task.cancelled() else task.exception()
        if self._failure is None:
            self._reply = task.result()
        # In the next turn, when the loop refers no more to the task, and that not to the caller's memory.
        self._transport.loop.call_soon(self._ended.set)
