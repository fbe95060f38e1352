"""AWS Signature Version 4: request headers and presigned URLs that prove who asks.

Sources: "Authenticating Requests (AWS Signature Version 4)" in the Amazon S3 API Reference, for what S3 wants in a request;
"AWS Signature Version 4 for API requests" in the AWS IAM User Guide, for the algorithm. S3 differs from other services in that
a path is percent-encoded exactly once and never normalised: ``a//b`` and ``a/../b`` are objects of their own.

Nothing here does I/O, and everything may be called from any thread.
"""

from __future__ import annotations

import hmac
import re
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from typing import Any, NamedTuple
from urllib.parse import quote

from headrace.errors import CredentialsError, InvalidOption, InvalidURI
from headrace.http.messages import Secret

__all__ = [
    "EMPTY_SHA256",
    "UNSIGNED_PAYLOAD",
    "Credentials",
    "Signer",
    "canonical_query",
    "encode_path",
    "encode_query_value",
    "payload_hash",
]

UNSIGNED_PAYLOAD = "UNSIGNED-PAYLOAD"
"""What stands in for the hash of a body that the signature does not cover."""

EMPTY_SHA256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
"""The hash of an empty body."""

_ALGORITHM = "AWS4-HMAC-SHA256"
_LONGEST_PRESIGNED = 7 * 24 * 3600
_FRAMES_KEPT = 32
_VISIBLE_ASCII = re.compile(r"[!-~]+").fullmatch
_SURROGATES = re.compile("[\ud800-\udfff]").search
_RUNS_OF_SPACES = re.compile("  +").sub
_UNSAFE_IN_PATH = re.compile(r"[^A-Za-z0-9._~/-]").search
_UNSAFE_IN_QUERY = re.compile(r"[^A-Za-z0-9._~-]").search

# S3 refuses a request whose x-amz-* headers are not all signed, and wants content-type and content-md5 signed where they are sent.
# Other headers, range among them, stay unsigned: a signature over them protects nothing that is not checked anyway (a partial reply
# is held against the range that was asked for), and without them a plain GET needs no sorting of headers.
_SIGNED_HEADERS = ("x-amz-", "content-type", "content-md5")


@dataclass(frozen=True, slots=True, repr=False)
class Credentials:
    """An AWS access key with its secret. It shows neither secret nor token, and refuses to be pickled.

    Attributes:
        access_key: the public name of the key.
        secret_key: what signs; it never leaves the process.
        token: the session token of temporary credentials.
        expires: when they end, in POSIX seconds; None where that is never, or not known.

    Raises:
        CredentialsError: a value is empty, or holds a blank or line break that copying has left there.
        InvalidOption: ``expires`` is not a number.
    """

    access_key: str
    secret_key: str
    token: str | None = None
    expires: float | None = None

    def __post_init__(self) -> None:
        if not _VISIBLE_ASCII(self.access_key):
            raise _unusable("access key")
        if not self.secret_key or self.secret_key != self.secret_key.strip() or _SURROGATES(self.secret_key):
            raise _unusable("secret key")
        if self.token and not _VISIBLE_ASCII(self.token):
            raise _unusable("session token")
        if not isinstance(self.expires, (int, float, type(None))):
            raise InvalidOption(f"expires must be POSIX seconds or None, not {type(self.expires).__name__}")
        object.__setattr__(self, "secret_key", Secret(self.secret_key))
        if self.token:
            object.__setattr__(self, "token", Secret(self.token))

    def __repr__(self) -> str:
        return f"Credentials(access_key='…{self.access_key[-4:]}', expires={self.expires})"

    def __copy__(self) -> Credentials:
        return self

    def __deepcopy__(self, memo: object) -> Credentials:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        raise CredentialsError(
            "credentials given in code are not pickled, because the pickle would carry the secret",
            hint="For other processes, set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, name a profile, "
            "or give a function that can be imported by name and returns the credentials",
        )


def _unusable(part: str) -> CredentialsError:
    return CredentialsError(
        f"the {part} is empty, or has a blank or another character in it that no key has", hint="Look at where it was copied from"
    )


class _Moment(NamedTuple):
    """All of a signature that stays the same for one second and one pair of keys."""

    second: int
    credentials: Credentials
    stamp: str
    # Keyed, and already fed every line of the string to sign but the last, the hash of the canonical request.
    mac: hmac.HMAC
    # The access key and what it signs for: "AKID.../20240101/us-east-1/s3/aws4_request".
    credential: str
    # For a host and a set of headers: the canonical headers before and after the body's hash, and the Authorization header up to
    # the signature. Most requests of one second differ only in their path.
    frames: dict[tuple[object, ...], tuple[str, str, str]]

    def __repr__(self) -> str:
        # Canonical headers hold the token, and keys of the customer's.
        return f"<_Moment {self.stamp}>"


class Signer:
    """Signs requests to one service in one region. It keeps no credentials in a pickle, and is safe to share between threads."""

    def __init__(self, region: str, service: str = "s3") -> None:
        self.region = region
        self.service = service
        self._moment: _Moment | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        return Signer, (self.region, self.service)

    def sign(
        self,
        method: str,
        host: str,
        path: str,
        query: str,
        headers: Mapping[str, str],
        payload_hash: str,
        credentials: Credentials,
        now: float,
    ) -> dict[str, str]:
        """Return the headers to add to a request: ``authorization``, ``x-amz-date``, ``x-amz-content-sha256`` and the token's.

        Args:
            method: the HTTP method in capitals.
            host: the ``Host`` header just as it is sent, with the port where it has one.
            path: the absolute path just as it is sent, already percent-encoded (`encode_path`).
            query: the query just as it is sent, already encoded and sorted (`canonical_query`); ``""`` for none.
            headers: the request's other headers, names in lower case. Those that S3 wants signed are; the rest is left out.
            payload_hash: the body's `payload_hash`, `EMPTY_SHA256` or `UNSIGNED_PAYLOAD`.
            credentials: who signs.
            now: the service's time in POSIX seconds: the caller corrects for the skew of the local clock.
        """
        moment = self._moment
        if moment is None or moment.second != int(now) or moment.credentials is not credentials:
            moment = self._moment = self._moment_at(int(now), credentials)
        added = {"x-amz-date": moment.stamp, "x-amz-content-sha256": payload_hash}
        if credentials.token:
            added["x-amz-security-token"] = credentials.token
        extra = [(name, headers[name]) for name in headers if name.startswith(_SIGNED_HEADERS)]
        key = (host, *extra)
        frame = moment.frames.get(key)
        if frame is None:
            frame = _frame(moment, dict(extra) | added | {"host": host})
            if len(moment.frames) < _FRAMES_KEPT:
                moment.frames[key] = frame
        before, after, authorization = frame
        canonical = f"{method}\n{path}\n{query}\n{before}{payload_hash}\n{after}\n{payload_hash}"
        added["authorization"] = authorization + _signature(moment, canonical)
        return added

    def authorization(
        self,
        method: str,
        path: str,
        query: str,
        signed: Mapping[str, str],
        payload_hash: str,
        *,
        credentials: Credentials,
        now: float,
    ) -> str:
        """Return the ``Authorization`` header that signs exactly the headers in ``signed``, names in lower case, ``host`` among them.

        The other arguments are those of `sign`.
        """
        moment = self._moment_at(int(now), credentials)
        names = sorted(signed)
        lines = "".join([f"{name}:{_trimmed(signed[name])}\n" for name in names])
        listed = ";".join(names)
        canonical = f"{method}\n{path}\n{query}\n{lines}\n{listed}\n{payload_hash}"
        return f"{_ALGORITHM} Credential={moment.credential}, SignedHeaders={listed}, Signature={_signature(moment, canonical)}"

    def presign(
        self,
        method: str,
        scheme: str,
        host: str,
        path: str,
        query: str = "",
        *,
        expires: float,
        credentials: Credentials,
        now: float,
    ) -> str:
        """Return a URL that lets whoever holds it make this one request; nothing is sent.

        Args:
            method: the HTTP method in capitals that the URL is good for.
            scheme: ``"https"`` or ``"http"``.
            host: as in `sign`.
            path: as in `sign`.
            query: parameters of the request itself, already encoded (`canonical_query`), ``x-amz-*`` ones included.
            expires: for how many seconds, 1 to 604,800 (a week); fractions are dropped. It never outlives temporary credentials.
            credentials: who signs.
            now: as in `sign`.

        Raises:
            InvalidOption: ``expires`` is out of bounds.
        """
        if not 1 <= expires <= _LONGEST_PRESIGNED:
            raise InvalidOption(f"expires must be 1 to {_LONGEST_PRESIGNED} seconds, not {expires!r}")
        moment = self._moment_at(int(now), credentials)
        authentication = [
            ("X-Amz-Algorithm", _ALGORITHM),
            ("X-Amz-Credential", moment.credential),
            ("X-Amz-Date", moment.stamp),
            ("X-Amz-Expires", str(int(expires))),
            ("X-Amz-SignedHeaders", "host"),
        ]
        if credentials.token:
            authentication.append(("X-Amz-Security-Token", credentials.token))
        query = _sorted_query([*_split_query(query), *_encoded(authentication)])
        signature = _signature(moment, f"{method}\n{path}\n{query}\nhost:{host}\n\nhost\n{UNSIGNED_PAYLOAD}")
        return f"{scheme}://{host}{path}?{query}&X-Amz-Signature={signature}"

    def _moment_at(self, second: int, credentials: Credentials) -> _Moment:
        moment = self._moment
        if moment is not None and moment.second == second and moment.credentials is credentials:
            return moment
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(second))
        scope = f"{stamp[:8]}/{self.region}/{self.service}/aws4_request"
        key = _signing_key(credentials.secret_key, stamp[:8], self.region, self.service)
        mac = hmac.new(key, f"{_ALGORITHM}\n{stamp}\n{scope}\n".encode(), "sha256")
        return _Moment(second, credentials, stamp, mac, f"{credentials.access_key}/{scope}", {})


def _frame(moment: _Moment, signed: Mapping[str, str]) -> tuple[str, str, str]:
    """What surrounds the body's hash in the canonical headers and after them, and the Authorization header up to the signature."""
    names = sorted(signed)
    split = names.index("x-amz-content-sha256")
    before = "".join([f"{name}:{_trimmed(signed[name])}\n" for name in names[:split]])
    after = "".join([f"{name}:{_trimmed(signed[name])}\n" for name in names[split + 1 :]])
    listed = ";".join(names)
    authorization = f"{_ALGORITHM} Credential={moment.credential}, SignedHeaders={listed}, Signature="
    return f"{before}x-amz-content-sha256:", f"{after}\n{listed}", authorization


def _signature(moment: _Moment, canonical_request: str) -> str:
    mac = moment.mac.copy()
    mac.update(sha256(canonical_request.encode()).hexdigest().encode())
    return mac.hexdigest()


def _trimmed(value: str) -> str:
    value = value.strip()
    return _RUNS_OF_SPACES(" ", value) if "  " in value else value


@lru_cache(maxsize=16)
def _signing_key(secret_key: str, date: str, region: str, service: str) -> bytes:
    key = f"AWS4{secret_key}".encode()
    for part in (date, region, service, "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key


def payload_hash(buffers: Iterable[bytes | bytearray | memoryview]) -> str:
    """Return the SHA-256 of a body given in pieces, as hexadecimal digits. Nothing is copied."""
    digest = sha256()
    for buffer in buffers:
        digest.update(buffer)
    return digest.hexdigest()


def encode_path(key: str) -> str:
    """Percent-encode a key for a path: all but ``A-Z a-z 0-9 - . _ ~ /``, as UTF-8, exactly once.

    Raises:
        InvalidURI: the key cannot be written in UTF-8.
    """
    return _quoted(key, "/") if _UNSAFE_IN_PATH(key) else key


def encode_query_value(value: str) -> str:
    """Percent-encode a name or value for a query: all but ``A-Z a-z 0-9 - . _ ~``, as UTF-8, exactly once.

    Raises:
        InvalidURI: the value cannot be written in UTF-8.
    """
    return _quoted(value, "") if _UNSAFE_IN_QUERY(value) else value


def canonical_query(parameters: Iterable[tuple[str, str]]) -> str:
    """Return a query string, encoded and in the order that a signature needs, from names and values as they are meant.

    Raises:
        InvalidURI: a name or value cannot be written in UTF-8.
    """
    return _sorted_query(_encoded(parameters))


def _encoded(parameters: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    return [(encode_query_value(name), encode_query_value(value)) for name, value in parameters]


def _split_query(query: str) -> list[tuple[str, str]]:
    return [(name, value) for name, _, value in (part.partition("=") for part in query.split("&") if part)]


def _sorted_query(encoded: list[tuple[str, str]]) -> str:
    # By name and then by value: sorting whole "name=value" strings would put "a-b=" before "a=", because "-" comes before "=".
    return "&".join([f"{name}={value}" for name, value in sorted(encoded)])


def _quoted(text: str, safe: str) -> str:
    try:
        return quote(text, safe)
    except UnicodeEncodeError as error:
        raise InvalidURI(
            f"{text!r} holds a lone surrogate and cannot be written in UTF-8",
            hint="The name was probably decoded from bytes that are not UTF-8",
        ) from error
