"""A backend for each scheme, made from the options; a service's code is loaded when its scheme is first asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, TypeAlias

from headrace.backends.protocol import Backend
from headrace.config import Options, Resolved, merge
from headrace.errors import InvalidURI, NotSupported
from headrace.http.connecting import Settings
from headrace.uri import Location

if TYPE_CHECKING:
    from headrace.endpoints import Endpoints

__all__ = ["connection_settings", "make_backend", "make_endpoints", "require_known"]


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


def make_endpoints(scheme: str, options: Options) -> Endpoints | None:
    """The several endpoints of a service, if the options name such.

    Raises:
        NotSupported: they do, for a service that is reached by one.
    """
    if not options.endpoints:
        return None
    if scheme in _ONE_ENDPOINT:
        raise NotSupported(f"several endpoints are for s3:// alone, not for {scheme}://", hint="Use a client with endpoint_url.")
    if scheme != "s3":
        return None
    from headrace.endpoints import Endpoints

    return Endpoints(options.endpoints, options.endpoint_strategy)


def require_known(location: Location) -> None:
    """Refuse a scheme that neither headrace nor fsspec knows.

    Raises:
        InvalidURI: it is one.
        MissingDependency: fsspec may know it, but is not installed.
    """
    if location.scheme in _MAKERS:
        return
    from headrace.backends.fsspec import FsspecBackend

    if not FsspecBackend.serves(location.scheme):
        hint = f"Known are {', '.join(_MAKERS)}, and what installed fsspec filesystems know."
        raise InvalidURI(f"unknown scheme {location.scheme!r}", uri=location.uri, hint=hint)


def make_backend(scheme: str, resolved: Resolved, endpoints: Endpoints | None) -> Backend:
    """The backend of a scheme that is known.

    Raises:
        InvalidOption: an option does not suit it.
        MissingDependency: it needs something that is not installed.
    """
    if scheme in _MAKERS:
        return _MAKERS[scheme](resolved, endpoints)
    from headrace.backends.fsspec import FsspecBackend

    return FsspecBackend(scheme)


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


def _make_gcs(resolved: Resolved, _: object) -> Backend:
    from headrace.auth import gcs
    from headrace.backends.gcs import GcsBackend

    options = resolved.options
    # An emulator knows no tokens, and may be anybody's: none is looked for.
    emulated = "STORAGE_EMULATOR_HOST" in str(resolved.origins["endpoint_url"])
    if options.anonymous or (emulated and options.credentials is None):
        return GcsBackend(options, None)
    return GcsBackend(options, gcs.chain(credentials=options.credentials, settings=connection_settings(options)))


def _make_azure(resolved: Resolved, _: object) -> Backend:
    from headrace.auth import azure
    from headrace.backends.azure import AzureBackend, account_in_url

    options = resolved.options
    guess = account_in_url(options.endpoint_url) if options.endpoint_url else None
    found = azure.find(account=options.account, guess=guess, credentials=options.credentials, anonymous=options.anonymous)
    return AzureBackend(options, found)


def _make_web(scheme: str) -> _Maker:
    def make(resolved: Resolved, _: object) -> Backend:
        from headrace.backends.web import WebBackend
        from headrace.http.redirects import Redirects

        return WebBackend(scheme, Redirects(resolved.options.follow_redirects, resolved.options.max_redirects))

    return make


def _make_file(resolved: Resolved, _: object) -> Backend:
    from headrace.backends.file import FileBackend

    return FileBackend(fsync=resolved.options.fsync)


def _make_direct(resolved: Resolved, _: object) -> Backend:
    from headrace.backends.direct import DirectBackend

    return DirectBackend(fsync=resolved.options.fsync)


def _make_memory(*_: object) -> Backend:
    from headrace.backends.memory import MemoryBackend

    return MemoryBackend()


_Maker: TypeAlias = "Callable[[Resolved, Endpoints | None], Backend]"

_ONE_ENDPOINT = frozenset({"az", "gs"})

_MAKERS: Mapping[str, _Maker] = {
    "s3": _make_s3,
    "az": _make_azure,
    "gs": _make_gcs,
    "file": _make_file,
    "direct": _make_direct,
    "memory": _make_memory,
    "http": _make_web("http"),
    "https": _make_web("https"),
}
