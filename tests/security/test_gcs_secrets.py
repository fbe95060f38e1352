"""As `test_secrets`, for Google Cloud Storage: tokens, private keys and the addresses of upload sessions are shown nowhere."""

from __future__ import annotations

import base64
import json
import logging
import os
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from headrace import Client
from headrace.auth.bearer import Token
from headrace.errors import CredentialsError, HeadraceError
from tests.google_account import ServiceAccount
from tests.security.test_secrets import everything_about, reply

TOKEN = "ya29.MARKEDTOKENEXAMPLE"
SESSION = "MARKEDSESSION"
CUSTOMER_KEY = b"MARKED-customer-key-of-32-bytes!"
SECRETS = [TOKEN, SESSION, CUSTOMER_KEY.decode(), base64.b64encode(CUSTOMER_KEY).decode()]

URI = "gs://bucket/key"


def assert_hidden(text: str) -> None:
    assert [secret for secret in SECRETS if secret in text] == []


Answer = Callable[[Any], bytes]


def refused(status: int, **more: object) -> bytes:
    """An error as the JSON API has it, and what else the service says beside its message."""
    document = {"error": {"code": status, "message": "No.", "errors": [{"reason": "x", "debugInfo": more}]}}
    return reply(status, json.dumps(document).encode(), "content-type: application/json\r\n")


def session_then(answer: Answer) -> Answer:
    """Begins any upload session, and then answers so."""

    def begin(asked: Any) -> bytes:
        if "uploadType=resumable" in asked.target:
            return reply(200, b"{}", f"location: http://127.0.0.1/upload?upload_id={SESSION}\r\n")
        return answer(asked)

    return begin


FAILURES: dict[str, Answer] = {
    "denied": lambda asked: refused(403),
    "wrong token, echoed": lambda asked: refused(401, headers=str(asked.headers)),
    "broken": lambda asked: refused(500),
    "silent": lambda asked: b"",
    "no JSON": lambda asked: reply(200, b"<html>"),
}


def verbs(client: Client) -> Iterator[Callable[[], Any]]:
    yield lambda: client.get(URI)
    yield lambda: client.get(URI, start=-5)
    yield lambda: client.get_ranges(URI, [(0, 10)])
    yield lambda: list(client.get_many([URI] * 2))
    yield lambda: client.put(URI, b"data", metadata={"a": "b"})
    yield lambda: client.put(URI, np.zeros(17 << 20, np.uint8))
    yield lambda: client.put(URI, np.zeros(33 << 20, np.uint8))
    yield lambda: client.stat(URI)
    yield lambda: list(client.list("gs://bucket/"))
    yield lambda: client.delete(URI)
    yield lambda: client.delete_many([URI])
    yield lambda: client.copy(URI, f"{URI}2")
    yield lambda: client.create_container("gs://bucket")
    yield lambda: client.list_containers("gs://")


def client_of(endpoint: str) -> Client:
    return Client(endpoint_url=endpoint, credentials={"token": TOKEN}, project="project", sse=CUSTOMER_KEY, max_attempts=1)


@pytest.mark.parametrize("failure", FAILURES)
def test_whatever_fails(hostile: Any, caplog: pytest.LogCaptureFixture, failure: str) -> None:
    server = hostile(session_then(FAILURES[failure]))
    raised: list[BaseException] = []
    with caplog.at_level(logging.DEBUG), client_of(server.endpoint) as client:
        for verb in verbs(client):
            try:
                verb()
            except HeadraceError as error:
                raised.append(error)
    assert len(raised) > 5
    for error in raised:
        assert_hidden("\n".join(everything_about(error)))
    assert_hidden(caplog.text)
    assert any(asked.headers.get("authorization") == f"Bearer {TOKEN}" for asked in server.asked)
    assert any(SESSION in asked.target and "authorization" not in asked.headers for asked in server.asked)


def test_what_holds_a_token_shows_none_and_takes_none_along() -> None:
    client = Client(credentials={"token": TOKEN})
    for holder in (client, client.options, Token(TOKEN), client._session):
        assert_hidden(f"{holder!r} {holder!s}")
    for traveller in (client, client.options, Token(TOKEN)):
        with pytest.raises(CredentialsError) as caught:
            pickle.dumps(traveller)
        assert_hidden(str(caught.value))


def write_account(folder: Path, account: ServiceAccount, damage: str, **changes: object) -> Path:
    key = account.key.read_text()
    damaged = {"refused": {}, "no key": {"private_key": None}, "broken key": {"private_key": key.replace("A", "B")}}[damage]
    file = folder / "account.json"
    file.write_text(json.dumps(account.content(**changes, **damaged)))
    return file


@pytest.mark.parametrize("damage", ["refused", "no key", "broken key"])
def test_a_private_key_that_does_not_work(
    hostile: Any,
    service_account: ServiceAccount,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    damage: str,
) -> None:
    tokens = hostile(lambda asked: reply(400, json.dumps({"error": "invalid_grant", "error_description": asked.body.decode()}).encode()))
    file = write_account(tmp_path, service_account, damage, token_uri=f"{tokens.endpoint}/token")
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(file))
    with caplog.at_level(logging.DEBUG), Client(max_attempts=1) as client, pytest.raises(CredentialsError) as caught:
        client.get(URI)
    shown = "\n".join([*everything_about(caught.value), caplog.text])
    secrets = [line[:30] for line in file.read_text().split("\\n") if len(line) == 64]
    secrets += [asked.body.partition(b"assertion=")[2].decode() for asked in tokens.asked]
    assert secrets or damage == "no key"
    assert [secret for secret in secrets if secret in shown] == []


@pytest.mark.parametrize("words", [["cat", URI], ["config"]])
def test_the_program_shows_none_however_much_it_says(hostile: Any, tmp_path: Path, words: list[str]) -> None:
    server = hostile(FAILURES["wrong token, echoed"])
    (tmp_path / "tokens.py").write_text(f"def give():\n    return {{'token': {TOKEN!r}}}\n")
    surroundings = {
        **os.environ,
        "HEADRACE_CREDENTIALS": "tokens:give",
        "HEADRACE_ENDPOINT_URL": server.endpoint,
        "PYTHONPATH": str(tmp_path),
    }
    command = [sys.executable, "-m", "headrace", *words, "-vv"]
    done = subprocess.run(command, env=surroundings, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == (0 if words == ["config"] else 4), done.stderr
    assert_hidden(done.stdout + done.stderr)
    assert bool(server.asked) == (words != ["config"])
