"""Reads by every way that there is; in a module of its own, so that spawned processes find it."""

from __future__ import annotations

from headrace import Client

COUNT = 40
LARGE = 3_000_000


def expected(uris: list[str]) -> int:
    return sum(len(uri) for uri in uris[:-1]) + LARGE


def read_all(client: Client, uris: list[str]) -> int:
    """Read by each way that there is: one by one, large in parallel, in a batch, as a file. Bytes read, if all ways agree."""
    one_by_one = sum(client.get(uri).nbytes for uri in uris)
    batch = sum(item.data.nbytes for item in client.get_many(uris) if item.data is not None)
    with client.open(uris[-1], block_size=500_000) as file:
        assert sum(len(piece) for piece in iter(lambda: file.read(100_000), b"")) == LARGE
    assert one_by_one == batch
    return batch
