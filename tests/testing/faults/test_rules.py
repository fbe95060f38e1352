"""Rules refuse what makes no sense, and strike when they say."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest

from headrace.errors import InvalidOption
from headrace.testing import faults
from headrace.testing.faults import KINDS, Cut, Fault, Reset, Rule, Status, parse_rules
from headrace.testing.faults.rules import Rulebook

NONSENSE: list[Callable[[], object]] = [
    lambda: faults.Cut(at=-1),
    lambda: faults.Cut(at=True),
    lambda: faults.Cut(at=1.5),  # type: ignore[arg-type]
    lambda: faults.Cut(at=1, reset=1),  # type: ignore[arg-type]
    lambda: faults.Stall(at=-1),
    lambda: faults.Stall(seconds=float("nan")),
    lambda: faults.Stall(seconds="1"),  # type: ignore[arg-type]
    lambda: faults.Delay(seconds=-1),
    lambda: faults.Delay(seconds=float("inf")),
    lambda: faults.Drip(rate=0),
    lambda: faults.DripUpload(rate=0),
    lambda: faults.WrongLength(by=0),
    lambda: faults.ShortBody(missing=0),
    lambda: faults.Corrupt(at=-1),
    lambda: faults.CorruptUpload(at="1"),  # type: ignore[arg-type]
    lambda: faults.ResetUpload(at=-1),
    lambda: faults.StallUpload(seconds=-1),
    lambda: faults.Status(status=99),
    lambda: faults.Status(status=600),
    lambda: faults.Status(status="503"),  # type: ignore[arg-type]
    lambda: faults.Status(status=503, code="Slow Down"),
    lambda: faults.Status(status=503, code="</Code>"),
    lambda: faults.Status(status=503, retry_after=-1),
    lambda: faults.Status(status=503, retry_after="1\r\nx: y"),
    lambda: faults.Status(status=503, at_once=None),  # type: ignore[arg-type]
    lambda: faults.Redirect(location="http://a\r\nb"),
    lambda: faults.Redirect(location="http://a", status=200),
    lambda: faults.Garbage(text=""),
    lambda: faults.Garbage(text="ä"),
    lambda: Rule(fault=None),  # type: ignore[arg-type]
    lambda: Rule(fault=Fault()),
    lambda: Rule(fault=Reset, method="GET"),  # type: ignore[arg-type]
    lambda: Rule(fault=Reset(), target="("),
    lambda: Rule(fault=Reset(), target=None),  # type: ignore[arg-type]
    lambda: Rule(fault=Reset(), method="get"),
    lambda: Rule(fault=Reset(), skip=-1),
    lambda: Rule(fault=Reset(), times=0),
    lambda: Rule(fault=Reset(), probability=1.1),
    lambda: Rule(fault=Reset(), probability="often"),  # type: ignore[arg-type]
]


@pytest.mark.parametrize("make", NONSENSE)
def test_nonsense_is_refused(make: Callable[[], object]) -> None:
    with pytest.raises(InvalidOption):
        make()


def test_they_are_values() -> None:
    assert Cut(at=3) == Cut(at=3) != Cut(at=4)
    with pytest.raises(dataclasses.FrozenInstanceError):
        Cut(at=3).at = 4  # type: ignore[misc]
    with pytest.raises(TypeError):
        Cut(3)  # type: ignore[call-arg, misc]


def test_every_fault_has_a_name_and_is_exported() -> None:
    kinds = {kind for kind in vars(faults).values() if isinstance(kind, type) and issubclass(kind, Fault) and kind is not Fault}
    assert set(KINDS.values()) == kinds
    assert {kind.__name__ for kind in kinds} <= set(faults.__all__)
    assert all(KINDS[kind.name] is kind for kind in kinds)
    rule = {field.name for field in dataclasses.fields(Rule)}
    assert [kind for kind in kinds if rule & {field.name for field in dataclasses.fields(kind)}] == []


def struck(book: Rulebook, count: int, method: str = "GET", target: str = "/bucket/key") -> list[int]:
    """Which of so many equal requests are."""
    return [number for number in range(count) if book.choose(method, target)]


def test_skip_and_times() -> None:
    assert struck(Rulebook([Rule(fault=Reset())]), 4) == [0, 1, 2, 3]
    assert struck(Rulebook([Rule(fault=Reset(), skip=2)]), 4) == [2, 3]
    assert struck(Rulebook([Rule(fault=Reset(), times=1)]), 4) == [0]
    assert struck(Rulebook([Rule(fault=Reset(), skip=1, times=2)]), 5) == [1, 2]


def test_method_and_target() -> None:
    book = Rulebook([Rule(fault=Reset(), method="PUT", target=r"/key\?partNumber=2&")])
    assert book.choose("PUT", "/bucket/key?partNumber=2&uploadId=x")
    assert not book.choose("PUT", "/bucket/key?partNumber=3&uploadId=x")
    assert not book.choose("GET", "/bucket/key?partNumber=2&uploadId=x")


def test_the_first_rule_that_strikes_is_the_only_one() -> None:
    book = Rulebook([Rule(fault=Reset(), times=1), Rule(fault=Cut(at=1), times=1)])
    assert [book.choose("GET", "/") for _ in range(3)] == [Reset(), Cut(at=1), None]


def test_chance_is_the_same_for_the_same_seed() -> None:
    rules = [Rule(fault=Reset(), probability=0.3)]
    once = struck(Rulebook(rules, seed=7), 1000)
    assert 200 < len(once) < 400
    assert struck(Rulebook(rules, seed=7), 1000) == once
    assert struck(Rulebook(rules, seed=8), 1000) != once
    assert struck(Rulebook([Rule(fault=Reset(), probability=0)]), 100) == []


def test_rules_from_json() -> None:
    text = '[{"fault": "cut", "at": 9, "reset": false, "target": "/key", "times": 1}, {"fault": "status", "status": 503, "method": "GET"}]'
    assert parse_rules(text) == [
        Rule(fault=Cut(at=9, reset=False), target="/key", times=1),
        Rule(fault=Status(status=503), method="GET"),
    ]
    assert parse_rules("[]") == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not JSON"),
        ("{}", "list"),
        ("[1]", "list"),
        ("[{}]", "fault None is not known"),
        ('[{"fault": "cutt"}]', "'cutt' is not known"),
        ('[{"fault": "cut"}]', "lacks a field"),
        ('[{"fault": "cut", "at": 1, "rate": 2}]', "'rate' is not a field"),
        ('[{"fault": "reset", "time": 1}]', "'time' is not a field"),
        ('[{"fault": "cut", "at": "1"}]', "at must be"),
        ('[{"fault": "reset", "times": 0}]', "times must be"),
        ('[{"fault": ["reset"]}]', "not known"),
    ],
)
def test_bad_json_is_refused(text: str, message: str) -> None:
    with pytest.raises(InvalidOption, match=message):
        parse_rules(text)
