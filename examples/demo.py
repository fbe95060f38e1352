"""The main job of headrace, on one machine in a few seconds: a data set goes up to an S3 server and comes back for training.

It makes samples and shards in a temporary directory, starts MiniStack (a real S3 server, from PyPI) on loopback, uploads, lists, reads
everything back and compares every byte, runs two epochs of shuffled batches, reads one large object in parallel ranges, and prints what
moved how fast.

    python examples/demo.py            # needs headrace and MiniStack: pip install ministack
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

try:
    import numpy as np
    import numpy.typing as npt

    import headrace
    from headrace.testing.servers import MiniStack
except ModuleNotFoundError as missing:
    sys.exit(f"{missing}. Run scripts/demo, which installs what this needs, or: pip install . ministack")

SAMPLES = 500
SAMPLE_SHAPE = (128, 128)  # float32: 64 KiB
SHARDS = 8
SHARD_BYTES = 8 << 20
LARGE_BYTES = 64 << 20
BATCH = 32
EPOCHS = 2
SEED = 2026

BUCKET = "s3://demo"
MIB = 1 << 20

Floats = npt.NDArray[np.float32]


@dataclass
class Step:
    """What moved: ``name`` says what was done; objects, bytes and seconds are what it took."""

    name: str
    objects: int = 0
    size: int = 0
    seconds: float = 0.0


@dataclass
class Journal:
    """The steps of the demo, as they are done."""

    steps: list[Step] = field(default_factory=list)

    @contextmanager
    def step(self, name: str) -> Iterator[Step]:
        """Measure what is done inside."""
        step = Step(name)
        self.steps.append(step)
        begin = time.perf_counter()
        yield step
        step.seconds = time.perf_counter() - begin

    def print(self) -> None:
        """Print the steps as a table."""
        print(f"{'':44} {'objects':>8} {'MiB':>8} {'seconds':>8} {'MiB/s':>8} {'objects/s':>10}")
        for step in self.steps:
            mib = step.size / MIB
            moved = (f"{mib:.1f}", f"{mib / step.seconds:.0f}") if step.size else ("", "")
            print(f"{step.name:44} {step.objects:8} {moved[0]:>8} {step.seconds:8.2f} {moved[1]:>8} {step.objects / step.seconds:10.0f}")


def main() -> None:
    """Run the demo, or say what is missing."""
    journal = Journal()
    try:
        with MiniStack() as server, client_of(server) as client, tempfile.TemporaryDirectory(prefix="headrace-demo-") as directory:
            print(f"headrace {headrace.__version__}; data set in {directory}; S3 (MiniStack) at {server.endpoint}")
            print(f"{SAMPLES} samples of 64 KiB, {SHARDS} shards of {SHARD_BYTES // MIB} MiB, one object of {LARGE_BYTES // MIB} MiB\n")
            run(client, Path(directory), journal)
    except headrace.errors.MissingDependency as error:
        sys.exit(f"The demo cannot start its S3 server: {error}")
    journal.print()
    print(MEANING)


def run(client: headrace.Client, directory: Path, journal: Journal) -> None:
    """What the demo is about."""
    files = make_data_set(directory)
    client.create_container(BUCKET)
    uploaded = upload(client, files, journal)
    listed = list_everything(client, journal)
    assert sorted(listed) == sorted(uploaded), "the listing has all that was uploaded"
    read_back(client, uploaded, journal)
    train(client, [uri for uri in listed if "/samples/" in uri], uploaded, journal)
    read_large(client, journal)


def client_of(server: MiniStack) -> headrace.Client:
    """A client of the server; one of your own needs only a region or an endpoint, and the credentials that you have."""
    credentials = {"access_key": server.access_key, "secret_key": server.secret_key}
    # MiniStack verifies checksums, and takes seconds for a CRC-32C, the default, of this much.
    return headrace.Client(endpoint_url=server.endpoint, region="us-east-1", credentials=credentials, checksum="crc32")


def make_data_set(directory: Path) -> dict[str, str]:
    """Write samples and shards of random numbers; gives the S3 URI that each file will have, by the file's URI."""
    random = np.random.default_rng(SEED)
    arrays = {f"samples/{number:05}.f32": random.random(SAMPLE_SHAPE, np.float32) for number in range(SAMPLES)}
    arrays |= {f"shards/{number:02}.f32": random.random(SHARD_BYTES // 4, np.float32) for number in range(SHARDS)}
    for _ in headrace.put_many((directory / name, array) for name, array in arrays.items()):
        pass
    return {f"file://{directory}/{name}": f"{BUCKET}/{name}" for name in arrays}


def upload(client: headrace.Client, files: Mapping[str, str], journal: Journal) -> dict[str, memoryview]:
    """Read the files and write the objects, both many at once; gives the bytes of each object, by URI."""
    sent: dict[str, memoryview] = {}

    def objects() -> Iterator[tuple[str, memoryview]]:
        for item in headrace.get_many(files):
            assert item.data is not None
            sent[files[item.uri]] = item.data
            yield files[item.uri], item.data

    with journal.step("upload, from files to S3 (get_many, put_many)") as step:
        for _ in client.put_many(objects()):
            step.objects += 1
        step.size = sum(map(len, sent.values()))
    return sent


def list_everything(client: headrace.Client, journal: Journal) -> list[str]:
    """The URIs of all objects."""
    with journal.step("list") as step:
        uris = [entry.uri for entry in client.list(f"{BUCKET}/")]
        step.objects = len(uris)
    return uris


def read_back(client: headrace.Client, expected: Mapping[str, memoryview], journal: Journal) -> None:
    """Read all objects, in the order of arrival, and compare every byte."""
    with journal.step("read back, every byte compared (get_many)") as step:
        for item in client.get_many(expected):
            assert item.data is not None
            assert np.array_equal(np.frombuffer(item.data, np.uint8), np.frombuffer(expected[item.uri], np.uint8)), item.uri
            step.objects += 1
            step.size += len(item.data)


def train(client: headrace.Client, uris: list[str], expected: Mapping[str, memoryview], journal: Journal) -> None:
    """Go through the samples in another order each epoch, in batches; here the training step is a mean."""
    truth = float(np.mean([np.frombuffer(expected[uri], np.float32).mean() for uri in uris]))
    for epoch in range(EPOCHS):
        order = np.random.default_rng([SEED, epoch]).permutation(len(uris))
        with journal.step(f"epoch {epoch + 1}, shuffled batches of {BATCH}") as step:
            means = []
            for batch in batches(client, [uris[index] for index in order]):
                means.append(batch.mean(axis=(1, 2)))
                step.objects += len(batch)
                step.size += batch.nbytes
        assert step.objects == len(uris)
        assert np.isclose(np.concatenate(means).mean(), truth), "every sample was seen once"


def batches(client: headrace.Client, uris: list[str]) -> Iterator[Floats]:
    """Arrays of up to ``BATCH`` samples in the order of the URIs. While one is used, the next ones are being read."""
    items = client.get_many(uris, ordered=True)
    while chosen := list(islice(items, BATCH)):
        yield np.stack([np.frombuffer(item.data, np.float32).reshape(SAMPLE_SHAPE) for item in chosen if item.data is not None])


def read_large(client: headrace.Client, journal: Journal) -> None:
    """Write one large object in parallel parts, and read it in parallel ranges into memory that is already there."""
    data = np.random.default_rng(SEED).random(LARGE_BYTES // 4, np.float32)
    with journal.step("write one large object in parallel parts") as step:
        step.objects, step.size = 1, client.put(f"{BUCKET}/large", data).size
    received = np.empty_like(data)
    with journal.step("read it in parallel ranges, into an array") as step:
        step.objects, step.size = 1, len(client.get(f"{BUCKET}/large", into=received))
    assert np.array_equal(received, data)


MEANING = """
Every byte that came back was compared with what was sent. An object is received once, into the memory that the program then uses.
The server is written in Python and shares this machine, and limits these figures: they show that everything works, not how fast
headrace is, which scripts/bench measures. Your own data: headrace.get("s3://your-bucket/key") in Python, with the credentials that you
have, and `headrace ls s3://your-bucket` in the shell."""


if __name__ == "__main__":
    main()
