"""No secret is in a log, an error, a traceback with its variables, a representation or a pickle, however things fail."""

from __future__ import annotations

import asyncio
import base64
import inspect
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
from headrace.auth.aws import CallableSource, EnvironmentSource, StaticSource
from headrace.auth.sigv4 import EMPTY_SHA256, Credentials, Signer
from headrace.backends.s3.options import customer_key_headers
from headrace.config.encryption import Encryption
from headrace.errors import CredentialsError, HeadraceError
from headrace.http.blocking import Settings
from headrace.http.messages import Origin, Request
from headrace.http.proxy import choose_proxy

SECRET_KEY = "wJalrMARKED/SECRETKEY+bPxRfiCYEXAMPLE"
TOKEN = "FwoGMARKEDTOKENEXAMPLE"
CUSTOMER_KEY = b"MARKED-customer-key-of-32-bytes!"
PASSWORD = "MARKED-proxy-password"
USERINFO = "MARKED-endpoint-password"

SECRETS = [
    SECRET_KEY,
    TOKEN,
    CUSTOMER_KEY.decode(),
    base64.b64encode(CUSTOMER_KEY).decode(),
    PASSWORD,
    base64.b64encode(f"me:{PASSWORD}".encode()).decode(),
    USERINFO,
]

URI = "s3://bucket/key"


def reply(status: int, body: bytes = b"", headers: str = "") -> bytes:
    return f"HTTP/1.1 {status} -\r\ncontent-length: {len(body)}\r\nconnection: close\r\n{headers}\r\n".encode("latin-1") + body


def document(code: str, **more: str) -> bytes:
    extra = "".join(f"<{name}>{text}</{name}>" for name, text in more.items())
    return f"<Error><Code>{code}</Code><Message>No.</Message>{extra}</Error>".encode()


def echo(asked: Any) -> bytes:
    """As S3 does for a wrong signature: with what it was sent, outside of the message."""
    told = {"StringToSign": "AWS4", "CanonicalRequest": "".join(f"{name}:{value} " for name, value in asked.headers.items())}
    return reply(403, document("SignatureDoesNotMatch", **told))


def cut_off(asked: Any) -> bytes:
    return reply(200, b"x" * 100, 'etag: "x"\r\n')[:-50]


FAILURES: dict[str, Callable[[Any], bytes]] = {
    "denied": lambda asked: reply(403, document("AccessDenied")),
    "broken": lambda asked: reply(500, document("InternalError")),
    "wrong secret": echo,
    "expired token": lambda asked: reply(400, document("ExpiredToken", **{"Token-0": asked.headers.get("x-amz-security-token", "")})),
    "clock": lambda asked: reply(403, document("RequestTimeTooSkewed"), "date: Sun, 06 Nov 2044 08:49:37 GMT\r\n"),
    "region": lambda asked: reply(400, document("AuthorizationHeaderMalformed", Region="eu-x")),
    "silent": lambda asked: b"",
    "cut off": cut_off,
    "no HTTP": lambda asked: b"SSH-2.0\r\n\r\n",
    "no XML": lambda asked: reply(200, b"<html>", 'etag: "x"\r\n'),
}


def verbs(client: Any) -> Iterator[Callable[[], Any]]:
    """Every verb; of those that iterate, the iterator."""
    yield lambda: client.get(URI)
    yield lambda: client.get(URI, start=-5)
    yield lambda: client.read_text(URI)
    yield lambda: client.get_ranges(URI, [(0, 10)])
    yield lambda: client.get_many([URI] * 2)
    yield lambda: client.put(URI, b"data", metadata={"a": "b"})
    yield lambda: client.put(URI, bytes(2 << 20))
    yield lambda: client.put_many([(URI, b"data")])
    yield lambda: client.stat(URI)
    yield lambda: client.stat_many([URI])
    yield lambda: client.exists(URI)
    yield lambda: client.list("s3://bucket/")
    yield lambda: client.delete(URI)
    yield lambda: client.delete("s3://bucket/p/", recursive=True)
    yield lambda: client.delete_many([URI])
    yield lambda: client.copy(URI, URI + "2")
    yield lambda: client.move(URI, "memory://bucket/key")
    yield lambda: client.create_container("s3://bucket")
    yield lambda: client.delete_container("s3://bucket")
    yield lambda: client.list_containers("s3://")


def perform_blocking(options: dict[str, Any]) -> list[BaseException]:
    raised: list[BaseException] = []
    with Client(**options) as client:
        for verb in [*verbs(client), lambda: client.open(URI).read(), lambda: write(client)]:
            try:
                result = verb()
                if isinstance(result, Iterator):
                    list(result)
            except (HeadraceError, TypeError) as error:
                raised.append(error)
    return raised


def write(client: Client) -> None:
    with client.open(URI, "wb") as file:
        file.write(b"data")


async def perform_on_a_loop(options: dict[str, Any]) -> list[BaseException]:
    raised: list[BaseException] = []
    async with aio.Client(**options) as client:
        for verb in verbs(client):
            try:
                result = verb()
                if inspect.isawaitable(result):
                    await result
                else:
                    _ = [item async for item in result]
            except HeadraceError as error:
                raised.append(error)
    return raised


def own_frames(trace: TracebackType | None) -> Iterator[tuple[FrameType, int]]:
    """The frames below the test: what is in a test's own variables is no secret to it."""
    for frame, line in traceback.walk_tb(trace):
        if frame.f_code.co_filename != __file__:
            yield frame, line


def everything_about(error: BaseException | None) -> Iterator[str]:
    """What a log, a debugger or another process may show of an error and its causes."""
    if error is not None:
        yield from (str(error), repr(error), repr(vars(error)), repr(getattr(error, "__notes__", "")))
        yield from traceback.StackSummary.extract(own_frames(error.__traceback__), capture_locals=True).format()
        if isinstance(error, HeadraceError):
            yield pickle.dumps(error).decode("latin-1")
        yield from everything_about(error.__cause__)
        yield from everything_about(error.__context__)


def assert_no_secret(shown: str) -> None:
    for secret in SECRETS:
        at = shown.find(secret)
        assert at < 0, f"a secret is shown: ...{shown[max(0, at - 300) : at]}(here)"


@pytest.fixture
def options() -> dict[str, Any]:
    return {
        "credentials": Credentials("AKIDMARKED", SECRET_KEY, TOKEN),
        "region": "us-east-1",
        "sse": CUSTOMER_KEY,
        "max_attempts": 1,
        "connect_timeout": 10.0,
        "stall_timeout": 10.0,
    }


@pytest.mark.parametrize("driver", ["blocking", "asyncio"])
@pytest.mark.parametrize(
    ("failure", "proxied"), [*((failure, False) for failure in FAILURES), ("silent", True), ("wrong secret", True)], ids=str
)
def test_whatever_fails(
    hostile: Any, options: dict[str, Any], caplog: pytest.LogCaptureFixture, driver: str, failure: str, *, proxied: bool
) -> None:
    server = hostile(FAILURES[failure])
    options["endpoint_url"] = server.endpoint
    if failure == "broken":
        # What is tried again is logged.
        options["max_attempts"] = 2
    if proxied:
        options |= {"endpoint_url": "http://storage.invalid", "proxy": f"http://me:{PASSWORD}@127.0.0.1:{server.port}"}
    with caplog.at_level(logging.DEBUG):
        raised = perform_blocking(options) if driver == "blocking" else asyncio.run(perform_on_a_loop(options), debug=True)
    assert len(raised) > 5
    for error in raised:
        assert_no_secret("\n".join(everything_about(error)))
    assert_no_secret(caplog.text)
    assert all(TOKEN in asked.headers["x-amz-security-token"] for asked in server.asked)


# What is not a failure of a request.


def test_a_presigned_url_is_returned_and_otherwise_a_secret(options: dict[str, Any], caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG), Client(endpoint_url="https://storage.invalid", **options) as client:
        url = client.presign(URI)
        signature = url.partition("X-Amz-Signature=")[2]
        assert len(signature) == 64
        for verb in (client.get, client.stat, client.open, lambda uri: list(client.get_many([uri])), lambda uri: client.put(uri, b"")):
            with pytest.raises(HeadraceError) as caught:
                verb(url)
            shown = "\n".join([str(caught.value), repr(vars(caught.value)), pickle.dumps(caught.value).decode("latin-1")])
            assert "storage.invalid/" in shown
            assert signature not in shown
            assert_no_secret(shown)
    assert signature not in caplog.text
    assert_no_secret(caplog.text)


@pytest.mark.parametrize(
    "uri",
    [
        f"https://me:{USERINFO}@host/key",
        f"HTTP://me:{USERINFO}@host:80/key?a",
        f"s3://AKID:{USERINFO}@bucket/key",
        f"s3://AKID:{USERINFO[:6]}/{USERINFO}@bucket/key",
        f"ftp://me:{USERINFO}@host/key",
        f"https:///key?X-Amz-Signature={USERINFO}",
    ],
)
def test_a_uri_that_holds_a_secret_is_not_repeated(uri: str) -> None:
    with pytest.raises(HeadraceError) as caught:
        Client().get(uri)
    assert_no_secret("\n".join([str(caught.value), repr(vars(caught.value)), pickle.dumps(caught.value).decode("latin-1")]))


@pytest.mark.parametrize(
    "wrong",
    [
        {"endpoint_url": f"http://me:{USERINFO}@"},
        {"endpoint_url": f"ftp://me:{USERINFO}@host"},
        {"endpoint_url": f"http://me:{USERINFO}@host:port"},
        {"endpoint_url": f"http://me:{USERINFO}@host"},
        {"endpoints": [f"http://me:{USERINFO}@host:port"]},
        {"proxy": f"socks5://me:{PASSWORD}@host"},
        {"proxy": f"me:{PASSWORD}@host:port"},
        {"sse": CUSTOMER_KEY[:-1]},
        {"sse": "customer:" + base64.b64encode(CUSTOMER_KEY).decode()[:-2]},
        {"credentials": {"access_key": "AKID", "secret_key": SECRET_KEY + "\n"}},
        {"credentials": {"access_key": "AKID", "secret_key": SECRET_KEY + "\udcff"}},
        {"credentials": {"access_key": "AKID", "secret_key": SECRET_KEY, "token": TOKEN + "\n"}},
        {"credentials": {"secret_key": SECRET_KEY, "token": TOKEN}},
    ],
    ids=lambda wrong: next(iter(wrong)),
)
def test_an_option_that_is_not_accepted_is_not_repeated(wrong: dict[str, Any]) -> None:
    with pytest.raises(HeadraceError) as caught:
        Client(max_attempts=1, region="us-east-1", **wrong).get(URI)
    error: BaseException | None = caught.value
    while error is not None:
        assert_no_secret("\n".join([str(error), repr(error), repr(vars(error))]))
        error = error.__cause__ or error.__context__


def test_what_holds_secrets_shows_none_and_takes_none_along(options: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDMARKED")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
    monkeypatch.setenv("AWS_SESSION_TOKEN", TOKEN)
    options["proxy"] = f"http://me:{PASSWORD}@127.0.0.1:9"
    credentials: Credentials = options["credentials"]
    signer = Signer("us-east-1")
    headers = {**customer_key_headers(Encryption.parse(CUSTOMER_KEY)), "range": "bytes=0-1"}
    signed = signer.sign("GET", "host", "/k", "", headers, EMPTY_SHA256, credentials, 1e9)
    environment, static = EnvironmentSource(), StaticSource(credentials)
    environment.refresh()
    client, on_loop, encryption = Client(**options), aio.Client(**options), Encryption.parse(CUSTOMER_KEY)
    travellers = [
        client,
        on_loop,
        client.options,
        credentials,
        environment,
        static,
        CallableSource(lambda: credentials),
        signer,
        encryption,
    ]
    origin = Origin("http", "host", 80)
    settings = Settings(proxy=options["proxy"])
    stay = [client._session, settings, choose_proxy(origin, settings.proxy), environment._lease, signer._moment]
    stay += [Request("GET", origin, "/k?X-Amz-Signature=x", {**headers, **signed}), headers, dict(headers, **signed)]
    for holder in [*travellers, *stay]:
        assert_no_secret(f"{holder!r} {holder!s}")
    for traveller in travellers:
        try:
            assert_no_secret(pickle.dumps(traveller).decode("latin-1"))
        except CredentialsError as refusal:
            assert_no_secret(str(refusal))


def test_what_botocore_is_asked_for_is_not_in_its_log(
    hostile: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A role is assumed by keys of a file, and the keys that come back sign; a program gives others, and one that fails."""
    result = f"<SecretAccessKey>{SECRET_KEY}</SecretAccessKey><SessionToken>{TOKEN}</SessionToken>"
    given = f"<Credentials><AccessKeyId>ASIA</AccessKeyId>{result}<Expiration>2099-01-01T00:00:00Z</Expiration></Credentials>"
    tokens = hostile(
        lambda asked: reply(200, f"<AssumeRoleResponse><AssumeRoleResult>{given}</AssumeRoleResult></AssumeRoleResponse>".encode())
    )
    service = hostile(FAILURES["denied"])
    (tmp_path / "broken").write_text(f'{{"Version": 1, "SecretAccessKey": "{SECRET_KEY}"')
    (tmp_path / "credentials").write_text(
        f"[base]\naws_access_key_id=AKID\naws_secret_access_key={SECRET_KEY}\naws_session_token={TOKEN}\n"
    )
    (tmp_path / "config").write_text(
        "[profile role]\nrole_arn=arn:aws:iam::123456789012:role/x\nsource_profile=base\nregion=us-east-1\n"
        f"[profile broken]\ncredential_process=cat {tmp_path / 'broken'}\n"
    )
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", tokens.endpoint)
    expected = {"base": "denied|No", "role": "denied|No", "broken": "could not load"}
    for profile, message in expected.items():
        client = Client(endpoint_url=service.endpoint, region="us-east-1", profile=profile, max_attempts=1)
        with caplog.at_level(logging.DEBUG), pytest.raises(HeadraceError, match=message) as caught:
            client.get(URI)
        assert_no_secret(
            "\n".join([str(caught.value), repr(vars(caught.value)), repr(caught.value.__cause__ and vars(caught.value.__cause__))])
        )
    assert len(tokens.asked) == 1
    assert TOKEN in tokens.asked[0].headers["X-Amz-Security-Token"]
    assert "botocore" in {record.name.partition(".")[0] for record in caplog.records}
    assert_no_secret(caplog.text)


@pytest.mark.parametrize("words", [["ls", "s3://bucket/"], ["cat", URI], ["cp", "-r", "s3://bucket/p/", "copy"], ["rm", URI], ["config"]])
def test_the_program_shows_none_however_much_it_says(hostile: Any, tmp_path: Path, words: list[str]) -> None:
    server = hostile(echo)
    surroundings = {
        **os.environ,
        "AWS_ACCESS_KEY_ID": "AKIDMARKED",
        "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
        "AWS_SESSION_TOKEN": TOKEN,
        "HEADRACE_SSE": "customer:" + base64.b64encode(CUSTOMER_KEY).decode(),
        "HEADRACE_ENDPOINT_URL": "http://storage.invalid",
        "HEADRACE_PROXY": f"http://me:{PASSWORD}@127.0.0.1:{server.port}",
        "PYTHONASYNCIODEBUG": "1",
    }
    command = [sys.executable, "-m", "headrace", *words, "-vv"]
    done = subprocess.run(command, env=surroundings, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert (done.returncode == 0) == (words == ["config"])
    assert done.stdout + done.stderr
    assert_no_secret(done.stdout + done.stderr)
    assert bool(server.asked) == (words != ["config"])
