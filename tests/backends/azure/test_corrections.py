"""What a refusal teaches: the service's time, and that credentials have ended."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime, parsedate_to_datetime

import pytest

from headrace.auth.azure import StaticSource
from headrace.auth.azure_signing import BearerToken, Credentials, SharedAccessSignature
from headrace.backends.azure import AzureBackend
from headrace.backends.protocol import Landing, WriteOptions
from headrace.errors import CredentialsError, PermissionDenied
from headrace.testing.contract.stepping import Answer, Script
from headrace.uri import Location

MakeBackend = Callable[..., AzureBackend]

PLACE = Location("az", "c", "key")
GOOD = Answer(headers={"etag": '"v"'}, body=b"data")
SOON = datetime.now(UTC) + timedelta(hours=2)


def refusal(code: str, status: int = 403, date: datetime | None = None) -> Answer:
    headers = {"x-ms-error-code": code, "x-ms-request-id": "id-1", "date": format_datetime(date or datetime.now(UTC), usegmt=True)}
    return Answer(status=status, headers=headers)


class Rotating:
    """A source of tokens that has others when the first are rejected.

    Attributes:
        rejected: those that were.
    """

    def __init__(self, *values: str) -> None:
        self._left = [BearerToken(value) for value in values]
        self.rejected: list[Credentials] = []

    def current(self) -> Credentials | None:
        return self._left[0] if self._left[0] not in self.rejected else None

    def refresh(self) -> Credentials:
        if self.current() is None and len(self._left) > 1:
            self._left.pop(0)
        return self._left[0]

    def invalidate(self, rejected: Credentials) -> None:
        self.rejected.append(rejected)


def test_a_clock_that_is_off(backend: AzureBackend, caplog: pytest.LogCaptureFixture) -> None:
    script = Script(refusal("AuthenticationFailed", date=SOON), GOOD, GOOD)
    with caplog.at_level(logging.WARNING, logger="headrace"):
        script.run(backend.put(PLACE, [memoryview(b"data")], WriteOptions()))
        script.run(backend.get(PLACE, Landing()))
    before, *after = (parsedate_to_datetime(request.headers["x-ms-date"]) for request in script.requests)
    assert abs(before - datetime.now(UTC)) < timedelta(minutes=5)
    assert all(abs(moment - SOON) < timedelta(minutes=5) for moment in after)
    assert "clock" in caplog.text
    assert [request.length for request in script.requests] == [4, 4, 0]


def test_a_clock_that_cannot_be_corrected(backend: AzureBackend) -> None:
    script = Script(server=lambda _: refusal("AuthenticationFailed", date=SOON))
    with pytest.raises(CredentialsError, match="key or signature is wrong"):
        script.run(backend.get(PLACE, Landing()))
    assert len(script.requests) == 2


@pytest.mark.parametrize("status", [401, 403])
def test_a_token_that_has_ended_is_replaced_once(make_backend: MakeBackend, status: int) -> None:
    code = "InvalidAuthenticationInfo" if status == 401 else "AuthenticationFailed"
    source = Rotating("FIRST", "SECOND")
    script = Script(refusal(code, status), GOOD)
    assert script.run(make_backend(source=source).get(PLACE, Landing())).data == b"data"
    assert [request.headers["authorization"] for request in script.requests] == ["Bearer FIRST", "Bearer SECOND"]
    source = Rotating("FIRST", "SECOND", "THIRD")
    script = Script(refusal(code, status), refusal(code, status))
    with pytest.raises(CredentialsError) as caught:
        script.run(make_backend(source=source).head(PLACE))
    assert (caught.value.status, caught.value.request_id) == (status, "id-1")


def test_credentials_that_ended_and_have_no_others(make_backend: MakeBackend) -> None:
    for source in (Rotating("ONLY"), StaticSource(SharedAccessSignature("sig=x"))):
        script = Script(refusal("AuthenticationFailed", date=SOON))
        with pytest.raises(CredentialsError):
            script.run(make_backend(source=source).get(PLACE, Landing()))
        assert script.finished


def test_a_refusal_that_teaches_nothing(backend: AzureBackend) -> None:
    for answer in (refusal("AuthorizationFailure", date=SOON), Answer(status=403)):
        with pytest.raises(PermissionDenied):
            Script(answer).run(backend.get(PLACE, Landing()))
