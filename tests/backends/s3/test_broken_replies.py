"""Reads over real connections that break, against a little server that sends what a script says."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from headrace import Client, aio
from headrace.errors import AlreadyExists, ConnectionFailed, ObjectChanged, ProtocolError, Throttled

DATA = bytes(range(256)) * 40
URI = "s3://bucket/key"

Get = Callable[..., memoryview]


@pytest.fixture(params=["blocking", "asyncio"])
def get(request: pytest.FixtureRequest, scripted: Any) -> Get:
    """``get`` in both drivers."""
    options = {"endpoint_url": scripted.endpoint, "anonymous": True, "max_attempts": 3}

    def blocking(**arguments: Any) -> memoryview:
        with Client(**options) as client:
            return client.get(URI, **arguments)

    async def in_a_loop(**arguments: Any) -> memoryview:
        async with aio.Client(**options) as client:
            return await client.get(URI, **arguments)

    return blocking if request.param == "blocking" else lambda **arguments: asyncio.run(in_a_loop(**arguments))


def reply(status: int = 200, headers: str = "", body: bytes = b"", length: int | None = None) -> bytes:
    announced = len(body) if length is None else length
    return f'HTTP/1.1 {status} -\r\nETag: "v1"\r\nContent-Length: {announced}\r\n{headers}\r\n'.encode() + body


def partial(first: int, last: int, sent: int | None = None) -> bytes:
    """Bytes from first to last, both included, of which only ``sent`` come."""
    body = DATA[first : last + 1]
    return reply(206, f"Content-Range: bytes {first}-{last}/{len(DATA)}\r\n", body[:sent], len(body))


END = len(DATA) - 1
SLOW_DOWN = reply(503, body=b"<Error><Code>SlowDown</Code></Error>")


def header(request: str, name: str) -> str | None:
    return next((line.partition(": ")[2] for line in request.split("\r\n") if line.lower().startswith(f"{name}:")), None)


def test_a_body_that_is_short_is_gone_on_with(get: Get, scripted: Any) -> None:
    scripted.script = [partial(0, END, 5000), partial(5000, END, 3000), partial(8000, END)]
    assert get() == DATA
    asked = [(header(request, "range"), header(request, "if-match")) for request in scripted.requests]
    assert asked[1:] == [(f"bytes=5000-{END}", '"v1"'), (f"bytes=8000-{END}", '"v1"')]


def test_refusals_and_then_the_object(get: Get, scripted: Any) -> None:
    scripted.script = [SLOW_DOWN, SLOW_DOWN, partial(0, END)]
    assert get() == DATA


def test_refusals_alone(get: Get, scripted: Any) -> None:
    scripted.script = [SLOW_DOWN] * 3
    with pytest.raises(Throttled, match="3 attempts"):
        get()


def test_connections_that_are_closed_without_a_reply(get: Get, scripted: Any) -> None:
    scripted.script = [b"", b"", partial(0, END)]
    assert get() == DATA
    scripted.script = [b""] * 3
    with pytest.raises(ConnectionFailed, match="before it sent a reply"):
        get()


def test_an_object_that_is_replaced_in_the_middle(get: Get, scripted: Any) -> None:
    scripted.script = [partial(0, END, 5000), reply(412)]
    with pytest.raises(ObjectChanged):
        get()


@pytest.mark.parametrize(
    "wrong", [partial(1, 100), reply(206, "Content-Range: bytes 0-99/*\r\n", DATA[:100]), reply(206, body=DATA[:100]), reply(body=DATA)]
)
def test_other_bytes_than_those_that_were_asked_for(get: Get, scripted: Any, wrong: bytes) -> None:
    scripted.script = [wrong] * 3
    buffer = bytearray(100)
    with pytest.raises(ProtocolError):
        get(start=0, length=100, into=buffer)
    assert not any(buffer)


def test_something_that_is_not_http(get: Get, scripted: Any) -> None:
    scripted.script = [b"SSH-2.0-OpenSSH_9.2p1\r\n\r\n"] * 3
    with pytest.raises(ProtocolError, match="HTTP"):
        get()


def test_a_put_that_was_received_and_not_confirmed(scripted: Any) -> None:
    """Repeated where that does no harm, and told where it may."""
    with Client(endpoint_url=scripted.endpoint, anonymous=True, max_attempts=3) as client:
        scripted.script = [b"", reply()]
        assert client.put(URI, b"data").etag == '"v1"'
        scripted.script = [b""]
        with pytest.raises(ConnectionFailed, match="look before trying again"):
            client.put(URI, b"data", create_only=True)
        scripted.script = [reply(412)]
        with pytest.raises(AlreadyExists):
            client.put(URI, b"data", create_only=True)
