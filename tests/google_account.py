"""A service account, and the endpoint that gives tokens for its key (RFC 7523, as Google's token endpoint does it)."""

from __future__ import annotations

import base64
import json
import secrets
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from headrace.testing.servers.installed import program

EMAIL = "tester@project.iam.gserviceaccount.com"


class ServiceAccount:
    """A key file in ``directory``, and a token endpoint on loopback.

    Attributes:
        file: what ``GOOGLE_APPLICATION_CREDENTIALS`` may name.
        assertions: the claims of those who asked for tokens.
        given: the tokens that were given.
        life: seconds that a token is good for.
        refusal: the document that refuses all who ask; None to give tokens.
    """

    def __init__(self, directory: Path) -> None:
        self.assertions: list[dict[str, Any]] = []
        self.given: list[str] = []
        self.life = 3600
        self.refusal: dict[str, str] | None = None
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()
        self.key = directory / "service-account.key"
        openssl = program("openssl", packages="openssl")
        subprocess.run([openssl, "genpkey", "-algorithm", "RSA", "-out", str(self.key)], check=True, capture_output=True)
        self.file = directory / "service-account.json"
        self.file.write_text(json.dumps(self.content()))

    def content(self, **changes: object) -> dict[str, object]:
        """What is in the file."""
        return {
            "type": "service_account",
            "project_id": "project",
            "private_key_id": "0123",
            "private_key": self.key.read_text(),
            "client_email": EMAIL,
            "client_id": "1",
            "token_uri": f"http://127.0.0.1:{self._server.server_address[1]}/token",
            **changes,
        }

    def verifies(self, message: bytes, signature: bytes, scratch: Path) -> bool:
        """Whether this is the account's signature (RSA, PKCS #1 v1.5, SHA-256) over a message."""
        (scratch / "message").write_bytes(message)
        (scratch / "signature").write_bytes(signature)
        command = ["openssl", "dgst", "-sha256", "-prverify", self.key, "-signature", scratch / "signature", scratch / "message"]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0

    def reply(self, assertion: str) -> tuple[int, dict[str, object]]:
        """What the endpoint replies to a signed assertion."""
        claims = assertion.split(".")[1]
        self.assertions.append(json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4))))
        if self.refusal is not None:
            return 400, dict(self.refusal)
        self.given.append(f"ya29.{secrets.token_hex(80)}")
        return 200, {"access_token": self.given[-1], "expires_in": self.life, "token_type": "Bearer"}

    def close(self) -> None:
        """Stop the endpoint."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _handler(account: ServiceAccount) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            form = parse_qs(self.rfile.read(int(self.headers["content-length"])).decode())
            status, document = account.reply(form["assertion"][0])
            body = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    return Handler
