"""Keys, signatures and tokens of Azure are not shown: in no log, error, traceback's variables, representation or pickle."""

from __future__ import annotations

import asyncio
import base64
import logging
import os
import pickle
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

import pytest

from headrace import Client, aio
from headrace.auth.azure import EnvironmentSource, StaticSource, find
from headrace.auth.azure_signing import BearerToken, SharedAccessSignature, SharedKey
from headrace.errors import CredentialsError, HeadraceError

KEY = base64.b64encode(b"MARKED account key of sixty-four bytes, as Azure has them, MARKED").decode()
SIGNATURE = "MARKEDsignature%2Bof%3Da"
TOKEN = "MARKED.token.of-entra"
SECRETS = [KEY, SIGNATURE, TOKEN, KEY[:20], "MARKEDsig"]

GIVEN: dict[str, dict[str, str]] = {
    "key": {"account": "mine", "key": KEY},
    "sas": {"account": "mine", "sas_token": f"sv=2021-12-02&sp=r&sig={SIGNATURE}"},
    "connection string": {"connection_string": f"AccountName=mine;AccountKey={KEY};BlobEndpoint=http://ignored.invalid/mine"},
}
URI = "az://container/blob"


def refusal(asked: Any, code: str = "AuthenticationFailed", status: int = 403) -> bytes:
    """As the service does: with the signature that it was sent, and the string that it signed."""
    told = f"The MAC signature found in the HTTP request '{asked.headers.get('authorization')}' {asked.target.replace('&', '&amp;')}"
    document = f"<Error><Code>{code}</Code><Message>No.</Message><AuthenticationErrorDetail>{told}</AuthenticationErrorDetail></Error>"
    head = f"HTTP/1.1 {status} -\r\nx-ms-error-code: {code}\r\ncontent-length: {len(document)}\r\nconnection: close\r\n\r\n"
    return f"{head}{document}".encode()


FAILURES: dict[str, Callable[[Any], bytes]] = {
    "refused": refusal,
    "broken": lambda asked: refusal(asked, "InternalError", 500),
    "silent": lambda asked: b"",
    "no XML": lambda asked: b"HTTP/1.1 200 -\r\ncontent-length: 6\r\netag: x\r\nconnection: close\r\n\r\n<html>",
}


def verbs(client: Any) -> Iterator[Callable[[], Any]]:
    yield lambda: client.get(URI)
    yield lambda: client.put(URI, b"data")
    yield lambda: client.put(URI, bytes(6 << 20))
    yield lambda: client.stat(URI)
    yield lambda: client.delete(URI)
    yield lambda: client.delete_many([URI] * 2)
    yield lambda: client.copy(URI, f"{URI}2")
    yield lambda: client.create_container("az://container")
    yield lambda: client.delete_container("az://container")
    yield lambda: client.delete("az://container/p/", recursive=True)


def perform_blocking(options: dict[str, Any]) -> list[HeadraceError]:
    raised: list[HeadraceError] = []
    with Client(**options) as client:
        for verb in verbs(client):
            try:
                verb()
            except HeadraceError as error:
                raised.append(error)
    return raised


async def perform_on_a_loop(options: dict[str, Any]) -> list[HeadraceError]:
    raised: list[HeadraceError] = []
    async with aio.Client(**options) as client:
        for verb in verbs(client):
            try:
                await verb()
            except HeadraceError as error:
                raised.append(error)
    return raised


def own_frames(trace: TracebackType | None) -> Iterator[tuple[FrameType, int]]:
    """The frames below the test."""
    for frame, line in traceback.walk_tb(trace):
        if frame.f_code.co_filename != __file__:
            yield frame, line


def everything_about(error: BaseException | None) -> Iterator[str]:
    if error is not None:
        yield from (str(error), repr(error), repr(vars(error)))
        yield from traceback.StackSummary.extract(own_frames(error.__traceback__), capture_locals=True).format()
        if isinstance(error, HeadraceError):
            yield pickle.dumps(error).decode("latin-1")
        yield from everything_about(error.__cause__)
        yield from everything_about(error.__context__)


def assert_no_secret(shown: str) -> None:
    for secret in SECRETS:
        at = shown.find(secret)
        assert at < 0, f"a secret is shown: ...{shown[max(0, at - 300) : at]}(here)"


@pytest.mark.parametrize("driver", ["blocking", "asyncio"])
@pytest.mark.parametrize("given", GIVEN)
@pytest.mark.parametrize("failure", FAILURES)
def test_whatever_fails(hostile: Any, caplog: pytest.LogCaptureFixture, driver: str, given: str, failure: str) -> None:
    server = hostile(FAILURES[failure])
    options = {"endpoint_url": f"{server.endpoint}/mine", "credentials": GIVEN[given], "max_attempts": 2 if failure == "broken" else 1}
    options |= {"multipart_threshold": 5 << 20, "part_size": 5 << 20, "stall_timeout": 10.0}
    with caplog.at_level(logging.DEBUG):
        raised = perform_blocking(options) if driver == "blocking" else asyncio.run(perform_on_a_loop(options), debug=True)
    assert len(raised) > 2
    for error in raised:
        assert_no_secret("\n".join(everything_about(error)))
    assert_no_secret(caplog.text)
    assert any(SIGNATURE in asked.target or "SharedKey mine:" in asked.headers.get("authorization", "") for asked in server.asked)


@pytest.mark.parametrize(
    "wrong",
    [
        {"account": "mine", "key": KEY[:-3]},
        {"account": "mine", "key": f"{KEY}\n"},
        {"account": "No Account", "key": KEY},
        {"key": KEY},
        {"sas_token": f"sv=1 &sig={SIGNATURE}"},
        {"token": f"{TOKEN}\n"},
        {"connection_string": f"AccountName=mine;{KEY[:-2]}"},
        {"connection_string": f"AccountKey={KEY}"},
        {"connection_string": f"AccountName=mine;AccountKey={KEY[:-1]}"},
    ],
    ids=lambda wrong: " ".join(wrong),
)
def test_what_is_not_accepted_is_not_repeated(wrong: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(HeadraceError) as caught:
        Client(credentials=wrong).get(URI)
    assert_no_secret("\n".join([str(caught.value), repr(vars(caught.value)), repr(caught.value.__context__)]))
    for name, value in {"connection_string": "CONNECTION_STRING", "key": "KEY", "sas_token": "SAS_TOKEN"}.items():
        if name in wrong:
            monkeypatch.setenv(f"AZURE_STORAGE_{value}", wrong[name])
    if "token" not in wrong:
        with pytest.raises(HeadraceError) as caught:
            Client(account=None if "connection_string" in wrong or wrong == {"key": KEY} else "Mine").get(URI)
        assert_no_secret("\n".join(everything_about(caught.value)))


def test_what_holds_secrets_shows_none_and_takes_none_along(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_STORAGE_KEY", KEY)
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT", "mine")
    environment = EnvironmentSource("mine")
    environment.refresh()
    credentials = [SharedKey("mine", KEY), SharedAccessSignature(f"sig={SIGNATURE}"), BearerToken(TOKEN)]
    clients: list[Any] = [Client(credentials=given) for given in GIVEN.values()] + [Client(region="x")]
    for client in clients:
        with pytest.raises(HeadraceError):
            client.get("az://container/a\\b")
    store = clients[-1]._session.stores._stores["az"]
    sources = [environment, *map(StaticSource, credentials), find(credentials=GIVEN["key"])]
    for holder in [*credentials, *sources, *clients, environment._lease, store, store.backend, store.backend._exchange]:
        assert_no_secret(f"{holder!r} {holder!s}")
    for traveller in [*credentials, *sources, *clients]:
        try:
            assert_no_secret(pickle.dumps(traveller).decode("latin-1"))
        except CredentialsError as refused:
            assert_no_secret(str(refused))


def test_a_signed_url_is_returned_and_otherwise_a_secret(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG), Client(credentials=GIVEN["key"]) as client:
        url = client.presign(URI)
        signature = url.partition("&sig=")[2]
        with pytest.raises(HeadraceError) as caught:
            client.get(url)
    assert len(signature) > 40
    assert signature not in f"{caught.value}{vars(caught.value)}{caplog.text}"
    assert_no_secret(url)


@pytest.mark.parametrize("words", [["ls", "az://container/"], ["cat", URI], ["config"]])
def test_the_program_shows_none_however_much_it_says(hostile: Any, tmp_path: Path, words: list[str]) -> None:
    server = hostile(refusal)
    given = f"BlobEndpoint={server.endpoint}/mine;SharedAccessSignature=sv=2021-12-02&sig={SIGNATURE}"
    surroundings = {**os.environ, "AZURE_STORAGE_CONNECTION_STRING": given, "AZURE_STORAGE_KEY": KEY, "HEADRACE_MAX_ATTEMPTS": "1"}
    command = [sys.executable, "-m", "headrace", *words, "-vv"]
    done = subprocess.run(command, env=surroundings, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert (done.returncode == 0) == (words == ["config"])
    assert done.stdout + done.stderr
    assert_no_secret(done.stdout + done.stderr)
