"""The batch verbs: what each does with one input.

What runs a batch, asyncio with it, is imported by the first batch.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from headrace import memory
from headrace.backends.protocol import Fetched, WriteOptions
from headrace.errors import InvalidOption
from headrace.http.effects import Operation
from headrace.models import Item, ObjectInfo
from headrace.transfer.session import Session
from headrace.transfer.writing import store_body
from headrace.uri import URI

if TYPE_CHECKING:
    from headrace.transfer.batch import Batch

__all__ = ["gets", "puts", "stats", "write_options"]


def write_options(
    *,
    if_match: str | None = None,
    create_only: bool = False,
    content_type: str | None = None,
    metadata: Mapping[str, str] | None = None,
    storage_class: str | None = None,
) -> WriteOptions:
    """Check the options of a write.

    Raises:
        InvalidOption: ``if_match`` with ``create_only``.
    """
    if create_only and if_match is not None:
        raise InvalidOption("create_only and if_match exclude each other: one wants no object, the other a certain one")
    return WriteOptions(
        if_match=if_match, create_only=create_only, content_type=content_type, metadata=dict(metadata or {}), storage_class=storage_class
    )


def gets(session: Session, *, concurrency: int | None, ordered: bool, on_error: str) -> Batch[URI, Fetched]:
    """The batch behind ``get_many``."""
    from headrace.transfer.batch import Batch

    return Batch(
        operation=session.fetch,
        item=lambda index, uri, fetched: Item(index, str(uri), fetched.data, fetched.info),
        uses_http=session.uses_http,
        concurrency=_checked(concurrency),
        ordered=ordered,
        raise_errors=_raises(on_error),
        uri_of=str,
    )


def puts(session: Session, *, concurrency: int | None, on_error: str) -> Batch[tuple[URI, Any], ObjectInfo]:
    """The batch behind ``put_many``."""
    from headrace.transfer.batch import Batch

    options = WriteOptions()

    def operation(item: tuple[URI, Any]) -> Operation[ObjectInfo]:
        uri, data = item
        store, location = session.locate_object(uri)
        return store_body(store, location, memory.source(data), options, session.write_plan)

    return Batch(
        operation=operation,
        item=lambda index, item, info: Item(index, str(item[0]), info=info),
        size_of=lambda item: memory.source(item[1]).nbytes,
        uses_http=lambda item: session.uses_http(item[0]),
        concurrency=_checked(concurrency),
        raise_errors=_raises(on_error),
        uri_of=lambda item: str(item[0]),
    )


def stats(session: Session, *, concurrency: int | None, ordered: bool, on_error: str) -> Batch[URI, ObjectInfo]:
    """The batch behind ``stat_many``."""
    from headrace.transfer.batch import Batch

    def operation(uri: URI) -> Operation[ObjectInfo]:
        store, location = session.locate_object(uri)
        return store.head(location)

    return Batch(
        operation=operation,
        item=lambda index, uri, info: Item(index, str(uri), info=info),
        uses_http=session.uses_http,
        concurrency=_checked(concurrency),
        ordered=ordered,
        raise_errors=_raises(on_error),
        uri_of=str,
    )


def _checked(concurrency: int | None) -> int | None:
    if concurrency is not None and concurrency < 1:
        raise InvalidOption(f"concurrency must be a number of at least 1, or None, got {concurrency!r}")
    return concurrency


def _raises(on_error: str) -> bool:
    if on_error not in ("raise", "yield"):
        raise InvalidOption(f"on_error must be 'raise' or 'yield', got {on_error!r}")
    return on_error == "raise"
