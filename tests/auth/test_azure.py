"""Where Azure credentials come from, in which order, and when others are asked for."""

from __future__ import annotations

import base64
import pickle
import sys
from collections.abc import Mapping
from time import time
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from headrace.auth import azure
from headrace.auth.azure import CallableSource, ConnectionString, EnvironmentSource, IdentitySource, StaticSource, TokenSource, find
from headrace.auth.azure_signing import BearerToken, SharedAccessSignature, SharedKey
from headrace.errors import CredentialsError, HeadraceError, InvalidOption, MissingDependency

KEY = base64.b64encode(b"a key of the account").decode()
OTHER = base64.b64encode(b"another key").decode()
STRING = f"DefaultEndpointsProtocol=https;AccountName=mine;AccountKey={KEY};EndpointSuffix=core.windows.net"
SAS = "sv=2021-12-02&sig=x%3D"


class Provider:
    """Numbered tokens that end after ``life`` seconds, as a credential of azure-identity gives them."""

    def __init__(self, life: float = 3600) -> None:
        self.life = life
        self.asked: list[str] = []

    def get_token(self, *scopes: str) -> Any:
        self.asked += scopes
        return SimpleNamespace(token=f"token{len(self.asked)}", expires_on=int(time() + self.life))


def provide() -> Mapping[str, str]:
    return {"account": "mine", "key": KEY}


@pytest.mark.parametrize(
    ("text", "account", "endpoint", "credentials"),
    [
        (STRING, "mine", "https://mine.blob.core.windows.net", SharedKey("mine", KEY)),
        (f"accountname=mine; ACCOUNTKEY={KEY} ;", "mine", "https://mine.blob.core.windows.net", SharedKey("mine", KEY)),
        (
            f"DefaultEndpointsProtocol=http;AccountName=mine;AccountKey={KEY};EndpointSuffix=core.chinacloudapi.cn",
            "mine",
            "http://mine.blob.core.chinacloudapi.cn",
            SharedKey("mine", KEY),
        ),
        (f"BlobEndpoint=https://h/mine/;SharedAccessSignature={SAS}", None, "https://h/mine", SharedAccessSignature(SAS)),
        (f"AccountName=mine;SharedAccessSignature=?{SAS}", "mine", "https://mine.blob.core.windows.net", SharedAccessSignature(SAS)),
        ("AccountName=mine", "mine", "https://mine.blob.core.windows.net", None),
        (
            "UseDevelopmentStorage=true",
            "devstoreaccount1",
            "http://127.0.0.1:10000/devstoreaccount1",
            SharedKey("devstoreaccount1", azure._EMULATOR_KEY),
        ),
    ],
)
def test_connection_strings(text: str, account: str | None, endpoint: str, credentials: Any) -> None:
    assert ConnectionString.parse(text) == (account, endpoint, credentials)


@pytest.mark.parametrize(
    "text",
    [
        KEY[:-2],
        f"AccountKey={KEY}",
        f"AccountName=mine;{OTHER[:5]}",
        "AccountName=mine;AccountKey=secret!",
        f"BlobEndpoint=http://h;AccountKey={KEY}",
    ],
)
def test_connection_strings_that_are_none(text: str) -> None:
    with pytest.raises(CredentialsError) as caught:
        ConnectionString.parse(text)
    for secret in (KEY, KEY[:-2], OTHER[:5], "secret!"):
        assert secret not in str(caught.value)


@pytest.mark.parametrize(
    ("environ", "account", "credentials"),
    [
        ({"AZURE_STORAGE_CONNECTION_STRING": STRING, "AZURE_STORAGE_KEY": OTHER}, "mine", SharedKey("mine", KEY)),
        ({"AZURE_STORAGE_CONNECTION_STRING": "AccountName=mine", "AZURE_STORAGE_KEY": OTHER}, "mine", SharedKey("mine", OTHER)),
        ({"AZURE_STORAGE_KEY": KEY, "AZURE_STORAGE_SAS_TOKEN": SAS}, "named", SharedKey("named", KEY)),
        ({"AZURE_STORAGE_ACCOUNT_KEY": KEY}, "named", SharedKey("named", KEY)),
        ({"AZURE_STORAGE_SAS_TOKEN": SAS}, "named", SharedAccessSignature(SAS)),
    ],
)
def test_the_environment(environ: dict[str, str], account: str, credentials: Any) -> None:
    found = find(account=None if account == "mine" else account, environ=environ)
    assert found.source is not None
    assert (found.account, found.source.refresh()) == (account, credentials)


@pytest.mark.parametrize(
    ("given", "credentials"),
    [
        ({"account": "mine", "key": KEY}, SharedKey("mine", KEY)),
        ({"account_name": "mine", "account_key": KEY}, SharedKey("mine", KEY)),
        ({"key": KEY}, SharedKey("named", KEY)),
        ({"sas_token": f"?{SAS}"}, SharedAccessSignature(SAS)),
        ({"token": "t", "expires": 5.0}, BearerToken("t")),
        ({"connection_string": STRING}, SharedKey("mine", KEY)),
        (SharedKey("mine", KEY), SharedKey("mine", KEY)),
        (SharedAccessSignature(SAS), SharedAccessSignature(SAS)),
        (provide, SharedKey("mine", KEY)),
        (lambda: Provider(), BearerToken("token1")),
        (Provider(), BearerToken("token1")),
        (StaticSource(BearerToken("t")), BearerToken("t")),
    ],
)
def test_what_is_given_in_code_comes_first(given: Any, credentials: Any) -> None:
    named = "mine" if getattr(credentials, "account", "named") == "mine" else "named"
    found = find(account=named, credentials=given, environ={"AZURE_STORAGE_CONNECTION_STRING": STRING.replace("mine", "other")})
    assert found.source is not None
    assert (found.account, found.source.refresh()) == (named, credentials)


@pytest.mark.parametrize(
    "given",
    [{}, {"account": "mine"}, {"key": OTHER[:-1], "account": "mine"}, {"token": ""}, object(), {"connection_string": "AccountName=mine"}],
)
def test_what_is_given_in_code_and_is_nothing(given: Any) -> None:
    with pytest.raises(CredentialsError) as caught:
        find(credentials=given, environ={})
    assert OTHER[:-1] not in str(caught.value)


async def promise() -> None:
    """What cannot give credentials."""


def test_a_function_that_gives_none() -> None:
    with pytest.raises(InvalidOption, match="coroutine"):
        find(credentials=promise, environ={})
    for function in (lambda: None, lambda: {}[0]):
        found = find(credentials=function, environ={})
        assert found.source is not None
        with pytest.raises(CredentialsError):
            found.source.refresh()


def test_two_accounts() -> None:
    for arguments in (
        {"environ": {"AZURE_STORAGE_CONNECTION_STRING": STRING}},
        {"credentials": {"account": "mine", "key": KEY}, "environ": {}},
        {"credentials": {"connection_string": STRING}, "environ": {}},
    ):
        with pytest.raises(CredentialsError, match=r"'other'.*'mine'"):
            find(account="other", **arguments)  # type: ignore[arg-type]
        assert find(guess="other", **arguments).account == "mine"  # type: ignore[arg-type]


def test_without_anything_the_emulator_has_its_key_and_others_are_asked_for() -> None:
    emulator = find(guess="devstoreaccount1", environ={}).source
    assert emulator is not None
    assert isinstance(emulator.refresh(), SharedKey)
    assert isinstance(find(account="mine", environ={}).source, IdentitySource)
    assert find(account="mine", anonymous=True, environ={"AZURE_STORAGE_KEY": KEY}).source is None


def test_azure_identity_is_asked_once_and_again_when_its_token_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    provider = Provider()
    module = ModuleType("azure.identity")
    module.DefaultAzureCredential = lambda: provider  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "azure", ModuleType("azure"))
    monkeypatch.setitem(sys.modules, "azure.identity", module)
    source = IdentitySource()
    assert source.current() is None
    first = source.refresh()
    assert source.refresh() is source.current() is first
    assert provider.asked == ["https://storage.azure.com/.default"]
    source.invalidate(first)
    assert source.current() is None
    assert source.refresh() == BearerToken("token2")
    again = pickle.loads(pickle.dumps(source))
    assert again.current() is None
    assert again.refresh() == BearerToken("token3")


def test_a_token_that_is_about_to_end_is_replaced_early_by_one_caller() -> None:
    provider = Provider(life=4)
    source = TokenSource(provider)
    source.refresh()
    assert source.current() == BearerToken("token1")
    assert source._lease is not None
    source._lease._next_try = 0
    assert source.current() is None
    assert source.current() == BearerToken("token1")


def test_without_azure_identity_the_install_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "azure.identity", None)
    with pytest.raises(MissingDependency, match=r"pip install 'headrace\[azure\]'"):
        IdentitySource().refresh()


def test_a_provider_that_fails() -> None:
    class Failing:
        def get_token(self, *scopes: str) -> Any:
            raise ValueError("holds a client PASSWORD")

    for provider in (Failing(), SimpleNamespace(get_token=lambda scope: None)):
        with pytest.raises(CredentialsError, match="gave no token") as caught:
            TokenSource(provider).refresh()
        assert "PASSWORD" not in str(caught.value)
        assert caught.value.__cause__ is None


def test_the_environment_is_read_again_when_it_is_rejected() -> None:
    environ = {"AZURE_STORAGE_KEY": KEY}
    source = EnvironmentSource("mine", environ)
    first = source.refresh()
    environ["AZURE_STORAGE_KEY"] = OTHER
    assert source.refresh() is first
    source.invalidate(first)
    assert source.refresh() == SharedKey("mine", OTHER)
    del environ["AZURE_STORAGE_KEY"]
    source.invalidate(source.refresh())
    with pytest.raises(CredentialsError, match="no longer"):
        source.refresh()


def test_a_key_needs_the_name_of_its_account() -> None:
    with pytest.raises(CredentialsError, match="without the name"):
        EnvironmentSource(None, {"AZURE_STORAGE_KEY": KEY}).refresh()


def test_sources_travel_as_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_STORAGE_KEY", KEY)
    source = EnvironmentSource("mine")
    source.refresh()
    data = pickle.dumps(source)
    assert KEY.encode() not in data
    monkeypatch.setenv("AZURE_STORAGE_KEY", OTHER)
    assert pickle.loads(data).refresh() == SharedKey("mine", OTHER)
    assert pickle.loads(pickle.dumps(CallableSource(provide, "mine"))).refresh() == SharedKey("mine", KEY)
    for source_of_secrets in (StaticSource(SharedKey("mine", KEY)), CallableSource(lambda: {"key": KEY}, "mine")):
        with pytest.raises(HeadraceError) as caught:
            pickle.dumps(source_of_secrets)
        assert KEY not in str(caught.value)
