"""The way of one act, over all its tries, among several endpoints: where it failed, it does not go again as long as there are others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from headrace.endpoints.balancing import Endpoints
from headrace.endpoints.endpoint import Elsewhere, Endpoint
from headrace.errors import HeadraceError
from headrace.http.effects import Effect, Operation, Send

__all__ = ["Route"]

T = TypeVar("T")


class Route:
    """Remembers for one act which endpoints failed it.

    Each try is followed with `follow`. When it fails, the endpoint of its last request is to blame, whatever the error is: one that
    sent bytes with another checksum is not asked for them again.
    """

    __slots__ = ("_endpoints", "_failed", "_shunned")

    def __init__(self, endpoints: Endpoints) -> None:
        self._endpoints = endpoints
        self._failed: set[Endpoint] = set()
        # Where the next try does not go: all that failed, or when these are all there are, the one that failed last.
        self._shunned: set[Endpoint] = set()

    @property
    def leads_elsewhere(self) -> bool:
        """Whether there is an endpoint that works, as far as is known, and has not failed this act."""
        return self._endpoints.has_other(self._failed)

    def follow(self, operation: Operation[T]) -> Operation[T]:
        """Perform one try, whose requests go elsewhere than to the endpoints that failed the tries before.

        An operation chooses the endpoint of a request before it asks for the request to be sent, since it signs for it. If that is one
        of those, the request is not sent: `Elsewhere` is raised in the operation, which chooses again.
        """
        step: Callable[[Any], Effect] = operation.send
        value: Any = None
        latest: Endpoint | None = None
        try:
            while True:
                effect = step(value)
                if type(effect) is Send and effect.endpoint is not None:
                    latest = effect.endpoint
                    if latest in self._shunned:
                        step, value = operation.throw, Elsewhere(self._shunned)
                        continue
                try:
                    value = yield effect
                    step = operation.send
                except GeneratorExit:
                    operation.close()
                    raise
                except BaseException as error:
                    step, value = operation.throw, error
        except StopIteration as stop:
            result: T = stop.value
            return result
        except HeadraceError:
            self._blame(latest)
            raise
        finally:
            # An exception that its own traceback refers to would live until the garbage collector comes.
            del step, value

    def _blame(self, endpoint: Endpoint | None) -> None:
        if endpoint is None:
            return
        self._failed.add(endpoint)
        self._shunned.add(endpoint)
        if len(self._shunned) == len(self._endpoints.all):
            self._shunned = {endpoint} if len(self._endpoints.all) > 1 else set()
