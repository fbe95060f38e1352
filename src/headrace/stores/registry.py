"""Which store serves a URI: one for each scheme, made when it is first asked for."""

from __future__ import annotations

from collections.abc import Callable

from headrace.backends.protocol import Backend
from headrace.config import Options, Resolved, merge
from headrace.endpoints import Endpoints
from headrace.errors import InvalidURI
from headrace.http.connecting import Settings
from headrace.stores.retry import RetryPolicy
from headrace.stores.store import Store
from headrace.uri import Location

__all__ = ["SCHEMES", "Stores", "connection_settings"]

SCHEMES = ("s3", "az", "gs", "file", "direct", "memory", "http", "https")
_WITH_ENDPOINTS = frozenset({"s3"})


def connection_settings(options: Options) -> Settings:
    """How the options want connections to be made."""
    return Settings(
        connect_timeout=options.connect_timeout,
        stall_timeout=options.stall_timeout,
        max_connections=options.max_connections,
        ca_bundle=options.ca_bundle,
        verify_tls=options.verify_tls,
        proxy=options.proxy,
    )


class Stores:
    """The stores of one client.

    Args:
        options_for: gives the options for a scheme; each service has environment variables of its own.
    """

    def __init__(self, options_for: Callable[[str], Resolved]) -> None:
        self._options_for = options_for
        self._stores: dict[str, Store] = {}

    def of(self, location: Location) -> Store:
        """The store that serves this location.

        Raises:
            InvalidURI: no backend knows the scheme.
            InvalidOption: an option does not suit the backend.
        """
        return self._stores.get(location.scheme) or self._open(location)

    def _open(self, location: Location) -> Store:
        if location.scheme not in SCHEMES:
            raise InvalidURI(f"unknown scheme {location.scheme!r}", uri=location.uri, hint=f"Known are {', '.join(SCHEMES)}.")
        resolved = self._options_for(location.scheme)
        endpoints = _make_endpoints(resolved.options) if location.scheme in _WITH_ENDPOINTS else None
        policy = RetryPolicy(max_attempts=resolved.options.max_attempts, endpoints=endpoints)
        # Without a lock, which a fork could leave held for ever: of two stores made at once, one is dropped unused.
        return self._stores.setdefault(location.scheme, Store(_make_backend(location.scheme, resolved, endpoints), policy))


def _make_endpoints(options: Options) -> Endpoints | None:
    return Endpoints(options.endpoints, options.endpoint_strategy) if options.endpoints else None


def _make_backend(scheme: str, resolved: Resolved, endpoints: Endpoints | None) -> Backend:
    if scheme == "s3":
        return _make_s3(resolved, endpoints)
    if scheme == "gs":
        return _make_gcs(resolved)
    if scheme == "az":
        return _make_azure(resolved)
    if scheme in ("http", "https"):
        return _make_web(scheme, resolved)
    if scheme == "file":
        from headrace.backends.file import FileBackend

        return FileBackend(fsync=resolved.options.fsync)
    if scheme == "direct":
        from headrace.backends.direct import DirectBackend

        return DirectBackend(fsync=resolved.options.fsync)
    from headrace.backends.memory import MemoryBackend

    return MemoryBackend()


def _make_web(scheme: str, resolved: Resolved) -> Backend:
    from headrace.backends.web import WebBackend
    from headrace.http.redirects import Redirects

    return WebBackend(scheme, Redirects(resolved.options.follow_redirects, resolved.options.max_redirects))


def _make_s3(resolved: Resolved, endpoints: Endpoints | None) -> Backend:
    from headrace.auth import aws
    from headrace.backends.s3 import S3Backend

    options = resolved.options
    # A profile that the user names wins over keys in the environment; one that AWS_PROFILE names does not.
    profile = None if "AWS_PROFILE" in str(resolved.origins["profile"]) else options.profile
    if options.region is None and not options.anonymous and options.endpoint_url is None and endpoints is None:
        options = merge(options, region=aws.region_from_profile(options.profile))
    source = None if options.anonymous else aws.chain(credentials=options.credentials, profile=profile)
    return S3Backend(options, source, endpoints)


def _make_gcs(resolved: Resolved) -> Backend:
    from headrace.auth import gcs
    from headrace.backends.gcs import GcsBackend

    options = resolved.options
    # An emulator knows no tokens, and may be anybody's: none is looked for.
    emulated = "STORAGE_EMULATOR_HOST" in str(resolved.origins["endpoint_url"])
    if options.anonymous or (emulated and options.credentials is None):
        return GcsBackend(options, None)
    return GcsBackend(options, gcs.chain(credentials=options.credentials, settings=connection_settings(options)))


def _make_azure(resolved: Resolved) -> Backend:
    from headrace.auth import azure
    from headrace.backends.azure import AzureBackend, account_in_url

    options = resolved.options
    guess = account_in_url(options.endpoint_url) if options.endpoint_url else None
    found = azure.find(account=options.account, guess=guess, credentials=options.credentials, anonymous=options.anonymous)
    return AzureBackend(options, found)
