"""Many deletions in one request ("Batch requests" in the documentation of the JSON API)."""

from __future__ import annotations

import re
import secrets
from collections.abc import Sequence
from typing import NamedTuple

from headrace.errors import ProtocolError
from headrace.http.codec import Reply

__all__ = ["Outcome", "batch", "outcomes"]

_ID = re.compile(rb"(?im)^content-id:[^\r\n]*?([0-9]+)>?\s*$")
_STATUS = re.compile(rb"HTTP/1\.[01] ([0-9]{3})(?= |\r|\n)")
_BOUNDARY = re.compile(r'boundary="?([^";,\s]{1,200})"?', re.IGNORECASE)


class Outcome(NamedTuple):
    """The reply to one of the requests."""

    status: int
    headers: dict[str, str]
    body: bytes


def batch(targets: Sequence[str]) -> tuple[str, bytes]:
    """The content type and the body of a request that deletes each of ``targets``."""
    boundary = secrets.token_hex(16)
    parts = [
        f"--{boundary}\r\ncontent-type: application/http\r\ncontent-id: <{number}>\r\n\r\nDELETE {target} HTTP/1.1\r\n\r\n\r\n"
        for number, target in enumerate(targets)
    ]
    return f"multipart/mixed; boundary={boundary}", f"{''.join(parts)}--{boundary}--\r\n".encode()


def outcomes(reply: Reply, count: int) -> list[Outcome]:
    """The replies inside of a reply, in the order of the ``count`` requests.

    Raises:
        ProtocolError: it is not such a reply, or does not answer each request once: what is deleted is then not known.
    """
    match = _BOUNDARY.search(reply.headers.get("content-type", ""))
    if match is None:
        raise ProtocolError("a reply to a batch that is not multipart", status=reply.status)
    found: dict[int, Outcome] = {}
    for part in (b"\n" + bytes(reply.body)).split(b"\n--" + match[1].encode())[1:]:
        if part.startswith(b"--"):
            break
        number, outcome = _outcome(part)
        found[number] = outcome
    if sorted(found) != list(range(count)):
        raise ProtocolError(f"a reply to a batch of {count} requests with other answers than one to each", status=reply.status)
    return [found[number] for number in range(count)]


def _outcome(part: bytes) -> tuple[int, Outcome]:
    outer, _, inner = part.replace(b"\r\n", b"\n").partition(b"\n\n")
    number, status = _ID.search(outer + b"\n"), _STATUS.match(inner)
    if number is None or status is None:
        raise ProtocolError("a part of a reply to a batch has no number or no status")
    head, _, body = inner.partition(b"\n\n")
    lines = [line.partition(":") for line in head.decode("latin-1").split("\n")[1:]]
    return int(number[1]), Outcome(int(status[1]), {name.strip().lower(): value.strip() for name, _, value in lines}, body)
