"""Which proxy, if any, a request goes through: ``HTTPS_PROXY``, ``HTTP_PROXY``, ``ALL_PROXY`` and ``NO_PROXY``."""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from headrace.errors import InvalidOption
from headrace.http.messages import Origin

__all__ = ["Proxy", "choose_proxy"]


class Proxy(NamedTuple):
    """An HTTP proxy. ``authorization`` is a secret: the value of ``Proxy-Authorization``, or None."""

    host: str
    port: int
    authorization: str | None = None

    def __repr__(self) -> str:
        return f"Proxy({self.host!r}, {self.port})"


_INVALID = Proxy("", 0)


def choose_proxy(origin: Origin, explicit: str | None = None, environ: Mapping[str, str] | None = None) -> Proxy | None:
    """The proxy for requests to ``origin``.

    An explicit proxy serves every host. One from the environment does not serve the hosts of ``NO_PROXY``: names (which
    include their subdomains), addresses, networks such as ``10.0.0.0/8``, or ``*``; each may be followed by ``:port``. A variable
    in lower case wins over one in upper case, even if it is empty.

    Raises:
        InvalidOption: the proxy is not an ``http://`` URL.
    """
    proxy = _parse(explicit) if explicit is not None else _from_environment(origin, os.environ if environ is None else environ)
    if proxy == _INVALID:
        explicit = None  # it may hold a password, which a traceback's variables would show
        raise InvalidOption("a proxy is given as http://[user:password@]host:port", hint="SOCKS and HTTPS proxies are not supported.")
    return proxy


def _from_environment(origin: Origin, environ: Mapping[str, str]) -> Proxy | None:
    url = _variable(environ, f"{origin.scheme}_proxy") or _variable(environ, "all_proxy")
    return _parse(url) if url and not _excluded(origin, _variable(environ, "no_proxy") or "") else None


def _variable(environ: Mapping[str, str], name: str) -> str | None:
    # In a CGI program HTTP_PROXY is set by whoever sends the header "Proxy" (CVE-2016-5385).
    if name == "http_proxy" and "REQUEST_METHOD" in environ:
        return environ.get(name)
    return environ[name] if name in environ else environ.get(name.upper())


def _parse(url: str) -> Proxy | None:
    """The proxy that a URL names; none if it is empty, `_INVALID` if it names none."""
    if not url:
        return None
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    if parts.scheme != "http" or not parts.hostname:
        return _INVALID
    authorization = None
    if parts.username is not None:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        authorization = "Basic " + base64.b64encode(pair.encode()).decode()
    return Proxy(parts.hostname, port or 80, authorization)


def _excluded(origin: Origin, no_proxy: str) -> bool:
    host = origin.host.lower().rstrip(".")
    is_address = ":" in host or host.replace(".", "").isdigit()
    for entry in no_proxy.lower().replace(",", " ").split():
        name, port = _split_port(entry)
        if port in ("", str(origin.port)) and (name == "*" or (_in_network(host, name) if is_address else _in_domain(host, name))):
            return True
    return False


def _split_port(entry: str) -> tuple[str, str]:
    if entry.startswith("["):
        name, _, port = entry[1:].partition("]")
        return name, port.removeprefix(":")
    name, _, port = entry.partition(":") if entry.count(":") == 1 else (entry, "", "")
    return name, port


def _in_domain(host: str, domain: str) -> bool:
    domain = domain.removeprefix("*").lstrip(".")
    return domain != "" and (host == domain or host.endswith(f".{domain}"))


def _in_network(host: str, network: str) -> bool:
    import ipaddress

    try:
        return ipaddress.ip_address(host) in ipaddress.ip_network(network, strict=False)
    except ValueError:
        return False
