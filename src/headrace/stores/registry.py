"""Which store serves a URI: one for each scheme, made when it is first asked for."""

from __future__ import annotations

from collections.abc import Callable

from headrace.backends.protocol import Backend
from headrace.config import Resolved, merge
from headrace.errors import InvalidURI
from headrace.stores.retry import RetryPolicy
from headrace.stores.store import Store
from headrace.uri import OWN_SCHEMES, Location

__all__ = ["SCHEMES", "Stores"]

SCHEMES = ("s3", "file", "direct", "memory")


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
            MissingDependency: fsspec may know it, but is not installed, or lacks what that scheme needs.
            InvalidOption: an option does not suit the backend.
        """
        return self._stores.get(location.scheme) or self._open(location)

    def _open(self, location: Location) -> Store:
        if location.scheme not in SCHEMES:
            _require_foreign(location)
        resolved = self._options_for(location.scheme)
        policy = RetryPolicy(max_attempts=resolved.options.max_attempts)
        # Without a lock, which a fork could leave held for ever: of two stores made at once, one is dropped unused.
        return self._stores.setdefault(location.scheme, Store(_make_backend(location.scheme, resolved), policy))


def _require_foreign(location: Location) -> None:
    """Refuse a scheme that neither headrace nor fsspec knows."""
    from headrace.backends.fsspec import FsspecBackend

    if location.scheme in OWN_SCHEMES or not FsspecBackend.serves(location.scheme):
        hint = f"Known are {', '.join(SCHEMES)}, and what installed fsspec filesystems know."
        raise InvalidURI(f"unknown scheme {location.scheme!r}", uri=location.uri, hint=hint)


def _make_backend(scheme: str, resolved: Resolved) -> Backend:
    if scheme == "s3":
        return _make_s3(resolved)
    if scheme == "file":
        from headrace.backends.file import FileBackend

        return FileBackend(fsync=resolved.options.fsync)
    if scheme == "direct":
        from headrace.backends.direct import DirectBackend

        return DirectBackend(fsync=resolved.options.fsync)
    if scheme == "memory":
        from headrace.backends.memory import MemoryBackend

        return MemoryBackend()
    from headrace.backends.fsspec import FsspecBackend

    return FsspecBackend(scheme)


def _make_s3(resolved: Resolved) -> Backend:
    from headrace.auth import aws
    from headrace.backends.s3 import S3Backend

    options = resolved.options
    # A profile that the user names wins over keys in the environment; one that AWS_PROFILE names does not.
    profile = None if "AWS_PROFILE" in str(resolved.origins["profile"]) else options.profile
    if options.region is None and not options.anonymous and options.endpoint_url is None:
        options = merge(options, region=aws.region_from_profile(options.profile))
    source = None if options.anonymous else aws.chain(credentials=options.credentials, profile=profile)
    return S3Backend(options, source)
