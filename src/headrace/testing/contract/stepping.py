"""Operations performed by hand: requests are answered from a script, so that a backend is tested without a network.

script = Script(Answer(503), Answer(200, body=b"content"))
fetched = script.run(store.get(location, Landing()))
assert script.requests[1].headers["range"] == "bytes=0-99"
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from headrace.http.codec import Reply, scratch
from headrace.http.effects import Call, Finish, Operation, Parallel, Send, Sleep
from headrace.http.messages import Request

__all__ = ["Answer", "Script"]

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a server replies.

    Attributes:
        status: the status code.
        headers: without the length, unless it is to be another one than that of the body; an empty value leaves a header out.
        body: the content.
        cut: bytes of the body after which the connection breaks; None lets all of it arrive.
    """

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    cut: int | None = None

    def deliver(self, send: Send) -> Reply:
        """Let the reply arrive through the real codec; the result of the exchange.

        Raises:
            HeadraceError: as an exchange would: the reply is cut off or not valid.
            Exception: what the placement raised.
        """
        reply = send.reply = Reply(send.request.method, scratch(), send.place, send.limit, send.excerpt)
        headers = {"content-length": str(len(self.body)), **self.headers}
        head = f"HTTP/1.1 {self.status} -\r\n" + "".join(f"{name}: {value}\r\n" for name, value in headers.items() if value) + "\r\n"
        rest = memoryview(head.encode("latin-1") + (b"" if send.request.method == "HEAD" else self.body[: self.cut]))
        while rest and not reply.complete:
            buffer = reply.buffer()
            count = min(len(buffer), len(rest))
            buffer[:count] = rest[:count]
            reply.advance(count)
            rest = rest[count:]
        if not reply.complete:
            reply.end()
        return reply


class Script:
    """Performs operations: calls are made, pauses are noted, parallel operations follow one another, and requests get these answers.

    Args:
        answers: what happens to one request after another: an answer, or the exception that the exchange raises.
        server: gives the answer to any request, when there are no ``answers`` (left).

    Attributes:
        requests: those that were sent.
        pauses: seconds of each pause.
    """

    def __init__(self, *answers: Answer | Exception, server: Callable[[Request], Answer | Exception] | None = None) -> None:
        self._answers: Iterator[Answer | Exception] = iter(answers)
        self._server = server
        self.requests: list[Request] = []
        self.pauses: list[float] = []

    def run(self, operation: Operation[T]) -> T:
        """Perform an operation to its end; its result."""
        try:
            effect = operation.send(None)
            while True:
                try:
                    result = self._perform(effect)
                except Exception as error:
                    effect = operation.throw(error)
                else:
                    effect = operation.send(result)
        except StopIteration as stop:
            value: T = stop.value
            return value

    @property
    def finished(self) -> bool:
        """Whether all answers were given."""
        return next(self._answers, None) is None

    def _perform(self, effect: object) -> Any:
        if isinstance(effect, Send):
            return self._exchange(effect)
        if isinstance(effect, Call):
            return effect.function()
        if isinstance(effect, Parallel):
            return [self.run(operation) for operation in effect.operations]
        if isinstance(effect, Finish):
            effect.end(self.run(effect.operation))
            return effect.result
        assert isinstance(effect, Sleep)
        return self.pauses.append(effect.seconds)

    def _exchange(self, send: Send) -> Reply:
        self.requests.append(send.request)
        answer = next(self._answers, None)
        if answer is None:
            assert self._server is not None, f"the script has no answer to {send.request}"
            answer = self._server(send.request)
        if isinstance(answer, Exception):
            raise answer
        return answer.deliver(send)
