"""Authorized exchanges with Azure: what every request needs, and what a reply can teach about the next one."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from email.utils import formatdate
from typing import NamedTuple, TypeAlias

from headrace.auth.azure import CredentialSource
from headrace.auth.azure_signing import VERSION, BearerToken, Credentials, SharedAccessSignature, SharedKey
from headrace.auth.sigv4 import canonical_query
from headrace.backends.azure.addressing import Addressing
from headrace.backends.azure.replies import error_code, error_from
from headrace.backends.protocol import Body
from headrace.backends.service.replies import parse_http_date
from headrace.errors import CredentialsError
from headrace.http.codec import Placement, Reply
from headrace.http.effects import Call, Operation, Send
from headrace.http.messages import Request, Secret
from headrace.http.redirects import REDIRECTS, Redirects
from headrace.uri import Location

__all__ = ["Exchange", "Query"]

_log = logging.getLogger("headrace")

Query: TypeAlias = Sequence[tuple[str, str]]
"""Names, in lower case, and values as they are meant."""

_ASK_FIRST_FROM = 1 << 20
_CORRECTIONS = 3
_LEAST_SKEW = 30
_REJECTED = frozenset({"AuthenticationFailed", "InvalidAuthenticationInfo"})


class _Unsigned(NamedTuple):
    """A request before it is authorized."""

    method: str
    account: str
    location: Location
    query: Query
    headers: Mapping[str, str]
    body: Body


class Exchange:
    """Authorizes and sends requests; corrects the clock and ended credentials by what the service replies.

    Args:
        addressing: where requests go.
        source: where credentials come from; None sends anonymous requests.
        redirects: what is done with those.
    """

    def __init__(self, addressing: Addressing, source: CredentialSource | None, redirects: Redirects) -> None:
        self.addressing = addressing
        self.source = source
        self._redirects = redirects
        self._skew = 0.0
        self._date = (0, "")
        self._writable: set[tuple[str, str]] = set()

    def send(
        self,
        method: str,
        location: Location,
        *,
        query: Query = (),
        headers: Mapping[str, str] | None = None,
        body: Body = (),
        place: Placement | None = None,
        limit: int | None = None,
        repeatable: bool | None = None,
    ) -> Operation[Reply]:
        """One exchange about a blob, a container (no ``key``) or the account (no ``container``). The reply may have any status."""
        # The account first: credentials are not looked for in vain.
        unsigned = _Unsigned(method, self.addressing.account_of(location), location, query, headers or {}, body)
        renewed = False
        for _ in range(_CORRECTIONS):
            credentials = None
            if self.source is not None:
                credentials = self.source.current() or (yield Call(self.source.refresh))
            request = self._authorized(unsigned, credentials)
            if repeatable is not None:
                request.repeatable = repeatable
            send = Send(request, place, limit)
            reply: Reply = yield send
            if reply.status < 300:
                if body:
                    self._writable.add((location.account, location.container))
                break
            if credentials is None or reply.status not in (401, 403) or error_code(reply) not in _REJECTED:
                break
            if self._correct_clock(reply, credentials):
                continue
            if renewed or not (yield from self._renew(credentials)):
                break
            renewed = True
        if reply.status in REDIRECTS:
            reply = yield from self._redirects.answer(send, reply)
        return reply

    def send_checked(self, method: str, location: Location, **arguments: object) -> Operation[Reply]:
        """As `send`, but a failing status is raised as the error that it stands for."""
        reply: Reply = yield from self.send(method, location, **arguments)  # type: ignore[arg-type]
        if reply.status >= 300:
            raise error_from(reply)
        return reply

    def now(self) -> float:
        """The service's time, in POSIX seconds, as far as it is known."""
        return time.time() + self._skew

    def credentials(self, what: str) -> Operation[Credentials]:
        """Credentials for what an anonymous client cannot do.

        Raises:
            CredentialsError: it is one.
        """
        if self.source is None:
            raise CredentialsError(f"an anonymous client cannot {what}", hint="Give credentials, or use the object's plain URL.")
        credentials: Credentials = self.source.current() or (yield Call(self.source.refresh))
        return credentials

    def part(self, location: Location, credentials: Credentials | None) -> tuple[str, dict[str, str]]:
        """Target and headers of the deletion of a blob, as a part of a batch: authorized like a request of its own."""
        unsigned = _Unsigned("DELETE", self.addressing.account_of(location), location, (), {}, ())
        return self._target_and_headers(unsigned, credentials, {"x-ms-date": self._stamp()}, 0)

    def url(self, location: Location, query: str = "") -> Secret:
        """The URL of a blob, with a query that is encoded."""
        target = self.addressing.target(self.addressing.account_of(location))
        path = self.addressing.path(target, location.container, location.key)
        return Secret(f"{target.origin}{path}?{query}" if query else f"{target.origin}{path}")

    def _authorized(self, unsigned: _Unsigned, credentials: Credentials | None) -> Request:
        method, account, location, _, headers, body = unsigned
        origin = self.addressing.target(account).origin
        request = Request(method, origin, "", headers, body)
        sent = {"user-agent": "headrace", "x-ms-version": VERSION, "x-ms-date": self._stamp(), **headers}
        if isinstance(credentials, BearerToken) and origin.scheme != "https":
            raise CredentialsError("a token is sent over https only: whoever reads it can use it", hint="Use an https endpoint.")
        request.target, request.headers = self._target_and_headers(unsigned, credentials, sent, request.length)
        if request.length >= _ASK_FIRST_FROM and (location.account, location.container) not in self._writable:
            # Until a container has taken a write, a large body is sent only after the service agreed to it.
            request.expect_continue = True
        return request

    def _target_and_headers(
        self, unsigned: _Unsigned, credentials: Credentials | None, headers: dict[str, str], length: int
    ) -> tuple[str, dict[str, str]]:
        method, account, location, query, _, _ = unsigned
        path = self.addressing.path(self.addressing.target(account), location.container, location.key)
        target = f"{path}?{canonical_query(query)}" if query else path
        if isinstance(credentials, SharedKey):
            _refuse_other_account(account, credentials.account)
            headers["authorization"] = credentials.authorization(method, path, query, headers, length)
        elif isinstance(credentials, BearerToken):
            headers["authorization"] = credentials.header
        elif isinstance(credentials, SharedAccessSignature):
            _refuse_other_account(account, self.addressing.account)
            target = Secret(f"{target}{'&' if query else '?'}{credentials.token}")
        return target, headers

    def _stamp(self) -> str:
        """The time in the form of HTTP; made once a second."""
        second = int(time.time() + self._skew)
        known, text = self._date
        if known != second:
            text = formatdate(second, usegmt=True)
            self._date = (second, text)
        return text

    def _correct_clock(self, reply: Reply, credentials: Credentials) -> bool:
        date = parse_http_date(reply.headers.get("date", ""))
        if date is None or not isinstance(credentials, SharedKey):
            return False
        skew = (date - datetime.now(UTC)).total_seconds()
        if abs(skew - self._skew) < _LEAST_SKEW:
            return False
        self._skew = skew
        _log.warning("this machine's clock differs from the service's by %.0f s; requests are signed with the service's time", -skew)
        return True

    def _renew(self, rejected: Credentials) -> Operation[bool]:
        """Look for credentials in the place of those that were rejected; False if there are no others."""
        assert self.source is not None
        self.source.invalidate(rejected)
        current = self.source.current() or (yield Call(self.source.refresh))
        return bool(current != rejected)


def _refuse_other_account(account: str, own: str | None) -> None:
    if own is not None and account != own:
        raise CredentialsError(
            f"the credentials are those of account {own!r}, the blob is in {account!r}",
            hint="Use a client of its own for each account, or a token, which is good for all.",
        )
