"""All commands as one program. The module of a command is loaded when it is run, or when its own help is asked for."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from headrace import __version__
from headrace.cli.command import CONTEXT, make_command
from headrace.cli.exits import USAGE, complain
from headrace.cli.help import rows, show, title

__all__ = ["COMMANDS", "command_named", "run"]

COMMANDS = {
    "Look": {
        "ls": "List objects with their sizes and times.",
        "stat": "Describe objects.",
        "du": "Add up the bytes and objects below prefixes.",
        "buckets": "List the buckets of a service.",
        "cat": "Write objects, or a range of each, to standard output.",
        "head": "Write the first bytes of objects to standard output.",
    },
    "Transfer": {
        "cp": "Copy objects and files, in any direction.",
        "mv": "Move objects and files, in any direction.",
        "upload": "Copy files and directories to an object store.",
        "download": "Copy objects and prefixes into a directory.",
    },
    "Change": {
        "rm": "Delete objects.",
        "mb": "Create buckets.",
        "rb": "Delete empty buckets.",
    },
    "More": {
        "presign": "Print a URL that lets others read or write one object.",
        "config": "Print every option, its value, and where that comes from.",
        "completion": "Print a script that lets the shell complete commands and options.",
    },
}
"""The commands, and what each says of itself in one line."""

_NAMES = [name for section in COMMANDS.values() for name in section]

# The base of all errors of usage; from one version of typer to another it has moved between packages.
_UsageError: Any = typer.BadParameter.__base__


def run(arguments: Sequence[str]) -> int:
    """Run the program, without arguments for help on it; give the exit status."""
    program = typer.Typer(cls=_Program, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
    program.callback(context_settings=CONTEXT)(_headrace)
    try:
        status: int | None = program(arguments or ["--help"], prog_name="headrace", standalone_mode=False)
    except _UsageError as error:
        name = error.ctx.command_path if error.ctx else "headrace"
        complain(f"{error.format_message()} (see {name} --help)")
        return USAGE
    return status or 0


def command_named(name: str) -> Any:
    """The command of this name, ready to run."""
    return make_command(getattr(importlib.import_module(f"headrace.cli.{name}"), name))


class _Program(TyperGroup):
    def list_commands(self, ctx: Any) -> list[str]:
        return _NAMES

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        return command_named(cmd_name) if cmd_name in _NAMES else None

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name = args[0]
        if name not in _NAMES and not name.startswith("-"):
            close = difflib.get_close_matches(name, _NAMES, n=1)
            ctx.fail(f"there is no command {name!r}." + (f" Did you mean {close[0]}?" if close else ""))
        return super().resolve_command(ctx, args)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        show(formatter, f"{title('Usage:')} headrace COMMAND [OPTIONS] [ARGUMENTS]", self.help or "")
        width = max(map(len, [*_NAMES, "-h, --help"]))
        for section, commands in COMMANDS.items():
            rows(formatter, section, list(commands.items()), width)
        rows(formatter, "Options", [("--version", "Print the version."), ("-h, --help", "Print this, or after a command help on it.")])


def _print_version(asked: bool) -> None:  # noqa: FBT001 - typer calls it so
    if asked:
        print(f"headrace {__version__}")
        raise typer.Exit


def _headrace(*, version: Annotated[bool, typer.Option("--version", is_eager=True, callback=_print_version)] = False) -> None:
    """Read and write objects by URI: s3://bucket/key, file:///path, direct:///path, or a bare path.

    Exit status: 0 all was done, 1 something was not, 2 wrong usage, 3 not found, 4 denied or no credentials,
    5 the service could not be reached, 130 interrupted.
    """
