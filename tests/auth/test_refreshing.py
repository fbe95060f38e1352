"""When credentials are replaced, and by how many threads."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import count
from math import inf
from time import sleep, time

import pytest

from headrace.auth.refreshing import Lease, RefreshingSource, refuse_expired
from headrace.auth.sigv4 import Credentials
from headrace.errors import ConnectionFailed, CredentialsError


def keys(name: str = "key", *, expires: float | None = None) -> Credentials:
    return Credentials(name, "secret", None, expires)


class Source(RefreshingSource):
    """Numbered credentials that end after ``life`` seconds, or an error while there is one to raise."""

    def __init__(self, life: float | None = None) -> None:
        super().__init__()
        self.life = life
        self.error: Exception | None = None
        self.fetched = 0
        self.fetching = threading.Event()
        self.may_fetch = threading.Event()
        self.may_fetch.set()

    def _fetch(self) -> Credentials:
        self.fetched += 1
        self.fetching.set()
        assert self.may_fetch.wait(30)
        if self.error is not None:
            raise self.error
        return keys(f"key{self.fetched}", expires=None if self.life is None else time() + self.life)


class TestLease:
    def test_without_an_end_it_never_ends(self) -> None:
        lease = Lease(keys(), fetched_at=0)
        assert lease.claim(1e12) is lease.credentials
        assert (lease.early_at, lease.due_at) == (inf, inf)

    @pytest.mark.parametrize(
        ("life", "early_at", "due_at"),
        [(6 * 3600, 6 * 3600 - 900, 6 * 3600 - 60), (3600, 2700, 3540), (900, 450, 840), (100, 50, 75), (4, 2, 3)],
    )
    def test_times(self, life: float, early_at: float, due_at: float) -> None:
        lease = Lease(keys(expires=1000 + life), fetched_at=1000)
        assert (lease.early_at, lease.due_at) == (1000 + early_at, 1000 + due_at)

    def test_one_caller_a_minute_is_sent_to_fetch_early(self) -> None:
        lease = Lease(keys(expires=3600), fetched_at=0)
        handed_out = [lease.claim(now) is not None for now in (2699, 2700, 2701, 2759, 2760, 2761)]
        assert handed_out == [True, False, True, True, False, True]

    def test_every_caller_is_sent_to_fetch_when_due(self) -> None:
        lease = Lease(keys(expires=3600), fetched_at=0)
        assert [lease.claim(now) for now in (3500, 3540, 3541, 3600)] == [None] * 4

    def test_an_early_try_does_not_put_off_the_due_one(self) -> None:
        lease = Lease(keys(expires=3600), fetched_at=0)
        assert lease.claim(3530) is None
        assert lease.claim(3539) is lease.credentials
        assert lease.claim(3540) is None

    def test_revoked(self) -> None:
        lease = Lease(keys(), fetched_at=0)
        lease.revoke()
        assert lease.claim(0) is None


class TestRefreshingSource:
    def test_nothing_at_hand_before_the_first_refresh(self) -> None:
        source = Source()
        assert source.current() is None
        credentials = source.refresh()
        assert source.current() is credentials
        assert source.refresh() is credentials
        assert source.fetched == 1

    def test_replaced_when_they_end(self) -> None:
        source = Source(life=0.2)
        first = source.refresh()
        sleep(0.2)
        assert source.current() is None
        assert source.refresh() != first

    def test_early_failure_is_survived(self, caplog: pytest.LogCaptureFixture) -> None:
        source = Source(life=60)
        first = source.refresh()
        until_early(source)
        assert source.current() is None
        source.error = ConnectionFailed("metadata service is away")
        with caplog.at_level(logging.WARNING, "headrace.auth"):
            assert source.refresh() is first
        assert "metadata service is away" in caplog.text
        assert source.current() is first

    def test_early_success_replaces(self) -> None:
        source = Source(life=60)
        first = source.refresh()
        until_early(source)
        assert source.current() is None
        assert source.current() is first
        second = source.refresh()
        assert source.current() is second is not first

    def test_failure_when_due_is_raised_and_the_next_try_is_a_new_one(self) -> None:
        source = Source()
        source.error = CredentialsError("no luck")
        with pytest.raises(CredentialsError, match="no luck"):
            source.refresh()
        source.error = None
        assert source.refresh() == keys("key2")

    def test_expired_ones_are_refused(self) -> None:
        with pytest.raises(CredentialsError, match=r"ended at \d{4}-.*clock"):
            Source(life=-1).refresh()

    def test_invalidated_ones_are_dropped(self) -> None:
        source = Source()
        first = source.refresh()
        source.invalidate(keys(first.access_key))
        assert source.current() is None
        assert source.refresh() == keys("key2")

    def test_invalidating_old_ones_keeps_the_new(self) -> None:
        source = Source()
        first = source.refresh()
        source.invalidate(first)
        second = source.refresh()
        source.invalidate(first)
        assert source.current() is second

    def test_invalidating_before_the_first_fetch(self) -> None:
        source = Source()
        source.invalidate(keys())
        assert source.current() is None

    def test_one_thread_fetches_for_all(self) -> None:
        source = Source()
        results = list(together(source))
        assert {result.result() for result in results} == {keys("key1")}
        assert source.fetched == 1

    def test_one_failure_is_everybodys(self) -> None:
        source = Source()
        source.error = CredentialsError("no luck", hint="Try tomorrow")
        errors = [result.exception() for result in together(source)]
        assert {str(error) for error in errors} == {"no luck. Try tomorrow"}
        assert len({id(error) for error in errors}) == len(errors)
        assert source.fetched == 1

    def test_current_and_invalidate_do_not_wait_for_a_fetch(self) -> None:
        source = Source()
        first = source.refresh()
        source.invalidate(first)
        source.fetching.clear()
        source.may_fetch.clear()
        with ThreadPoolExecutor(1) as pool:
            result = pool.submit(source.refresh)
            assert source.fetching.wait(30)
            source.invalidate(first)
            assert source.current() is None
            source.may_fetch.set()
            assert result.result() is source.current()

    def test_interrupted_fetch_leaves_no_trace(self) -> None:
        source = Source()
        source.error = KeyboardInterrupt()  # type: ignore[assignment]
        with pytest.raises(KeyboardInterrupt):
            source.refresh()
        source.error = None
        assert source.refresh() == keys("key2")

    def test_child_of_a_fork_does_not_wait_for_a_thread_of_the_parent(self) -> None:
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", FORK_WHILE_FETCHING], capture_output=True, text=True, timeout=60, check=False
        )
        assert (done.stdout, done.stderr, done.returncode) == ("child key\nparent key\n", "", 0)


def test_refuse_expired() -> None:
    refuse_expired(keys())
    refuse_expired(keys(expires=time() + 60))
    with pytest.raises(CredentialsError, match="1970-01-01T00:00:01"):
        refuse_expired(keys(expires=1))


def until_early(source: Source) -> None:
    """Age the credentials at hand until others are wanted, as half of their life would."""
    lease = source._lease
    assert lease is not None
    lease.early_at = lease._next_try = time()


def together(source: Source) -> Iterator[Future[Credentials]]:
    """Refresh in eight threads, of which seven wait for the one that fetches."""
    source.may_fetch.clear()
    with ThreadPoolExecutor(8) as pool:
        results = [pool.submit(source.refresh) for _ in range(8)]
        wait_until(lambda: sum(is_waiting(frame) for frame in sys._current_frames().values()) == 7)
        source.may_fetch.set()
    return iter(results)


def is_waiting(frame: object) -> bool:
    code = getattr(frame, "f_code", None)
    return code is RefreshingSource.refresh.__code__ and "known_failure" in frame.f_locals  # type: ignore[attr-defined]


def wait_until(reached: Callable[[], bool]) -> None:
    for _ in count():
        if reached():
            return
        sleep(0.001)


FORK_WHILE_FETCHING = """
import os, threading
from headrace.auth.aws import CallableSource
from headrace.auth.sigv4 import Credentials

fetching, may_end, parent = threading.Event(), threading.Event(), os.getpid()

def fetch():
    if os.getpid() == parent:
        fetching.set()
        may_end.wait()
    return Credentials("key", "secret")

source = CallableSource(fetch)
thread = threading.Thread(target=source.refresh)
thread.start()
fetching.wait()
child = os.fork()
if child == 0:
    print("child", source.refresh().access_key, flush=True)
    os._exit(0)
os.waitpid(child, 0)
may_end.set()
thread.join()
print("parent", source.current().access_key, flush=True)
"""
