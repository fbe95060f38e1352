"""Listings, a page at a time."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from headrace.backends.protocol import Continuation, Entry, Page
from headrace.errors import InvalidOption
from headrace.http.effects import Operation
from headrace.models import ObjectInfo
from headrace.stores.store import Store
from headrace.uri import Location, parse

__all__ = ["Lister"]


class Lister:
    """Reads one listing page by page; each call of `next_page` is an operation of its own, so that a consumer may stop between.

    Args:
        store: the store to ask.
        location: its key is the prefix.
        recursive: list all that begins with the prefix; otherwise fold what lies deeper into `Prefix` entries.
        pattern: a regular expression, searched in the part of the key after the prefix; only objects that match are listed.
        start_after: begin after this key (or URI).
        follow_links: list what is behind symbolic links; otherwise each is an entry of its own.

    Raises:
        InvalidOption: the pattern is not a regular expression.
    """

    def __init__(
        self,
        store: Store,
        location: Location,
        *,
        recursive: bool = True,
        pattern: str | None = None,
        start_after: str | None = None,
        follow_links: bool = True,
    ) -> None:
        self._store = store
        self._location = location
        self._recursive = recursive
        self._matches = _matcher(pattern, location)
        self._start_after = _key_in(location, start_after) if start_after and "://" in start_after else start_after
        self._follow_links = follow_links
        self._token: str | None = None
        self._continuation = Continuation()
        self.exhausted = False

    def next_page(self) -> Operation[Sequence[Entry]]:
        """The next entries, in key order; possibly none though more follow: see ``exhausted``.

        Raises:
            ProtocolError: the listing goes round in circles.
        """
        page: Page = yield from self._store.list_page(
            self._location, recursive=self._recursive, start_after=self._start_after, token=self._token, follow_links=self._follow_links
        )
        self._token = page.token
        self.exhausted = page.token is None
        self._continuation.follow(page.token)
        matches = self._matches
        return page.entries if matches is None else [entry for entry in page.entries if matches(entry)]


def _key_in(location: Location, uri: str) -> str:
    container = location.at("").uri
    return uri.removeprefix(container) if uri.startswith(container) else parse(uri).key


def _matcher(pattern: str | None, location: Location) -> Callable[[Entry], bool] | None:
    if pattern is None:
        return None
    try:
        search = re.compile(pattern).search
    except re.error as error:
        raise InvalidOption(f"pattern {pattern!r} is not a regular expression: {error}") from None
    skip = len(location.uri)
    return lambda entry: not isinstance(entry, ObjectInfo) or search(entry.uri[skip:]) is not None
