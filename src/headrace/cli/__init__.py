"""The program ``headrace``: one file a command, which parses, calls a verb, prints and exits.

Exit status: 0 everything asked was done, 1 something was not, 2 wrong usage, 3 not found, 4 denied or no credentials,
5 the service could not be reached, 130 interrupted; 141 when a reader closed the pipe, as for every program that writes into one.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

if TYPE_CHECKING:
    import typer

__all__ = ["main"]


def main() -> None:
    """Run the program on the arguments of this process, and exit."""
    sys.exit(_run(sys.argv[1:]))


def _run(arguments: Sequence[str]) -> int:
    # This question needs no parser, which would take half of the time to the answer.
    if list(arguments) == ["--version"]:
        _print_version()
        return 0
    import typer

    from headrace.cli.exits import USAGE, complain

    # The base of all errors of usage; between versions of typer it has moved from one package to another.
    usage_error: Any = typer.BadParameter.__base__
    try:
        return _application()(arguments or ["--help"], prog_name="headrace", standalone_mode=False) or 0
    except usage_error as error:
        program = error.ctx.command_path if error.ctx else "headrace"
        complain(f"{error.format_message()} (see {program} --help)")
        return USAGE


def _application() -> typer.Typer:
    import typer

    from headrace.cli.cat import cat
    from headrace.cli.command import add_command
    from headrace.cli.config import config
    from headrace.cli.cp import cp
    from headrace.cli.ls import ls
    from headrace.cli.rm import rm

    def print_version(asked: bool) -> None:  # noqa: FBT001 - typer's signature
        if asked:
            _print_version()
            raise typer.Exit

    def headrace(
        *, version: Annotated[bool, typer.Option("--version", is_eager=True, callback=print_version, help="Print the version.")] = False
    ) -> None:
        """Read and write objects by URI: s3://bucket/key, file:///path, direct:///path, or a bare path."""

    application = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    application.callback()(headrace)
    for function in (ls, cat, cp, rm, config):
        add_command(application, function)
    return application


def _print_version() -> None:
    from headrace import __version__

    print(f"headrace {__version__}")
