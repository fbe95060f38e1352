"""Redirects (RFC 9110, section 15.4): refused with an error that names the target, or followed, without taking secrets along."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import unquote, urljoin

from headrace.errors import InvalidURI, ServiceError
from headrace.http.codec import Reply
from headrace.http.effects import Operation, Send
from headrace.http.messages import Origin, Request, Secret
from headrace.http.urls import split_url

__all__ = ["REDIRECTS", "Redirects"]

REDIRECTS = frozenset({301, 302, 303, 307, 308})
"""The statuses that name another place to ask. 300 leaves the choice to a person, 304 and 305 mean other things."""

_READS = frozenset({"GET", "HEAD"})
_ALLOWED_BY = "If you trust the server with that, set follow_redirects=True (HEADRACE_FOLLOW_REDIRECTS=1)."

# Headers that are meant for one server alone: by their names, and by words in them, such as those of keys for encryption.
_FOR_ONE_SERVER = frozenset({"authorization", "cookie", "proxy-authorization"})
_WORDS_OF_SECRETS = ("security-token", "customer", "encryption-key", "signature", "credential")
_DESCRIBES_A_BODY = ("content-", "expect", "transfer-encoding")

# The parameters by which S3, Google and Azure know who signed a URL.
_SIGNING_PREFIXES = ("x-amz-", "x-goog-")
_SIGNING_NAMES = frozenset({"sig", "signature", "awsaccesskeyid", "googleaccessid", "skoid", "sktid"})


class Redirects(NamedTuple):
    """What a client does with redirects.

    Attributes:
        follow: whether it goes where they lead.
        limit: how many of them, for one request.
    """

    follow: bool
    limit: int

    def answer(self, send: Send, reply: Reply) -> Operation[Reply]:
        """The reply that counts, after one that is a redirect; it may have any other status.

        To be called by a backend when a reply's status is in `REDIRECTS`, so that nothing is spent on any other. The method is kept,
        except that 303, and for POST also 301 and 302, lead to a GET. Where scheme, host or port change, credentials, cookies, keys and
        signatures stay behind. A body is sent anew; its buffers and files must still be there. What the last server sends goes to
        ``send.place``.

        Raises:
            ServiceError: redirects are not followed; there were too many, or they go in a circle; the target is missing, is no URL, is
                asked for without TLS after a request with it, or would make a GET of a PUT or DELETE, whose success nothing then told.
        """
        seen = {_place(send.request)}
        for hop in range(self.limit + 1):
            request = self._next(send.request, reply, hop)
            if (place := _place(request)) in seen:
                raise ServiceError(f"the redirects go round in a circle: {request.origin} again", status=reply.status)
            seen.add(place)
            send = Send(request, send.place, send.limit, send.excerpt)
            reply = yield send
            if reply.status not in REDIRECTS:
                break
        return reply

    def _next(self, request: Request, reply: Reply, hop: int) -> Request:
        origin, target = _target(request, reply)
        if not self.follow:
            raise ServiceError(f"the server redirects to {origin}", status=reply.status, hint=_ALLOWED_BY)
        if hop == self.limit:
            raise ServiceError(
                f"the server redirects to {origin}, after {hop} redirects",
                status=reply.status,
                hint="No more are followed: is there a circle? The option max_redirects is their limit.",
            )
        if request.origin.scheme == "https" and origin.scheme == "http":
            raise ServiceError(f"the server redirects from https to {origin}, where all could be read on the way", status=reply.status)
        return _redirected(request, reply.status, origin, target)


def _place(request: Request) -> tuple[str, Origin, str]:
    return request.method, request.origin, Secret(request.target)


def _target(request: Request, reply: Reply) -> tuple[Origin, str]:
    """Where a redirect leads; a relative reference counts from the request's own URL (RFC 9110, section 10.2.2)."""
    location = reply.headers.get("location", "")
    if not location:
        raise ServiceError("the server redirects, but does not say where", status=reply.status)
    # Headers are read as Latin-1; URLs that are not encoded as they should be are in UTF-8.
    spelled = Secret(location.encode("latin-1").decode(errors="surrogateescape"))
    try:
        return split_url(Secret(urljoin(f"{request.origin}{request.target}", spelled)))
    except (InvalidURI, ValueError):
        message = "the server redirects to something that is no http(s):// URL, or holds a user name"
        raise ServiceError(message, status=reply.status) from None


def _redirected(request: Request, status: int, origin: Origin, target: str) -> Request:
    method, headers, body = request.method, request.headers, request.body
    if (status == 303 and method not in _READS) or (status in (301, 302) and method == "POST"):
        if method != "POST":
            raise ServiceError(f"the server answers a {method} with a redirect to a page ({origin}): was it done?", status=status)
        method, body = "GET", ()
        headers = {name: value for name, value in headers.items() if not name.startswith(_DESCRIBES_A_BODY)}
    if origin != request.origin:
        headers = _without_secrets(headers)
        target = _without_echoes(target, request.target)
    return Request(
        method,
        origin,
        target,
        headers,
        body,
        repeatable=request.repeatable or method in _READS,
        expect_continue=request.expect_continue and bool(body),
    )


def _without_secrets(headers: Mapping[str, str]) -> dict[str, str]:
    return {
        name: value
        for name, value in headers.items()
        if not (isinstance(value, Secret) or name in _FOR_ONE_SERVER or any(word in name for word in _WORDS_OF_SECRETS))
    }


def _without_echoes(target: str, asked: str) -> str:
    """The target without what signed the request before, if the server repeats it; signatures of the server's own stay."""
    path, mark, query = target.partition("?")
    sent = {unquote(pair) for pair in asked.partition("?")[2].split("&") if _signs(pair)}
    kept = [pair for pair in query.split("&") if unquote(pair) not in sent]
    return Secret(f"{path}{mark if kept else ''}{'&'.join(kept)}")


def _signs(pair: str) -> bool:
    name = pair.partition("=")[0].lower()
    return name in _SIGNING_NAMES or name.startswith(_SIGNING_PREFIXES)
