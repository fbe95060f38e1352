"""Bearer tokens (RFC 6750), and what gives them."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from time import time
from typing import Any, NamedTuple, Protocol

from headrace.auth.refreshing import refuse_expired
from headrace.errors import CredentialsError
from headrace.http.messages import Secret

__all__ = ["StaticTokenSource", "Token", "TokenSource", "UrlSigner"]

_VISIBLE_ASCII = re.compile(r"[!-~]+").fullmatch


@dataclass(frozen=True, slots=True, repr=False)
class Token:
    """A bearer token. It is not shown, and refuses to be pickled.

    Attributes:
        value: the token itself.
        expires: when it ends, in POSIX seconds; None where that is never, or not known.
        header: the value of ``Authorization``.

    Raises:
        CredentialsError: the token is empty, or holds a blank or line break that copying has left there.
    """

    value: str
    expires: float | None = None
    header: str = field(init=False, default="")

    def __post_init__(self) -> None:
        if not _VISIBLE_ASCII(self.value):
            raise CredentialsError("the token is empty, or has a blank or another character in it that no token has")
        object.__setattr__(self, "value", Secret(self.value))
        object.__setattr__(self, "header", Secret(f"Bearer {self.value}"))

    def __repr__(self) -> str:
        return f"Token(expires={self.expires})"

    def __copy__(self) -> Token:
        return self

    def __deepcopy__(self, memo: object) -> Token:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        raise CredentialsError(
            "a token given in code is not pickled, because the pickle would carry the secret",
            hint="For other processes, give a function that can be imported by name and returns the token",
        )


class UrlSigner(NamedTuple):
    """What signs URLs: ``email`` names the account whose key ``sign(message)`` uses, for an RSA signature with SHA-256; it may block."""

    email: str
    sign: Callable[[bytes], bytes]


class TokenSource(Protocol):
    """Gives a token, and another one when that has ended: see `headrace.auth.aws.CredentialSource`, which works in the same way."""

    def current(self) -> Token | None:
        """Return a token that is good to use, or None when the caller is to call `refresh`. Never blocks."""

    def refresh(self) -> Token:
        """Return a token that is good to use. May block.

        Raises:
            CredentialsError: there is none to be had.
        """

    def invalidate(self, rejected: Token) -> None:
        """Drop a token that the service rejects, unless another one has already taken its place. Never blocks."""


class StaticTokenSource:
    """A token given in code."""

    def __init__(self, token: Token) -> None:
        self._token = token

    def current(self) -> Token | None:
        """Return the token, or None after its end."""
        expires = self._token.expires
        return self._token if expires is None or time() < expires else None

    def refresh(self) -> Token:
        """Return the token.

        Raises:
            CredentialsError: it has ended.
        """
        refuse_expired(self._token)
        return self._token

    def invalidate(self, rejected: Token) -> None:
        """Do nothing: there is no other to be had."""
