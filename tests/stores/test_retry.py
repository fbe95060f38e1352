"""What is tried again, how often, and after how long."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace import errors
from headrace.errors import (
    AlreadyExists,
    ConnectionFailed,
    CredentialsError,
    HeadraceError,
    IntegrityError,
    InvalidOption,
    NotFound,
    ObjectChanged,
    PermissionDenied,
    PreconditionFailed,
    ProtocolError,
    ServiceError,
    Stalled,
    Throttled,
)
from headrace.http.effects import Operation
from headrace.stores.retry import Attempts, RetryPolicy, is_transient, retrying
from headrace.testing.contract.stepping import Script
from headrace.uri import parse

LOCATION = parse("s3://bucket/key")

TABLE = [
    (ConnectionFailed("reset"), True),
    (ConnectionFailed("refused", code="refused"), True),
    (ConnectionFailed("not trusted", code="certificate"), False),
    (ConnectionFailed("no TLS", code="tls"), False),
    (ConnectionFailed("unknown host", code="resolve"), False),
    (Stalled("nothing moved"), True),
    (Throttled("slow down", status=503), True),
    (ProtocolError("not HTTP"), True),
    (IntegrityError("checksum"), True),
    (ServiceError("internal", status=500), True),
    (ServiceError("bad gateway", status=502), True),
    (ServiceError("timeout", status=504), True),
    (ServiceError("request timeout", status=408), True),
    (ServiceError("in a 200", status=200, code="InternalError"), True),
    (ServiceError("conflict", status=409, code="OperationAborted"), True),
    (ServiceError("conflict", status=409, code="BucketNotEmpty"), False),
    (ServiceError("bad request", status=400), False),
    (ServiceError("disk full", code="NoSpace"), False),
    (NotFound("no", status=404), False),
    (PermissionDenied("no", status=403), False),
    (CredentialsError("no", status=403), False),
    (AlreadyExists("there"), False),
    (PreconditionFailed("other", status=412), False),
    (ObjectChanged("other", status=412), False),
    (InvalidOption("no", status=416), False),
]


def failing(failures: list[HeadraceError]) -> Iterator[Operation[str]]:
    """Attempts, of which each raises one of the failures, and the one after them succeeds."""

    def attempt(failure: HeadraceError | None) -> Operation[str]:
        yield from ()
        if failure is not None:
            raise failure
        return "done"

    return iter([attempt(failure) for failure in [*failures, None]])


@pytest.mark.parametrize(("error", "transient"), TABLE, ids=[f"{type(error).__name__} {error.status} {error.code}" for error, _ in TABLE])
def test_what_time_may_heal(error: HeadraceError, transient: bool) -> None:  # noqa: FBT001 - a parameter of the test
    assert is_transient(error) == transient


def test_every_class_of_errors_is_in_the_table() -> None:
    covered = {type(error).__name__ for error, _ in TABLE}
    assert set(errors.__all__) - covered == {"HeadraceError", "InvalidURI", "MissingDependency", "NotSupported"}


@given(st.integers(1, 40))
def test_delays_double_and_are_jittered_from_nothing(attempt: int) -> None:
    policy = RetryPolicy(max_attempts=100, first_delay=0.5, max_delay=8.0)
    seconds = policy.delay(Throttled("slow down"), attempt, 0.0)
    assert seconds is not None
    assert 0 <= seconds <= min(8.0, 0.5 * 2 ** (attempt - 1))


def test_delays_differ() -> None:
    policy = RetryPolicy()
    assert len({policy.delay(Throttled("slow down"), 3, 0.0) for _ in range(50)}) > 40


def test_what_the_service_asks_for_is_waited_at_least() -> None:
    seconds = RetryPolicy(first_delay=0.1).delay(Throttled("slow down", retry_after=7.0), 1, 0.0)
    assert seconds is not None
    assert 7.0 <= seconds <= 7.1


def test_the_budget() -> None:
    policy = RetryPolicy(max_attempts=100, budget=10.0)
    assert policy.delay(Stalled("nothing moved"), 1, 5.0) is not None
    assert policy.delay(Stalled("nothing moved"), 1, 10.1) is None
    assert policy.delay(Throttled("slow down", retry_after=11.0), 1, 0.0) is None


def test_success_after_failures() -> None:
    script, attempts = Script(), failing([Throttled("slow down"), ConnectionFailed("reset")])
    assert script.run(retrying(lambda: next(attempts), RetryPolicy(), LOCATION, "get")) == "done"
    assert len(script.pauses) == 2


def test_the_last_failure_tells_how_it_went() -> None:
    script, attempts = Script(), failing([Throttled(f"slow down {number}") for number in range(9)])
    with pytest.raises(Throttled, match="slow down 3") as caught:
        script.run(retrying(lambda: next(attempts), RetryPolicy(max_attempts=4), LOCATION, "get"))
    assert (caught.value.uri, caught.value.operation, caught.value.attempts) == ("s3://bucket/key", "get", 4)
    assert caught.value.elapsed is not None
    assert "4 attempts" in str(caught.value)
    assert len(script.pauses) == 3


def test_a_lasting_failure_is_raised_at_once() -> None:
    script, attempts = Script(), failing([NotFound("no such key")])
    with pytest.raises(NotFound) as caught:
        script.run(retrying(lambda: next(attempts), RetryPolicy(), LOCATION, "stat"))
    assert (caught.value.attempts, script.pauses) == (1, [])


def test_what_may_have_happened_is_not_repeated() -> None:
    """The reply was lost: the write may have taken place."""
    for failure in (ConnectionFailed("reset"), Stalled("nothing moved"), ProtocolError("not HTTP")):
        attempts = failing([failure])
        with pytest.raises(type(failure), match="not known whether"):
            Script().run(retrying(lambda attempts=attempts: next(attempts), RetryPolicy(), LOCATION, "put", repeatable=False))


@pytest.mark.parametrize(
    "failure", [ConnectionFailed("refused", code="refused"), Stalled("no connection", code="connect"), Throttled("slow down", status=503)]
)
def test_what_cannot_have_happened_is_repeated(failure: HeadraceError) -> None:
    attempts = failing([failure])
    assert Script().run(retrying(lambda: next(attempts), RetryPolicy(), LOCATION, "put", repeatable=False)) == "done"


def test_progress_begins_the_count_anew() -> None:
    attempts = Attempts(RetryPolicy(max_attempts=3), LOCATION, "get", repeatable=True, begun=time.monotonic())
    for _ in range(5):
        attempts.failed(ConnectionFailed("reset"))
        attempts.failed(ConnectionFailed("reset"), progressed=True)
    attempts.failed(ConnectionFailed("reset"))
    with pytest.raises(ConnectionFailed) as caught:
        attempts.failed(ConnectionFailed("reset"))
    assert caught.value.attempts == 12


def test_what_is_no_error_of_ours_passes() -> None:
    def attempt() -> Operation[None]:
        yield from ()
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        Script().run(retrying(attempt, RetryPolicy(), LOCATION, "get"))
