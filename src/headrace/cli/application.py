"""All commands as one program."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import typer

from headrace import __version__
from headrace.cli.cat import cat
from headrace.cli.command import add_command
from headrace.cli.config import config
from headrace.cli.cp import cp
from headrace.cli.exits import USAGE, complain
from headrace.cli.ls import ls
from headrace.cli.rm import rm

__all__ = ["run"]

# The base of all errors of usage; from one version of typer to another it has moved between packages.
_UsageError: Any = typer.BadParameter.__base__


def run(arguments: Sequence[str]) -> int:
    """Run the program, without arguments for help on it; give the exit status."""
    application = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    application.callback()(_headrace)
    for function in (ls, cat, cp, rm, config):
        add_command(application, function)
    try:
        status: int | None = application(arguments or ["--help"], prog_name="headrace", standalone_mode=False)
    except _UsageError as error:
        program = error.ctx.command_path if error.ctx else "headrace"
        complain(f"{error.format_message()} (see {program} --help)")
        return USAGE
    return status or 0


def _print_version(asked: bool) -> None:  # noqa: FBT001 - typer calls it so
    if asked:
        print(f"headrace {__version__}")
        raise typer.Exit


def _headrace(
    *, version: Annotated[bool, typer.Option("--version", is_eager=True, callback=_print_version, help="Print the version.")] = False
) -> None:
    """Read and write objects by URI: s3://bucket/key, file:///path, direct:///path, or a bare path."""
