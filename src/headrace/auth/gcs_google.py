"""The door to google-auth: Application Default Credentials, and credentials objects of google-auth's own.

google-auth knows service-account files, user credentials of ``gcloud auth application-default login``, workload identity federation and
the metadata server. It is imported when it is first asked, and its own requests go by headrace's connections, so that ``ca_bundle``,
``proxy`` and the time limits hold for them too.
"""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Callable, Mapping
from datetime import UTC
from typing import Any, NamedTuple, TypeVar
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

T = TypeVar("T")

_STORAGE_SCOPE = "https://www.googleapis.com/auth/devstorage.full_control"
_SIGNING_SCOPE = "https://www.googleapis.com/auth/cloud-platform"
_METADATA_SERVERS = frozenset({"169.254.169.254", "metadata.google.internal", "metadata"})
_LONGEST_WORD = 16
_HARMLESS = re.compile(r"[A-Z]?[a-z]*(?:[-_.,:;'\"()]+[a-z]+)*[-_.,:;'\"()]*").fullmatch
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
        found: tuple[Any, str | None] = _ask(lambda: _default_credentials(scope, self._settings))
        return found


def _default_credentials(scope: str, settings: Settings) -> tuple[Any, str | None]:
    import google.auth

    transport: Any = _Transport(settings)
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
    return _ask(lambda: _refreshed(credentials, settings))


def _refreshed(credentials: Any, settings: Settings) -> Token:
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
    found = _ask(lambda: _found_signer(credentials, settings))
    if found is None:
        raise NotSupported(
            "these credentials cannot sign URLs",
            hint="Use those of a service account: a key file, an impersonation, a virtual machine's.",
        )
    email, sign = found
    return UrlSigner(email, lambda message: _ask(lambda: sign(message)))


def _found_signer(credentials: Any, settings: Settings) -> tuple[str, Callable[[bytes], bytes]] | None:
    email = getattr(credentials, "signer_email", None)
    if email:
        return email, credentials.sign_bytes
    if not hasattr(credentials, "service_account_email"):
        return None
    from google.auth import iam

    transport = _Transport(settings)
    # Until it is asked for a token, a virtual machine calls its account "default".
    credentials.refresh(transport)
    email = credentials.service_account_email
    return email, iam.Signer(transport, credentials, email).sign  # type: ignore[no-untyped-call]


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


def _ask(function: Callable[[], T]) -> T:
    """What google-auth gives; what goes wrong there is raised as one of headrace's errors."""
    try:
        return function()
    except HeadraceError:
        raise
    except ImportError as error:
        failure: HeadraceError = MissingDependency(
            f"google-auth is needed to find Google credentials ({error.name} is missing)",
            hint="Install it: pip install 'headrace[gcs]'. Without it: credentials= with a function that returns a token, or anonymous.",
        )
    except Exception as error:  # whatever the files, programs and services that google-auth asks make it raise
        failure = _translated(error)
    # Only now, when the error is not handled any more: its frames and arguments, which hold keys and tokens, stay behind.
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
    """A message without what may be a part of a key, a token or a signature: of long words only those of letters and usual marks."""
    words = text[:1000].split()
    return " ".join(word if len(word) <= _LONGEST_WORD or _HARMLESS(word) else "…" for word in words)
