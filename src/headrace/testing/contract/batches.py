"""Batches: every result once, never more ahead of the consumer than the window, and an end whatever goes wrong."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from typing import Any, Generic, TypeVar

import pytest

from headrace.client import Client
from headrace.errors import InvalidOption, InvalidURI, MissingDependency, NotFound
from headrace.testing.contract.case import ContractCase, payload

__all__ = ["BatchContract"]

T = TypeVar("T")

_AHEAD = 64
"""Inputs that may be drawn ahead of the consumer while four small objects are in flight."""


class Counted(Generic[T]):
    """Inputs that remember how many of them were drawn."""

    def __init__(self, values: Iterable[T]) -> None:
        self._values = iter(values)
        self.drawn = 0

    def __iter__(self) -> Iterator[T]:
        return self

    def __next__(self) -> T:
        value = next(self._values)
        self.drawn += 1
        return value


class BatchContract(ContractCase):
    """``get_many``, ``put_many`` and ``stat_many``."""

    @pytest.fixture
    def uris(self, blocking_client: Client, base: str) -> list[str]:
        """Forty objects of different sizes; the content is their number."""
        uris = [f"{base}{number:02}" for number in range(40)]
        for item in blocking_client.put_many((uri, b"%d" % number * number) for number, uri in enumerate(uris)):
            assert item.error is None
        return uris

    def test_batch_every_object_once(self, client: Client, uris: list[str]) -> None:
        items = sorted(client.get_many(uris))
        assert [item.index for item in items] == list(range(40))
        assert [item.uri for item in items] == uris
        assert [bytes(item.data or b"") for item in items] == [b"%d" % number * number for number in range(40)]
        assert [item.info.size for item in items if item.info] == [len(b"%d" % number) * number for number in range(40)]
        assert all(item.error is None for item in items)

    @pytest.mark.parametrize("concurrency", [1, 3, 100])
    def test_batch_in_order(self, client: Client, uris: list[str], concurrency: int) -> None:
        assert [item.index for item in client.get_many(uris, ordered=True, concurrency=concurrency)] == list(range(40))

    def test_batch_large_objects_among_small_ones(self, client: Client, base: str) -> None:
        sizes = [3_000_000, 10, 1_500_000, 0, 1_100_000, 100] * 2
        stored = {item.index for item in client.put_many((f"{base}{number}", payload(size)) for number, size in enumerate(sizes))}
        assert stored == set(range(len(sizes)))
        for item in client.get_many(f"{base}{number}" for number in range(len(sizes))):
            assert bytes(item.data or b"") == payload(sizes[item.index])

    def test_batch_no_input(self, client: Client) -> None:
        assert list(client.get_many([])) == list(client.put_many([])) == list(client.stat_many([])) == []

    def test_batch_writing_many(self, client: Client, base: str) -> None:
        items = sorted(client.put_many(((f"{base}{number}", payload(number * 100)) for number in range(20)), concurrency=4))
        assert [(item.index, item.uri, item.data, item.error) for item in items] == [(n, f"{base}{n}", None, None) for n in range(20)]
        assert [item.info.size for item in items if item.info] == [number * 100 for number in range(20)]

    def test_batch_describing_many(self, client: Client, uris: list[str]) -> None:
        items = list(client.stat_many(uris, ordered=True))
        assert [item.info for item in items] == [client.stat(uri) for uri in uris]
        assert all(item.data is None for item in items)

    def test_batch_a_failure_is_raised(self, client: Client, uris: list[str]) -> None:
        inputs = Counted(itertools.chain(uris[:3], [f"{uris[0]}-missing"], itertools.cycle(uris)))
        with pytest.raises(NotFound) as caught:
            for _ in client.get_many(inputs, concurrency=2):
                pass
        assert caught.value.uri == f"{uris[0]}-missing"
        drawn = inputs.drawn
        client.exists(uris[0])
        assert inputs.drawn == drawn

    @pytest.mark.parametrize("ordered", [False, True])
    def test_batch_failures_as_items(self, client: Client, uris: list[str], ordered: bool) -> None:  # noqa: FBT001 - a parameter of the test
        wanted = [uri if number % 2 else f"{uri}-missing" for number, uri in enumerate(uris)]
        items = list(client.get_many(wanted, on_error="yield", ordered=ordered))
        assert ordered == ([item.index for item in items] == list(range(40))) or not ordered
        for item in items:
            assert item.uri == wanted[item.index]
            assert isinstance(item.error, NotFound) == (item.index % 2 == 0)
            assert (item.data is None) == (item.index % 2 == 0)

    def test_batch_hundreds_of_failures_that_need_no_request(self, client: Client) -> None:
        """Each is there at once, before others have begun."""
        items = list(client.get_many(["nobody-knows://this/scheme"] * 700, on_error="yield"))
        assert sum(isinstance(item.error, (InvalidURI, MissingDependency)) for item in items) == 700

    def test_batch_failures_of_writes_and_descriptions_as_items(self, client: Client, base: str) -> None:
        scheme = base.partition("://")[0]
        written = list(client.put_many([(f"{base}good", b""), (f"{scheme}://", b"")], on_error="yield"))
        assert sorted((item.index, type(item.error)) for item in written if item.error) == [(1, InvalidURI)]
        described = list(client.stat_many([f"{base}good", f"{base}missing"], on_error="yield"))
        assert sorted((item.index, type(item.error)) for item in described if item.error) == [(1, NotFound)]

    def test_batch_wrong_data_is_raised_also_where_failures_are_items(self, client: Client, base: str) -> None:
        with pytest.raises(TypeError, match="str"):
            list(client.put_many([(f"{base}good", b""), (f"{base}wrong", "text")], on_error="yield"))

    def test_batch_endless_input(self, client: Client, uris: list[str]) -> None:
        inputs = Counted(itertools.cycle(uris))
        for consumed, item in enumerate(client.get_many(inputs, concurrency=4), start=1):
            assert item.data is not None
            assert inputs.drawn <= consumed + _AHEAD
            if consumed == 300:
                break
        assert client.read_bytes(uris[1]) == b"1"

    def test_batch_writes_keep_to_the_window(self, client: Client, base: str) -> None:
        """To the last: the service may carry out later what is in flight when a loop is left."""
        inputs = Counted((f"{base}{number % 10}", b"%d" % number) for number in range(150))
        for consumed, _ in enumerate(client.put_many(inputs, concurrency=4), start=1):
            assert inputs.drawn <= consumed + _AHEAD
        assert inputs.drawn == consumed == 150

    def test_batch_a_slow_first_object_does_not_let_the_window_grow(self, client: Client, base: str, uris: list[str]) -> None:
        """In order, what is behind the first waits for it."""
        client.put(f"{base}large", payload(3_000_000))
        inputs = Counted(itertools.chain([f"{base}large"], itertools.cycle(uris)))
        for consumed, item in enumerate(client.get_many(inputs, concurrency=4, ordered=True), start=1):
            assert item.index == consumed - 1
            assert inputs.drawn <= consumed + _AHEAD
            if consumed == 100:
                break

    def test_batch_the_consumers_exception(self, client: Client, uris: list[str]) -> None:
        class ConsumerError(Exception):
            pass

        def consume() -> None:
            for item in client.get_many(itertools.cycle(uris)):
                if item.index == 20:
                    raise ConsumerError

        with pytest.raises(ConsumerError):
            consume()
        assert client.read_bytes(uris[1]) == b"1"

    @pytest.mark.parametrize("after", [0, 5])
    def test_batch_an_exception_of_the_input(self, client: Client, uris: list[str], after: int) -> None:
        def inputs() -> Iterator[str]:
            yield from uris[:after]
            raise LookupError("no more")

        with pytest.raises(LookupError, match="no more"):
            list(client.get_many(inputs()))

    def test_batch_the_same_object_many_times(self, client: Client, uris: list[str]) -> None:
        views = [item.data for item in client.get_many([uris[9]] * 5)]
        assert views[0] is not None
        views[0][0] = 0
        assert [bytes(view or b"") for view in views[1:]] == [b"9" * 9] * 4

    @pytest.mark.parametrize(("name", "value"), [("concurrency", 0), ("concurrency", -1), ("on_error", "ignore")])
    def test_batch_wrong_options(self, client: Client, name: str, value: Any) -> None:
        for verb in (client.get_many, client.put_many, client.stat_many):
            with pytest.raises(InvalidOption, match=name):
                list(verb([], **{name: value}))

    def test_batch_memory_for_what_is_read_ahead_is_bounded(self, base: str, options: dict[str, Any]) -> None:
        budget, size = 4 << 20, 512 << 10
        with Client(**{**options, "memory_budget": budget}) as client:
            client.put(f"{base}object", payload(size))
            inputs = Counted(itertools.repeat(f"{base}object"))
            for consumed, _ in enumerate(client.get_many(inputs, concurrency=4), start=1):
                if consumed > _AHEAD:
                    assert (inputs.drawn - consumed) * size <= budget
                if consumed == 2 * _AHEAD:
                    break
