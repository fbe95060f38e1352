"""What is counted of each endpoint, and how long its exchanges take, in a few fixed numbers."""

from __future__ import annotations

from math import frexp
from typing import NamedTuple

__all__ = ["EndpointStatistics", "Latencies"]

_STEPS = 8
_BUCKETS = 32 * _STEPS


class EndpointStatistics(NamedTuple):
    """One endpoint, as this process has seen it since the client was made, or the process was forked.

    Attributes:
        url: the endpoint, as it was given.
        requests: exchanges that have ended, whatever their outcome; those that were cancelled are not counted.
        errors: those of them that count against the endpoint: connections that failed or stalled, replies that are no HTTP, and
            the statuses 429 and 500 and above (but 501).
        bytes_read: bytes of the bodies of replies, those of broken replies included.
        bytes_written: bytes of the bodies of requests that were answered.
        active: exchanges under way.
        latency_p50: seconds from the beginning of a request to the end of its reply, the body included; half of those that
            succeeded took no longer, to within an eighth. None before the first one.
        latency_p99: the same for 99 of 100.
        ejected: whether the endpoint is left out at present, because it kept failing.
    """

    url: str
    requests: int
    errors: int
    bytes_read: int
    bytes_written: int
    active: int
    latency_p50: float | None
    latency_p99: float | None
    ejected: bool


class Latencies:
    """A histogram of times: eight buckets for each doubling, from a microsecond to more than an hour."""

    __slots__ = ("_buckets",)

    def __init__(self) -> None:
        self._buckets = [0] * _BUCKETS

    def add(self, seconds: float) -> None:
        """Count one time."""
        mantissa, octave = frexp(seconds * 1e6)  # a mantissa is at least a half
        index = _STEPS * (octave - 2) + int(mantissa * 2 * _STEPS)
        self._buckets[index if 0 <= index < _BUCKETS else 0 if index < 0 else _BUCKETS - 1] += 1

    def percentile(self, share: float) -> float | None:
        """The time, in seconds and rounded up to the end of its bucket, that ``share`` (0 to 1) of all did not exceed; None without any."""
        buckets = self._buckets.copy()
        left = share * sum(buckets)
        for index, count in enumerate(buckets):
            left -= count
            if count and left <= 0:
                return _end(index)
        return None


def _end(index: int) -> float:
    """Where a bucket ends, in seconds."""
    octave, step = divmod(index + 1, _STEPS)
    return (1 + step / _STEPS) * 2.0**octave / 1e6
