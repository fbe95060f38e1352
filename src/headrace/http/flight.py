"""Operations that go on in the very callback in which their reply arrives: no task and no future for each small exchange.

A task costs an event loop more than the Python of an HTTP exchange. An operation that only exchanges small messages over open
connections needs none: a `Flight` takes it from reply to request. Everything else that an operation may ask for (a new
connection, a large body, a blocking call, a pause) makes the flight go on as a task.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from headrace.errors import ConnectionFailed
from headrace.http.asynchronous import AsyncConnection, AsyncTransport, fits_one_write, run_async
from headrace.http.codec import Reply
from headrace.http.effects import Cancelled, Effect, Operation, Send

__all__ = ["Flight"]


class Flight:
    """One operation under way on an event loop.

    Args:
        operation: what to perform.
        transport: the loop's transport.
        landed: called in the loop with the result, or with None and the exception that ended the operation.
    """

    __slots__ = ("_connection", "_effect", "_landed", "_operation", "_reused", "_task", "_transport")

    def __init__(
        self, operation: Operation[Any], transport: AsyncTransport, landed: Callable[[Flight, Any, BaseException | None], None]
    ) -> None:
        self._operation = operation
        self._transport = transport
        self._landed = landed
        self._effect: Send | None = None
        self._connection: AsyncConnection | None = None
        self._reused = False
        self._task: asyncio.Task[Any] | None = None

    def start(self) -> None:
        """Begin; the operation may be finished when this returns."""
        self._resume(self._operation.send, None)

    def cancel(self) -> None:
        """Give the operation up: it gets `Cancelled`, and may clean up behind itself."""
        if self._task is not None:
            self._task.cancel()
        elif self._connection is not None:
            connection = self._let_go(healthy=False)
            connection.close()
            self._resume(self._operation.throw, Cancelled())

    # What the connection calls.

    def done(self) -> bool:
        """Whether nobody waits for the present exchange any more."""
        return self._connection is None

    def set_result(self, reply: Reply) -> None:
        """The reply of the present exchange is there."""
        self._let_go(healthy=reply.reusable)
        self._resume(self._operation.send, reply)

    def set_exception(self, error: BaseException) -> None:
        """The present exchange failed; on a kept connection that the server had closed it is made again."""
        send = self._effect
        assert send is not None
        self._let_go(healthy=False)
        never_begun = self._reused and isinstance(error, ConnectionFailed) and (send.reply is None or not send.reply.begun)
        if never_begun and send.request.repeatable:
            self._go_on_as_task(send)
        else:
            self._resume(self._operation.throw, error)

    def _let_go(self, *, healthy: bool) -> AsyncConnection:
        connection, send = self._connection, self._effect
        assert connection is not None
        assert send is not None
        self._connection = None
        self._transport.take_back(send.request.origin, connection, healthy=healthy)
        return connection

    def _resume(self, how: Callable[[Any], Effect], value: Any) -> None:
        try:
            effect = how(value)
            self._begin(effect)
        except StopIteration as stop:
            self._landed(self, stop.value, None)
        except BaseException as error:
            self._landed(self, None, error)

    def _begin(self, effect: Effect) -> None:
        if type(effect) is Send and fits_one_write(effect.request):
            connection = self._transport.lend(effect.request.origin)
            if connection is not None:
                self._effect, self._connection, self._reused = effect, connection, connection.served > 0
                try:
                    connection.begin(effect, self)
                except Exception as error:
                    # Nothing was sent: the request itself is at fault.
                    self._let_go(healthy=True)
                    self._resume(self._operation.throw, error)
                return
        self._go_on_as_task(effect)

    def _go_on_as_task(self, effect: Effect) -> None:
        self._task = asyncio.ensure_future(run_async(self._operation, self._transport, effect))
        self._task.add_done_callback(self._task_ended)

    def _task_ended(self, task: asyncio.Task[Any]) -> None:
        error = Cancelled() if task.cancelled() else task.exception()
        self._landed(self, None if error else task.result(), error)
