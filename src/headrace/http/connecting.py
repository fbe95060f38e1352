"""What making a connection takes, whichever driver makes it: the settings, the words to a proxy, and errors that say what to do."""

from __future__ import annotations

import itertools
import random
import socket
import ssl
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from headrace.errors import ConnectionFailed, HeadraceError, Stalled
from headrace.http.messages import Origin
from headrace.http.proxy import Proxy

__all__ = ["AddressInfo", "Settings", "avoid", "connect_error", "connect_request", "in_turn", "resolve", "tunnel_refused"]

AddressInfo: TypeAlias = "tuple[socket.AddressFamily, socket.SocketKind, int, str, tuple[Any, ...]]"
"""One result of `socket.getaddrinfo`."""

_AVOIDED_SECONDS = 30.0

# By host. Each begins anywhere, or the first connections of many processes would all go to the same address.
_turns: defaultdict[str, itertools.count[int]] = defaultdict(lambda: itertools.count(random.randrange(1 << 16)))
_failed: dict[tuple[Any, ...], float] = {}

# By OpenSSL's numbers (x509_vfy.h).
_CERTIFICATE_HINTS = {
    9: "It is not valid yet: set this machine's clock, or wait.",
    10: "It has ended: whoever runs the service must renew it. Is this machine's clock right?",
    62: "It is for another host: is the endpoint right?",
    64: "It is for another address: use the host's name in the endpoint.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How connections are made; times are seconds, ``max_connections`` counts those to one origin."""

    connect_timeout: float = 10.0
    stall_timeout: float = 30.0
    max_connections: int = 128
    ca_bundle: str | None = None
    verify_tls: bool = True
    proxy: str | None = field(default=None, repr=False)  # may hold a password


def resolve(host: str, port: int) -> list[AddressInfo]:
    """The addresses of a host, in the order in which to try them; see `in_turn`. Blocks.

    In an executor's thread this frame is what tells a fork to wait: with a name the system loads a codec when it is first asked.

    Raises:
        OSError: the name cannot be resolved.
        UnicodeError: it cannot be the name of a host.
    """
    return in_turn(host, socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))


def in_turn(host: str, found: Sequence[AddressInfo]) -> list[AddressInfo]:
    """The addresses of a host, in the order in which to try them for one connection: another one first each time.

    Of the order in which they were found, only the kinds (IPv6, IPv4) are kept: it says which of them this machine reaches best
    (RFC 6724). What did not answer within the last half minute comes last.
    """
    if len(found) < 2:
        return list(found)
    turn, now = next(_turns[host]), time.monotonic()
    families = [info[0] for info in found]
    ordered: list[AddressInfo] = []
    for family in dict.fromkeys(families):
        same = [info for info in found if info[0] == family]
        first = turn % len(same)
        ordered += same[first:] + same[:first]
    return sorted(ordered, key=lambda info: _failed.get(info[4], now) > now) if _failed else ordered


def avoid(info: AddressInfo) -> None:
    """Take note of an address that could not be connected to."""
    now = time.monotonic()
    for address in [address for address, until in list(_failed.items()) if until <= now]:
        _failed.pop(address, None)
    _failed[info[4]] = now + _AVOIDED_SECONDS


def connect_request(origin: Origin, proxy: Proxy) -> bytes:
    """The bytes of a CONNECT request."""
    host = f"[{origin.host}]" if ":" in origin.host else origin.host
    lines = [f"CONNECT {host}:{origin.port} HTTP/1.1", f"host: {host}:{origin.port}"]
    if proxy.authorization:
        lines.append(f"proxy-authorization: {proxy.authorization}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def tunnel_refused(status: int, origin: Origin, proxy: Proxy) -> HeadraceError:
    """The error for a proxy that does not open a tunnel."""
    hint = "The proxy wants a user name and password." if status == 407 else "Check HTTPS_PROXY and NO_PROXY, or the option `proxy`."
    return ConnectionFailed(f"the proxy {proxy.host}:{proxy.port} refused a tunnel to {origin}", status=status, hint=hint)


def connect_error(error: OSError | UnicodeError, origin: Origin, proxy: Proxy | None, settings: Settings) -> HeadraceError:
    """Say what went wrong while connecting, and what to do."""
    target = f"{origin} through the proxy {proxy.host}:{proxy.port}" if proxy else str(origin)
    if isinstance(error, ssl.SSLCertVerificationError):
        return ConnectionFailed(
            f"the TLS certificate of {origin} is not trusted: {error.verify_message}",
            code="certificate",
            hint=_CERTIFICATE_HINTS.get(
                error.verify_code, "If the service has its own authority, name it with ca_bundle= (HEADRACE_CA_BUNDLE)."
            ),
        )
    if isinstance(error, ssl.SSLError):
        too_old = error.reason in ("UNSUPPORTED_PROTOCOL", "TLSV1_ALERT_PROTOCOL_VERSION")
        hint = "The server has no TLS 1.2 or newer, which is needed." if too_old else "Is it an http:// endpoint?"
        return ConnectionFailed(f"TLS with {origin} failed: {error.reason or error}", code="tls", hint=hint)
    if isinstance(error, (socket.gaierror, UnicodeError)):
        return ConnectionFailed(f"cannot resolve {(proxy or origin).host!r}", code="resolve", hint="Check the endpoint and the network.")
    if isinstance(error, TimeoutError):
        return Stalled(f"no connection to {target} within {settings.connect_timeout:g} s", code="connect")
    if isinstance(error, ConnectionRefusedError):
        return ConnectionFailed(f"{target} refused the connection", code="refused", hint="Is the server running, and the port right?")
    return ConnectionFailed(f"cannot connect to {target}: {error.strerror or error}", code="connect")
