"""Operations that go from reply to request without a task and a future for each small exchange.

A task costs an event loop about as much as the Python of an HTTP exchange. An operation that only exchanges small messages over
open connections needs none: a `Flight` takes it from reply to request. Everything else that an operation may ask for (a new
connection, a large body, a blocking call, a pause) makes the flight go on as a task.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Protocol

from headrace.errors import ConnectionFailed
from headrace.http.asynchronous import AsyncTransport, run_async
from headrace.http.codec import Reply
from headrace.http.effects import Cancelled, Effect, Operation, Send
from headrace.http.loop_connection import AsyncConnection, fits_one_write

__all__ = ["Control", "Flight"]


class Control(Protocol):
    """Decides when flights go on. All is called in the event loop."""

    def arrived(self, flight: Flight, reply: Reply) -> None:
        """A flight has its reply: `Flight.resume` is to be called with it, in this turn of the loop or the next.

        To collect the replies of a turn and then resume all their flights pays: each step is a good deal faster when the same
        step was done just before, because its code and data are still in the processor's caches.
        """

    def landed(self, flight: Flight, result: Any, error: BaseException | None) -> None:
        """A flight has ended, with a result, or with the exception that ended its operation."""


class Flight:
    """One operation under way on an event loop.

    Args:
        operation: what to perform.
        transport: the loop's transport.
        control: is told of arrivals and of the end.
    """

    __slots__ = ("_connection", "_control", "_effect", "_operation", "_reused", "_task", "_transport")

    def __init__(self, operation: Operation[Any], transport: AsyncTransport, control: Control) -> None:
        self._operation = operation
        self._transport = transport
        self._control = control
        self._effect: Send | None = None
        self._connection: AsyncConnection | None = None
        self._reused = False
        self._task: asyncio.Task[Any] | None = None

    def start(self) -> None:
        """Begin; the operation may be finished when this returns."""
        self._resume(self._operation.send, None)

    def resume(self, reply: Reply) -> None:
        """Go on with the reply that `Control.arrived` told of; does nothing if the flight was cancelled since."""
        # Cancelled, it may be cleaning up, and wait for another reply.
        if self._connection is not None and self._effect is not None and self._effect.reply is reply:
            self._let_go(healthy=reply.reusable)
            self._resume(self._operation.send, reply)

    def cancel(self) -> None:
        """Give the operation up: it gets `Cancelled`, and may clean up behind itself."""
        if self._task is not None:
            self._task.cancel()
        elif self._connection is not None:
            # Otherwise the end of this connection would be taken for the end of what the operation does to clean up.
            self._let_go(healthy=False).abandon()
            self._resume(self._operation.throw, Cancelled())

    # What the connection calls.

    def done(self) -> bool:
        """Whether nobody waits for the present exchange any more."""
        return self._connection is None

    def set_result(self, reply: Reply) -> None:
        """The reply of the present exchange is there."""
        self._control.arrived(self, reply)

    def set_exception(self, error: BaseException) -> None:
        """The present exchange failed; on a kept connection that the server had closed it is made again."""
        send, lender = self._effect, self._let_go(healthy=False).lender
        assert send is not None
        assert lender is not None
        if self._reused and isinstance(error, ConnectionFailed) and self._transport.may_repeat(send, lender):
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
            self._control.landed(self, stop.value, None)
        except BaseException as error:
            self._control.landed(self, None, error)

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
        if task.cancelled() and getattr(self._operation, "gi_suspended", False):
            # It was cancelled before its first step, so that the operation does not know of it yet.
            self._task = None
            self._resume(self._operation.throw, Cancelled())
            return
        error = Cancelled() if task.cancelled() else task.exception()
        self._control.landed(self, None if error else task.result(), error)
