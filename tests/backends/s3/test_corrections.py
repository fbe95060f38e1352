"""What a refusal teaches: the service's time, the bucket's region, that credentials have ended."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from headrace.auth.sigv4 import Credentials
from headrace.backends.protocol import Landing, WriteOptions
from headrace.backends.s3 import S3Backend
from headrace.errors import CredentialsError, PermissionDenied, ServiceError
from headrace.testing.contract.stepping import Answer, Script
from headrace.uri import Location

MakeBackend = Callable[..., S3Backend]

PLACE = Location("s3", "bucket", "key")
GOOD = Answer(headers={"etag": '"v"'}, body=b"data")
SOON = datetime.now(UTC) + timedelta(hours=2)


def refusal(code: str, status: int = 403, headers: dict[str, str] | None = None, extra: str = "") -> Answer:
    return Answer(status=status, headers=headers or {}, body=f"<Error><Code>{code}</Code><Message>No.</Message>{extra}</Error>".encode())


def http_date(moment: datetime) -> str:
    return moment.strftime("%a, %d %b %Y %H:%M:%S GMT")


SKEWED = refusal("RequestTimeTooSkewed", headers={"date": http_date(SOON)})


class Rotating:
    """A source of credentials that has others when the first are rejected.

    Attributes:
        rejected: the access keys that were.
    """

    def __init__(self, *names: str) -> None:
        self._left = [Credentials(name, "secret") for name in names]
        self.rejected: list[str] = []

    def current(self) -> Credentials | None:
        return self._left[0] if self._left[0].access_key not in self.rejected else None

    def refresh(self) -> Credentials:
        if self.current() is None and len(self._left) > 1:
            self._left.pop(0)
        return self._left[0]

    def invalidate(self, rejected: Credentials) -> None:
        self.rejected.append(rejected.access_key)


def stamps(script: Script) -> list[datetime]:
    return [datetime.strptime(request.headers["x-amz-date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC) for request in script.requests]


def test_a_clock_that_is_off(backend: S3Backend, caplog: pytest.LogCaptureFixture) -> None:
    script = Script(SKEWED, GOOD, GOOD)
    with caplog.at_level(logging.WARNING, logger="headrace"):
        assert script.run(backend.get(PLACE, Landing())).data == b"data"
    before, after = stamps(script)
    assert abs(before - datetime.now(UTC)) < timedelta(minutes=5)
    assert abs(after - SOON) < timedelta(minutes=5)
    assert "clock" in caplog.text
    script.run(backend.get(PLACE, Landing()))
    assert abs(stamps(script)[2] - SOON) < timedelta(minutes=5)


def test_a_clock_that_cannot_be_corrected(backend: S3Backend) -> None:
    for answer in (SKEWED, refusal("RequestTimeTooSkewed"), refusal("RequestTimeTooSkewed", headers={"date": "yesterday"})):
        script = Script(server=lambda _, answer=answer: answer)
        with pytest.raises(CredentialsError, match="clock"):
            script.run(backend.get(PLACE, Landing()))
        assert len(script.requests) <= 3


@pytest.mark.parametrize(
    "answer",
    [
        Answer(status=301, headers={"x-amz-bucket-region": "ap-south-1"}),
        refusal("PermanentRedirect", 301, {"x-amz-bucket-region": "ap-south-1"}),
        refusal("AuthorizationHeaderMalformed", 400, extra="<Region>ap-south-1</Region>"),
        refusal("TemporaryRedirect", 307, {"x-amz-bucket-region": "ap-south-1"}),
        refusal("AccessDenied", 403, {"x-amz-bucket-region": "ap-south-1"}),
    ],
    ids=["301 without a body", "301", "400", "307", "403"],
)
def test_a_bucket_in_another_region(make_backend: MakeBackend, answer: Answer) -> None:
    backend = make_backend(endpoint_url=None, region="us-east-1")
    script = Script(answer, GOOD, GOOD, GOOD)
    assert script.run(backend.get(PLACE, Landing())).data == b"data"
    first, second = script.requests
    assert first.origin.host == "bucket.s3.us-east-1.amazonaws.com"
    assert second.origin.host == "bucket.s3.ap-south-1.amazonaws.com"
    assert "/ap-south-1/s3/" in second.headers["authorization"]
    script.run(backend.get(PLACE, Landing()))
    script.run(backend.get(Location("s3", "other", "key"), Landing()))
    assert [request.origin.host.split(".")[2] for request in script.requests[2:]] == ["ap-south-1", "us-east-1"]


def test_a_region_at_an_endpoint_of_ones_own_changes_the_signature_alone(backend: S3Backend) -> None:
    script = Script(refusal("AuthorizationHeaderMalformed", 400, extra="<Region>here</Region>"), GOOD)
    script.run(backend.get(PLACE, Landing()))
    assert [str(request.origin) for request in script.requests] == ["http://s3.test:9000"] * 2
    assert "/here/s3/" in script.requests[1].headers["authorization"]


def test_a_redirect_that_leads_nowhere(backend: S3Backend) -> None:
    for answer in (Answer(status=301), refusal("PermanentRedirect", 301, {"x-amz-bucket-region": "eu-central-1"})):
        script = Script(answer)
        with pytest.raises(ServiceError) as caught:
            script.run(backend.get(PLACE, Landing()))
        assert (caught.value.status, script.finished) == (301, True)


def test_regions_that_send_one_in_circles(make_backend: MakeBackend) -> None:
    regions = iter(["a-1", "b-1", "c-1", "d-1", "e-1"])
    script = Script(server=lambda _: Answer(status=301, headers={"x-amz-bucket-region": next(regions)}))
    with pytest.raises(ServiceError):
        script.run(make_backend(endpoint_url=None).get(PLACE, Landing()))
    assert len(script.requests) == 3


@pytest.mark.parametrize("code", ["ExpiredToken", "InvalidToken", "TokenRefreshRequired", "InvalidAccessKeyId"])
def test_credentials_that_ended(make_backend: MakeBackend, code: str) -> None:
    source = Rotating("FIRST", "SECOND")
    script = Script(refusal(code, 400 if code == "ExpiredToken" else 403), GOOD)
    assert script.run(make_backend(source=source).get(PLACE, Landing())).data == b"data"
    assert source.rejected == ["FIRST"]
    assert "Credential=SECOND/" in script.requests[1].headers["authorization"]


def test_credentials_that_ended_and_have_no_others(make_backend: MakeBackend) -> None:
    source = Rotating("ONLY")
    script = Script(server=lambda _: refusal("ExpiredToken", 400))
    with pytest.raises(CredentialsError, match="session has ended"):
        script.run(make_backend(source=source).get(PLACE, Landing()))
    assert len(script.requests) <= 3


def test_static_credentials_are_not_tried_again(backend: S3Backend) -> None:
    script = Script(refusal("InvalidAccessKeyId"))
    with pytest.raises(CredentialsError, match="does not know this access key"):
        script.run(backend.get(PLACE, Landing()))
    assert script.finished


def test_a_put_is_corrected_with_its_body(backend: S3Backend) -> None:
    script = Script(SKEWED, GOOD)
    script.run(backend.put(PLACE, [memoryview(b"data")], WriteOptions()))
    assert [request.length for request in script.requests] == [4, 4]


def test_a_refusal_that_teaches_nothing(backend: S3Backend) -> None:
    for answer, kind in [
        (refusal("AccessDenied"), PermissionDenied),
        (refusal("SignatureDoesNotMatch"), CredentialsError),
        (Answer(status=403), PermissionDenied),
    ]:
        script = Script(answer)
        with pytest.raises(kind):
            script.run(backend.get(PLACE, Landing()))
        assert script.finished
