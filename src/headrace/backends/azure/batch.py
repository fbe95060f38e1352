"""Deletions of many blobs by one request: Blob Batch, whose parts are HTTP messages in a MIME multipart body."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from headrace.errors import ProtocolError
from headrace.http.codec import Reply, parse_head

__all__ = ["PartOfReply", "batch_body", "parse_batch"]

_BOUNDARY = re.compile(r'multipart/mixed;\s*boundary="?([A-Za-z0-9_.-]{1,70})"?', re.IGNORECASE).fullmatch
_CONTENT_ID = re.compile(r"^content-id:[ \t]*([0-9]{1,4})[ \t]*\r?$", re.IGNORECASE | re.MULTILINE).search


class PartOfReply(NamedTuple):
    """The reply to one of the requests in a batch; what `error_from` needs."""

    status: int
    headers: Mapping[str, str]
    body: memoryview


def batch_body(boundary: str, parts: Iterable[tuple[str, Mapping[str, str]]]) -> bytes:
    """The body of a batch that deletes what these targets name, with these headers."""
    lines: list[str] = []
    for number, (target, headers) in enumerate(parts):
        lines += [f"--{boundary}", "Content-Type: application/http", "Content-Transfer-Encoding: binary", f"Content-ID: {number}", ""]
        lines += [f"DELETE {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items()), "Content-Length: 0", ""]
    return "\r\n".join([*lines, f"--{boundary}--", ""]).encode("ascii")


def parse_batch(reply: Reply, count: int) -> Sequence[PartOfReply]:
    """The replies to the ``count`` requests of a batch, in their order.

    Raises:
        ProtocolError: the body is not such replies, or not one to each request: what was deleted is then not known. One reply without
            a number is that to the batch itself, which was refused.
    """
    boundary = _BOUNDARY(reply.headers.get("content-type", ""))
    if boundary is None:
        raise ProtocolError("a reply to a batch that is not multipart/mixed", status=reply.status)
    sections = bytes(reply.body).split(f"--{boundary[1]}".encode())[1:-1]
    parts: dict[int, PartOfReply] = {}
    for section in sections:
        outer, _, message = section.partition(b"\r\n\r\n")
        number = _CONTENT_ID(outer.decode("latin-1"))
        part = _parse_part(message)
        if number is None and len(sections) == 1 and part.status >= 400:
            return [part] * count
        parts[int(number[1]) if number else -1] = part
    if len(parts) != len(sections) or parts.keys() != set(range(count)):
        raise ProtocolError(f"a batch of {count} deletions was not answered one by one", status=reply.status)
    return [parts[number] for number in range(count)]


def _parse_part(message: bytes) -> PartOfReply:
    head, _, body = message.partition(b"\r\n\r\n")
    status, headers, _ = parse_head(head.decode("latin-1").rstrip("\r\n"))
    return PartOfReply(status, headers, memoryview(body))
