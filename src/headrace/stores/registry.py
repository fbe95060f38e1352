"""Which store serves a URI: one for each scheme, made when it is first asked for."""

from __future__ import annotations

from collections.abc import Callable

from headrace.config import Resolved
from headrace.stores.making import make_backend, make_endpoints, require_known
from headrace.stores.retry import RetryPolicy
from headrace.stores.store import Store
from headrace.uri import Location

__all__ = ["Stores"]


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
        require_known(location)
        resolved = self._options_for(location.scheme)
        endpoints = make_endpoints(location.scheme, resolved.options)
        policy = RetryPolicy(max_attempts=resolved.options.max_attempts, endpoints=endpoints)
        # Without a lock, which a fork could leave held for ever: of two stores made at once, one is dropped unused.
        return self._stores.setdefault(location.scheme, Store(make_backend(location.scheme, resolved, endpoints), policy))
