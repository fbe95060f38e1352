"""What a storage service must be able to do. Every method gives an operation: it describes the work and does no I/O itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol, TypeAlias, TypeVar

from headrace import memory
from headrace.errors import HeadraceError, InvalidOption, NotSupported, ProtocolError
from headrace.http.effects import Operation
from headrace.http.messages import FileRange
from headrace.models import BucketInfo, ObjectInfo, Prefix
from headrace.uri import Location

__all__ = [
    "Again",
    "Allocate",
    "Backend",
    "Body",
    "Continuation",
    "Entry",
    "Fetched",
    "Landing",
    "Page",
    "Part",
    "Upload",
    "UploadInfo",
    "WriteOptions",
    "allocate_fresh",
    "body_length",
    "once",
    "resolve_range",
]

T = TypeVar("T")

Body: TypeAlias = Sequence[memoryview | FileRange]
Entry: TypeAlias = ObjectInfo | Prefix
Allocate: TypeAlias = Callable[[ObjectInfo, int, int], memoryview]
"""``allocate(info, start, length)`` gives writable memory for ``length`` bytes from ``start`` of the object ``info``."""


class Again(Protocol):
    """Performs a step of a long act, and tries it again by itself where it fails in a way that time may heal."""

    def __call__(self, attempt: Callable[[], Operation[T]], /) -> Operation[T]:
        """The step's operation; ``attempt()`` gives a new one for each try."""


def once(attempt: Callable[[], Operation[T]], /) -> Operation[T]:
    """An `Again` without patience."""
    return attempt()


def body_length(body: Body) -> int:
    """Bytes in a body."""
    return sum([part.nbytes if type(part) is memoryview else part.length for part in body])


def resolve_range(size: int, start: int | None, length: int | None) -> tuple[int, int]:
    """The first byte, and the number of bytes, that a get with these arguments gives of an object of ``size`` bytes.

    Raises:
        InvalidOption: ``start`` is beyond the end, or ``length`` is negative.
    """
    if start is None:
        start = 0
    elif start < 0:
        start = max(size + start, 0)
    elif start > size:
        raise InvalidOption(f"start {start} is beyond the end: the object has {size} bytes")
    if length is None:
        return start, size - start
    if length < 0:
        raise InvalidOption(f"a length cannot be negative: {length}")
    return start, min(length, size - start)


def allocate_fresh(info: ObjectInfo, start: int, length: int) -> memoryview:
    """Fresh memory, whatever it is for.

    Raises:
        NotSupported: this machine does not have so much.
    """
    try:
        return memory.fresh(length)
    except MemoryError:
        hint = "Read it in parts, by get_ranges() or open(), or into= a file that is mapped into memory."
        raise NotSupported(f"{length} bytes are more than the memory of this machine", hint=hint) from None


class Landing:
    """Where the bytes of one get go, and how far they came.

    Attributes:
        info: the object, once the service has described it.
        start: the object's byte that ``view`` begins with.
        view: the memory; None until the first byte is about to arrive.
        received: bytes of ``view`` that are in place. A backend keeps it right when a get fails, so that it can be resumed.
    """

    __slots__ = ("_allocate", "info", "received", "start", "view")

    def __init__(self, allocate: Allocate | None = None) -> None:
        self._allocate = allocate
        self.info: ObjectInfo | None = None
        self.start = 0
        self.view: memoryview | None = None
        self.received = 0

    def reach(self, length: int | None) -> int | None:
        """How many bytes are welcome, None for all to the end, if more come than the ``length`` that is asked for."""
        return length

    def place(self, info: ObjectInfo, start: int, length: int, *, default: Allocate = allocate_fresh) -> memoryview:
        """The memory for ``length`` bytes from ``start``; called by the backend when it knows what will come.

        ``default`` allocates it if the caller did not say where the bytes go.
        """
        self.info, self.start, self.received = info, start, 0
        self.view = view = (self._allocate or default)(info, start, length)
        return view


class Fetched(NamedTuple):
    """The result of a get: ``data`` holds the object's bytes from ``start``; ``info.size`` is that of the whole object."""

    data: memoryview
    info: ObjectInfo
    start: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteOptions:
    """How an object is written.

    Attributes:
        if_match: replace only the version with this ETag.
        create_only: fail if there is an object of this name.
        content_type: the media type; None leaves it to the service.
        metadata: the user's own key-value pairs.
        storage_class: the service's word for a tier.
    """

    if_match: str | None = None
    create_only: bool = False
    content_type: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    storage_class: str | None = None

    @property
    def conditional(self) -> bool:
        """Whether doing the same again could fail because it was done before."""
        return self.create_only or self.if_match is not None


class Page(NamedTuple):
    """A part of a listing, in key order; ``token`` continues it, None at the end."""

    entries: Sequence[Entry]
    token: str | None


class Continuation:
    """What asks for one page of a listing after another, watched so that a server cannot lead round in circles for ever.

    One of the earlier tokens is kept to compare with, another one after 1, 2, 4, 8, ... pages (Brent's cycle detection): however
    long the circle is, it is noticed before it has been gone round three times.
    """

    def __init__(self) -> None:
        self._kept: object = None
        self._pages = 0
        self._keep_at = 1

    def follow(self, token: object) -> None:
        """Take note of the token of the next page, None if there is none.

        Raises:
            ProtocolError: it led to a page before.
        """
        if token is not None and token == self._kept:
            raise ProtocolError("the listing goes round in circles: the service gave the same continuation token again")
        self._pages += 1
        if self._pages == self._keep_at:
            self._kept, self._keep_at = token, 2 * self._keep_at


class Upload(NamedTuple):
    """A write in parts that is under way; nothing is visible before it is completed."""

    location: Location
    id: str


class Part(NamedTuple):
    """A part that the service has taken; ``checksum`` is the base64 CRC-32C that was sent with it, if one was."""

    number: int
    etag: str
    size: int
    checksum: str | None = None


class UploadInfo(NamedTuple):
    """An unfinished upload that a listing found; ``started`` is POSIX seconds."""

    upload: Upload
    started: float | None


class Backend(Protocol):
    """One storage service.

    Attributes:
        scheme: the canonical URI scheme.
        uses_http: whether its operations are HTTP exchanges; if not, they are blocking system calls.
        min_part_size, max_part_size, max_parts: the service's limits for writes in parts; bytes, bytes, count.
        delete_batch_size: locations that `delete_batch` takes at most.

    All methods raise the errors of `headrace.errors`; ``NotFound`` names what is missing, the object or its container.
    Keys are literal. Locations are of this backend's scheme.
    """

    scheme: str
    uses_http: bool
    min_part_size: int
    max_part_size: int
    max_parts: int
    delete_batch_size: int

    def get(
        self, location: Location, landing: Landing, *, start: int | None = None, length: int | None = None, if_match: str | None = None
    ) -> Operation[Fetched]:
        """Read an object, or ``length`` bytes from ``start`` of it; a negative ``start`` counts from the end.

        What goes past the end is left out. ``start`` equal to the size gives nothing; beyond it: `InvalidOption`.
        With ``if_match`` another version raises `ObjectChanged`.
        """

    def head(self, location: Location) -> Operation[ObjectInfo]:
        """Describe an object."""

    def put(self, location: Location, body: Body, options: WriteOptions) -> Operation[ObjectInfo]:
        """Write an object in one piece: readers see the old or the new one, never a part.

        Raises `AlreadyExists` (create_only) and `PreconditionFailed` (if_match).
        """

    def delete(self, location: Location) -> Operation[None]:
        """Delete an object; `NotFound` only where the service tells."""

    def delete_batch(self, locations: Sequence[Location]) -> Operation[Sequence[HeadraceError | None]]:
        """Delete objects of one container; tell for each what went wrong, if anything. Missing ones count as deleted."""

    def delete_empty_directories(self, location: Location) -> Operation[None]:
        """Remove directories at and below a prefix that hold nothing; does nothing where keys need no directories."""

    def list_page(
        self, location: Location, *, recursive: bool, start_after: str | None, token: str | None, follow_links: bool = True
    ) -> Operation[Page]:
        """List what has ``location.key`` as a prefix, in key order, a page at a time.

        Not recursive: what follows the next ``/`` after the prefix is folded into one `Prefix`. ``start_after`` is a key. With
        ``follow_links=False`` symbolic links, where there are such, are entries of their own, and nothing behind them is listed.
        """

    def copy(self, source: Location, destination: Location, options: WriteOptions, *, again: Again = once) -> Operation[ObjectInfo]:
        """Copy an object within the service, with its content type and metadata; of any size.

        What takes many requests tries each ``again`` rather than begin anew.
        """

    def start_upload(self, location: Location, options: WriteOptions) -> Operation[Upload]:
        """Begin a write in parts."""

    def put_part(self, upload: Upload, number: int, offset: int, body: Body) -> Operation[Part]:
        """Write part ``number`` (from 1), which begins at byte ``offset`` of the object. Doing it again replaces it."""

    def complete_upload(self, upload: Upload, parts: Sequence[Part], options: WriteOptions) -> Operation[ObjectInfo]:
        """Make the object visible, of the given parts in their order; raises as `put` does."""

    def abort_upload(self, upload: Upload) -> Operation[None]:
        """Give up a write in parts and free what it holds; an upload that is unknown counts as aborted."""

    def list_parts(self, upload: Upload) -> Operation[Sequence[Part]]:
        """The parts that the service has."""

    def list_uploads(self, location: Location) -> Operation[Sequence[UploadInfo]]:
        """Unfinished uploads whose key begins with ``location.key``."""

    def create_container(self, location: Location) -> Operation[None]:
        """Create a bucket, container or directory; `AlreadyExists` if it is there."""

    def delete_container(self, location: Location) -> Operation[None]:
        """Delete an empty bucket, container or directory; `ServiceError` with code ``NotEmpty`` if it is not empty."""

    def list_containers(self, location: Location) -> Operation[Sequence[BucketInfo]]:
        """The buckets or containers that the credentials may list."""

    def presign(self, location: Location, *, method: str, expires: int) -> Operation[str]:
        """A URL that allows one method on one object for ``expires`` seconds; `NotSupported` where there is no such thing."""
