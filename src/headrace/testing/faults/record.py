"""What passed through a proxy."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Passage"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """One request, and what became of it so far.

    Attributes:
        connection: the number of the client's connection, from 1.
        method: the request's method.
        target: path and query, just as they were sent.
        status: that of the service's reply, or of the fault's; None before there is one. The fault may have kept it from the client.
        fault: the name of the fault that was chosen for it; None if it was left alone.
        uploaded: bytes of its body that were passed on to the service.
        downloaded: bytes of the reply's body that were sent to the client.
        began: when its head had come, seconds on the clock of `time.monotonic`.
    """

    connection: int
    method: str
    target: str
    status: int | None
    fault: str | None
    uploaded: int
    downloaded: int
    began: float
