"""Nothing that passes is changed, so that signatures hold; and chance may strike anywhere."""

from __future__ import annotations

import random
import secrets
from collections.abc import Callable

import pytest

from headrace import Client
from headrace.errors import CredentialsError
from headrace.testing.contract.case import payload
from headrace.testing.faults import Cut, FaultProxy, Garbage, Reset, ResetUpload, Rule, Status
from headrace.testing.servers import Authority, Server
from tests.faults.trial import connect
from tests.faults.verbs import IN_PARTS, SMALL

pytestmark = pytest.mark.timeout(60)


@pytest.fixture(params=["http", "https"])
def arguments(request: pytest.FixtureRequest, authority: Authority) -> dict[str, object]:
    return {"certificate": authority.issue()} if request.param == "https" else {}


@pytest.mark.parametrize("driver", ["blocking", "asyncio"])
def test_ceph_accepts_what_was_signed_for_the_proxy(
    driver: str, arguments: dict[str, object], ceph: Server, filled: Callable[[Server], str], authority: Authority
) -> None:
    base = filled(ceph)
    uri = f"{base}{secrets.token_hex(6)}/a b+c%41é"
    with (
        FaultProxy(ceph.endpoint, **arguments) as proxy,  # type: ignore[arg-type]
        connect(driver, proxy.endpoint, ca_bundle=authority.ca_bundle, sign_payload=True, checksum="auto") as client,
    ):
        client.put(uri, SMALL, metadata={"colour": "blue"})
        client.put(f"{uri}-large", IN_PARTS)
        assert client.get(uri) == SMALL
        assert client.get(f"{uri}-large") == IN_PARTS
        assert client.stat(uri).metadata == {"colour": "blue"}
        client.copy(uri, f"{uri}-copy")
        assert [entry.size for entry in client.list(uri)] == [len(SMALL), len(SMALL), len(IN_PARTS)]
        assert client.delete_many([uri, f"{uri}-copy", f"{uri}-large"]) == 3
        assert {passage.status for passage in proxy.passages()} <= {200, 204, 206}


def test_ceph_refuses_what_was_signed_with_another_secret(ceph: Server, filled: Callable[[Server], str]) -> None:
    wrong = {"access_key": ceph.access_key, "secret_key": "wrong"}
    uri = f"{filled(ceph)}small"
    with FaultProxy(ceph.endpoint) as proxy, pytest.raises(CredentialsError) as raised:
        Client(endpoint_url=proxy.endpoint, credentials=wrong).get(uri)
    assert raised.value.code == "SignatureDoesNotMatch"


@pytest.mark.parametrize("driver", ["blocking", "asyncio"])
def test_bad_luck_everywhere(driver: str, ministack: Server, filled: Callable[[Server], str]) -> None:
    faults = [ResetUpload(), Reset(), Garbage(), Cut(at=100), Cut(at=3000, reset=False), Status(status=503, code="SlowDown")]
    rules = [Rule(fault=fault, probability=0.04) for fault in faults]
    base = f"{filled(ministack)}luck-{secrets.token_hex(6)}/"
    data = {f"{base}{number}": payload(random.Random(number).randrange(20_000), number) for number in range(40)}
    large = f"{base}large"
    with FaultProxy(ministack.endpoint, rules, seed=1) as proxy, connect(driver, proxy.endpoint, max_attempts=9) as client:
        assert len([item.info for item in client.put_many(data.items())]) == len(data)
        client.put(large, IN_PARTS)
        assert client.get(large) == IN_PARTS
        assert {item.uri: bytes(item.data) for item in client.get_many(data)} == data
        assert sorted(entry.uri for entry in client.list(base)) == sorted([*data, large])
        assert client.delete_many(data) == len(data)
        assert [entry.uri for entry in client.list(base)] == [large]
        assert len([passage for passage in proxy.passages() if passage.fault]) > 10
