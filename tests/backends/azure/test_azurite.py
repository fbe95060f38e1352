"""What only a real service can tell: that signatures hold, what is refused and how, and what others see of unfinished writes.

Where Azure says AuthenticationFailed, a `CredentialsError`, Azurite says AuthorizationFailure.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import ssl
import urllib.request
from collections.abc import Callable, Iterator
from time import time
from typing import Any
from urllib.error import HTTPError
from urllib.parse import quote

import pytest

from headrace import Client, aio
from headrace.auth.azure_signing import SharedKey, utc
from headrace.backends.protocol import WriteOptions
from headrace.errors import CredentialsError, HeadraceError, InvalidOption, NotFound, NotSupported, PermissionDenied, ServiceError
from headrace.testing.servers import Azurite, Server

PART = 5 << 20


@pytest.fixture
def key(azurite: Server) -> dict[str, str]:
    return {"account": azurite.access_key, "key": azurite.secret_key}


@pytest.fixture
def client(azurite: Server, key: dict[str, str]) -> Iterator[Client]:
    with Client(endpoint_url=azurite.endpoint, credentials=key, max_attempts=1) as client:
        yield client


@pytest.fixture
def base(client: Client, bucket: str) -> str:
    client.create_container(f"az://{bucket}")
    return f"az://{bucket}/"


@pytest.fixture(params=["blocking", "asyncio"])
def failing(request: pytest.FixtureRequest, azurite: Server) -> Callable[..., HeadraceError]:
    """Performs a verb, in both drivers, that must fail: ``failing("get", uri, **options)``."""

    def blocking(verb: str, *arguments: Any, **options: Any) -> None:
        with Client(**options) as client:
            getattr(client, verb)(*arguments)

    async def on_a_loop(verb: str, *arguments: Any, **options: Any) -> None:
        async with aio.Client(**options) as client:
            await getattr(client, verb)(*arguments)

    drive = blocking if request.param == "blocking" else lambda *words, **options: asyncio.run(on_a_loop(*words, **options))

    def perform(verb: str, *arguments: Any, **options: Any) -> HeadraceError:
        options = {"endpoint_url": azurite.endpoint, "max_attempts": 1, **options}
        with pytest.raises(HeadraceError) as caught:
            drive(verb, *arguments, **options)
        return caught.value

    return perform


def sas(key: dict[str, str], container: str, name: str, permissions: str = "r", seconds: float = 600) -> str:
    shared = SharedKey(key["account"], key["key"])
    return shared.service_sas(container, name, permissions=permissions, expires=utc(time() + seconds), protocol="https,http")


def assert_refused(error: HeadraceError, kind: type[HeadraceError], status: int, code: str) -> None:
    assert (type(error), error.status, error.code) == (kind, status, code)
    assert error.request_id


def test_a_wrong_key(failing: Callable[..., HeadraceError], base: str, key: dict[str, str]) -> None:
    wrong = {**key, "key": base64.b64encode(b"another").decode()}
    for verb in ("get", "stat", "delete"):
        assert_refused(failing(verb, f"{base}blob", credentials=wrong), PermissionDenied, 403, "AuthorizationFailure")


def test_anonymous_requests(failing: Callable[..., HeadraceError], base: str) -> None:
    error = failing("get", f"{base}blob", anonymous=True)
    assert isinstance(error, (PermissionDenied, CredentialsError, NotFound))
    assert error.request_id


def test_another_account(failing: Callable[..., HeadraceError], azurite: Server, base: str, key: dict[str, str]) -> None:
    endpoint = azurite.endpoint.replace(azurite.access_key, "another")
    error = failing("get", f"{base}blob", endpoint_url=endpoint, credentials={**key, "account": "another"})
    assert isinstance(error, HeadraceError)
    assert error.request_id
    error = failing("get", f"{base}blob", endpoint_url=endpoint, account="another", credentials=key)
    assert isinstance(error, CredentialsError)
    assert error.status is None


def test_a_missing_container_and_a_missing_blob(failing: Callable[..., HeadraceError], base: str, key: dict[str, str]) -> None:
    for verb in ("get", "stat", "delete"):
        assert_refused(failing(verb, f"{base}blob", credentials=key), NotFound, 404, "BlobNotFound")
        assert_refused(failing(verb, "az://no-such-container/blob", credentials=key), NotFound, 404, "ContainerNotFound")


def test_a_sas_opens_what_it_is_for_until_it_ends(
    failing: Callable[..., HeadraceError], azurite: Server, client: Client, base: str, bucket: str, key: dict[str, str]
) -> None:
    for name in ("blob", "other"):
        client.put(f"{base}{name}", b"data")
    good = {"sas_token": sas(key, bucket, "blob"), "account": key["account"]}
    with Client(endpoint_url=azurite.endpoint, credentials=good) as limited:
        assert limited.read_bytes(f"{base}blob") == b"data"
        with pytest.raises(NotSupported, match="cannot sign others"):
            limited.presign(f"{base}blob")
    assert isinstance(failing("get", f"{base}other", credentials=good), (CredentialsError, PermissionDenied))
    assert isinstance(failing("put", f"{base}blob", b"", credentials=good), PermissionDenied)
    ended = {**good, "sas_token": sas(key, bucket, "blob", seconds=-60)}
    assert_refused(failing("get", f"{base}blob", credentials=ended), PermissionDenied, 403, "AuthorizationFailure")


def test_a_sas_for_a_copy_within_its_reach(azurite: Server, client: Client, base: str, key: dict[str, str]) -> None:
    """An account SAS, which is good for all: the source of the copy is opened by it too."""
    client.put(f"{base}source", b"data")
    account, end = key["account"], utc(time() + 600)
    text = "\n".join([account, "rwdlac", "b", "sco", "", end, "", "https,http", "2021-12-02", "", ""])
    signature = quote(SharedKey(account, key["key"])._mac.base64(text), safe="")
    token = f"sv=2021-12-02&ss=b&srt=sco&sp=rwdlac&se={end}&spr=https,http&sig={signature}"
    with Client(endpoint_url=azurite.endpoint, credentials={"sas_token": token}) as limited:
        limited.copy(f"{base}source", f"{base}copy")
        assert limited.read_bytes(f"{base}copy") == b"data"
        assert limited.delete(f"{base}copy") == 1


def put_to(url: str, body: bytes, **headers: str) -> int:
    request = urllib.request.Request(url, body, {name.replace("_", "-"): value for name, value in headers.items()}, method="PUT")
    with urllib.request.urlopen(request, timeout=30) as reply:
        return int(reply.status)


def test_a_url_for_writing_needs_the_header_that_says_what_kind_of_blob(client: Client, base: str) -> None:
    url = client.presign(f"{base}blob + more", method="PUT")
    assert put_to(url, b"data", x_ms_blob_type="BlockBlob") == 201
    assert client.read_bytes(f"{base}blob + more") == b"data"
    with pytest.raises(HTTPError) as caught:
        put_to(client.presign(f"{base}blob + more"), b"data", x_ms_blob_type="BlockBlob")
    caught.value.close()
    assert caught.value.code == 403


def test_two_uploads_of_one_blob_do_not_mix(client: Client, base: str) -> None:
    """When the first is complete, the blocks of the second that are there are dropped, and it is refused, unless all come later."""
    first, second = (client.open(f"{base}blob", "wb", block_size=PART) for _ in range(2))
    for file, content in ((first, b"1"), (second, b"2")):
        file.write(content * (2 * PART))
    assert not client.exists(f"{base}blob")
    first.close()
    assert client.get(f"{base}blob") == b"1" * (2 * PART)
    try:
        second.close()
        visible = b"2"
    except ServiceError as error:
        assert_refused(error, ServiceError, 400, "InvalidBlockList")
        visible = b"1"
    assert client.get(f"{base}blob") == visible * (2 * PART)


def test_the_tier_is_kept(client: Client, base: str) -> None:
    store, location = client._session.locate_object(f"{base}blob")
    client._session.run(store.put(location, [memoryview(b"data")], WriteOptions(storage_class="Cool")))
    assert client.stat(f"{base}blob").storage_class == "Cool"


def test_the_checksum_that_the_service_has_is_known(client: Client, base: str) -> None:
    client.put(f"{base}blob", b"data")
    assert client.stat(f"{base}blob").checksum == "md5:8d777f385d3dfec8815d20f7496026dc"


def test_listing_containers_of_the_account(client: Client, base: str, azurite: Server) -> None:
    assert base in [info.uri for info in client.list_containers("az://")]
    named = base.replace("az://", f"az://{azurite.access_key}/")
    assert named in [info.uri for info in client.list_containers(f"az://{azurite.access_key}/")]
    with pytest.raises(InvalidOption):
        client.delete(named, recursive=True)


def test_the_account_in_the_host_of_a_uri(client: Client, base: str, azurite: Server) -> None:
    uri = f"abfss://{base[5:-1]}@{azurite.access_key}.dfs.core.windows.net/folder/blob"
    assert client.put(uri, b"data").uri == uri
    assert client.read_bytes(f"{base}folder/blob") == b"data"
    assert [entry.uri for entry in client.list(uri.removesuffix("blob"))] == [uri]
    assert client.delete(uri.removesuffix("/blob"), recursive=True) == 1


# The child uses nothing that a thread of the parent could have held.
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child(client: Client, base: str) -> None:
    client.put(f"{base}blob", b"data")
    child = os.fork()
    if child == 0:
        os._exit(0 if client.read_bytes(f"{base}blob") == b"data" else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert client.read_bytes(f"{base}blob") == b"data"


class Tokens:
    """What an identity gives: here tokens whose signature nobody looks at."""

    def __init__(self, life: float = 3600) -> None:
        self.life = life
        self.given = 0

    def get_token(self, *scopes: str) -> Any:
        self.given += 1
        now = int(time())
        claims = {
            "aud": "https://storage.azure.com",
            "iss": "https://sts.windows.net/ab1f708d-50f6-404c-a006-d71b2ac7a606/",
            "iat": now - 60,
            "nbf": now - 60,
            "exp": int(now + self.life),
            "oid": "23657296-5cd5-45b0-a809-d972a7f4dfe1",
            "tid": "ab1f708d-50f6-404c-a006-d71b2ac7a606",
        }
        parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in ({"alg": "RS256"}, claims)]
        return type("Token", (), {"token": ".".join([*parts, "c2ln"]), "expires_on": now + 3600})


def test_tokens(bucket: str, authority: Any) -> None:
    with Azurite(tokens=True, authority=authority) as server:
        options = {"endpoint_url": server.endpoint, "ca_bundle": server.ca_bundle, "max_attempts": 1}
        provider = Tokens()
        with Client(credentials=provider, **options) as client:
            client.create_container(f"az://{bucket}")
            client.put(f"az://{bucket}/blob", b"data")
            client.copy(f"az://{bucket}/blob", f"az://{bucket}/copy")
            assert client.read_bytes(f"az://{bucket}/copy") == b"data"
            assert client.delete_many([f"az://{bucket}/copy"]) == 1
            url = client.presign(f"az://{bucket}/blob")
            assert provider.given == 1
        assert "skoid=23657296" in url
        with urllib.request.urlopen(url, context=ssl.create_default_context(cafile=server.ca_bundle), timeout=30) as reply:
            assert reply.read() == b"data"
        ended = Tokens(life=-1)
        with Client(credentials=ended, **options) as client, pytest.raises(CredentialsError) as caught:
            client.get(f"az://{bucket}/blob")
        assert caught.value.request_id
        assert ended.given == 2
