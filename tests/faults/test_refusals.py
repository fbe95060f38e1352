"""What the service refuses: said once, understood, and not tried again where that could do harm."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from headrace import Client
from headrace.errors import AlreadyExists, ConnectionFailed, CredentialsError, ObjectChanged, PermissionDenied, ServiceError, Throttled
from headrace.testing.contract.case import payload
from headrace.testing.faults import Cut, Delay, FaultProxy, Redirect, Reset, ResetUpload, Rule, Status
from headrace.testing.servers import Authority, Server
from tests.faults.trial import connect
from tests.faults.verbs import SMALL

pytestmark = pytest.mark.timeout(60)

Make = Callable[..., Client]


@pytest.fixture(params=["blocking", "asyncio"])
def make(request: pytest.FixtureRequest, proxy: FaultProxy) -> Iterator[Make]:
    """Makes clients of the proxy, of one driver."""
    opened = []

    def make(**options: Any) -> Client:
        opened.append(connect(request.param, options.pop("endpoint", proxy.endpoint), **options))
        return opened[-1].__enter__()

    yield make
    for context in opened:
        context.__exit__(None, None, None)


@pytest.fixture
def base(filled: Callable[[Server], str], ministack: Server) -> str:
    return filled(ministack)


@pytest.fixture
def own(base: str) -> str:
    """The URI of an object that nobody else writes."""
    return f"{base}own-{secrets.token_hex(6)}"


@pytest.fixture
def direct(ministack: Server) -> Iterator[Client]:
    with Client(endpoint_url=ministack.endpoint) as client:
        yield client


@pytest.mark.parametrize("size", [1_000, 300_000, 8_000_000])
@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("asks", ["asks-first", "just-sends"])
def test_an_early_refusal_is_understood(
    size: int, scheme: str, asks: str, make: Make, ministack: Server, authority: Authority, own: str
) -> None:
    # The server says no as soon as it has the head, and resets; of the body it has taken next to nothing.
    with FaultProxy(ministack.endpoint, certificate=authority.issue() if scheme == "https" else None) as proxy:
        client = make(endpoint=proxy.endpoint, ca_bundle=authority.ca_bundle, multipart_threshold=1 << 30)
        if asks == "just-sends":
            # From then on a large body is sent without asking first.
            client.put(own, b"before")
        proxy.inject(Rule(fault=Status(status=403, code="AccessDenied", at_once=True), method="PUT"))
        with pytest.raises(PermissionDenied) as raised:
            client.put(own, payload(size))
    assert (raised.value.status, raised.value.code) == (403, "AccessDenied")


def test_a_lasting_refusal_is_not_tried_again(make: Make, proxy: FaultProxy, base: str) -> None:
    proxy.inject(Rule(fault=Status(status=403, code="AccessDenied")))
    with pytest.raises(PermissionDenied) as raised:
        make().get(f"{base}small")
    assert raised.value.attempts == len(proxy.passages()) == 1


def test_a_redirect_is_an_error(make: Make, proxy: FaultProxy, base: str) -> None:
    proxy.inject(Rule(fault=Redirect(location="http://127.0.0.1:1/elsewhere")))
    for act in (lambda: make().get(f"{base}small"), lambda: make().put(f"{base}redirected", b"x")):
        proxy.forget()
        with pytest.raises(ServiceError) as raised:
            act()
        assert raised.value.status == 307
        assert len(proxy.passages()) == 1


@pytest.mark.parametrize("status", [429, 503])
def test_the_service_says_how_long_to_wait(status: int, make: Make, proxy: FaultProxy, base: str) -> None:
    proxy.inject(Rule(fault=Status(status=status, retry_after=1), times=1))
    assert make().get(f"{base}small") == SMALL
    first, second = (passage.began for passage in proxy.passages())
    assert second - first >= 1


def test_a_wait_beyond_the_budget_is_not_begun(make: Make, proxy: FaultProxy, base: str) -> None:
    proxy.inject(Rule(fault=Status(status=503, code="SlowDown", retry_after=3600)))
    with pytest.raises(Throttled) as raised:
        make().get(f"{base}small")
    assert raised.value.retry_after == 3600
    assert len(proxy.passages()) == 1


def test_nonsense_to_wait_is_passed_over(make: Make, proxy: FaultProxy, base: str) -> None:
    proxy.inject(Rule(fault=Status(status=503, retry_after="soon"), times=1))
    assert make().get(f"{base}small") == SMALL
    assert len(proxy.passages()) == 2


@pytest.mark.parametrize("fault", [Reset(), ResetUpload()], ids=["unanswered", "unsent"])
def test_a_conditional_write_is_not_repeated(fault: Reset | ResetUpload, make: Make, proxy: FaultProxy, own: str, direct: Client) -> None:
    client = make()
    client.exists(own)  # Now there is a kept connection.
    proxy.inject(Rule(fault=fault, method="PUT", times=1))
    with pytest.raises(ConnectionFailed, match="not known whether"):
        client.put(own, SMALL, create_only=True)
    assert len(proxy.passages(method="PUT")) == 1
    assert direct.exists(own) == isinstance(fault, Reset)


def test_a_conditional_write_that_was_refused_is_repeated(make: Make, proxy: FaultProxy, own: str, direct: Client) -> None:
    proxy.inject(Rule(fault=Status(status=503, code="SlowDown"), method="PUT", times=1))
    make().put(own, SMALL, create_only=True)
    assert direct.get(own) == SMALL
    with pytest.raises(AlreadyExists):
        make().put(own, b"other", create_only=True)


def _replace_meanwhile(proxy: FaultProxy, direct: Client, uri: str, method: str) -> threading.Thread:
    """When a request is on its way, and delayed there, replace the object."""

    def replace() -> None:
        while not proxy.passages(method=method):
            time.sleep(0.005)
        direct.put(uri, b"another")

    thread = threading.Thread(target=replace, daemon=True)
    thread.start()
    return thread


def test_a_source_that_is_replaced_while_it_is_copied(make: Make, proxy: FaultProxy, own: str, direct: Client) -> None:
    direct.put(own, SMALL)
    proxy.inject(Rule(fault=Delay(seconds=1), method="PUT"))
    replacing = _replace_meanwhile(proxy, direct, own, "PUT")
    with pytest.raises(ObjectChanged, match="replaced while it was copied"):
        make().copy(own, f"{own}-copy")
    replacing.join()
    assert not direct.exists(f"{own}-copy")


def test_an_object_that_is_replaced_while_a_read_is_broken(make: Make, proxy: FaultProxy, own: str, direct: Client) -> None:
    direct.put(own, SMALL)
    proxy.inject(Rule(fault=Cut(at=5000), times=1), Rule(fault=Delay(seconds=1)))

    def replace() -> None:
        while len(proxy.passages(method="GET")) < 2:
            time.sleep(0.005)
        direct.put(own, SMALL[::-1])

    replacing = threading.Thread(target=replace, daemon=True)
    replacing.start()
    with pytest.raises(ObjectChanged):
        make().get(own)
    replacing.join()


class Renewing:
    """Credentials that the service does not know at first.

    Attributes:
        calls: how often they were asked for.
    """

    def __init__(self, *keys: str) -> None:
        self.calls = 0
        self._keys = keys

    def __call__(self) -> dict[str, str]:
        key = self._keys[min(self.calls, len(self._keys) - 1)]
        self.calls += 1
        return {"access_key": key, "secret_key": "testsecret"}


@pytest.mark.parametrize("verb", ["stat", "exists", "get"])
def test_credentials_that_have_ended_are_renewed(verb: str, make: Make, ministack: Server, base: str) -> None:
    renewing = Renewing("ended", ministack.access_key)
    assert getattr(make(credentials=renewing), verb)(f"{base}small")
    assert renewing.calls == 2


def test_a_refused_description_says_why(make: Make, base: str) -> None:
    with pytest.raises(CredentialsError) as raised:
        make(credentials=Renewing("unknown")).stat(f"{base}small")
    assert raised.value.code == "InvalidAccessKeyId"
