"""Exchanges with the JSON API: where requests go, and the token that they carry."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from typing import Any

from headrace.auth.gcs import GoogleTokenSource
from headrace.auth.sigv4 import canonical_query, encode_query_value
from headrace.backends.gcs.replies import error_from
from headrace.backends.protocol import Body
from headrace.errors import CredentialsError
from headrace.http.codec import Placement, Reply
from headrace.http.effects import Call, Operation, Send
from headrace.http.messages import Origin, Request, parse_origin
from headrace.http.redirects import REDIRECTS, Redirects

__all__ = ["Exchange"]

_SERVICE = "https://storage.googleapis.com"
_ASK_FIRST_FROM = 1 << 20


class Exchange:
    """Sends requests to one service; replaces a token that it rejects.

    Args:
        endpoint_url: the service, Google's by default.
        source: where tokens come from; None sends anonymous requests.
        common_headers: sent with every request but those of an upload session.
        redirects: what is done with those, except in an upload session, where 308 means something else.

    Raises:
        CredentialsError: a token would go over a network without TLS.
    """

    def __init__(
        self, endpoint_url: str | None, source: GoogleTokenSource | None, common_headers: Mapping[str, str], redirects: Redirects
    ) -> None:
        self.origin, self.base = parse_origin(endpoint_url or _SERVICE)
        self.source = source
        self._redirects = redirects
        self._common = dict(common_headers)
        self._writable: set[str] = set()
        if source is not None and self.origin.scheme == "http" and not _is_loopback(self.origin):
            raise CredentialsError(
                "over http without TLS everybody on the way could read the token",
                hint="Use https, or set anonymous (STORAGE_EMULATOR_HOST does both: it sets the endpoint and sends no token).",
            )

    def bucket_path(self, bucket: str, *, upload: bool = False) -> str:
        """The path of a bucket, or the one where its objects are uploaded to."""
        return f"{self.base}{'/upload' if upload else ''}/storage/v1/b/{bucket}"

    def object_path(self, bucket: str, key: str) -> str:
        """The path of an object: its name is one segment, slashes included."""
        return f"{self.base}/storage/v1/b/{bucket}/o/{encode_query_value(key)}"

    def send(
        self,
        method: str,
        path: str,
        *,
        query: Iterable[tuple[str, str]] = (),
        headers: Mapping[str, str] | None = None,
        body: Body = (),
        place: Placement | None = None,
        limit: int | None = None,
        repeatable: bool | None = None,
    ) -> Operation[Reply]:
        """One exchange. The reply may have any status."""
        target = f"{path}?{canonical_query(query)}" if query else path
        source, sent = self.source, {**self._common, **headers} if headers else self._common
        token = None
        if source is not None:
            token = source.current() or (yield Call(source.refresh))
            sent = {**sent, "authorization": token.header}
        request = self._request(method, path, target, sent, body, repeatable=repeatable)
        send = Send(request, place, limit)
        reply: Reply = yield send
        if reply.status == 401 and source is not None and token is not None:
            source.invalidate(token)
            another = source.current() or (yield Call(source.refresh))
            if another != token:
                sent = {**sent, "authorization": another.header}
                request = self._request(method, path, target, sent, body, repeatable=repeatable)
                send = Send(request, place, limit)
                reply = yield send
        if reply.status in REDIRECTS:
            reply = yield from self._redirects.answer(send, reply)
        if body and reply.status < 300:
            self._writable.add(path)
        return reply

    def send_checked(self, method: str, path: str, **arguments: Any) -> Operation[Reply]:
        """As `send`, but a failing status is raised as the error that it stands for."""
        reply: Reply = yield from self.send(method, path, **arguments)
        if reply.status >= 300:
            raise error_from(reply)
        return reply

    def _request(self, method: str, path: str, target: str, headers: Mapping[str, str], body: Body, *, repeatable: bool | None) -> Request:
        request = Request(method, self.origin, target, headers, body)
        if repeatable is not None:
            request.repeatable = repeatable
        if request.length >= _ASK_FIRST_FROM and path not in self._writable:
            # Until a bucket has taken a write, a large body is sent only after the service agreed to it.
            request.expect_continue = True
        return request


def _is_loopback(origin: Origin) -> bool:
    try:
        return origin.host == "localhost" or ipaddress.ip_address(origin.host).is_loopback
    except ValueError:
        return False
