"""No secret is in a log, an error, a traceback with its variables, a representation or a pickle, however things fail."""

from __future__ import annotations

import asyncio
import base64
import inspect
import logging
import pickle
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

import pytest

import headrace
from headrace import Client, aio
from headrace.auth.sigv4 import Credentials
from headrace.errors import HeadraceError

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

ROOM = str(Path(headrace.__file__).parent)
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
        if driver == "blocking":
            raised = perform_blocking(options)
        else:
            raised = asyncio.run(perform_on_a_loop(options), debug=True)
    assert len(raised) > 5
    for error in raised:
        assert_no_secret("\n".join(everything_about(error)))
    assert_no_secret(caplog.text)
    assert all(TOKEN in asked.headers["x-amz-security-token"] for asked in server.asked)
