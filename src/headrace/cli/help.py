"""The help of commands: plain text in two columns, the command's own options before those that all commands share."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Iterator, Sequence
from typing import Any

from headrace.cli.terminal import emphasised

__all__ = ["CommandHelp", "rows", "show", "title"]

_LEFT_AT_MOST = 24


def title(text: str) -> str:
    """A heading, if standard output shows such things."""
    return emphasised(text, sys.stdout)


def show(formatter: Any, usage: str, text: str) -> None:
    """Write the usage, and paragraphs of text."""
    formatter.write(f"{usage}\n")
    for paragraph in text.split("\n\n"):
        formatter.write("\n" + textwrap.fill(" ".join(paragraph.split()), _width()) + "\n")


def rows(formatter: Any, heading: str, pairs: Sequence[tuple[str, str]], width: int = 0) -> None:
    """Write two columns below a heading: what one types, in a column of at least ``width`` characters, and what it means."""
    if not pairs:
        return
    formatter.write(f"\n{title(f'{heading}:')}\n")
    width = min(_LEFT_AT_MOST, max(width, *(len(left) for left, _ in pairs)))
    for left, right in pairs:
        lines = textwrap.wrap(right, _width() - width - 4) or [""]
        if len(left) > width:
            formatter.write(f"  {left}\n")
            left = ""
        for line in lines:
            formatter.write(f"  {left:{width}}  {line}".rstrip() + "\n")
            left = ""


class CommandHelp:
    """Makes the help of a command from its parameters; to be mixed into its class."""

    help: str | None
    params: list[Any]

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write it all."""
        arguments = [param for param in self.params if param.param_type_name == "argument"]
        words = " ".join(_argument(param) for param in arguments)
        show(formatter, f"{title('Usage:')} {ctx.command_path} [OPTIONS] {words}".rstrip(), self.help or "")
        rows(formatter, "Arguments", [(_argument(param), param.help or "") for param in arguments])
        for heading, pairs in _sections(self.params):
            rows(formatter, heading, pairs)


def _sections(params: Sequence[Any]) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    sections: dict[str, list[tuple[str, str]]] = {}
    for param in params:
        if param.param_type_name == "option":
            sections.setdefault(param.rich_help_panel or "Options", []).append((_option(param), param.help or ""))
    sections.setdefault("Options", []).append(("-h, --help", "Print this."))
    yield from sections.items()


def _argument(param: Any) -> str:
    return str(param.metavar or param.name.upper())


def _option(param: Any) -> str:
    short = [name for name in param.opts if not name.startswith("--")]
    long = [name for name in param.opts if name.startswith("--")]
    if param.secondary_opts:
        long = [f"--[no-]{long[0][2:]}"]
    names = ", ".join([*short, *long]) if short or not long else f"    {long[0]}"
    return names if param.is_flag or param.count else f"{names} {param.metavar or 'TEXT'}"


def _width() -> int:
    return max(50, min(shutil.get_terminal_size().columns, 100))
