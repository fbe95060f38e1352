"""Sizes and times on the command line."""

from __future__ import annotations

from headrace.config.kinds import Kind, Seconds, Size
from headrace.errors import InvalidOption

__all__ = ["at_least", "seconds_in", "size_in"]

# A time limit of an option has no use for these.
_LONG_UNITS = {"h": 3600, "d": 86400}


def size_in(text: str, option: str) -> int:
    """A number of bytes such as ``"64KiB"`` or ``"-100"``.

    Raises:
        InvalidOption: it is none.
    """
    size = _read(Size(0), text.strip().removeprefix("-"), text, option)
    return -int(size) if text.strip().startswith("-") else int(size)


def at_least(minimum: int, value: int, option: str) -> int:
    """The value, if it is not less.

    Raises:
        InvalidOption: it is.
    """
    if value < minimum:
        raise InvalidOption(f"{option} must be at least {minimum}, and not {value}")
    return value


def seconds_in(text: str, option: str) -> int:
    """A number of whole seconds, such as ``"90"``, ``"15min"``, ``"2h"`` or ``"7d"``.

    Raises:
        InvalidOption: it is none.
    """
    number, unit = text[:-1], _LONG_UNITS.get(text[-1:], 0)
    if unit and number.isdecimal():
        return at_least(1, int(number) * unit, option)
    return at_least(1, int(_read(Seconds(), text, text, option)), option)


def _read(kind: Kind, value: str, typed: str, option: str) -> float:
    try:
        return kind.read(value, text=True)  # type: ignore[return-value]
    except ValueError:
        raise InvalidOption(f"{option} cannot be {typed[:40]!r}", hint=f"Accepted: {kind.accepted}.") from None
