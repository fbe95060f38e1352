"""Writing an object in one piece: in one request, or, if it is large, in a session that goes on where a connection broke."""

from __future__ import annotations

import functools
import json
import re
import secrets
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from headrace.backends.gcs.exchange import Exchange
from headrace.backends.gcs.replies import error_from
from headrace.backends.gcs.resources import conditions, content_type_of, info_from_resource, parse, resource
from headrace.backends.protocol import Body, WriteOptions, body_length
from headrace.backends.service.bodies import digest, rest_of
from headrace.errors import ConnectionFailed, HeadraceError, IntegrityError, ProtocolError, Stalled
from headrace.http.codec import Reply
from headrace.http.effects import Call, Operation, Send, with_cleanup
from headrace.http.messages import Request
from headrace.models import ObjectInfo
from headrace.uri import Location

__all__ = ["RESUMABLE_FROM", "Uploads", "written"]

RESUMABLE_FROM = 16 << 20
"""Bytes from which a write may go on where it broke: a session costs one request more."""

_DIGEST_ELSEWHERE_FROM = 1 << 20
_BROKEN = frozenset({308, 408, 500, 502, 503, 504})
_RANGE = re.compile(r"bytes=0-([0-9]{1,18})")
_RESUMABLE = (("uploadType", "resumable"),)
_MULTIPART = (("uploadType", "multipart"),)
_DIGEST_NAMES = {"crc32c": "crc32c", "md5": "md5Hash"}


class Uploads:
    """Writes of one piece.

    Args:
        exchange: how requests are sent.
        checksum: ``"crc32c"``, ``"md5"`` or ``"none"``; the service refuses bytes that do not have it.
        key_headers: those of a key of the customer's.
    """

    def __init__(self, exchange: Exchange, checksum: str, key_headers: Mapping[str, str]) -> None:
        self._exchange = exchange
        self._checksum = checksum
        self._key_headers = key_headers

    def write(self, location: Location, body: Body, options: WriteOptions) -> Operation[Reply]:
        """Write an object; the reply may have any status."""
        length = body_length(body)
        described = resource(options, checksum=(yield from self._digest(body, length)))
        if length >= RESUMABLE_FROM:
            return (yield from self._write_in_session(location, body, length, options, described))
        return (yield from self._write_at_once(location, body, options, described))

    def _digest(self, body: Body, length: int) -> Operation[dict[str, str]]:
        if self._checksum == "none":
            return {}
        compute = functools.partial(digest, body, self._checksum)
        at_once = length < _DIGEST_ELSEWHERE_FROM and all(isinstance(part, memoryview) for part in body)
        value: str = compute() if at_once else (yield Call(compute))
        return {_DIGEST_NAMES[self._checksum]: value}

    def _write_at_once(self, location: Location, body: Body, options: WriteOptions, described: dict[str, Any]) -> Operation[Reply]:
        """A ``multipart/related`` request: the resource, then the bytes."""
        boundary = secrets.token_hex(16)
        before = (
            f"--{boundary}\r\ncontent-type: application/json; charset=UTF-8\r\n\r\n{json.dumps(described)}\r\n"
            f"--{boundary}\r\ncontent-type: {content_type_of(options)}\r\n\r\n"
        )
        return (
            yield from self._exchange.send(
                "POST",
                f"{self._exchange.bucket_path(location.container, upload=True)}/o",
                query=[*_MULTIPART, ("name", location.key), *conditions(options)],
                headers={"content-type": f"multipart/related; boundary={boundary}", **self._key_headers},
                body=[memoryview(before.encode()), *body, memoryview(f"\r\n--{boundary}--\r\n".encode())],
                repeatable=not options.conditional,
            )
        )

    def _write_in_session(
        self, location: Location, body: Body, length: int, options: WriteOptions, described: dict[str, Any]
    ) -> Operation[Reply]:
        """A resumable upload ("Resumable uploads" in the documentation)."""
        kind = content_type_of(options)
        begun: Reply = yield from self._exchange.send(
            "POST",
            f"{self._exchange.bucket_path(location.container, upload=True)}/o",
            query=[*_RESUMABLE, ("name", location.key), *conditions(options)],
            headers={
                "content-type": "application/json; charset=UTF-8",
                "x-upload-content-type": kind,
                "x-upload-content-length": str(length),
                **self._key_headers,
            },
            body=[memoryview(json.dumps({**described, "contentType": kind}).encode())],
            repeatable=True,
        )
        if begun.status >= 300:
            return begun
        session = _Session(self._exchange, begun, body, length, self._key_headers)
        return (yield from with_cleanup(session.send(), session.cancel))


class _Session:
    """A resumable upload that has begun. Its URL is a secret: whoever has it may write, and needs no token for that."""

    def __init__(self, exchange: Exchange, begun: Reply, body: Body, length: int, key_headers: Mapping[str, str]) -> None:
        parts = urlsplit(begun.headers.get("location", ""))
        if not parts.path or not parts.query:
            raise ProtocolError("an upload session without a Location", status=begun.status)
        self._origin = exchange.origin
        # Of the address only what is the session's: the bytes go to the server that was asked, whatever name it calls itself by.
        self._target = f"{parts.path}?{parts.query}"
        self._body, self._length = body, length
        self._key_headers = key_headers

    def send(self) -> Operation[Reply]:
        """Send the bytes; after a break, as often as each try brings the upload forward, ask how far it came and send the rest."""
        reached = 0
        while True:
            failure: HeadraceError | None = None
            try:
                reply: Reply = yield Send(self._request(f"bytes {reached}-{self._length - 1}/{self._length}", rest_of(self._body, reached)))
            except (ConnectionFailed, Stalled) as error:
                failure = error
            else:
                if reply.status not in _BROKEN:
                    return reply
            status: Reply = yield Send(self._request(f"bytes */{self._length}", ()))
            if status.status != 308:
                return status
            before, reached = reached, _reached(status, self._length)
            if reached <= before:
                raise failure or _no_progress(reply)

    def cancel(self) -> Operation[None]:
        """Give the upload up. The service would forget it after a week."""
        yield Send(Request("DELETE", self._origin, self._target, {}))

    def _request(self, content_range: str, body: Body) -> Request:
        return Request("PUT", self._origin, self._target, {"content-range": content_range, **self._key_headers}, body)


def _reached(status: Reply, length: int) -> int:
    """The bytes that the service has, by its reply to a question after them; no ``Range`` means none."""
    text = status.headers.get("range")
    if text is None:
        return 0
    match = _RANGE.fullmatch(text)
    if match is None or int(match[1]) >= length:
        raise ProtocolError(f"an upload of {length} bytes of which the service has {text[:60]!r}", status=308)
    return int(match[1]) + 1


def _no_progress(reply: Reply) -> HeadraceError:
    if reply.status == 308:
        return ProtocolError("the service took nothing of an upload and says that it goes on", status=308)
    return error_from(reply)


def written(location: Location, length: int, reply: Reply) -> ObjectInfo:
    """What a successful reply says of the object that was written.

    Raises:
        IntegrityError: it is not what was sent.
    """
    info = info_from_resource(location.uri, parse(reply.body))
    if info.size != length:
        raise IntegrityError(f"{length} bytes were sent and the service has {info.size}: the object is wrong", uri=location.uri)
    return info
