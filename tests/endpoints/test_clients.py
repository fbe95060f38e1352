"""What a client with several endpoints says of them, and how it travels."""

from __future__ import annotations

import pickle

import pytest

from headrace import Client, aio
from headrace.endpoints import EndpointStatistics, LeastConnections
from headrace.errors import InvalidOption, InvalidURI


@pytest.mark.parametrize("kind", [Client, aio.Client])
def test_endpoints_are_told_in_their_order(kind: type[Client] | type[aio.Client]) -> None:
    client = kind(endpoints="http://10.0.0.{1..3}:9000", endpoint_strategy="least_connections", anonymous=True)
    found = client.endpoints()
    assert [endpoint.url for endpoint in found] == [f"http://10.0.0.{number}:9000" for number in (1, 2, 3)]
    assert {type(endpoint) for endpoint in found} == {EndpointStatistics}
    assert client.endpoints("s3://any/key") == found
    assert client.endpoints("memory://any") == []


@pytest.mark.parametrize("options", [{"endpoint_url": "http://h"}, {}])
def test_one_endpoint_is_none_of_several(options: dict[str, str]) -> None:
    assert Client(anonymous=True, **options).endpoints() == []


def test_a_client_travels_with_its_strategy() -> None:
    client = Client(endpoints="http://h{1..2}", endpoint_strategy=LeastConnections(), anonymous=True)
    twin = pickle.loads(pickle.dumps(client))
    assert twin.options.endpoints == ("http://h1", "http://h2")
    assert isinstance(twin.options.endpoint_strategy, LeastConnections)


def test_one_address_and_several_exclude_each_other() -> None:
    with pytest.raises(InvalidOption, match="exclude each other"):
        Client(endpoints=["http://h"], endpoint_url="http://h")


def test_an_address_with_a_password_is_refused_without_showing_it() -> None:
    client = Client(endpoints=["http://a", "http://me:MARKED@b"], anonymous=True)
    with pytest.raises(InvalidURI, match="no user name or password") as caught:
        client.get("s3://bucket/key")
    assert "MARKED" not in f"{caught.value!r}{client.options!r}"


def test_a_region_is_not_looked_up_for_endpoints_of_ones_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "no-such-profile")
    assert len(Client(endpoints=["http://a", "http://b"]).endpoints()) == 2
