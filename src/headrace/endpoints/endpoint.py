"""One of several endpoints: what is under way there, what came of the rest, and whether it is to be used at present."""

from __future__ import annotations

import logging
from collections.abc import Collection
from time import monotonic

from headrace.endpoints.statistics import EndpointStatistics, Latencies
from headrace.errors import ConnectionFailed, HeadraceError, ProtocolError, Stalled
from headrace.http.codec import Reply
from headrace.http.effects import Operation, Send

__all__ = ["WORTH_OF_A_REQUEST", "Elsewhere", "Endpoint"]

_log = logging.getLogger("headrace")

WORTH_OF_A_REQUEST = 64 << 10
"""What a request weighs besides its bytes, in bytes: so many could be moved in the time that it takes at least."""

_FAILURES = 3
_FIRST_PAUSE = 1.0
_LONGEST_PAUSE = 60.0
_SMOOTHING = 0.25
_KNOWN_FOR = 10.0
_AGAINST = (ConnectionFailed, Stalled, ProtocolError)


class Elsewhere(BaseException):
    """Raised inside an operation in the place of a `Send` that is not to be made, because its endpoint has failed this act before.

    Attributes:
        failed: the endpoints to choose others than.
    """

    def __init__(self, failed: Collection[Endpoint]) -> None:
        super().__init__()
        self.failed = failed


class Endpoint:
    """One address of a service that has several. A strategy reads its attributes; nobody else than headrace changes them.

    It is shared by threads without a lock, which a fork could leave held: what is under way is a dictionary, whose single steps are
    atomic, so that `active` and `load` never drift. Two threads that count at the very same moment could lose one of the counts.

    Args:
        url: the address.
        out: the ejected ones of all endpoints of the service; this one adds and removes itself.

    Attributes:
        url: the address, as it was given.
        failures: exchanges that failed since the last one that succeeded.
        out_until: while it is ejected, when it is to be tried again, by `time.monotonic`.
    """

    def __init__(self, url: str, out: set[Endpoint]) -> None:
        self.url = url
        self._out = out
        self.reset()

    def reset(self) -> None:
        """Forget everything: this is another process than the one that saw it."""
        self.failures, self.out_until, self._pause = 0, 0.0, 0.0
        self._out.discard(self)
        self._permits = [True]
        self._under_way: dict[Send, int] = {}
        self._pace, self._paced_at = 0.0, 0.0
        self._requests = self._errors = self._read = self._written = 0
        self._latencies = Latencies()

    def __repr__(self) -> str:
        return f"<Endpoint {self.url}>"

    @property
    def active(self) -> int:
        """Exchanges under way."""
        return len(self._under_way)

    @property
    def load(self) -> int:
        """What is under way, in bytes: those of the bodies as far as they are known, and `WORTH_OF_A_REQUEST` for each exchange."""
        return sum(self._under_way.values())

    @property
    def pace(self) -> float | None:
        """Seconds for a byte of `load`, as an average in which the last replies count most; None if none came for ten seconds."""
        return self._pace if self._pace and monotonic() - self._paced_at < _KNOWN_FOR else None

    @property
    def is_out(self) -> bool:
        """Whether it is ejected: left out, because it kept failing."""
        return self in self._out

    def statistics(self) -> EndpointStatistics:
        """What was counted so far."""
        return EndpointStatistics(
            self.url,
            self._requests,
            self._errors,
            self._read,
            self._written,
            self.active,
            self._latencies.percentile(0.5),
            self._latencies.percentile(0.99),
            self.is_out,
        )

    def carry(self, send: Send) -> Operation[Reply]:
        """One exchange with this endpoint, whose outcome is taken note of; the reply may have any status."""
        send.endpoint = self
        self._under_way[send] = WORTH_OF_A_REQUEST + send.request.length + (send.limit or 0)
        begun = monotonic()
        try:
            reply: Reply = yield send
        except HeadraceError as error:
            self._read += send.reply.received if send.reply is not None else 0
            self._broke(error)
            raise
        finally:
            # In a forked child, this may be the end of what the parent has begun.
            self._under_way.pop(send, None)
        self._answered(reply, send.request.length, begun, monotonic())
        return reply

    def _answered(self, reply: Reply, written: int, begun: float, now: float) -> None:
        status, read, elapsed = reply.status, reply.received, now - begun
        self._requests += 1
        self._read += read
        self._written += written
        if status == 429 or (status >= 500 and status != 501):
            self._count_failure(f"status {status}")
            return
        self._latencies.add(elapsed)
        # Of a reply that was shorter than what was allowed for, the bytes that came.
        pace = elapsed / (WORTH_OF_A_REQUEST + written + read)
        known = self._pace if now - self._paced_at < _KNOWN_FOR else 0.0
        self._pace = known + _SMOOTHING * (pace - known) if known else pace
        self._paced_at = now
        # Another thread may have ejected it between two steps of an earlier recovery.
        if self.failures or self in self._out:
            self._recover()

    def _broke(self, error: HeadraceError) -> None:
        self._requests += 1
        if isinstance(error, _AGAINST):
            self._count_failure(error.message)

    def _count_failure(self, reason: str) -> None:
        self._errors += 1
        self.failures += 1
        now = monotonic()
        # While it is out, what was begun before may still fail: only a probe, which comes after the pause, makes the pause longer.
        if self.failures >= _FAILURES and now >= self.out_until:
            self._pause = min(2 * self._pause, _LONGEST_PAUSE) or _FIRST_PAUSE
            self.out_until = now + self._pause
            self._out.add(self)
            _log.warning("endpoint %s is left out for %.0f s after %d failures: %s", self.url, self._pause, self.failures, reason)

    def _recover(self) -> None:
        if self in self._out:
            self._out.discard(self)
            _log.info("endpoint %s is used again", self.url)
        self.failures, self.out_until, self._pause = 0, 0.0, 0.0

    def claim_probe(self) -> bool:
        """Whether the caller may try this ejected endpoint: its pause is over, and nobody else is trying. Ends with `end_probe`."""
        if monotonic() < self.out_until:
            return False
        try:
            return self._permits.pop()
        except IndexError:
            return False

    def end_probe(self) -> None:
        """Let somebody else try, if this was in vain."""
        self._permits = [True]
