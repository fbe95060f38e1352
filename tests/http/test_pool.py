"""Which connection is taken, kept and closed; with connections that only remember whether they are open."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from headrace.http.messages import Origin
from headrace.http.pool import IDLE_SECONDS, Pool

HERE = Origin("http", "here", 80)
THERE = Origin("http", "there", 80)


class Connection:
    """As much of a connection as the pool sees."""

    def __init__(self) -> None:
        self.idle_since = 0.0
        self.open = True

    def close(self) -> None:
        assert self.open, "closed twice"
        self.open = False


@pytest.fixture
def pool() -> Pool[Connection]:
    return Pool(2)


def opened(pool: Pool[Connection], origin: Origin = HERE, now: float = 0) -> Connection:
    assert pool.reserve(origin, now)
    return Connection()


def test_the_limit_holds_for_each_origin_by_itself(pool: Pool[Connection]) -> None:
    assert [pool.reserve(HERE, 0) for _ in range(3)] == [True, True, False]
    assert pool.reserve(THERE, 0)
    pool.discard(HERE, None)
    assert pool.reserve(HERE, 0)
    assert pool.in_use == 3


def test_an_idle_connection_is_taken_by_its_own_origin_only(pool: Pool[Connection]) -> None:
    connection = opened(pool)
    pool.give_back(HERE, connection, 1)
    assert pool.take(THERE) is None
    assert pool.take(HERE) is connection
    assert pool.take(HERE) is None
    assert connection.idle_since == 1


def test_idle_connections_count(pool: Pool[Connection]) -> None:
    first, second = opened(pool), opened(pool)
    pool.give_back(HERE, first, 0)
    pool.give_back(HERE, second, 0)
    assert pool.in_use == 0
    assert not pool.reserve(HERE, 0)


def test_the_most_recently_used_is_taken_first(pool: Pool[Connection]) -> None:
    older, newer = opened(pool), opened(pool)
    pool.give_back(HERE, older, 1)
    pool.give_back(HERE, newer, 2)
    assert [pool.take(HERE), pool.take(HERE)] == [newer, older]


def test_what_is_idle_for_too_long_is_closed_when_another_is_given_back(pool: Pool[Connection]) -> None:
    older, newer = opened(pool), opened(pool)
    pool.give_back(HERE, older, 0)
    pool.give_back(HERE, newer, IDLE_SECONDS)
    assert older.open
    assert pool.take(HERE) is newer
    pool.give_back(HERE, newer, IDLE_SECONDS + 1)
    assert (older.open, newer.open) == (False, True)
    assert pool.reserve(HERE, IDLE_SECONDS + 1)


def test_what_is_idle_for_too_long_elsewhere_is_closed_when_a_connection_is_opened(pool: Pool[Connection]) -> None:
    elsewhere = opened(pool, THERE)
    pool.give_back(THERE, elsewhere, 0)
    assert pool.reserve(HERE, IDLE_SECONDS)
    assert elsewhere.open
    assert pool.reserve(HERE, IDLE_SECONDS + 1)
    assert not elsewhere.open


def test_a_discarded_connection_is_closed_and_makes_room(pool: Pool[Connection]) -> None:
    first, _ = opened(pool), opened(pool)
    assert not pool.reserve(HERE, 0)
    pool.discard(HERE, first)
    assert not first.open
    assert pool.reserve(HERE, 0)


def test_closing_closes_what_is_idle_now_and_the_rest_when_it_comes_back(pool: Pool[Connection]) -> None:
    idle, taken = opened(pool), opened(pool)
    pool.give_back(HERE, idle, 0)
    pool.close()
    assert (idle.open, taken.open) == (False, True)
    pool.give_back(HERE, taken, 0)
    assert not taken.open
    assert pool.in_use == 0
    assert pool.take(HERE) is None


class AnyUse(RuleBasedStateMachine):
    """Whatever happens, in whatever order: no connection is lost, and none is open beyond the limit."""

    origins = st.sampled_from([HERE, THERE])

    def __init__(self) -> None:
        super().__init__()
        self.pool: Pool[Connection] = Pool(3)
        self.now = 0.0
        self.all: list[Connection] = []
        self.taken: dict[Origin, list[Connection | None]] = {HERE: [], THERE: []}

    @rule(origin=origins)
    def acquire(self, origin: Origin) -> None:
        connection = self.pool.take(origin)
        if connection is not None:
            assert connection.open
            self.taken[origin].append(connection)
        elif self.pool.reserve(origin, self.now):
            self.taken[origin].append(None)

    @rule(origin=origins)
    def connect(self, origin: Origin) -> None:
        if None in self.taken[origin]:
            self.taken[origin].remove(None)
            self.all.append(Connection())
            self.taken[origin].append(self.all[-1])

    @rule(origin=origins, healthy=st.booleans())
    def release(self, origin: Origin, healthy: object) -> None:
        if self.taken[origin]:
            connection = self.taken[origin].pop(0)
            if healthy and connection is not None:
                self.pool.give_back(origin, connection, self.now)
            else:
                self.pool.discard(origin, connection)

    @rule(seconds=st.sampled_from([1.0, IDLE_SECONDS / 2, IDLE_SECONDS * 2]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @invariant()
    def count_is_right(self) -> None:
        assert self.pool.in_use == sum(len(taken) for taken in self.taken.values())
        assert sum(connection.open for connection in self.all) <= 2 * self.pool.limit
        assert all(connection is None or connection.open for taken in self.taken.values() for connection in taken)

    def teardown(self) -> None:
        self.pool.close()
        for origin, taken in self.taken.items():
            for connection in taken:
                self.pool.discard(origin, connection)
        assert not any(connection.open for connection in self.all)
        assert self.pool.in_use == 0


TestAnyUse = AnyUse.TestCase
TestAnyUse.settings = settings(max_examples=50, stateful_step_count=30, deadline=None)
