"""What is printed, for people and for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any, TypeAlias

from headrace.errors import without_secrets
from headrace.models import BucketInfo, ObjectInfo, Prefix

__all__ = ["Entry", "as_json", "as_line", "counted", "human_size", "keep_odd_names", "print_entries", "printable", "shown"]

Entry: TypeAlias = ObjectInfo | Prefix | BucketInfo

_UNITS = ("KiB", "MiB", "GiB", "TiB", "PiB")


def printable(text: str) -> str:
    """The text, with characters that would steer a terminal or break the line written as escapes."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


def shown(uri: str) -> str:
    """A URI for people to read: a URL without its query, which may hold a signature, and without a password."""
    return printable(without_secrets(uri) or "")


def human_size(size: float) -> str:
    """A number of bytes as people read it: ``"1.5 MiB"``."""
    if size < 1024:
        return f"{size:.0f} B"
    for unit in _UNITS:
        size /= 1024
        if size < 1000 or unit == _UNITS[-1]:
            break
    return f"{size:.1f} {unit}"


def counted(number: int, noun: str) -> str:
    """A number of things: ``"1 object"``, ``"2,000 objects"``."""
    return f"{number} {noun}" if number == 1 else f"{number:,} {noun}s"


def keep_odd_names() -> None:
    """From now on print a file's name, which is bytes and not always text, as it was read."""
    sys.stdout.reconfigure(errors="surrogateescape")  # type: ignore[union-attr]


def print_entries(entries: Iterable[Entry], *, as_records: bool) -> None:
    """Print a listing as it comes: a line of JSON for each entry, or of text."""
    terminal = sys.stdout.isatty()
    line: Callable[[Entry], str] = as_json if as_records else lambda entry: as_line(entry, for_terminal=terminal)
    keep_odd_names()
    for entry in entries:
        print(line(entry))


def as_json(record: Entry | Mapping[str, Any]) -> str:
    """One line of JSON: the fields of a record under their names, times as ISO 8601."""
    fields = record if isinstance(record, Mapping) else record._asdict()
    return json.dumps(fields, default=_plain)


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Mapping):
        return dict(value)
    return str(value)


def as_line(entry: Entry, *, for_terminal: bool) -> str:
    """One line of text: size, time, URI.

    For a terminal in columns, sizes in units and times in the local zone; else separated by tabs, sizes in bytes and times in UTC,
    what is not known as ``-``, and the URI to the letter.
    """
    size = entry.size if isinstance(entry, ObjectInfo) else None
    time = None if isinstance(entry, Prefix) else entry.last_modified if isinstance(entry, ObjectInfo) else entry.created
    if for_terminal:
        shown_size = "" if size is None else human_size(size)
        shown_time = "" if time is None else f"{time.astimezone():%Y-%m-%d %H:%M}"
        return f"{shown_size:>10}  {shown_time:16}  {printable(entry.uri)}"
    return f"{'-' if size is None else size}\t{'-' if time is None else time.isoformat(timespec='seconds')}\t{entry.uri}"
