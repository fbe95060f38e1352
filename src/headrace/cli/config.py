"""``headrace config``: the options in force."""

from __future__ import annotations

from headrace.cli.command import Invocation, JSONLines
from headrace.cli.exits import complain
from headrace.cli.printing import as_json, printable
from headrace.config import describe, resolve

__all__ = ["config"]


def config(invocation: Invocation, *, json: JSONLines = False) -> None:
    """Print every option, its value, and where that comes from. Secrets are not shown."""
    resolved = resolve(invocation.options)
    settings = describe(resolved)
    if json:
        for setting in settings:
            print(as_json(setting._asdict()))
    else:
        name_width, value_width = (max(map(len, column)) for column in list(zip(*settings, strict=True))[:2])
        for setting in settings:
            print(f"{setting.name:{name_width}}  {printable(setting.value):{value_width}}  {setting.origin}")
    for name in resolved.unknown:
        complain(f"{name} is set in the environment, but it is no option")
