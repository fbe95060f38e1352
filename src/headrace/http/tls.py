"""TLS contexts: verified by default, and never weakened without saying so."""

from __future__ import annotations

import functools
import logging
import os
import ssl

from headrace.errors import InvalidOption

__all__ = ["client_context"]

_log = logging.getLogger("headrace")


@functools.lru_cache(maxsize=32)
def client_context(ca_bundle: str | None, *, verify: bool, protocols: tuple[str, ...] = ("http/1.1",)) -> ssl.SSLContext:
    """The context for outgoing connections; one for each combination, since loading certificates takes milliseconds.

    Args:
        ca_bundle: a PEM file, or a directory of hashed certificates, to trust instead of the system's. The system's follow
            ``SSL_CERT_FILE`` and ``SSL_CERT_DIR``.
        verify: check the chain and the host name.
        protocols: what the server may choose from (ALPN, RFC 7301), the preferred one first.

    Raises:
        InvalidOption: the bundle cannot be read.
    """
    context = ssl.create_default_context() if ca_bundle is None else _trusting_only(ca_bundle)
    if not verify:
        _log.warning("TLS certificates are not verified (verify_tls=False): anyone on the path can read and change the data")
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    # Whatever the system's configuration of OpenSSL allows.
    context.minimum_version = max(context.minimum_version, ssl.TLSVersion.TLSv1_2)
    context.set_alpn_protocols(list(protocols))
    return context


def _trusting_only(ca_bundle: str) -> ssl.SSLContext:
    try:
        if os.path.isdir(ca_bundle):
            return ssl.create_default_context(capath=ca_bundle)
        return ssl.create_default_context(cafile=ca_bundle)
    except (OSError, ssl.SSLError) as error:
        raise InvalidOption(f"ca_bundle {ca_bundle!r} cannot be used: {error}", hint="Give a PEM file of trusted certificates.") from error
