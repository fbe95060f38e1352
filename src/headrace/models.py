"""The values that verbs return."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

from headrace.errors import HeadraceError

__all__ = ["BucketInfo", "Item", "ObjectInfo", "Prefix"]

_NOTHING: Mapping[str, str] = {}


class ObjectInfo(NamedTuple):
    """What is known of one object. What a reply did not carry is None, never a guess. Later versions may add fields at the end.

    Attributes:
        uri: the object's URI.
        size: bytes; -1 where a web server does not tell it before it has sent all.
        etag: the service's opaque version tag, just as it sent it (quotes included); pass it back as ``if_match``.
        last_modified: timezone-aware.
        content_type: the media type; None in listings.
        metadata: the user's own key-value pairs; empty in listings.
        version_id: the version in a versioned bucket.
        storage_class: the service's word for the tier.
        checksum: ``"crc32c:<8 hex digits>"`` or the like, where the service or the file system reports one.
        buffered: True when a ``direct://`` object can only be reached through the page cache.
        whole_only: True when a web server sends an object only whole, whatever part of it is asked for.
    """

    uri: str
    size: int
    etag: str | None = None
    last_modified: datetime | None = None
    content_type: str | None = None
    metadata: Mapping[str, str] = _NOTHING
    version_id: str | None = None
    storage_class: str | None = None
    checksum: str | None = None
    buffered: bool | None = None
    whole_only: bool | None = None


class Prefix(NamedTuple):
    """A common prefix ("folder") in a listing that is not recursive; ``uri`` ends with ``/``."""

    uri: str


class BucketInfo(NamedTuple):
    """A bucket, container or top directory."""

    uri: str
    created: datetime | None = None


class Item(NamedTuple):
    """One result of a batch call. It pickles, ``data`` as a copy.

    Attributes:
        index: the position in the input, from 0.
        uri: the URI as it was given.
        data: the bytes (``get_many``), writable; None for other batches and for failures.
        info: the object's description, where the call learnt it.
        error: the failure, with ``on_error="yield"``; None on success.
    """

    # The name hides tuple.index, which nobody misses in an item.
    index: int  # type: ignore[assignment]
    uri: str
    data: memoryview | None = None
    info: ObjectInfo | None = None
    error: HeadraceError | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        # A view does not pickle; the bytes are copied.
        data = None if self.data is None else bytearray(self.data)
        return _restore_item, (self.index, self.uri, data, self.info, self.error)


def _restore_item(index: int, uri: str, data: bytearray | None, info: ObjectInfo | None, error: HeadraceError | None) -> Item:
    return Item(index, uri, None if data is None else memoryview(data), info, error)
