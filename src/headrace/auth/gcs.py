"""Where tokens for Google Cloud Storage come from: code, the user's own function, or google-auth's chain."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from headrace.auth.bearer import StaticTokenSource, Token, TokenSource, UrlSigner
from headrace.auth.functions import FunctionSource, posix_seconds
from headrace.auth.gcs_google import GoogleSource, is_google, signer_of, token_of
from headrace.errors import CredentialsError, NotSupported
from headrace.http.connecting import Settings

__all__ = ["FixedToken", "GoogleTokenSource", "TokenFunction", "chain"]


class GoogleTokenSource(TokenSource, Protocol):
    """A `TokenSource` that may know more of whose token it gives."""

    def signer(self) -> UrlSigner:
        """What signs URLs. May block.

        Raises:
            NotSupported: a token alone cannot.
        """

    def project(self) -> str | None:
        """The project that the credentials belong to, if they tell. May block."""


class FixedToken(StaticTokenSource):
    """A token given in code, of which nothing more is known."""

    def signer(self) -> UrlSigner:
        """See `GoogleTokenSource.signer`."""
        raise _a_token_signs_nothing()

    def project(self) -> str | None:
        """None: a token does not tell."""
        return None


class TokenFunction(FunctionSource[Token]):
    """The user's function as a source of tokens; see `FunctionSource`.

    It returns the token as text, a mapping with ``token`` (or ``access_token``) and ``expires`` (or ``expiry``: POSIX seconds, an aware
    datetime or ISO 8601 text), a `Token`, or credentials of google-auth's.
    """

    def __init__(self, function: Callable[[], object], settings: Settings | None = None) -> None:
        super().__init__(function)
        self._settings = settings or Settings()

    def _interpret(self, value: object) -> Token:
        return token_of(value, self._settings) if is_google(value) else _token_from(value)

    def signer(self) -> UrlSigner:
        """See `GoogleTokenSource.signer`: only google-auth's credentials can."""
        value = self._call()
        if not is_google(value):
            raise _a_token_signs_nothing()
        return signer_of(value, self._settings)

    def project(self) -> str | None:
        """None: a token does not tell."""
        return None


def chain(*, credentials: object = None, settings: Settings) -> GoogleTokenSource:
    """Choose where tokens come from. Reads nothing, and imports no google-auth.

    Args:
        credentials: what the user gave in code, the first choice: a function as in `TokenFunction`, or what such a function may return.
            Without it Application Default Credentials are looked for when a token is needed.
        settings: how connections to token endpoints are made.

    Raises:
        CredentialsError: ``credentials`` holds no token.
        InvalidOption: ``credentials`` is a coroutine function.
    """
    if credentials is None:
        return GoogleSource(settings)
    if is_google(credentials):
        return GoogleSource(settings, credentials)
    if callable(credentials):
        return TokenFunction(credentials, settings)
    return FixedToken(_token_from(credentials))


def _token_from(value: object) -> Token:
    if isinstance(value, Token):
        return value
    if isinstance(value, str):
        return Token(value)
    if isinstance(value, Mapping):
        token, expires = _first(value, "token", "access_token"), _first(value, "expires", "expiry")
        if isinstance(token, str):
            return Token(token, posix_seconds(expires))
    raise CredentialsError(
        f"no token in the {type(value).__name__} given as credentials",
        hint="For gs:// give a mapping with token and expires, a function that returns a token, or credentials of google-auth",
    )


def _first(value: Mapping[Any, Any], *names: str) -> Any:
    return next((value[name] for name in names if value.get(name) is not None), None)


def _a_token_signs_nothing() -> NotSupported:
    return NotSupported("a token cannot sign URLs", hint="Use Application Default Credentials of a service account.")
