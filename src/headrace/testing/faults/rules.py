"""Which exchange is struck by which fault."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields

from headrace.errors import InvalidOption
from headrace.testing.faults import checks
from headrace.testing.faults.kinds import KINDS, Fault

__all__ = ["Rule", "Rulebook", "parse_rules"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """When a fault strikes.

    Args:
        fault: what happens.
        target: a regular expression that is searched in the request's target: path and query, percent-encoded as they are sent.
        method: the request's method; None for any.
        skip: let so many matching requests pass first.
        times: strike so many times, then no more; None for no end.
        probability: strike with this probability, 0 to 1, when all the rest holds.

    Raises:
        InvalidOption: a value that makes no sense.
    """

    fault: Fault
    target: str = ""
    method: str | None = None
    skip: int = 0
    times: int | None = None
    probability: float = 1.0

    def __post_init__(self) -> None:
        if type(self.fault) not in KINDS.values():
            raise InvalidOption(f"fault must be one of headrace.testing.faults, got {self.fault!r}")
        try:
            re.compile(self.target)
        except (re.error, TypeError):
            raise InvalidOption(f"target must be a regular expression, got {self.target!r}") from None
        if self.method is not None and not (type(self.method) is str and re.fullmatch("[A-Z]+", self.method)):
            raise InvalidOption(f"method must be an HTTP method in capitals, got {self.method!r}")
        checks.count("skip", self.skip)
        if self.times is not None:
            checks.count("times", self.times, least=1)
        if type(self.probability) not in (int, float) or not 0 <= self.probability <= 1:
            raise InvalidOption(f"probability must be from 0 to 1, got {self.probability!r}")

    def matches(self, method: str, target: str) -> bool:
        """Whether a request is one that the rule is about."""
        return (self.method is None or self.method == method) and re.search(self.target, target) is not None


class Rulebook:
    """Rules in force, and how often each has matched and struck.

    Args:
        rules: the first that strikes is the only one that does.
        seed: of the dice; each rule has its own, so that one rule's matches do not change another's luck.
    """

    def __init__(self, rules: Iterable[Rule] = (), *, seed: int = 0) -> None:
        self._entries = [_Entry(rule, random.Random(f"{seed}/{number}")) for number, rule in enumerate(rules)]

    def choose(self, method: str, target: str) -> Fault | None:
        """The fault that strikes this request, if one does; counts the request."""
        for entry in self._entries:
            if entry.strikes(method, target):
                return entry.rule.fault
        return None


class _Entry:
    def __init__(self, rule: Rule, dice: random.Random) -> None:
        self.rule = rule
        self._dice = dice
        self._matched = 0
        self._struck = 0

    def strikes(self, method: str, target: str) -> bool:
        rule = self.rule
        if not rule.matches(method, target):
            return False
        self._matched += 1
        if self._matched <= rule.skip or self._struck == rule.times or self._dice.random() >= rule.probability:
            return False
        self._struck += 1
        return True


_RULE_FIELDS = {field.name for field in fields(Rule)} - {"fault"}


def parse_rules(text: str) -> Sequence[Rule]:
    """Rules from JSON: a list of objects, each with the name of a ``fault``, and the fields of it and of the rule side by side.

    Such as ``[{"fault": "cut", "at": 1000, "target": "/bucket/key", "times": 1}]``.

    Raises:
        InvalidOption: not such a list, an unknown fault or field, or a value that makes no sense.
    """
    try:
        listed = json.loads(text)
    except ValueError as error:
        raise InvalidOption(f"the rules are not JSON: {error}") from None
    if not isinstance(listed, list) or not all(isinstance(item, dict) for item in listed):
        raise InvalidOption("the rules must be a list of objects")
    return [_rule(item) for item in listed]


def _rule(item: Mapping[str, object]) -> Rule:
    kind = KINDS.get(str(item.get("fault")))
    if kind is None:
        raise InvalidOption(f"fault {item.get('fault')!r} is not known", hint=f"Known are {', '.join(KINDS)}.")
    own = {field.name for field in fields(kind)}
    unknown = item.keys() - own - _RULE_FIELDS - {"fault"}
    if unknown:
        accepted = ", ".join(sorted(own | _RULE_FIELDS))
        raise InvalidOption(f"{sorted(unknown)[0]!r} is not a field of a rule with the fault {kind.name}", hint=f"Known are {accepted}.")
    try:
        fault = kind(**{name: value for name, value in item.items() if name in own})
    except TypeError:
        raise InvalidOption(f"the fault {kind.name} lacks a field", hint=f"It has {', '.join(sorted(own))}.") from None
    # What a value may be is checked by the rule itself.
    return Rule(fault=fault, **{name: value for name, value in item.items() if name in _RULE_FIELDS})  # type: ignore[arg-type]
