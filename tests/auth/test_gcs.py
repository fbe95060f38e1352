"""Tokens for Google Cloud Storage: where they come from, when they are fetched, what signs URLs."""

from __future__ import annotations

import json
import os
import pickle
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from time import time
from types import SimpleNamespace
from urllib.parse import parse_qsl, urlsplit

import pytest

from headrace.auth.bearer import Token, UrlSigner
from headrace.auth.gcs import FixedToken, TokenFunction, chain
from headrace.auth.gcs_urls import signed_url
from headrace.errors import ConnectionFailed, CredentialsError, InvalidOption, MissingDependency, NotSupported
from headrace.http.connecting import Settings
from headrace.http.messages import Origin
from tests.google_account import EMAIL, ServiceAccount

SETTINGS = Settings(connect_timeout=5.0, stall_timeout=5.0)


@pytest.fixture
def account(service_account: ServiceAccount, monkeypatch: pytest.MonkeyPatch) -> Iterator[ServiceAccount]:
    """The service account, as Application Default Credentials."""
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(service_account.file))
    service_account.assertions.clear()
    service_account.given.clear()
    yield service_account
    service_account.life, service_account.refusal = 3600, None


class TestToken:
    @pytest.mark.parametrize("value", ["", " a", "a b", "a\n", "é"])
    def test_what_no_token_is(self, value: str) -> None:
        with pytest.raises(CredentialsError):
            Token(value)

    def test_it_is_not_shown_and_does_not_travel(self) -> None:
        token = Token("MARKED", expires=5)
        assert "MARKED" not in f"{token!r} {[token.value, token.header]!r}"
        with pytest.raises(CredentialsError):
            pickle.dumps(token)


class TestChain:
    @pytest.mark.parametrize(
        ("given", "expires"),
        [
            (lambda: Token("a"), None),
            (lambda: {"token": "a"}, None),
            (lambda: {"token": "a", "expires": time() + 600}, 600),
            (lambda: {"access_token": "a", "expiry": datetime.now(UTC) + timedelta(minutes=10)}, 600),
            (lambda: {"token": "a", "expires": (datetime.now(UTC) + timedelta(minutes=10)).isoformat()}, 600),
            (lambda: lambda: "a", None),
            (lambda: lambda: {"token": "a", "expires": time() + 600}, 600),
        ],
    )
    def test_what_is_given_in_code(self, given: Callable[[], object], expires: int | None) -> None:
        source = chain(credentials=given(), settings=SETTINGS)
        token = source.refresh()
        assert token.header == "Bearer a"
        assert (token.expires is None) is (expires is None)
        assert token.expires is None or abs(token.expires - time() - 600) < 60
        assert source.current() == token
        with pytest.raises(NotSupported, match="sign"):
            source.signer()
        assert source.project() is None

    @pytest.mark.parametrize("given", [{}, {"token": 5}, {"access_key": "a", "secret_key": "b"}, SimpleNamespace(a=1), 5])
    def test_what_holds_no_token(self, given: object) -> None:
        with pytest.raises(CredentialsError, match="no token"):
            chain(credentials=given, settings=SETTINGS)
        with pytest.raises(CredentialsError, match="no token"):
            chain(credentials=lambda: given, settings=SETTINGS).refresh()

    def test_a_function_that_fails(self) -> None:
        def fail() -> str:
            raise LookupError("MARKED")

        async def coroutine() -> str:
            return "a"

        with pytest.raises(CredentialsError, match="LookupError"):
            chain(credentials=fail, settings=SETTINGS).refresh()
        with pytest.raises(InvalidOption, match="coroutine"):
            chain(credentials=coroutine, settings=SETTINGS)

    def test_a_token_that_has_ended_is_not_used(self) -> None:
        source = chain(credentials={"token": "a", "expires": time() - 5}, settings=SETTINGS)
        assert source.current() is None
        with pytest.raises(CredentialsError, match="ended"):
            source.refresh()

    def test_a_rejected_token_of_a_function_is_asked_for_again(self) -> None:
        values = iter("abc")
        source = TokenFunction(lambda: next(values))
        first = source.refresh()
        assert source.refresh() is first
        source.invalidate(first)
        assert source.current() is None
        assert source.refresh().value == "b"

    def test_without_any_google_is_asked_only_when_a_token_is_needed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "google.auth", None)
        source = chain(settings=SETTINGS)
        assert source.current() is None
        with pytest.raises(MissingDependency, match=r"pip install 'headrace\[gcs\]'"):
            source.refresh()


class TestServiceAccountFile:
    def test_a_token_is_fetched_once_and_kept(self, account: ServiceAccount) -> None:
        source = chain(settings=SETTINGS)
        token = source.refresh()
        assert source.current() is token
        assert source.refresh() is token
        assert [token.value] == account.given
        (claims,) = account.assertions
        assert (claims["iss"], claims["scope"]) == (EMAIL, "https://www.googleapis.com/auth/devstorage.full_control")
        assert token.expires is not None
        assert abs(token.expires - time() - 3600) < 60
        assert source.project() == "project"

    def test_threads_that_need_a_token_share_one(self, account: ServiceAccount) -> None:
        source = chain(settings=SETTINGS)
        threads = [threading.Thread(target=source.refresh) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(account.given) == 1

    def test_a_rejected_token_is_replaced(self, account: ServiceAccount) -> None:
        source = chain(settings=SETTINGS)
        first = source.refresh()
        source.invalidate(first)
        assert source.current() is None
        assert source.refresh() != first
        assert len(account.given) == 2

    def test_a_refusal_says_why_and_shows_no_secret(self, account: ServiceAccount) -> None:
        account.refusal = {"error": "invalid_grant", "error_description": f"Invalid signature for {account.key.read_text()}"}
        with pytest.raises(CredentialsError, match="Invalid signature for") as caught:
            chain(settings=SETTINGS).refresh()
        assert_hidden(account, str(caught.value))
        assert caught.value.__cause__ is None
        assert caught.value.__context__ is None

    def test_an_endpoint_that_cannot_be_reached(self, account: ServiceAccount, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            closed_port = listener.getsockname()[1]
        file = tmp_path / "account.json"
        file.write_text(json.dumps(account.content(token_uri=f"http://127.0.0.1:{closed_port}/token")))
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(file))
        with pytest.raises(ConnectionFailed) as caught:
            chain(settings=SETTINGS).refresh()
        assert_hidden(account, str(caught.value))

    @pytest.mark.parametrize("damage", ["no file", "no JSON", "no key", "wrong key", "unknown type"])
    def test_a_file_that_is_of_no_use(self, account: ServiceAccount, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str) -> None:
        file = tmp_path / "account.json"
        contents = {
            "no JSON": json.dumps(account.content())[:-5],
            "no key": json.dumps({name: value for name, value in account.content().items() if name != "private_key"}),
            "wrong key": json.dumps(account.content(private_key=account.key.read_text()[100:])),
            "unknown type": json.dumps(account.content(type="x")),
        }
        if damage in contents:
            file.write_text(contents[damage])
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(file))
        with pytest.raises(CredentialsError) as caught:
            chain(settings=SETTINGS).refresh()
        assert_hidden(account, str(caught.value))
        assert caught.value.__context__ is None

    def test_google_auths_own_objects_may_be_given(self, account: ServiceAccount) -> None:
        from google.oauth2 import service_account

        given = service_account.Credentials.from_service_account_file(str(account.file))
        for source in (chain(credentials=given, settings=SETTINGS), chain(credentials=lambda: given, settings=SETTINGS)):
            assert source.refresh().value == account.given[-1]
            assert source.signer().email == EMAIL

    def test_nothing_is_found(self) -> None:
        with pytest.raises(CredentialsError, match="no Google credentials found"):
            chain(settings=SETTINGS).refresh()

    def test_a_signed_url(self, account: ServiceAccount, tmp_path: Path) -> None:
        signer = chain(settings=SETTINGS).signer()
        assert signer.email == EMAIL
        assert account.verifies(b"message", signer.sign(b"message"), tmp_path)
        assert not account.verifies(b"another", signer.sign(b"message"), tmp_path)
        assert account.given == []


def assert_hidden(account: ServiceAccount, text: str) -> None:
    """No line of the private key is in a text, nor a token."""
    secrets = [line for line in account.key.read_text().splitlines() if len(line) > 60] + account.given
    assert [secret for secret in secrets if secret[:40] in text] == []


METADATA: dict[str, object] = {
    "/": "ok",
    "/computeMetadata/v1/project/project-id": "machine-project",
    "/computeMetadata/v1/instance/service-accounts/default/": {
        "email": "machine@project.iam.gserviceaccount.com",
        "scopes": ["https://www.googleapis.com/auth/cloud-platform"],
    },
    "/computeMetadata/v1/instance/service-accounts/default/token": {"access_token": "machine-token", "expires_in": 3600},
    "/computeMetadata/v1/universe/universe-domain": "googleapis.com",
}

ASK_METADATA = """
from headrace.auth.gcs_google import GoogleSource
from headrace.http.connecting import Settings
source = GoogleSource(Settings())
print(source.refresh().value, source.project(), source.signer().email)
"""


class MetadataServer(BaseHTTPRequestHandler):
    """What a virtual machine sees of itself."""

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        found = METADATA.get(path) or METADATA[path.replace("machine@project.iam.gserviceaccount.com", "default")]
        body = found.encode() if isinstance(found, str) else json.dumps(found).encode()
        self.send_response(200)
        self.send_header("metadata-flavor", "Google")
        self.send_header("content-type", "text/plain" if isinstance(found, str) else "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def test_a_virtual_machine() -> None:
    """In a process of its own: google-auth reads the address of the metadata server when it is imported."""
    with ThreadingHTTPServer(("127.0.0.1", 0), MetadataServer) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        address = f"127.0.0.1:{server.server_address[1]}"
        environ = {**os.environ, "GCE_METADATA_HOST": address, "GCE_METADATA_IP": address, "NO_GCE_CHECK": ""}
        done = subprocess.run([sys.executable, "-c", ASK_METADATA], env=environ, capture_output=True, text=True, check=False)
        server.shutdown()
        thread.join()
    assert done.stdout.split() == ["machine-token", "machine-project", "machine@project.iam.gserviceaccount.com"], done.stderr


def test_what_is_signed_of_a_url() -> None:
    """The string to sign is that of "V4 signing process with your own program", and the URL has all of its query."""
    signed: list[bytes] = []

    def sign(message: bytes) -> bytes:
        signed.append(message)
        return b"\x01\xff"

    origin = Origin("https", "storage.googleapis.com", 443)
    url = signed_url("GET", origin, "/bucket/a%20key", expires=60, signer=UrlSigner("me@x.example", sign), now=1_767_323_045)
    query = dict(parse_qsl(urlsplit(url).query))
    assert url.startswith(
        "https://storage.googleapis.com/bucket/a%20key?X-Goog-Algorithm=GOOG4-RSA-SHA256&X-Goog-Credential=me%40x.example%2F"
    )
    assert query == {
        "X-Goog-Algorithm": "GOOG4-RSA-SHA256",
        "X-Goog-Credential": "me@x.example/20260102/auto/storage/goog4_request",
        "X-Goog-Date": "20260102T030405Z",
        "X-Goog-Expires": "60",
        "X-Goog-SignedHeaders": "host",
        "X-Goog-Signature": "01ff",
    }
    algorithm, moment, scope, digest = signed[0].decode().split("\n")
    assert (algorithm, moment, scope) == ("GOOG4-RSA-SHA256", "20260102T030405Z", "20260102/auto/storage/goog4_request")
    assert len(digest) == 64


@pytest.mark.parametrize("expires", [0, -1, 604_801])
def test_a_url_for_a_time_that_is_none(expires: int) -> None:
    with pytest.raises(InvalidOption, match="expires"):
        signed_url("GET", Origin("https", "x", 443), "/b/k", expires=expires, signer=UrlSigner("a", lambda _: b""), now=0)


def test_a_token_that_is_fixed_has_no_other() -> None:
    source = FixedToken(Token("a"))
    source.invalidate(source.refresh())
    assert source.refresh().value == "a"
