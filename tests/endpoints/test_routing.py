"""Where the tries of one act go, and how long it waits between them."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest

from headrace.auth.aws import StaticSource
from headrace.auth.sigv4 import Credentials
from headrace.backends.protocol import Landing, WriteOptions
from headrace.backends.s3 import S3Backend
from headrace.config import Options
from headrace.endpoints import Endpoints
from headrace.errors import ConnectionFailed, HeadraceError, ServiceError, Stalled, Throttled
from headrace.stores.retry import RetryPolicy
from headrace.stores.store import Store
from headrace.testing.contract.stepping import Answer, Script
from headrace.uri import parse

KEY = parse("s3://bucket/key")
URLS = ("http://a:1", "http://b:2", "http://c:3")
REFUSED = ConnectionFailed("refused", code="refused")
OBJECT = {"etag": '"x"', "last-modified": "Tue, 03 Nov 2026 08:00:00 GMT"}


@pytest.fixture
def store() -> Callable[..., Store]:
    """Makes a store with several endpoints, which take turns from the first one on."""

    def make(*urls: str, **options: Any) -> Store:
        endpoints = Endpoints(urls or URLS, "round_robin")
        source = StaticSource(Credentials("AKIDEXAMPLE", "secret"))
        backend = S3Backend(Options(endpoints=urls or URLS, region="eu-central-1", **options), source, endpoints)
        return Store(backend, RetryPolicy(endpoints=endpoints))

    return make


def hosts(script: Script) -> str:
    return "".join(request.origin.host for request in script.requests)


def test_a_failure_leads_to_the_next_one_at_once(store: Callable[..., Store]) -> None:
    script = Script(REFUSED, Answer(headers=OBJECT))
    assert script.run(store().head(KEY)).etag == '"x"'
    assert (hosts(script), script.pauses) == ("ab", [])


def test_each_is_tried_once_before_any_is_tried_again(store: Callable[..., Store]) -> None:
    script = Script(REFUSED, Stalled("x"), ConnectionFailed("x"), REFUSED, REFUSED)
    with pytest.raises(ConnectionFailed) as caught:
        script.run(store().delete(KEY))
    assert caught.value.attempts == 5
    tried = hosts(script)
    assert (tried[:3], len(tried)) == ("abc", 5)
    assert all(one != other for one, other in itertools.pairwise(tried))
    # When all have failed once, there is nothing to be gained by haste.
    assert len(script.pauses) == 2


def test_of_two_the_other(store: Callable[..., Store]) -> None:
    script = Script(REFUSED, REFUSED, REFUSED, Answer(status=204))
    script.run(store("http://a", "http://b").delete(KEY))
    assert hosts(script) == "abab"


def test_one_that_is_called_several_is_tried_again(store: Callable[..., Store]) -> None:
    script = Script(REFUSED, REFUSED, Answer(status=204))
    script.run(store("http://a").delete(KEY))
    assert (hosts(script), len(script.pauses)) == ("aaa", 2)


def test_a_refusal_is_waited_for_but_not_as_long_as_it_asks(store: Callable[..., Store]) -> None:
    """Other endpoints need not heal, but what sheds load may be the service behind all of them."""
    slow_down = Answer(status=503, headers={"retry-after": "20"})
    script = Script(slow_down, Answer(status=204))
    script.run(store().delete(KEY))
    assert hosts(script) == "ab"
    assert len(script.pauses) <= 1
    assert sum(script.pauses) < 1
    script = Script(slow_down, Answer(status=204))
    script.run(store("http://a").delete(KEY))
    assert sum(script.pauses) >= 20


@pytest.mark.parametrize("code", ["certificate", "tls", "resolve"])
def test_what_time_does_not_heal_another_endpoint_may(store: Callable[..., Store], code: str) -> None:
    script = Script(ConnectionFailed("no", code=code), Answer(status=204))
    script.run(store().delete(KEY))
    assert (hosts(script), script.pauses) == ("ab", [])
    with pytest.raises(ConnectionFailed) as caught:
        Script(ConnectionFailed("no", code=code)).run(store("http://a").delete(KEY))
    assert caught.value.attempts == 1


def test_a_broken_body_goes_on_at_another_one_with_the_same_version(store: Callable[..., Store]) -> None:
    whole = Answer(status=206, headers={**OBJECT, "content-range": "bytes 0-9/10"}, body=b"0123456789", cut=4)
    rest = Answer(status=206, headers={**OBJECT, "content-range": "bytes 4-9/10"}, body=b"456789")
    script = Script(whole, rest)
    assert script.run(store().get(KEY, Landing(), start=0, length=10)).data == b"0123456789"
    assert hosts(script) == "ab"
    assert (script.requests[1].headers["range"], script.requests[1].headers["if-match"]) == ("bytes=4-9", '"x"')


def test_a_body_with_another_checksum_is_fetched_elsewhere(store: Callable[..., Store]) -> None:
    headers = {**OBJECT, "x-amz-checksum-crc32c": "AAAAAA==", "x-amz-checksum-type": "FULL_OBJECT"}
    script = Script(Answer(headers=headers, body=b"damaged"), Answer(headers=OBJECT, body=b"whole"))
    assert script.run(store().get(KEY, Landing())).data == b"whole"
    assert hosts(script) == "ab"


def test_a_write_that_may_have_happened_is_not_repeated_elsewhere(store: Callable[..., Store]) -> None:
    script = Script(ConnectionFailed("the connection broke"))
    with pytest.raises(ConnectionFailed, match="not known whether"):
        script.run(store().put(KEY, [memoryview(b"x")], WriteOptions(create_only=True)))
    script = Script(REFUSED, Answer(headers={"etag": '"x"'}))
    script.run(store().put(KEY, [memoryview(b"x")], WriteOptions(create_only=True)))
    assert hosts(script) == "ab"


def test_each_endpoint_is_signed_for(store: Callable[..., Store]) -> None:
    script = Script(REFUSED, Answer(status=204))
    script.run(store("http://a/one", "http://b:9/two").delete(KEY))
    first, second = script.requests
    assert (str(first.origin), first.target) == ("http://a", "/one/bucket/key")
    assert (str(second.origin), second.target) == ("http://b:9", "/two/bucket/key")
    assert first.headers["authorization"] != second.headers["authorization"]


def test_the_bucket_in_the_host(store: Callable[..., Store]) -> None:
    script = Script(REFUSED, Answer(status=204))
    script.run(store("https://a.test", "https://b.test", addressing="virtual").delete(KEY))
    assert [str(request.origin) for request in script.requests] == ["https://bucket.a.test", "https://bucket.b.test"]


def test_urls_are_signed_for_one_of_them(store: Callable[..., Store]) -> None:
    urls = [Script().run(store().presign(KEY, method="GET", expires=60)) for _ in range(2)]
    assert all(url.startswith(f"{URLS[0]}/bucket/key?") for url in urls)


def test_the_reason_of_a_refusal_is_asked_for(store: Callable[..., Store]) -> None:
    reason = Answer(status=403, body=b"<Error><Code>AccessDenied</Code></Error>")
    script = Script(Answer(status=403), reason)
    with pytest.raises(HeadraceError) as caught:
        script.run(store().head(KEY))
    assert caught.value.code == "AccessDenied"


def test_what_may_be_tried_at_once() -> None:
    policy = RetryPolicy()
    assert policy.delay(REFUSED, 1, 0, elsewhere=True) == 0
    assert policy.delay(REFUSED, 5, 0, elsewhere=True) is None
    assert policy.delay(ServiceError("no", status=400), 1, 0, elsewhere=True) is None
    assert policy.delay(Throttled("no", status=503, retry_after=1000), 1, 0) is None
    assert policy.delay(Throttled("no", status=503, retry_after=1000), 1, 0, elsewhere=True) is not None
