"""Operations that are performed in one thread, step by step together."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from headrace.errors import ServiceError
from headrace.http.blocking import BlockingTransport, Settings
from headrace.http.crew import Crew, run_abreast
from headrace.http.effects import Call, Operation, Parallel

NOBODY = BlockingTransport(Settings())


@pytest.fixture
def crew() -> Iterator[Crew]:
    crew = Crew(2)
    yield crew
    crew.close()


def call(function: Callable[[], Any]) -> Operation[Any]:
    return (yield Call(function))


def parallel(operations: Any, limit: int) -> Operation[list[Any]]:
    return (yield Parallel(operations, limit))


def failing(error: BaseException) -> Callable[[], None]:
    def function() -> None:
        raise error

    return function


def test_one_step_of_all_comes_before_the_next_step_of_any(crew: Crew) -> None:
    steps: list[str] = []

    def operation(name: str) -> Operation[str]:
        first = yield Call(lambda: steps.append(f"{name}1") or 1)
        steps.append(f"{name}2")
        second = yield Call(lambda: steps.append(f"{name}3") or 2)
        return f"{name}{first}{second}"

    def without_effects() -> Operation[str]:
        return "at once"
        yield

    operations = [operation("a"), without_effects(), operation("b")]
    assert run_abreast(operations, NOBODY, crew) == ["a12", "at once", "b12"]
    assert steps == ["a1", "b1", "a2", "b2", "a3", "b3"]


def test_every_effect_is_performed(crew: Crew) -> None:
    operations: list[Operation[Any]] = [parallel([call(lambda: 1), call(lambda: 2)], 2), call(lambda: 3)]
    assert run_abreast(operations, NOBODY, crew) == [[1, 2], 3]


def test_a_failure_is_raised_in_its_own_operation(crew: Crew) -> None:
    def operation() -> Operation[str]:
        try:
            yield Call(failing(ServiceError("no")))
        except ServiceError as error:
            return error.message
        return "unreachable"

    assert run_abreast([operation(), call(lambda: "yes")], NOBODY, crew) == ["no", "yes"]


def test_what_an_operation_raises_ends_the_others(crew: Crew) -> None:
    ended: list[str] = []

    def other() -> Operation[None]:
        try:
            yield Call(lambda: None)
            yield Call(lambda: None)
        finally:
            ended.append("other")

    operations: list[Operation[Any]] = [other(), call(failing(KeyboardInterrupt()))]
    with pytest.raises(KeyboardInterrupt):
        run_abreast(operations, NOBODY, crew)
    operations.clear()
    assert ended == ["other"]
