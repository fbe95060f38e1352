"""The proxy passes every byte as it is, and does to the rest just what a rule says: seen from a bare socket."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from headrace.errors import HeadraceError, InvalidOption, InvalidURI
from headrace.testing import faults
from headrace.testing.faults import Fault, FaultProxy, Rule
from headrace.testing.servers import Authority

pytestmark = pytest.mark.timeout(30)

REQUEST = b"PUT /b/%41+%20?x=%2F HTTP/1.1\r\nhOST:  odd.example:1\r\nX-Thing: \xe4\r\ncontent-length: 10\r\n\r\n0123456789"
CHUNKED_REQUEST = b"POST /c HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n5;ext=1\r\nhello\r\n0\r\nTrailer: t\r\n\r\n"
GET = b"GET /b/key HTTP/1.1\r\nhost: h\r\n\r\n"
BODY = bytes(range(97, 117))
REPLY = b'HTTP/1.1 200 Fine\r\nETAG: "x"\r\nContent-Length: 20\r\n\r\n' + BODY
CHUNKED_REPLY = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nA\r\nabcdefghij\r\n3;e\r\nklm\r\n0\r\n\r\n"


class Service:
    """Answers each connection with the same bytes, once what is expected has come; keeps what it received."""

    def __init__(self, reply: bytes, expects: int) -> None:
        self.received: list[bytes] = []
        self._reply = reply
        self._expects = expects
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                sock, _ = self._listener.accept()
                with sock:
                    self._answer(sock)

    def _answer(self, sock: socket.socket) -> None:
        data = b""
        while len(data) < self._expects and (piece := sock.recv(65536)):
            data += piece
        self.received.append(data)
        if len(data) >= self._expects:
            sock.sendall(self._reply)

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


@pytest.fixture
def serve() -> Iterator[Callable[..., Service]]:
    services = []

    def make(reply: bytes = REPLY, expects: int = len(GET)) -> Service:
        services.append(Service(reply, expects))
        return services[-1]

    yield make
    for service in services:
        service.close()


def dial(endpoint: str) -> socket.socket:
    return socket.create_connection((urlsplit(endpoint).hostname, urlsplit(endpoint).port), timeout=10)


def talk(proxy: FaultProxy, request: bytes = GET) -> tuple[bytes, str]:
    """What comes back until the connection is closed, or silent for a while; and how it ended: ``closed``, ``reset`` or ``open``."""
    received = b""
    with dial(proxy.endpoint) as sock:
        sock.sendall(request)
        sock.settimeout(0.3)
        try:
            while piece := sock.recv(65536):
                received += piece
        except TimeoutError:
            return received, "open"
        except ConnectionResetError:
            return received, "reset"
    return received, "closed"


@pytest.mark.parametrize("request_bytes", [REQUEST, CHUNKED_REQUEST, GET])
@pytest.mark.parametrize("reply", [REPLY, CHUNKED_REPLY, b"HTTP/1.1 204 No Content\r\n\r\n", b"HTTP/1.1 100 Continue\r\n\r\n" + REPLY])
def test_not_a_byte_is_changed(request_bytes: bytes, reply: bytes, serve: Callable[..., Service]) -> None:
    service = serve(reply, len(request_bytes))
    with FaultProxy(service.url) as proxy:
        assert talk(proxy, request_bytes) == (reply, "open")
    assert service.received == [request_bytes]


def test_a_reply_until_the_end_of_the_connection(serve: Callable[..., Service]) -> None:
    reply = b"HTTP/1.0 200 OK\r\n\r\nall that comes"
    with FaultProxy(serve(reply).url) as proxy:
        assert talk(proxy) == (reply, "closed")


def test_a_connection_serves_many_requests_and_the_record_tells(serve: Callable[..., Service]) -> None:
    with FaultProxy(serve().url) as proxy:
        with dial(proxy.endpoint) as sock, sock.makefile("rb") as replies:
            for _ in range(3):
                sock.sendall(GET)
                assert replies.read(len(REPLY)) == REPLY
        talk(proxy)
        passages = proxy.passages()
        assert [passage.connection for passage in passages] == [1, 1, 1, 2]
        assert {(p.method, p.target, p.status, p.fault, p.uploaded, p.downloaded) for p in passages} == {
            ("GET", "/b/key", 200, None, 0, 20)
        }
        assert [passage.began for passage in passages] == sorted(passage.began for passage in passages)
        assert proxy.passages("/b/", method="GET") == passages
        assert proxy.passages("/other") == proxy.passages(method="PUT") == []
        proxy.forget()
        assert proxy.passages() == []


HEAD = REPLY[: -len(BODY)]
ANSWERS: dict[str, tuple[Fault, bytes, str]] = {
    "cut": (faults.Cut(at=5), HEAD + BODY[:5], "reset"),
    "cut-at-0": (faults.Cut(at=0), HEAD, "reset"),
    "cut-closed": (faults.Cut(at=5, reset=False), HEAD + BODY[:5], "closed"),
    "cut-beyond": (faults.Cut(at=21), REPLY, "open"),
    "short-body": (faults.ShortBody(missing=3), HEAD + BODY[:17], "open"),
    "shorter-body": (faults.ShortBody(missing=30), HEAD, "open"),
    "too-large": (faults.WrongLength(by=2), REPLY.replace(b"Length: 20", b"Length: 22"), "open"),
    "too-small": (faults.WrongLength(by=-2), REPLY.replace(b"Length: 20", b"Length: 18"), "open"),
    "stall": (faults.Stall(), b"", "open"),
    "stall-at": (faults.Stall(at=7), HEAD + BODY[:7], "open"),
    "stall-a-moment": (faults.Stall(at=7, seconds=0.05), REPLY, "open"),
    "reset": (faults.Reset(), b"", "reset"),
    "reset-upload": (faults.ResetUpload(), b"", "reset"),
    "garbage": (faults.Garbage(text="?"), b"?", "closed"),
    "corrupt": (faults.Corrupt(at=1), HEAD + b"a" + bytes([98 ^ 0x55]) + BODY[2:], "open"),
    "drip": (faults.Drip(rate=400), REPLY, "open"),
    "delay": (faults.Delay(seconds=0.05), REPLY, "open"),
    "status": (
        faults.Status(status=503, code="SlowDown", retry_after=2),
        b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 78\r\ncontent-type: application/xml\r\nretry-after: 2\r\n\r\n"
        b"<Error><Code>SlowDown</Code><Message>injected fault</Message></Error>",
        "open",
    ),
    "redirect": (
        faults.Redirect(location="http://a/b"),
        b"HTTP/1.1 307 Temporary Redirect\r\ncontent-length: 0\r\nlocation: http://a/b\r\n\r\n",
        "open",
    ),
}


@pytest.mark.parametrize("case", ANSWERS)
def test_what_a_fault_does_to_the_reply(case: str, serve: Callable[..., Service]) -> None:
    fault, received, end = ANSWERS[case]
    received = received.replace(b"content-length: 78", b"content-length: %d" % len(received.partition(b"\r\n\r\n")[2]))
    with FaultProxy(serve().url, [Rule(fault=fault)]) as proxy:
        assert talk(proxy) == (received, end)
        assert proxy.passages()[0].fault == fault.name
        proxy.inject()
        assert talk(proxy) == (REPLY, "open")


UPLOADS: dict[str, tuple[Fault, bytes | None, str]] = {
    "reset-upload": (faults.ResetUpload(at=4), REQUEST[:-6], "reset"),
    "stall-upload": (faults.StallUpload(at=4), REQUEST[:-6], "open"),
    "stall-a-moment": (faults.StallUpload(at=4, seconds=0.05), REQUEST, "open"),
    "corrupt-upload": (faults.CorruptUpload(at=9), REQUEST[:-1] + bytes([57 ^ 0x55]), "open"),
    "drip-upload": (faults.DripUpload(rate=200), REQUEST, "open"),
    "status": (faults.Status(status=500), None, "open"),
    "status-at-once": (faults.Status(status=500, at_once=True), None, "reset"),
}


@pytest.mark.parametrize("case", UPLOADS)
def test_what_a_fault_does_to_the_upload(case: str, serve: Callable[..., Service]) -> None:
    fault, passed, end = UPLOADS[case]
    service = serve(REPLY, len(REQUEST))
    with FaultProxy(service.url, [Rule(fault=fault)]) as proxy:
        assert talk(proxy, REQUEST)[1] == end
    for _ in range(100):
        if len(service.received) == (passed is not None):
            break
        time.sleep(0.02)
    assert service.received == ([] if passed is None else [passed])


def test_the_service_sees_that_the_client_left(serve: Callable[..., Service]) -> None:
    service = serve(REPLY, len(REQUEST))
    with FaultProxy(service.url) as proxy:
        with dial(proxy.endpoint) as sock:
            sock.sendall(REQUEST[:-3])
        for _ in range(100):
            if service.received:
                break
            time.sleep(0.02)
        assert service.received == [REQUEST[:-3]]


@pytest.mark.parametrize("nonsense", [b"\r\n\r\n", b"hello\r\n\r\n", b"GET /" + b"x" * 40_000, b"GET / HTTP/1.1\r\n"])
def test_a_client_that_does_not_speak_http_harms_nobody(nonsense: bytes, serve: Callable[..., Service]) -> None:
    with FaultProxy(serve().url) as proxy:
        with dial(proxy.endpoint) as sock:
            sock.sendall(nonsense)
            sock.shutdown(socket.SHUT_WR)
            with contextlib.suppress(ConnectionResetError):
                assert sock.recv(1) == b""
        assert talk(proxy) == (REPLY, "open")


def test_a_service_that_is_not_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    with FaultProxy(url) as proxy:
        assert talk(proxy) == (b"", "closed")


@pytest.mark.parametrize("case", ["passes", "cut", "cut-closed", "stall-at"])
def test_over_tls(case: str, serve: Callable[..., Service], authority: Authority) -> None:
    rules = [] if case == "passes" else [Rule(fault=ANSWERS[case][0])]
    received = b""
    with FaultProxy(serve().url, rules, certificate=authority.issue()) as proxy:
        assert proxy.endpoint.startswith("https://localhost:")
        context = ssl.create_default_context(cafile=authority.ca_bundle)
        with context.wrap_socket(dial(proxy.endpoint), server_hostname="localhost") as sock:
            sock.sendall(GET)
            sock.settimeout(0.3)
            with contextlib.suppress(TimeoutError, ConnectionResetError):
                while piece := sock.recv(65536):
                    received += piece
        # A client that trusts nobody leaves during the handshake.
        with contextlib.suppress(ssl.SSLError), ssl.create_default_context().wrap_socket(dial(proxy.endpoint), server_hostname="localhost"):
            pytest.fail("the certificate was trusted")
    assert received == (REPLY if case == "passes" else ANSWERS[case][1])


def test_life() -> None:
    proxy = FaultProxy("http://127.0.0.1:9")
    with pytest.raises(HeadraceError, match="not running"):
        _ = proxy.endpoint
    with proxy:
        first = proxy.endpoint
        with pytest.raises(HeadraceError, match="running already"):
            proxy.start()
        assert talk(proxy) == (b"", "closed")
    proxy.close()
    with proxy:
        assert len(proxy.passages()) == 1
    with pytest.raises(ConnectionRefusedError):
        dial(first)
    with FaultProxy("http://127.0.0.1:9") as taken, pytest.raises(OSError, match="in use"):
        FaultProxy("http://127.0.0.1:9", port=urlsplit(taken.endpoint).port or 0).start()


def test_upstreams_that_make_no_sense() -> None:
    with pytest.raises(InvalidOption, match="path"):
        FaultProxy("http://127.0.0.1:9/path")
    with pytest.raises(InvalidURI):
        FaultProxy("ftp://127.0.0.1")


def run(*arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-W", "error", "-m", "headrace.testing.faults", *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_from_the_shell(number: int, tmp_path: Path, serve: Callable[..., Service]) -> None:
    rules = tmp_path / "rules.json"
    rules.write_text('[{"fault": "cut", "at": 5, "times": 1}]')
    with run("--upstream", serve().url, "--rules", rules) as process:
        assert process.stdout is not None
        endpoint = process.stdout.readline().rstrip().removeprefix("export HEADRACE_ENDPOINT_URL=")
        with dial(endpoint) as sock:
            sock.sendall(GET)
            with contextlib.suppress(ConnectionResetError):
                while sock.recv(65536):
                    pass
        os.kill(process.pid, number)
        output, _ = process.communicate(timeout=10)
    assert process.returncode == 0
    passage = json.loads(output)
    assert (passage["target"], passage["fault"], passage["downloaded"]) == ("/b/key", "cut", 5)


@pytest.mark.parametrize("text", ['[{"fault": "cutt"}]', None])
def test_from_the_shell_with_bad_rules(text: str | None, tmp_path: Path) -> None:
    rules = tmp_path / "rules.json"
    if text is not None:
        rules.write_text(text)
    with run("--upstream", "http://127.0.0.1:9", "--rules", rules) as process:
        output, errors = process.communicate(timeout=10)
    assert (process.returncode, output) == (1, "")
    assert errors.startswith("error: ")
    assert "Traceback" not in errors
