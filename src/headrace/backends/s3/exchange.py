"""Signed exchanges with S3: what every request needs, and what a reply can teach about the next one."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import NamedTuple

from headrace.auth.aws import CredentialSource
from headrace.auth.sigv4 import EMPTY_SHA256, UNSIGNED_PAYLOAD, Credentials, Signer, canonical_query, encode_path, payload_hash
from headrace.backends.protocol import Body, body_length
from headrace.backends.s3 import xml
from headrace.backends.s3.addressing import Addressing, Target
from headrace.backends.s3.replies import error_from
from headrace.backends.service.bodies import pieces
from headrace.backends.service.documents import parse
from headrace.backends.service.replies import parse_http_date
from headrace.endpoints import Endpoint, Endpoints
from headrace.errors import CredentialsError, ProtocolError
from headrace.http.codec import Placement, Reply
from headrace.http.effects import Call, Operation, Send
from headrace.http.messages import Request
from headrace.http.redirects import REDIRECTS, Redirects

__all__ = ["Exchange"]

_log = logging.getLogger("headrace")

_DEFAULT_REGION = "us-east-1"
_REGION = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")
_HASH_ELSEWHERE_FROM = 1 << 20
_ASK_FIRST_FROM = 1 << 20
_CORRECTIONS = 3
_EXPIRED = frozenset({"ExpiredToken", "InvalidToken", "TokenRefreshRequired", "InvalidAccessKeyId"})
_UNEXPLAINED = frozenset({400, 401, 403})
_REGION_ERRORS = frozenset({"AuthorizationHeaderMalformed", "PermanentRedirect", "TemporaryRedirect", "IllegalLocationConstraintException"})


class _Unsigned(NamedTuple):
    """A request before it is signed; ``key`` and ``query`` are encoded, ``hashed`` is the body's hash or what stands for it."""

    method: str
    bucket: str
    key: str
    query: str
    headers: Mapping[str, str]
    body: Body
    hashed: str
    repeatable: bool | None = None


class Exchange:
    """Signs and sends requests; corrects the clock, the region and ended credentials by what the service replies.

    Args:
        addressing: where requests go; where there are several endpoints, the first of them.
        region: the region to sign for; None means us-east-1 until a reply tells better.
        source: where credentials come from; None sends anonymous requests.
        sign_payload: cover bodies by the signature; None means over plain http only, where nothing else protects them.
        common_headers: sent with every request.
        redirects: what is done with those that are not about a region.
        endpoints: the service's endpoints, if it has several; each is addressed and signed for as itself.
        addressings: where requests for each of them go.
    """

    def __init__(
        self,
        addressing: Addressing,
        region: str | None,
        source: CredentialSource | None,
        *,
        sign_payload: bool | None,
        common_headers: Mapping[str, str],
        redirects: Redirects,
        endpoints: Endpoints | None = None,
        addressings: Mapping[Endpoint, Addressing] | None = None,
    ) -> None:
        self.addressing = addressing
        self.source = source
        self.signs_payload = source is not None and (addressing.is_plain if sign_payload is None else sign_payload)
        self.default_region = region or _DEFAULT_REGION
        self._common = dict(common_headers)
        self._redirects = redirects
        self._endpoints = endpoints
        self._addressings = addressings or {}
        self._signers: dict[str, Signer] = {}
        self._regions: dict[str, str] = {}
        self._targets: dict[str, Target] = {}
        self._targets_at: dict[tuple[Endpoint, str], Target] = {}
        self._writable: set[str] = set()
        self._clock_skew = 0.0

    def target(self, bucket: str) -> Target:
        """Where requests for a bucket go; for the service itself with an empty name."""
        target = self._targets.get(bucket)
        if target is None:
            target = self._targets[bucket] = self.addressing.target(bucket, self.region(bucket))
        return target

    def _target_at(self, endpoint: Endpoint, bucket: str) -> Target:
        target = self._targets_at.get((endpoint, bucket))
        if target is None:
            target = self._targets_at[endpoint, bucket] = self._addressings[endpoint].target(bucket, self.region(bucket))
        return target

    def region(self, bucket: str) -> str:
        """The region of a bucket, as far as it is known."""
        return self._regions.get(bucket, self.default_region)

    def send(
        self,
        method: str,
        bucket: str,
        key: str = "",
        *,
        query: Iterable[tuple[str, str]] = (),
        headers: Mapping[str, str] | None = None,
        body: Body = (),
        place: Placement | None = None,
        limit: int | None = None,
        repeatable: bool | None = None,
    ) -> Operation[Reply]:
        """One exchange, signed. The reply may have any status."""
        hashed = (yield from self._hash(body)) if body else EMPTY_SHA256
        unsigned = _Unsigned(
            method, bucket, encode_path(key), canonical_query(query) if query else "", headers or {}, body, hashed, repeatable
        )
        for correction in range(_CORRECTIONS):
            credentials = None
            if self.source is not None:
                credentials = self.source.current() or (yield Call(self.source.refresh))
            reply: Reply
            if self._endpoints is None:
                send = Send(self._sign(unsigned, credentials, self.target(bucket)), place, limit)
                reply = yield send
            else:
                send, reply = yield from self._send_to_one(self._endpoints, unsigned, credentials, place, limit)
            if method == "HEAD" and credentials is not None and reply.status in _UNEXPLAINED:
                reply = yield from self._explained(unsigned, credentials, reply)
            if reply.status < 300:
                if body:
                    self._writable.add(bucket)
                return reply
            if correction == _CORRECTIONS - 1 or not self._learn_from(reply, bucket, credentials):
                break
        if reply.status in REDIRECTS and "location" in reply.headers:
            reply = yield from self._redirects.answer(send, reply)
        return reply

    def _send_to_one(
        self, endpoints: Endpoints, unsigned: _Unsigned, credentials: Credentials | None, place: Placement | None, limit: int | None
    ) -> Operation[tuple[Send, Reply]]:
        sent: list[Send] = []

        def send_to(endpoint: Endpoint) -> Send:
            sent.append(Send(self._sign(unsigned, credentials, self._target_at(endpoint, unsigned.bucket)), place, limit))
            return sent[-1]

        reply = yield from endpoints.exchange(send_to, repeatable=unsigned.repeatable is not False)
        return sent[-1], reply

    def _explained(self, unsigned: _Unsigned, credentials: Credentials, refusal: Reply) -> Operation[Reply]:
        """The refusal with its reason: a reply to HEAD has no body, in which it would stand that a session has ended, say."""
        unsigned = unsigned._replace(method="GET", headers={**unsigned.headers, "range": "bytes=0-0"})
        reply: Reply
        if self._endpoints is None:
            reply = yield Send(self._sign(unsigned, credentials, self.target(unsigned.bucket)))
        else:
            _, reply = yield from self._send_to_one(self._endpoints, unsigned, credentials, None, None)
        return reply if reply.status == refusal.status else refusal

    def send_checked(self, method: str, bucket: str, key: str = "", **arguments: object) -> Operation[Reply]:
        """As `send`, but a failing status is raised as the error that it stands for."""
        reply: Reply = yield from self.send(method, bucket, key, **arguments)  # type: ignore[arg-type]
        if reply.status >= 300:
            raise error_from(reply)
        return reply

    def presigned(self, method: str, bucket: str, key: str, expires: int) -> Operation[str]:
        """A URL that is signed in its query."""
        if self.source is None:
            raise CredentialsError("an anonymous client cannot sign URLs", hint="Give credentials, or use the object's plain URL.")
        credentials = self.source.current() or (yield Call(self.source.refresh))
        origin, path = self.target(bucket) if self._endpoints is None else self._target_at(self._endpoints.choose(), bucket)
        signer = self._signer(self.region(bucket))
        now = time.time() + self._clock_skew
        return signer.presign(
            method, origin.scheme, origin.authority, path + encode_path(key), expires=expires, credentials=credentials, now=now
        )

    def _hash(self, body: Body) -> Operation[str]:
        if not self.signs_payload:
            return UNSIGNED_PAYLOAD
        if body_length(body) < _HASH_ELSEWHERE_FROM and isinstance(body[0], memoryview):
            return payload_hash(pieces(body))
        # A driver on an event loop hands this to a thread: hashing a large part takes milliseconds.
        hashed: str = yield Call(lambda: payload_hash(pieces(body)))
        return hashed

    def _sign(self, unsigned: _Unsigned, credentials: Credentials | None, target: Target) -> Request:
        method, bucket, key, query, headers, body, hashed, repeatable = unsigned
        origin, path = target
        path += key
        sent = {**self._common, **headers}
        if credentials is not None:
            now = time.time() + self._clock_skew
            sent |= self._signer(self.region(bucket)).sign(method, origin.authority, path, query, sent, hashed, credentials, now)
        request = Request(method, origin, f"{path}?{query}" if query else path, sent, body, repeatable=repeatable)
        if request.length >= _ASK_FIRST_FROM and bucket not in self._writable:
            # Until a bucket has taken a write, a large body is sent only after the service agreed to it.
            request.expect_continue = True
        return request

    def _signer(self, region: str) -> Signer:
        signer = self._signers.get(region)
        if signer is None:
            signer = self._signers[region] = Signer(region)
        return signer

    def _learn_from(self, reply: Reply, bucket: str, credentials: Credentials | None) -> bool:
        """Correct what a failing reply shows to be wrong; False if there is nothing to correct."""
        if reply.status not in (301, 307, 400, 401, 403):
            return False
        code = xml.parse_error(reply.body)[0]
        if code == "RequestTimeTooSkewed":
            return self._correct_clock(reply)
        if credentials is not None and code in _EXPIRED:
            return self._replace(credentials)
        if reply.status in (301, 307) or code in _REGION_ERRORS or "x-amz-bucket-region" in reply.headers:
            return self._correct_region(reply, bucket)
        return False

    def _correct_clock(self, reply: Reply) -> bool:
        date = parse_http_date(reply.headers.get("date", ""))
        if date is None:
            return False
        skew = (date - datetime.now(UTC)).total_seconds()
        if abs(skew - self._clock_skew) < 30:
            return False
        self._clock_skew = skew
        _log.warning("this machine's clock differs from the service's by %.0f s; requests are signed with the service's time", -skew)
        return True

    def _replace(self, credentials: Credentials) -> bool:
        assert self.source is not None
        self.source.invalidate(credentials)
        current = self.source.current()
        return current is None or current != credentials

    def _correct_region(self, reply: Reply, bucket: str) -> bool:
        region = reply.headers.get("x-amz-bucket-region") or _region_in(reply) or ""
        # It becomes a part of a host name: anything else would lead elsewhere than to the service.
        if not bucket or region == self.region(bucket) or _REGION.fullmatch(region) is None:
            return False
        _log.info("bucket %s is in region %s, not %s", bucket, region, self.region(bucket))
        self._regions[bucket] = region
        self._targets.pop(bucket, None)
        return True


def _region_in(reply: Reply) -> str | None:
    try:
        return parse(reply.body).findtext("Region")
    except ProtocolError:
        return None
