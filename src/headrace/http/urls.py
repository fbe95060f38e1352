"""URLs as they are sent: nothing in them is decoded or normalised, only what cannot be sent is encoded."""

from __future__ import annotations

import re

from headrace.errors import InvalidURI, without_secrets
from headrace.http.messages import Origin, Secret, parse_origin

__all__ = ["URL", "split_url"]

# What RFC 3986 has no place for, and percent signs that begin no encoded byte.
_UNSENDABLE = re.compile(r"[^!#$%&'()*+,\-./0-9:;=?@A-Z\[\]_a-z~]|%(?![0-9A-Fa-f]{2})")
_HOST = re.compile(r"[A-Za-z0-9._~-]+|[0-9A-Fa-f:.]+")
_END_OF_AUTHORITY = re.compile(r"[/?#\\]")


class URL(str):
    """A URL that is as any text, but does not show its password and query where variables or containers are shown."""

    __slots__ = ()

    def __repr__(self) -> str:
        shown = without_secrets(str(self)) or ""
        return repr(shown if shown == self else f"{shown}?(hidden)")


def split_url(url: str) -> tuple[Origin, Secret]:
    """The server that an absolute ``http://`` or ``https://`` URL names, and the target of a request there, its query included.

    What is percent-encoded stays as it is; a fragment is not sent (RFC 9110, section 4.2.5). The target may hold a signature.

    Raises:
        InvalidURI: another scheme, no host or one that cannot be, user information, or half of a character.
    """
    scheme, _, rest = url.partition("://")
    found = _END_OF_AUTHORITY.search(rest)
    authority, target = (rest, "") if found is None else (rest[: found.start()], rest[found.start() :])
    if not authority.isprintable():
        raise InvalidURI("the host of a URL holds a character that is none of a name's")
    origin, _ = parse_origin(f"{scheme}://{authority}")
    target = target.partition("#")[0]
    return origin._replace(host=_sendable_host(origin.host)), Secret(_encoded(target if target.startswith("/") else f"/{target}"))


def _sendable_host(host: str) -> str:
    try:
        ascii_host = host if host.isascii() else host.encode("idna").decode("ascii")
    except UnicodeError:
        ascii_host = ""
    if _HOST.fullmatch(ascii_host) is None:
        raise InvalidURI("the host of the URL cannot be the name of one")
    return ascii_host


def _encoded(target: str) -> str:
    try:
        return _UNSENDABLE.sub(lambda odd: "".join(f"%{byte:02X}" for byte in odd[0].encode(errors="surrogateescape")), target)
    except UnicodeEncodeError:
        # What the error quotes may be a secret.
        raise InvalidURI("the URL holds half of a character (a surrogate), which cannot be sent") from None
