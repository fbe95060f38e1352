"""Checks of the values that faults and rules are made of."""

from __future__ import annotations

import math

from headrace.errors import InvalidOption

__all__ = ["count", "seconds", "text", "truth"]


def count(name: str, value: object, *, least: int = 0) -> None:
    """Require a whole number of at least ``least``."""
    if type(value) is not int or value < least:
        raise InvalidOption(f"{name} must be a whole number of at least {least}, got {value!r}")


def seconds(name: str, value: object) -> None:
    """Require a finite number of seconds, not negative."""
    if type(value) not in (int, float) or not math.isfinite(value) or value < 0:  # type: ignore[arg-type, operator]
        raise InvalidOption(f"{name} must be a number of seconds, got {value!r}")


def text(name: str, value: object) -> None:
    """Require text that can stand in one line of an HTTP head."""
    if type(value) is not str or not value.isascii() or not value.isprintable():
        raise InvalidOption(f"{name} must be printable ASCII, got {value!r}")


def truth(name: str, value: object) -> None:
    """Require True or False."""
    if type(value) is not bool:
        raise InvalidOption(f"{name} must be True or False, got {value!r}")
