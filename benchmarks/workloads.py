"""What is measured, and what headrace is meant to reach."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Any, Literal

from benchmarks.link import Link

KIB, MIB = 1024, 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class Objects:
    """A set of objects: ``count`` operations over ``distinct`` objects of ``size`` bytes, whose keys start with ``prefix``."""

    prefix: str
    count: int
    size: int
    distinct: int

    @property
    def bytes(self) -> int:
        return self.count * self.size


@dataclass(frozen=True, kw_only=True)
class Goal:
    """Bounds that headrace is held to; ``throughput`` and ``cpu`` are ratios to the workload's baseline.

    Attributes:
        throughput: at least this many times the baseline's.
        cpu: at most this many times the baseline's CPU seconds a GB.
        memory: at most this many bytes of peak memory above what the process held before the work,
        memory_beyond: or, if this names a workload, at most so many bytes more than that one took.
        seconds: at most this long.
        share: at least this much of what the link can carry.
    """

    throughput: float | None = None
    cpu: float | None = None
    memory: int | None = None
    memory_beyond: str | None = None
    seconds: float | None = None
    share: float | None = None


@dataclass(frozen=True, kw_only=True)
class Workload:
    """One kind of work and who does it.

    Attributes:
        name: what the command line and the report call it.
        verb: the verb of headrace that is measured, or ``"import"``.
        objects: what the verb works on; None for an import.
        scheme: ``"s3"``, ``"az"`` or ``"gs"``, the service's form of requests over HTTP to nginx; or ``"file"``.
        tls: reach nginx by TLS, which offers HTTP/2.
        sign_payload: False sends ``UNSIGNED-PAYLOAD`` instead of the body's SHA-256.
        libraries: who takes part.
        baseline: the one of them that ratios are taken against.
        rounds: a fixed number of measured rounds, for work where more tell nothing new.
        link: what lies between client and server; None is loopback.
    """

    name: str
    verb: Literal["get", "get_many", "put", "put_many", "import"]
    objects: Objects | None = None
    scheme: Literal["s3", "az", "gs", "file"] = "s3"
    tls: bool = False
    sign_payload: bool = True
    libraries: tuple[str, ...] = ("headrace", "s3dlio", "obstore", "boto3")
    baseline: str = "s3dlio"
    rounds: int | None = None
    link: Link | None = None
    goal: Goal = Goal()

    @property
    def writes(self) -> bool:
        return self.verb in ("put", "put_many")

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Workload:
        """The workload that ``dataclasses.asdict`` made `value` from."""
        objects = Objects(**value["objects"]) if value["objects"] else None
        link = Link(**value["link"]) if value.get("link") else None
        goal, libraries = Goal(**value["goal"]), tuple(value["libraries"])
        return cls(**{**value, "objects": objects, "link": link, "goal": goal, "libraries": libraries})


SMALL = Objects(prefix="small/", count=5_000, size=64 * KIB, distinct=5_000)
MEDIUM = Objects(prefix="medium/", count=128, size=8 * MIB, distinct=128)
LARGE = Objects(prefix="large/", count=4, size=256 * MIB, distinct=4)
ONE_LARGE = Objects(prefix="large/", count=1, size=256 * MIB, distinct=1)

TINY = Objects(prefix="tiny/", count=2_000, size=16 * KIB, distinct=2_000)

DISTANT = Link(round_trip=0.02, rate=125e6)

READERS = ("headrace", "s3dlio", "s3dlio-no-ranges", "obstore", "boto3")
FILES = ("headrace", "s3dlio", "obstore")


def _small_repeated(count: int) -> Objects:
    return replace(SMALL, count=count)


def _distant(name: str, verb: Literal["get", "get_many"], objects: Objects, goal: Goal) -> Workload:
    return Workload(name=name, verb=verb, objects=objects, libraries=READERS, link=DISTANT, rounds=2, goal=goal)


def _of_service(scheme: Literal["az", "gs"]) -> tuple[Workload, ...]:
    """Small objects of another service, beside the same bytes over ``s3://``, and beside obstore."""
    beside = Workload(name=f"get-small-{scheme}", verb="get_many", objects=SMALL, scheme=scheme, libraries=("headrace", "headrace-s3"))
    return (
        replace(beside, baseline="headrace-s3", goal=Goal(throughput=0.85)),
        replace(beside, name=f"{beside.name}-peer", libraries=("headrace", "obstore"), baseline="obstore", goal=Goal(throughput=3)),
    )


def _tls(name: str, verb: Literal["get", "get_many"], objects: Objects, link: Link | None = None) -> Workload:
    """HTTP/2 beside HTTP/1.1."""
    libraries = ("headrace", "headrace-http2")
    return Workload(name=name, verb=verb, objects=objects, tls=True, libraries=libraries, baseline="headrace", link=link, rounds=2)


def _memory(name: str, verb: Literal["get", "get_many"], objects: Objects, goal: Goal) -> Workload:
    """boto3 is left out: it would take minutes, and holds no more than its threads' bodies."""
    return Workload(name=name, verb=verb, objects=objects, libraries=FILES, rounds=2, goal=goal)


WORKLOADS = (
    Workload(name="get-small", verb="get_many", objects=SMALL, libraries=READERS, goal=Goal(throughput=4, cpu=0.4)),
    Workload(name="get-medium", verb="get_many", objects=MEDIUM, libraries=READERS, goal=Goal(throughput=1.5, cpu=0.5)),
    Workload(name="get-large", verb="get", objects=LARGE, goal=Goal(throughput=2, cpu=0.4)),
    Workload(name="put-small", verb="put_many", objects=SMALL, goal=Goal(throughput=2.5, cpu=0.5)),
    Workload(name="put-medium", verb="put_many", objects=MEDIUM, goal=Goal(throughput=1, cpu=1)),
    Workload(name="put-large", verb="put", objects=LARGE, goal=Goal(throughput=1, cpu=1)),
    Workload(name="put-small-unsigned", verb="put_many", objects=SMALL, sign_payload=False, goal=Goal(throughput=0.9, cpu=1.1)),
    Workload(name="put-medium-unsigned", verb="put_many", objects=MEDIUM, sign_payload=False, goal=Goal(throughput=0.9, cpu=1.1)),
    Workload(name="put-large-unsigned", verb="put", objects=LARGE, sign_payload=False, goal=Goal(throughput=0.9, cpu=1.1)),
    Workload(name="file-small", verb="get_many", objects=SMALL, scheme="file", libraries=FILES, goal=Goal(throughput=1.8, cpu=0.6)),
    Workload(name="file-medium", verb="get_many", objects=MEDIUM, scheme="file", libraries=FILES, goal=Goal(throughput=3, cpu=0.4)),
    Workload(
        name="small-against-wrk",
        verb="get_many",
        objects=_small_repeated(20_000),
        libraries=("headrace", "wrk"),
        baseline="wrk",
        goal=Goal(throughput=0.6),
    ),
    *_of_service("az"),
    *_of_service("gs"),
    _distant("distant-tiny", "get_many", TINY, Goal()),
    _distant("distant-small", "get_many", replace(SMALL, count=1_000, distinct=1_000), Goal(share=0.8)),
    _distant("distant-large", "get", ONE_LARGE, Goal(share=0.8)),
    _tls("tls-small", "get_many", SMALL),
    _tls("tls-large", "get", LARGE),
    _tls("tls-distant-tiny", "get_many", TINY, DISTANT),
    _tls("tls-distant-large", "get", ONE_LARGE, DISTANT),
    _memory("memory-10000", "get_many", _small_repeated(10_000), Goal()),
    _memory("memory-100000", "get_many", _small_repeated(100_000), Goal(memory=8 * MIB, memory_beyond="memory-10000")),
    _memory("memory-large", "get", ONE_LARGE, Goal(memory=ONE_LARGE.size + 32 * MIB)),
    Workload(name="import-time", verb="import", goal=Goal(seconds=0.08)),
)


def select(patterns: Sequence[str]) -> list[Workload]:
    """The workloads that a pattern names: a name, a shell pattern, or the first word of names (``put``, ``memory``).

    No pattern selects all.

    Raises:
        ValueError: a pattern that names none.
    """
    chosen: set[str] = set()
    for pattern in patterns:
        names = _matching(pattern)
        if not names:
            raise ValueError(f"no workload is called {pattern!r}; `python -m benchmarks --list` names them")
        chosen |= names
    return [workload for workload in WORKLOADS if workload.name in chosen or not patterns]


def _matching(pattern: str) -> set[str]:
    names = {workload.name for workload in WORKLOADS}
    if pattern in names:
        return {pattern}
    return {name for name in names if fnmatchcase(name, pattern) or name.split("-")[0] == pattern}
