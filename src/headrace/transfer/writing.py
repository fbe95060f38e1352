"""Writing objects: in one piece, or in parallel parts that become visible together."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from headrace.backends.protocol import Body, Part, Upload, WriteOptions
from headrace.errors import IntegrityError, InvalidOption
from headrace.http.effects import Operation, Parallel, with_undo
from headrace.http.messages import FileRange
from headrace.models import ObjectInfo
from headrace.stores.store import Store
from headrace.uri import Location

__all__ = ["WritePlan", "part_size_for", "publish", "store_body"]


class WritePlan(NamedTuple):
    """How large writes are cut up.

    Attributes:
        threshold: bytes from which an object is written in parts.
        part_size: bytes of each part; more where the service's limit of parts would not suffice.
        at_once: parts in flight for one object.
    """

    threshold: int
    part_size: int
    at_once: int


def part_size_for(store: Store, size: int, wanted: int) -> int:
    """The size of parts for an object of ``size`` bytes: a whole number of MiB when it must exceed what is wanted.

    Raises:
        InvalidOption: the service cannot hold an object of this size.
    """
    least = -(-size // store.max_parts)
    part = max(wanted, store.min_part_size, -(-least // (1 << 20)) << 20)
    if part > store.max_part_size:
        raise InvalidOption(f"{size} bytes are more than {store.max_parts} parts of {store.max_part_size} bytes can hold")
    return part


def store_body(
    store: Store,
    location: Location,
    body: memoryview | FileRange,
    options: WriteOptions,
    plan: WritePlan,
    moved: Callable[[int], object] | None = None,
) -> Operation[ObjectInfo]:
    """Write an object; what is large goes in parallel parts, and ``moved`` is told the bytes of each that is there.

    On any failure the parts are removed and nothing is visible.
    """
    size = body.length if isinstance(body, FileRange) else body.nbytes
    if not store.uses_http or size < plan.threshold:
        return (yield from store.put(location, [body], options))

    def run(upload: Upload) -> Operation[ObjectInfo]:
        parts: list[Part] = yield Parallel((_told(part, moved) for part in _parts(store, upload, body, size, plan)), plan.at_once)
        return (yield from publish(store, upload, parts, size, options))

    return (yield from with_undo(store.start_upload(location, options), run, store.abort_upload))


def _told(operation: Operation[Part], moved: Callable[[int], object] | None) -> Operation[Part]:
    part = yield from operation
    if moved is not None:
        moved(part.size)
    return part


def publish(store: Store, upload: Upload, parts: Sequence[Part], size: int, options: WriteOptions) -> Operation[ObjectInfo]:
    """Complete an upload after counting its parts and bytes.

    Raises:
        IntegrityError: the parts are not numbered from 1 without gaps, or do not add up to ``size`` bytes.
    """
    numbers = [part.number for part in parts]
    total = sum(part.size for part in parts)
    if numbers != list(range(1, len(parts) + 1)) or total != size:
        raise IntegrityError(f"{len(parts)} parts of {total} bytes were written of an object of {size} bytes", uri=upload.location.uri)
    return (yield from store.complete_upload(upload, parts, options))


def _parts(store: Store, upload: Upload, body: memoryview | FileRange, size: int, plan: WritePlan) -> Iterator[Operation[Part]]:
    part_size = part_size_for(store, size, plan.part_size)
    for number, offset in enumerate(range(0, size, part_size), start=1):
        length = min(part_size, size - offset)
        piece: Body
        if isinstance(body, FileRange):
            piece = [FileRange(body.descriptor, body.offset + offset, length)]
        else:
            piece = [body[offset : offset + length]]
        yield store.put_part(upload, number, offset, piece)
