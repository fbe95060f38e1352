"""What travels to another process, what refuses to, and that no secret does."""

from __future__ import annotations

import inspect
import pickle
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest
from botocore.credentials import Credentials as BotocoreCredentials

import headrace
from headrace import Client, Path, aio, errors
from headrace.auth.sigv4 import Credentials
from headrace.errors import CredentialsError
from headrace.models import BucketInfo, Item, ObjectInfo, Prefix

KEY = "memory://pickling/key"


def error(kind: type[errors.HeadraceError]) -> errors.HeadraceError:
    return kind("why", uri=KEY, status=500, code="Code", request_id="id", attempts=2, elapsed=1.0, retry_after=3.0, hint="Do this.")


TRAVELS: dict[type, Callable[[], Any]] = {
    Client: lambda: Client(region="eu-central-1"),
    aio.Client: lambda: aio.Client(region="eu-central-1"),
    ObjectInfo: lambda: ObjectInfo(uri=KEY, size=1, last_modified=datetime.now(UTC), metadata={"a": "b"}),
    Path: lambda: Path(KEY),
    Prefix: lambda: Prefix("memory://pickling/"),
    BucketInfo: lambda: BucketInfo(uri="memory://pickling/", created=datetime.now(UTC)),
    Item: lambda: Item(1, KEY, memoryview(bytearray(b"bytes")), error=errors.NotFound("why")),
    **{kind: lambda kind=kind: error(kind) for name in errors.__all__ for kind in [getattr(errors, name)]},
}
"""Each public class that pickles, and one of its instances."""

REFUSES = {aio.AsyncFile: lambda: aio.Client().open(KEY)}
"""Each public class that does not: an open file."""


def public_classes() -> set[type]:
    names = [(module, name) for module in (headrace, aio, errors) for name in module.__all__]
    return {member for module, name in names if inspect.isclass(member := getattr(module, name))}


def told(thing: Any) -> Any:
    """What an instance says of itself, to compare it with its copy."""
    if isinstance(thing, headrace.HeadraceError):
        return str(thing), vars(thing)
    if isinstance(thing, Item):
        return thing.index, thing.uri, bytes(thing.data or b""), thing.info, str(thing.error)
    return thing.options if isinstance(thing, (Client, aio.Client)) else thing


def test_each_public_class_is_decided_upon() -> None:
    assert public_classes() == TRAVELS.keys() | REFUSES.keys()


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("kind", TRAVELS)
def test_it_travels(kind: type, protocol: int) -> None:
    thing = TRAVELS[kind]()
    assert type(thing) is kind
    copy = pickle.loads(pickle.dumps(thing, protocol))
    assert type(copy) is kind
    assert told(copy) == told(thing)


@pytest.mark.parametrize("kind", REFUSES)
def test_it_refuses(kind: type) -> None:
    with pytest.raises(TypeError, match="pickle"):
        pickle.dumps(REFUSES[kind]())


@pytest.mark.parametrize("name", [name for name in headrace.__all__ if inspect.ismethod(getattr(headrace, name))])
def test_a_verb_travels(name: str) -> None:
    """As the work of a pool of processes, which then uses that process's own default client."""
    for module in (headrace, aio):
        assert pickle.loads(pickle.dumps(getattr(module, name))).__func__ is getattr(module, name).__func__


@pytest.mark.parametrize(
    "make",
    [
        lambda client: client.open(KEY),
        lambda client: client.open(KEY).raw,
        lambda client: client.open(KEY, "wb"),
        lambda client: client.get_many([KEY]),
        lambda client: client.put_many([]),
        lambda client: client.list("memory://pickling/"),
        lambda client: client.get(KEY),
        lambda client: aio.Client().get_many([KEY]),
        lambda client: aio.Client().list("memory://pickling/"),
    ],
    ids=["reader", "raw reader", "writer", "get_many", "put_many", "list", "view", "aio.get_many", "aio.list"],
)
def test_what_is_under_way_refuses(make: Callable[[Client], Any]) -> None:
    with Client() as client:
        client.put(KEY, b"data")
        thing = make(client)
        with pytest.raises(TypeError, match="pickle"):
            pickle.dumps(thing)
        if hasattr(thing, "abort"):
            thing.abort()


class Vault:
    """What a user may have that knows a secret."""

    def __init__(self, secret: str) -> None:
        self.secret = secret

    def read(self) -> dict[str, str]:
        return {"access_key": "AKIDSECRET", "secret_key": self.secret}


@pytest.mark.parametrize("kind", [Client, aio.Client])
def test_no_secret_travels(kind: type[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """One from the environment is read from the environment of the other process; one given in code is refused."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDSECRET")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "the-secret")
    monkeypatch.setenv("HEADRACE_PROXY", "http://user:the-secret@127.0.0.1:9")
    client = kind(region="eu-central-1")
    assert client.options.proxy is not None
    client._session.locate("s3://bucket/key")
    assert b"secret" not in pickle.dumps(client).lower()
    with pytest.raises(CredentialsError, match="pickle"):
        pickle.dumps(kind(credentials=Credentials("AKIDSECRET", "the-secret")))
    for other in (BotocoreCredentials("AKIDSECRET", "the-secret"), partial(dict, secret_key="the-secret"), Vault("the-secret").read):
        with pytest.raises(CredentialsError, match="pickle"):
            pickle.dumps(kind(credentials=other))
