"""What proves to Azure Storage who asks: a shared key, a shared access signature (SAS), or a bearer token.

Sources, all in the Azure Storage REST API reference: "Authorize with Shared Key", "Create a service SAS", "Create a user delegation
SAS", "Authorize with Microsoft Entra ID".

Nothing here does I/O, and everything may be called from any thread.
"""

from __future__ import annotations

import binascii
import re
from base64 import b64decode, b64encode
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, NamedTuple, TypeAlias
from urllib.parse import parse_qsl, quote

from headrace.errors import CredentialsError, InvalidOption
from headrace.http.messages import Secret

__all__ = [
    "LONGEST_SAS",
    "VERSION",
    "BearerToken",
    "Credentials",
    "DelegationKey",
    "SharedAccessSignature",
    "SharedKey",
    "utc",
]

VERSION = "2021-12-02"
"""The version of the service that requests and signatures are made for."""

LONGEST_SAS = 7 * 24 * 3600
"""Seconds: a key for user delegation lasts as long at most, and no URL should be good for longer."""

_VISIBLE_ASCII = re.compile(r"[!-~]+").fullmatch
_ACCOUNT = re.compile(r"[a-z0-9]{3,24}").fullmatch
_BLOCK = 64
_INNER, _OUTER = (bytes(byte ^ mask for byte in range(256)) for mask in (0x36, 0x5C))


class _Secretive:
    """What shows nothing of itself, and refuses to be pickled."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"

    def __copy__(self) -> Any:
        return self

    def __deepcopy__(self, memo: object) -> Any:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        raise CredentialsError(
            "credentials given in code are not pickled, because the pickle would carry the secret",
            hint="For other processes, set AZURE_STORAGE_CONNECTION_STRING or AZURE_STORAGE_KEY, "
            "or give a function that can be imported by name and returns the credentials",
        )


class _Mac(_Secretive):
    """HMAC-SHA-256 (RFC 2104) whose key is prepared once: an evaluation then costs two copies of a hash instead of a new object."""

    __slots__ = ("_inner", "_outer")

    def __init__(self, key: bytes) -> None:
        block = (sha256(key).digest() if len(key) > _BLOCK else key).ljust(_BLOCK, b"\0")
        self._inner, self._outer = sha256(block.translate(_INNER)), sha256(block.translate(_OUTER))

    def base64(self, text: str) -> str:
        """The code of a text, in base64."""
        inner, outer = self._inner.copy(), self._outer.copy()
        inner.update(text.encode())
        outer.update(inner.digest())
        return b64encode(outer.digest()).decode()


class SharedKey(_Secretive):
    """A key of a storage account: it may do everything there.

    Args:
        account: the account's name.
        key: one of its keys, in base64.

    Raises:
        CredentialsError: the name or the key cannot be one.
    """

    __slots__ = ("_mac", "account", "key")
    expires: float | None = None

    def __init__(self, account: str, key: str) -> None:
        if not _ACCOUNT(account):
            raise CredentialsError(f"{account[:40]!r} cannot be the name of a storage account", hint="It has 3 to 24 of a-z and 0-9.")
        self.account, self.key = account, Secret(key)
        self._mac = _Mac(_decoded(key))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SharedKey) and (other.account, other.key) == (self.account, self.key)

    def __hash__(self) -> int:
        return hash((self.account, self.key))

    def authorization(
        self, method: str, path: str, query: Iterable[tuple[str, str]], headers: Mapping[str, str], length: int = 0
    ) -> Secret:
        """The ``Authorization`` header of a request; see `string_to_sign`."""
        return Secret(f"SharedKey {self.account}:{self._mac.base64(self.string_to_sign(method, path, query, headers, length))}")

    def string_to_sign(self, method: str, path: str, query: Iterable[tuple[str, str]], headers: Mapping[str, str], length: int = 0) -> str:
        """What the signature covers.

        Args:
            method: the HTTP method in capitals.
            path: the absolute path just as it is sent, percent-encoded.
            query: names (lower case) and values of the query, as they are meant.
            headers: those that are sent, names in lower case, ``x-ms-date`` among them.
            length: bytes of the body.
        """
        get = headers.get
        custom = "".join([f"{name}:{headers[name].strip()}\n" for name in sorted([name for name in headers if name[:5] == "x-ms-"])])
        return (
            f"{method}\n{get('content-encoding', '')}\n{get('content-language', '')}\n{length or ''}\n{get('content-md5', '')}\n"
            f"{get('content-type', '')}\n{get('date', '')}\n{get('if-modified-since', '')}\n{get('if-match', '')}\n"
            f"{get('if-none-match', '')}\n{get('if-unmodified-since', '')}\n{get('range', '')}\n"
            f"{custom}/{self.account}{path}{_canonical_query(query) if query else ''}"
        )

    def service_sas(self, container: str, key: str, *, permissions: str, expires: str, protocol: str) -> Secret:
        """The query of a URL that allows ``permissions`` on one blob until ``expires``; see `utc`.

        Args:
            container: its container.
            key: its name, as it is meant.
            permissions: letters, in the order ``racwd``.
            expires: when it ends.
            protocol: ``"https"``, or ``"https,http"``.
        """
        resource = f"/blob/{self.account}/{container}/{key}"
        signed = [permissions, "", expires, resource, "", "", protocol, VERSION, "b", "", "", "", "", "", "", ""]
        signature = self._mac.base64("\n".join(signed))
        return _encoded([("sv", VERSION), ("sr", "b"), ("sp", permissions), ("se", expires), ("spr", protocol), ("sig", signature)])


def _decoded(key: str) -> bytes:
    try:
        decoded = b64decode(key, validate=True)
    except (binascii.Error, ValueError):
        decoded = b""
    if not decoded:
        # Without its cause, which may quote the key.
        raise CredentialsError("the account key is empty or not base64", hint="Look at where it was copied from.") from None
    return decoded


def _canonical_query(query: Iterable[tuple[str, str]]) -> str:
    values: dict[str, list[str]] = {}
    for name, value in query:
        values.setdefault(name, []).append(value)
    return "".join([f"\n{name}:{','.join(sorted(values[name]))}" for name in sorted(values)])


class SharedAccessSignature(_Secretive):
    """A SAS: the query of a URL that allows something for a while.

    Args:
        token: the query, with or without its question mark.

    Attributes:
        token: it, to be appended to the query of a request.
        expires: when it ends, in POSIX seconds; None where a policy of the container says it.

    Raises:
        CredentialsError: it holds no signature, or a character that no query has.
    """

    __slots__ = ("expires", "token")

    def __init__(self, token: str) -> None:
        token = Secret(token.strip().removeprefix("?").strip("&"))
        if not _VISIBLE_ASCII(token) or "#" in token or not _parameter(token, "sig"):
            raise CredentialsError(
                "what was given as a shared access signature holds none",
                hint="It is the part of a URL after the question mark, percent-encoded, with sv=... and sig=... in it.",
            )
        self.token = token
        self.expires = _posix_seconds(_parameter(token, "se"))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SharedAccessSignature) and other.token == self.token

    def __hash__(self) -> int:
        return hash(self.token)


def _parameter(token: str, name: str) -> str:
    return dict(parse_qsl(token)).get(name, "")


def _posix_seconds(text: str) -> float | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


class BearerToken(_Secretive):
    """A token of Microsoft Entra ID.

    Args:
        value: the token.
        expires: when it ends, in POSIX seconds; None where that is not known.

    Raises:
        CredentialsError: it is empty, or has a character that no token has.
        InvalidOption: ``expires`` is not a number.
    """

    __slots__ = ("expires", "header")

    def __init__(self, value: str, expires: float | None = None) -> None:
        if not _VISIBLE_ASCII(value):
            raise CredentialsError("the token is empty, or has a blank or another character in it that no token has")
        if not isinstance(expires, (int, float, type(None))):
            raise InvalidOption(f"the end of a token must be POSIX seconds or None, not {type(expires).__name__}")
        self.header = Secret(f"Bearer {value}")
        self.expires = expires

    def __eq__(self, other: object) -> bool:
        return isinstance(other, BearerToken) and other.header == self.header

    def __hash__(self) -> int:
        return hash(self.header)


Credentials: TypeAlias = SharedKey | SharedAccessSignature | BearerToken


class DelegationKey(NamedTuple):
    """A key that the service lends to the owner of a token, to sign for others (Get User Delegation Key).

    Attributes:
        terms: object and tenant of the owner, start, end, service and version; as the service says them.
        value: the key, in base64.
    """

    terms: Sequence[str]
    value: Secret

    def sas(self, account: str, container: str, key: str, *, permissions: str, expires: str, protocol: str) -> Secret:
        """As `SharedKey.service_sas`, for an account that the key was not given with."""
        resource = f"/blob/{account}/{container}/{key}"
        signed = [permissions, "", expires, resource, *self.terms, "", "", "", "", protocol, VERSION, "b", "", "", "", "", "", "", ""]
        signature = _Mac(_decoded(self.value)).base64("\n".join(signed))
        names = ("skoid", "sktid", "skt", "ske", "sks", "skv")
        common = [("sv", VERSION), ("sr", "b"), ("sp", permissions), ("se", expires), ("spr", protocol)]
        return _encoded([*common, *zip(names, self.terms, strict=True), ("sig", signature)])


def _encoded(parameters: Sequence[tuple[str, str]]) -> Secret:
    return Secret("&".join(f"{name}={quote(value, safe='')}" for name, value in parameters))


def utc(seconds: float) -> str:
    """A time in POSIX seconds as signatures spell it, fractions dropped."""
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
