"""A write that outlives several sessions: a container's credentials end every few seconds, and the service refuses those that have."""

from __future__ import annotations

import http.client
import json
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from headrace import Client
from headrace.testing.contract.case import payload
from headrace.testing.servers import Server

LIFE = 3.0
RATE = 6 << 20
PART = 5 << 20
PARTS = 12


@contextmanager
def serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


class Sessions:
    """Tokens, and when each of them ends."""

    def __init__(self) -> None:
        self.ends: dict[str, float] = {}
        self.used: set[str] = set()
        self.refused: list[str] = []

    def issue(self) -> bytes:
        token = f"token-{len(self.ends)}"
        end = time.time() + LIFE
        # The second one is revoked long before the end that its holder knows of.
        self.ends[token] = end - LIFE if len(self.ends) == 1 else end
        expiration = datetime.fromtimestamp(end, UTC).isoformat()
        return json.dumps({"AccessKeyId": "AKID", "SecretAccessKey": "secret", "Token": token, "Expiration": expiration}).encode()

    def accept(self, token: str) -> bool:
        if time.time() >= self.ends[token]:
            self.refused.append(token)
            return False
        self.used.add(token)
        return True


def identity_service(sessions: Sessions) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = sessions.issue()
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments: object) -> None:
            pass

    return Handler


def guarded(sessions: Sessions, server: Server) -> type[BaseHTTPRequestHandler]:
    """The storage service: takes bodies one after another and slowly, and refuses tokens that have ended."""
    line = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            accepted = sessions.accept(self.headers["x-amz-security-token"])
            length = int(self.headers.get("content-length", 0))
            with line:
                body = self.rfile.read(length)
                time.sleep(length / RATE if accepted else 0)
            if accepted:
                self.pass_on(body)
            else:
                self.reply(400, {}, b"<Error><Code>ExpiredToken</Code><Message>The provided token has expired.</Message></Error>")

        do_GET = do_PUT = do_POST = do_DELETE = answer  # noqa: N815 - the names that its base class calls

        def pass_on(self, body: bytes) -> None:
            upstream = http.client.HTTPConnection(server.endpoint.removeprefix("http://"))
            kept = {name: value for name, value in self.headers.items() if name.lower() not in ("expect", "connection")}
            upstream.request(self.command, self.path, body, kept)
            response = upstream.getresponse()
            passed = {name: value for name, value in response.getheaders() if name.lower() in ("etag", "content-type")}
            self.reply(response.status, passed, response.read())
            upstream.close()

        def reply(self, status: int, headers: dict[str, str], body: bytes) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments: object) -> None:
            pass

    return Handler


def test_a_write_in_parts_goes_on_when_sessions_end(nginx: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    sessions, data = Sessions(), payload(PART * PARTS)
    bucket = f"s3://long-{secrets.token_hex(6)}"
    with Client(endpoint_url=nginx.endpoint, anonymous=True) as direct:
        direct.create_container(bucket)
        with serving(identity_service(sessions)) as identity, serving(guarded(sessions, nginx)) as service:
            monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{identity}/credentials")
            with Client(endpoint_url=service, part_size=PART, multipart_threshold=PART) as client:
                assert client.put(f"{bucket}/key", data).size == len(data)
        assert direct.get(f"{bucket}/key") == data
    # The revoked one was refused, and replaced; the others were replaced before their end.
    assert len(sessions.used) >= 3
    assert "token-1" in sessions.refused
