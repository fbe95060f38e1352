"""Every verb of S3, as a table: what it does, and which of its requests a fault is to strike."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from headrace import Client
from headrace.errors import NotFound
from headrace.testing.contract.case import PART_SIZE, payload
from headrace.transfer.session import Session

SMALL = payload(20_000, seed=1)
LARGE = payload(200_000, seed=2)
IN_PARTS = payload(PART_SIZE + 30_000, seed=3)
OPTIONS = {"range_threshold": 64 << 10, "multipart_threshold": PART_SIZE, "part_size": PART_SIZE, "checksum": "crc32c"}
"""Client options with which LARGE is read in ranges and IN_PARTS is written in parts; checksums are sent in plain HTTP too."""

LISTED = 1001
"""Objects below ``listed/``: one more than a page has."""

MANY = 8


@dataclass
class Place:
    """Where a test works: a bucket with objects to read, and names for what it writes.

    Attributes:
        base: the URI of the bucket, ending with ``/``.
        scratch: a directory.
        written: what the object at each URI must be if the write that a verb makes succeeded.
    """

    base: str
    scratch: Path
    own: str = field(default_factory=lambda: secrets.token_hex(4))
    written: dict[str, bytes] = field(default_factory=dict)

    def uri(self, name: str) -> str:
        """The URI of an object that all tests read."""
        return self.base + name

    def fresh(self, data: bytes, name: str = "object") -> str:
        """The URI of an object that this test alone writes, which is to become ``data``."""
        uri = f"{self.base}{self.own}/{name}"
        self.written[uri] = data
        return uri


Act = Callable[[Client, Place], None]


@dataclass(frozen=True)
class Verb:
    """A verb, tried in one way.

    Attributes:
        name: of the verb and the way.
        act: does it, and checks the result.
        method, target: the request that is struck; ``target`` is a regular expression.
        prepare: what has to be there before, made by a client without faults.
        body: bytes of the reply's body to the struck request, roughly; 0: it has none.
        upload: bytes of the struck request's body.
        healthy: requests of that kind without any fault.
        goes_on: whether an attempt that broke in the reply's body goes on where it broke, so that it needs no further attempt.
        starts: whether the struck request starts an upload.
        thorough: tried with every trouble, and with those that last; the others share its code.
        server: the fixture of the server that it is tried on. Of Ceph and nginx, those that have much to do: they are faster.
    """

    name: str
    act: Act
    method: str
    target: str
    prepare: Act | None = None
    body: int = 0
    upload: int = 0
    healthy: int = 1
    goes_on: bool = False
    server: str = "ministack"
    starts: bool = False
    thorough: bool = False


def _expect_info(info: object, size: int) -> None:
    assert info.size == size  # type: ignore[attr-defined]


def get(client: Client, place: Place) -> None:
    assert client.get(place.uri("small")) == SMALL


def get_in_ranges(client: Client, place: Place) -> None:
    assert client.get(place.uri("large")) == LARGE


def get_into(client: Client, place: Place) -> None:
    memory = np.zeros(len(SMALL) + 10, np.uint8)
    view = client.get(place.uri("small"), into=memory)
    assert view == SMALL
    assert memory[: len(SMALL)].tobytes() == SMALL
    assert not memory[len(SMALL) :].any()


def get_range(client: Client, place: Place) -> None:
    assert client.get(place.uri("small"), start=5_000, length=10_000) == SMALL[5_000:15_000]


def get_end(client: Client, place: Place) -> None:
    assert client.get(place.uri("small"), start=-9_000) == SMALL[-9_000:]


def read_bytes(client: Client, place: Place) -> None:
    assert client.read_bytes(place.uri("small")) == SMALL


def get_ranges(client: Client, place: Place) -> None:
    first, second = client.get_ranges(place.uri("large"), [(0, 1000), (150_000, 40_000)])
    assert (first, second) == (LARGE[:1000], LARGE[150_000:190_000])


def get_many(client: Client, place: Place) -> None:
    items = list(client.get_many(place.uri(f"many/{number}") for number in range(MANY)))
    assert sorted(item.index for item in items) == list(range(MANY))
    assert all(item.data == payload(10_000, item.index) for item in items)


def stat(client: Client, place: Place) -> None:
    _expect_info(client.stat(place.uri("small")), len(SMALL))


def stat_many(client: Client, place: Place) -> None:
    items = list(client.stat_many((place.uri(f"many/{number}") for number in range(MANY)), ordered=True))
    assert [item.info.size for item in items if item.info] == [10_000] * MANY


def exists(client: Client, place: Place) -> None:
    assert client.exists(place.uri("small"))


def exists_not(client: Client, place: Place) -> None:
    assert not client.exists(place.uri("nothing"))


def list_pages(client: Client, place: Place) -> None:
    names = [entry.uri for entry in client.list(place.uri("listed/"))]
    assert names == [place.uri(f"listed/{number:04}") for number in range(LISTED)]


def open_read(client: Client, place: Place) -> None:
    with client.open(place.uri("large"), "rb", block_size=100_000) as file:
        assert file.read(150_000) == LARGE[:150_000]
        assert file.read() == LARGE[150_000:]


def put(client: Client, place: Place) -> None:
    _expect_info(client.put(place.fresh(SMALL), SMALL), len(SMALL))


def put_in_parts(client: Client, place: Place) -> None:
    _expect_info(client.put(place.fresh(IN_PARTS), IN_PARTS), len(IN_PARTS))


def put_file(client: Client, place: Place) -> None:
    path = place.scratch / "file"
    path.write_bytes(IN_PARTS)
    _expect_info(client.copy(path, place.fresh(IN_PARTS)), len(IN_PARTS))  # type: ignore[arg-type]


def put_many(client: Client, place: Place) -> None:
    items = list(client.put_many((place.fresh(payload(9_000, n), str(n)), payload(9_000, n)) for n in range(MANY)))
    assert sorted(item.index for item in items) == list(range(MANY))


def open_write(client: Client, place: Place) -> None:
    with client.open(place.fresh(IN_PARTS), "wb") as file:
        file.write(IN_PARTS[:1_000_000])
        file.write(IN_PARTS[1_000_000:])


def open_write_small(client: Client, place: Place) -> None:
    with client.open(place.fresh(SMALL), "wb") as file:
        file.write(SMALL)


def copy(client: Client, place: Place) -> None:
    _expect_info(client.copy(place.uri("small"), place.fresh(SMALL)), len(SMALL))


def to_move(client: Client, place: Place) -> None:
    client.put(f"{place.base}{place.own}/source", SMALL)


def move(client: Client, place: Place) -> None:
    _expect_info(client.move(f"{place.base}{place.own}/source", place.fresh(SMALL)), len(SMALL))


def to_delete(client: Client, place: Place) -> None:
    for number in range(3):
        client.put(f"{place.base}{place.own}/delete-{number}", b"x")


def delete(client: Client, place: Place) -> None:
    assert client.delete(f"{place.base}{place.own}/delete-0") == 1


def delete_many(client: Client, place: Place) -> None:
    assert client.delete_many(f"{place.base}{place.own}/delete-{number}" for number in range(3)) == 3


READS = [
    Verb("get", get, "GET", "/small$", body=len(SMALL), goes_on=True, thorough=True),
    Verb("get-in-ranges-first", get_in_ranges, "GET", "/large$", body=64 << 10, healthy=4, goes_on=True),
    Verb("get-into", get_into, "GET", "/small$", body=len(SMALL), goes_on=True),
    Verb("get-range", get_range, "GET", "/small$", body=10_000, goes_on=True),
    Verb("get-end", get_end, "GET", "/small$", body=9_000, goes_on=True),
    Verb("get-end-size", get_end, "HEAD", "/small$"),
    Verb("read_bytes", read_bytes, "GET", "/small$", body=len(SMALL), goes_on=True),
    Verb("get_ranges", get_ranges, "GET", "/large$", body=1000, healthy=2, goes_on=True),
    Verb("get_many", get_many, "GET", "/many/3$", body=10_000, goes_on=True),
    Verb("stat", stat, "HEAD", "/small$"),
    Verb("stat_many", stat_many, "HEAD", "/many/3$"),
    Verb("exists", exists, "HEAD", "/small$"),
    Verb("exists-not", exists_not, "HEAD", "/nothing$"),
    Verb("list-second-page", list_pages, "GET", "continuation-token=", body=300, server="nginx", thorough=True),
    Verb("open-read", open_read, "GET", "/large$", body=64 << 10, healthy=4, goes_on=True),
    Verb("open-read-stat", open_read, "HEAD", "/large$"),
]

WRITES = [
    Verb("put", put, "PUT", "/object$", upload=len(SMALL), thorough=True),
    Verb("put-in-parts-start", put_in_parts, "POST", r"\?uploads=", body=200, server="ceph", starts=True),
    Verb("put-in-parts-first", put_in_parts, "PUT", "partNumber=1&", upload=PART_SIZE, server="ceph"),
    Verb("put-in-parts-last", put_in_parts, "PUT", "partNumber=2&", upload=30_000, server="ceph"),
    Verb("put-in-parts-complete", put_in_parts, "POST", r"\?uploadId=", body=200, upload=200, server="ceph", thorough=True),
    Verb("put-file-part", put_file, "PUT", "partNumber=1&", upload=PART_SIZE, server="ceph"),
    Verb("put_many", put_many, "PUT", "/3$", upload=9_000),
    Verb("open-write-part", open_write, "PUT", "partNumber=1&", upload=PART_SIZE, server="ceph"),
    Verb("open-write-complete", open_write, "POST", r"\?uploadId=", body=200, upload=200, server="ceph"),
    Verb("open-write-small", open_write_small, "PUT", "/object$", upload=len(SMALL)),
    Verb("copy", copy, "PUT", "/object$", body=150, thorough=True),
    Verb("copy-source", copy, "HEAD", "/small$"),
    Verb("move", move, "PUT", "/object$", body=150, prepare=to_move),
    Verb("move-delete", move, "DELETE", "/source$", prepare=to_move),
    Verb("delete", delete, "DELETE", "/delete-0$", prepare=to_delete),
    Verb("delete_many", delete_many, "POST", r"\?delete=", body=100, upload=200, prepare=to_delete),
]

VERBS = READS + WRITES


def fill(client: Client, base: str) -> None:
    """Write what the reading verbs read."""
    client.put(f"{base}small", SMALL)
    client.put(f"{base}large", LARGE)
    for _ in client.put_many((f"{base}many/{number}", payload(10_000, number)) for number in range(MANY)):
        pass
    for _ in client.put_many((f"{base}listed/{number:04}", b"") for number in range(LISTED)):
        pass


def visible(client: Client, place: Place) -> dict[str, bytes]:
    """Of what the verb was to write, what is there."""
    found = {}
    for uri in place.written:
        try:
            found[uri] = bytes(client.get(uri))
        except NotFound:
            continue
    return found


def unfinished(session: Session, place: Place) -> int:
    """Unfinished uploads below the test's own names."""
    store, location = session.locate(f"{place.base}{place.own}/")
    return len(session.run(store.list_uploads(location)))
