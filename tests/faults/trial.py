"""One verb, one fault, one driver: what has to hold."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytest

from headrace import Client, aio
from headrace.errors import ConnectionFailed, HeadraceError, ProtocolError, ServiceError, Stalled, Throttled
from headrace.testing import faults
from headrace.testing.contract.asyncio_client import AsyncioClient
from headrace.testing.faults import Fault, FaultProxy, Passage, Rule
from headrace.testing.servers import Server
from headrace.transfer.session import Session
from tests.faults.verbs import OPTIONS, SMALL, Place, Verb, unfinished, visible

ATTEMPTS = 2


@dataclass(frozen=True)
class Trouble:
    """A fault, and what is to be expected of it.

    Attributes:
        name: of the fault, and of how it is used.
        strike: gives the fault for a verb; None if it makes no sense there.
        error: what is raised if it lasts.
        breaks: whether the connection cannot be used again.
        replays: whether a request on a kept connection is sent once more within the same attempt: the server may have closed it.
        progress: whether some of the reply's body arrives.
        loses_reply: whether the service has done what was asked.
        thorough: tried with thorough verbs alone, since it is much like another.
    """

    name: str
    strike: Callable[[Verb], Fault | None]
    error: type[HeadraceError]
    breaks: bool = True
    replays: bool = False
    progress: bool = False
    loses_reply: bool = False
    thorough: bool = False

    @property
    def stalls(self) -> bool:
        """Whether it takes the stall timeout to notice."""
        return self.error is Stalled

    def fault(self, verb: Verb) -> Fault | None:
        """The fault, if it is to be tried with this verb."""
        return None if self.thorough and not verb.thorough else self.strike(verb)

    def lasts(self, verb: Verb) -> bool:
        """Whether it is an error if it lasts: a read that goes forward with each attempt arrives in the end."""
        return not (self.progress and verb.goes_on)


def _in_reply(make: Callable[[Verb], Fault]) -> Callable[[Verb], Fault | None]:
    return lambda verb: make(verb) if verb.body else None


def _in_document(make: Callable[[Verb], Fault]) -> Callable[[Verb], Fault | None]:
    return lambda verb: make(verb) if verb.body and not verb.goes_on else None


def _in_range(make: Callable[[Verb], Fault]) -> Callable[[Verb], Fault | None]:
    return lambda verb: make(verb) if verb.goes_on else None


def _in_upload(make: Callable[[Verb], Fault]) -> Callable[[Verb], Fault | None]:
    return lambda verb: make(verb) if verb.upload else None


TROUBLES = [
    Trouble("reset-unsent", lambda verb: faults.ResetUpload(), ConnectionFailed, replays=True),
    Trouble("reset-unanswered", lambda verb: faults.Reset(), ConnectionFailed, replays=True, loses_reply=True),
    Trouble("garbage", lambda verb: faults.Garbage(), ProtocolError, loses_reply=True),
    Trouble("503", lambda verb: faults.Status(status=503, code="SlowDown"), Throttled, breaks=False),
    Trouble("500", lambda verb: faults.Status(status=500, code="InternalError"), ServiceError, breaks=False, thorough=True),
    Trouble("429-bare", lambda verb: faults.Status(status=429), Throttled, breaks=False, thorough=True),
    Trouble("503-at-once", lambda verb: faults.Status(status=503, code="SlowDown", at_once=True), Throttled, thorough=True),
    Trouble("cut-before", _in_reply(lambda verb: faults.Cut(at=0)), ConnectionFailed, loses_reply=True, thorough=True),
    Trouble("cut", _in_reply(lambda verb: faults.Cut(at=verb.body // 2)), ConnectionFailed, progress=True, loses_reply=True),
    Trouble(
        "closed", _in_reply(lambda verb: faults.Cut(at=verb.body // 2, reset=False)), ConnectionFailed, progress=True, loses_reply=True
    ),
    Trouble("length-too-small", _in_reply(lambda verb: faults.WrongLength(by=-9)), ProtocolError, loses_reply=True),
    Trouble("range-too-large", _in_range(lambda verb: faults.WrongLength(by=9)), ProtocolError, thorough=True),
    Trouble("reset-upload", _in_upload(lambda verb: faults.ResetUpload(at=verb.upload // 2)), ConnectionFailed, replays=True),
    Trouble("stall", lambda verb: faults.Stall(), Stalled, loses_reply=True),
    Trouble("stall-in-body", _in_reply(lambda verb: faults.Stall(at=verb.body // 2)), Stalled, progress=True, loses_reply=True),
    Trouble("short-body", _in_reply(lambda verb: faults.ShortBody(missing=7)), Stalled, progress=True, loses_reply=True, thorough=True),
    Trouble("length-too-large", _in_document(lambda verb: faults.WrongLength(by=9)), Stalled, loses_reply=True, thorough=True),
    Trouble("stall-upload", _in_upload(lambda verb: faults.StallUpload(at=verb.upload // 2)), Stalled),
]


@dataclass
class Trial:
    """Where a verb is tried.

    Attributes:
        server: the service.
        base: the URI of a bucket there that holds what verbs read.
        scratch: a directory of the trial's own.
        driver: ``"blocking"`` or ``"asyncio"``.
        stall_timeout: of the client; so long that a busy machine does not look as if something stalled.
    """

    server: Server
    base: str
    scratch: Path
    driver: str
    stall_timeout: float = 10.0

    def heals(self, verb: Verb, trouble: Trouble) -> None:
        """A fault that strikes once costs one request, and nothing else."""
        place, fault = Place(self.base, self.scratch), trouble.fault(verb)
        assert fault is not None
        with self._direct() as session, self._client(FaultProxy(self.server.endpoint)) as (client, proxy):
            self._prepare(verb, place)
            proxy.inject(Rule(fault=fault, method=verb.method, target=verb.target, times=1))
            verb.act(client, place)
            assert len(proxy.passages(verb.target, method=verb.method)) == verb.healthy + 1
            self._check(verb, trouble, client, proxy, place, session)
            self._check_visible(place, whole=True)

    def fails(self, verb: Verb, trouble: Trouble) -> None:
        """A fault that lasts is the documented error after the attempts that are allowed, and leaves nothing behind."""
        place, fault = Place(self.base, self.scratch), trouble.fault(verb)
        assert fault is not None
        with self._direct() as session, self._client(FaultProxy(self.server.endpoint)) as (client, proxy):
            self._prepare(verb, place)
            proxy.inject(Rule(fault=fault, method=verb.method, target=verb.target))
            with pytest.raises(trouble.error) as raised:
                verb.act(client, place)
            assert type(raised.value) is trouble.error
            assert raised.value.attempts == ATTEMPTS
            struck = [passage for passage in proxy.passages() if passage.fault]
            assert ATTEMPTS <= len(struck) <= ATTEMPTS + (_kept(proxy, struck) if trouble.replays else 0)
            proxy.inject()
            self._check(verb, trouble, client, proxy, place, session)
            self._check_visible(place, whole=False)

    @contextmanager
    def _client(self, proxy: FaultProxy) -> Iterator[tuple[Client, FaultProxy]]:
        with proxy, connect(self.driver, proxy.endpoint, max_attempts=ATTEMPTS, stall_timeout=self.stall_timeout) as client:
            yield client, proxy

    @contextmanager
    def _direct(self) -> Iterator[Session]:
        session = Session({"endpoint_url": self.server.endpoint, **OPTIONS})
        try:
            yield session
        finally:
            session.close()

    def _prepare(self, verb: Verb, place: Place) -> None:
        if verb.prepare:
            with Client(endpoint_url=self.server.endpoint, **OPTIONS) as direct:
                verb.prepare(direct, place)

    def _check(self, verb: Verb, trouble: Trouble, client: Client, proxy: FaultProxy, place: Place, session: Session) -> None:
        assert client.get(place.uri("small")) == SMALL, "the client is no longer as good as new"
        assert not (trouble.breaks and _reused(proxy)), "a broken connection was used again"
        if place.written:
            # Of an upload whose reply was lost nobody knows the name.
            unknown = len([passage for passage in proxy.passages() if passage.fault]) if verb.starts and trouble.loses_reply else 0
            assert unfinished(session, place) == unknown

    def _check_visible(self, place: Place, *, whole: bool) -> None:
        if place.written:
            with Client(endpoint_url=self.server.endpoint, **OPTIONS) as direct:
                found = visible(direct, place)
            assert found == place.written if whole else found.items() <= place.written.items()


@contextmanager
def connect(driver: str, endpoint: str, **options: Any) -> Iterator[Client]:
    """A client of one driver or the other; the asyncio one has blocking verbs too."""
    arguments = {"endpoint_url": endpoint, **OPTIONS, **options}
    if driver == "blocking":
        with Client(**arguments) as client:
            yield client
    else:
        with AsyncioClient(aio.Client(**arguments)) as twin:
            yield cast(Client, twin)


def _kept(proxy: FaultProxy, struck: Sequence[Passage]) -> int:
    """How many of these came on connections that had served before."""
    first: dict[int, float] = {}
    for passage in proxy.passages():
        first.setdefault(passage.connection, passage.began)
    return sum(passage.began > first[passage.connection] for passage in struck)


def _reused(proxy: FaultProxy) -> Sequence[Passage]:
    """What passed on a connection after a fault had struck there."""
    struck: dict[int, float] = {}
    for passage in proxy.passages():
        if passage.fault:
            struck.setdefault(passage.connection, passage.began)
    return [passage for passage in proxy.passages() if passage.began > struck.get(passage.connection, passage.began)]
