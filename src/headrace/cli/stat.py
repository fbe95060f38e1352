"""``headrace stat``: describe objects."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Annotated

import typer

from headrace.cli.command import Invocation, JSONLines
from headrace.cli.exits import PartlyDone, complain
from headrace.cli.locations import locate
from headrace.cli.printing import as_json, human_size, keep_odd_names, printable, shown
from headrace.errors import HeadraceError
from headrace.models import ObjectInfo

__all__ = ["stat"]


def stat(
    invocation: Invocation, uris: Annotated[list[str], typer.Argument(metavar="URI...", help="Objects.")], *, json: JSONLines = False
) -> None:
    """Describe objects: size, time, version tag, media type, and what else the service tells, without reading them."""
    keep_odd_names()
    failures: list[HeadraceError] = []
    with invocation.client() as client:
        for item in client.stat_many([locate(uri).require_object().uri for uri in uris], ordered=True, on_error="yield"):
            if item.info is not None:
                print(as_json(item.info) if json else "\n".join(_lines(item.info)))
            elif item.error is not None:
                failures.append(item.error)
                if len(uris) > 1:
                    complain(str(item.error))
    if failures:
        raise failures[0] if len(uris) == 1 else PartlyDone(len(uris) - len(failures), len(uris), failures)


def _lines(info: ObjectInfo) -> Iterator[str]:
    """What is known, a line each."""
    yield shown(info.uri)
    for name, value in info._asdict().items():
        if name != "uri" and value is not None and value != {}:
            yield f"  {name:13}  {printable(_text(name, value))}"


def _text(name: str, value: object) -> str:
    if name == "size" and value == -1:
        return "unknown"
    if name == "size" and isinstance(value, int):
        return f"{value} ({human_size(value)})" if value >= 1024 else str(value)
    if isinstance(value, datetime):
        return value.isoformat(timespec="seconds")
    if isinstance(value, Mapping):
        return ", ".join(f"{key}={text}" for key, text in value.items())
    return str(value)
