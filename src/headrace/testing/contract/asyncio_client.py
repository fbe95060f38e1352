"""The asyncio client with blocking verbs, so that one test tries both drivers."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from typing import Any, Self, TypeVar

from headrace import aio

__all__ = ["AsyncioClient"]

T = TypeVar("T")

_END = object()


class _Blocking:
    """Makes the coroutine methods of an object blocking ones, on an event loop of the caller's thread."""

    def __init__(self, target: object, runner: asyncio.Runner) -> None:
        self._target = target
        self._runner = runner

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._target, name)

        def call(*arguments: Any, **options: Any) -> Any:
            return self._blocking(method(*arguments, **options))

        return call

    def _blocking(self, result: Any) -> Any:
        if inspect.isawaitable(result):
            return self._runner.run(_awaited(result))
        if isinstance(result, AsyncGenerator):
            return self._iterate(result)
        if isinstance(result, aio.AsyncFile):
            return _BlockingFile(result, self._runner)
        return result

    def _iterate(self, source: AsyncGenerator[Any, None]) -> Iterator[Any]:
        try:
            while (item := self._runner.run(_awaited(anext(source, _END)))) is not _END:
                yield item
        finally:
            self._runner.run(source.aclose())


class _BlockingFile(_Blocking):
    def __enter__(self) -> Self:
        self._blocking(self._target.__aenter__())  # type: ignore[attr-defined]
        return self

    def __exit__(self, *exception: object) -> None:
        self._blocking(self._target.__aexit__(*exception))  # type: ignore[attr-defined]


class AsyncioClient(_Blocking):
    """`headrace.aio.Client` with the verbs of `headrace.Client`, in a loop that runs only while a verb does.

    Args:
        client: the client; it is closed at the end of ``with``.
    """

    def __init__(self, client: aio.Client) -> None:
        super().__init__(client, asyncio.Runner())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        try:
            self.close()
        finally:
            self._runner.close()


async def _awaited(awaitable: Awaitable[T]) -> T:
    return await awaitable
