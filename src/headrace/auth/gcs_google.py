"""The door to google-auth: Application Default Credentials, and credentials objects of google-auth's own.

google-auth knows service-account files, user credentials of ``gcloud auth application-default login``, workload identity federation and
the metadata server. It is imported when it is first asked, and its own requests go by headrace's connections, so that ``ca_bundle``,
``proxy`` and the time limits hold for them too.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC
from functools import partial
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from headrace.auth.bearer import Token, UrlSigner
from headrace.auth.refreshing import RefreshingSource
from headrace.errors import ConnectionFailed, CredentialsError, HeadraceError, MissingDependency, NotSupported
from headrace.http.blocking import BlockingTransport
from headrace.http.codec import Reply
from headrace.http.connecting import Settings
from headrace.http.effects import Send
from headrace.http.messages import Request, parse_origin

__all__ = ["GoogleSource", "is_google", "signer_of", "token_of"]

_STORAGE_SCOPE = "https://www.googleapis.com/auth/devstorage.full_control"
_SIGNING_SCOPE = "https://www.googleapis.com/auth/cloud-platform"
_METADATA_SERVERS = frozenset({"169.254.169.254", "metadata.google.internal", "metadata"})
_LONGEST_WORD = 60
_REMEDY = (
    "Set GOOGLE_APPLICATION_CREDENTIALS to a service-account file, run `gcloud auth application-default login`, give credentials=, "
    "or set anonymous if the data is public"
)


class GoogleSource(RefreshingSource[Token]):
    """Tokens of Application Default Credentials, or of a credentials object of google-auth's. It belongs to one store, and never travels.

    The default credentials are looked for anew at every refresh, so changed files are seen.

    Args:
        settings: how the connections to token endpoints are made.
        given: credentials of google-auth's; None for the default ones.
    """

    def __init__(self, settings: Settings, given: Any = None) -> None:
        super().__init__()
        self._settings = settings
        self._given = given

    def _fetch(self) -> Token:
        return token_of(self._find(_STORAGE_SCOPE)[0], self._settings)

    def signer(self) -> UrlSigner:
        """What signs URLs; see `signer_of`. May block."""
        return signer_of(self._find(_SIGNING_SCOPE)[0], self._settings)

    def project(self) -> str | None:
        """The project that the credentials belong to, if they tell. May block."""
        return self._find(_STORAGE_SCOPE)[1]

    def _find(self, scope: str) -> tuple[Any, str | None]:
        if self._given is not None:
            return self._given, getattr(self._given, "project_id", None)
        with _asking_google():
            import google.auth

            transport: Any = _Transport(self._settings)
            return google.auth.default(scopes=[scope], request=transport)


def is_google(value: object) -> bool:
    """Whether this is a credentials object of google-auth's, or looks like one."""
    return all(hasattr(value, name) for name in ("token", "expiry", "refresh"))


def token_of(credentials: Any, settings: Settings) -> Token:
    """A fresh token of a credentials object.

    Raises:
        CredentialsError: the token endpoint refused.
        ConnectionFailed: it could not be reached.
    """
    with _asking_google():
        if getattr(credentials, "requires_scopes", False):
            credentials = credentials.with_scopes([_STORAGE_SCOPE])
        credentials.refresh(_Transport(settings))
        expiry = credentials.expiry
        # google-auth's times are in UTC and do not say so.
        return Token(credentials.token, expiry and expiry.replace(tzinfo=UTC).timestamp())


def signer_of(credentials: Any, settings: Settings) -> UrlSigner:
    """What signs URLs for these credentials: the key of a service account, or the IAM service for those without a key.

    Raises:
        NotSupported: they are no service account's.
    """
    with _asking_google():
        email = getattr(credentials, "signer_email", None)
        if email:
            return UrlSigner(email, partial(_sign, credentials.sign_bytes))
        if hasattr(credentials, "service_account_email"):
            # The metadata server says "default" until it is asked for a token.
            transport = _Transport(settings)
            credentials.refresh(transport)
            from google.auth import iam

            email = credentials.service_account_email
            return UrlSigner(email, partial(_sign, iam.Signer(transport, credentials, email).sign))  # type: ignore[no-untyped-call]
    raise NotSupported(
        "these credentials cannot sign URLs", hint="Use those of a service account: a key file, an impersonation or a virtual machine's."
    )


def _sign(sign: Callable[[bytes], bytes], message: bytes) -> bytes:
    with _asking_google():
        return sign(message)


class _Answer(NamedTuple):
    """A reply, as google-auth wants to see it."""

    status: int
    headers: Mapping[str, str]
    data: bytes


class _Transport:
    """google-auth's ``transport.Request``, by headrace's own HTTP; each request has a connection of its own, which it closes."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def __call__(
        self,
        url: str,
        method: str = "GET",
        body: bytes | str | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = None,
        **_: object,
    ) -> _Answer:
        from google.auth import exceptions

        try:
            reply = self._exchange(url, method, body.encode() if isinstance(body, str) else body or b"", headers or {}, timeout)
        except HeadraceError as error:
            raise exceptions.TransportError(str(error)) from None  # type: ignore[no-untyped-call]
        return _Answer(reply.status, reply.headers, bytes(reply.body))

    def _exchange(self, url: str, method: str, body: bytes, headers: Mapping[str, str], timeout: float | None) -> Reply:
        parts = urlsplit(url)
        origin, _ = parse_origin(f"{parts.scheme}://{parts.netloc}")
        target = f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/"
        settings = self._settings
        if timeout is not None:
            settings = dataclasses.replace(settings, connect_timeout=timeout, stall_timeout=timeout)
        if origin.host in _METADATA_SERVERS:
            # It is at this machine's end of the link: no proxy could reach the right one.
            settings = dataclasses.replace(settings, proxy="")
        lowered = {name.lower(): str(value) for name, value in headers.items()}
        transport = BlockingTransport(settings)
        try:
            return transport.exchange(Send(Request(method, origin, target, lowered, [memoryview(body)] if body else ())))
        finally:
            transport.close()


@contextmanager
def _asking_google() -> Iterator[None]:
    failure: HeadraceError | None = None
    try:
        yield
    except HeadraceError:
        raise
    except ImportError as error:
        failure = MissingDependency(
            f"google-auth is needed to find Google credentials ({error.name} is missing)",
            hint="Install it: pip install 'headrace[gcs]'. Without it: credentials= with a function that returns a token, or anonymous.",
        )
    except Exception as error:  # whatever the files, programs and services that google-auth asks make it raise
        failure = _translated(error)
    if failure is not None:
        # Without its cause, whose frames and arguments hold keys and tokens.
        raise failure


def _translated(error: Exception) -> HeadraceError:
    kinds = {kind.__name__ for kind in type(error).__mro__}
    said = _discreet(str(error.args[0]) if error.args else "")
    if "TransportError" in kinds:
        return ConnectionFailed(f"no token could be fetched: {said}")
    if "DefaultCredentialsError" in kinds and not os.environ.get("GOOGLE_APPLICATION_CREDENTIALS"):
        return CredentialsError("no Google credentials found", hint=f"Looked where Application Default Credentials are. {_REMEDY}.")
    return CredentialsError(f"google-auth could not get a token: {type(error).__name__}: {said}", hint=f"{_REMEDY}.")


def _discreet(text: str) -> str:
    """A message without what may be a key, a token or a signature in it: those are long and have no blanks."""
    return " ".join(word if len(word) <= _LONGEST_WORD else "…" for word in text[:1000].split())
