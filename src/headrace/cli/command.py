"""What all commands have in common: the shared options, the client made from them, and the way they end."""

from __future__ import annotations

import functools
import inspect
import logging
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import typer
from typer.core import TyperCommand

from headrace.cli.exits import end_with
from headrace.cli.help import CommandHelp
from headrace.cli.terminal import draws
from headrace.config import SPECS
from headrace.config.kinds import (
    Choice,
    Count,
    Endpoint,
    Endpoints,
    FilePath,
    Flag,
    Name,
    ProxyServer,
    RegionName,
    Seconds,
    Size,
    StrategyName,
)
from headrace.config.options import interpret

if TYPE_CHECKING:
    from headrace.client import Client

__all__ = ["CONTEXT", "DryRun", "Exclude", "Include", "Invocation", "JSONLines", "Jobs", "Pattern", "Recursive", "make_command"]

Recursive: TypeAlias = Annotated[bool, typer.Option("--recursive", "-r", help="Everything below prefixes and directories.")]
Pattern: TypeAlias = Annotated[
    str | None, typer.Option("--pattern", "-p", metavar="REGEX", help="Only where this is found in the path below the URI.")
]
Include: TypeAlias = Annotated[
    list[str] | None, typer.Option("--include", metavar="GLOB", help="Only what this matches, such as '*.npz'; may be repeated.")
]
Exclude: TypeAlias = Annotated[
    list[str] | None, typer.Option("--exclude", metavar="GLOB", help="Not what this matches, such as tmp/; may be repeated, and prevails.")
]
Jobs: TypeAlias = Annotated[int, typer.Option("--jobs", "-j", min=1, metavar="N", help="Objects in flight at the same time (16).")]
DryRun: TypeAlias = Annotated[bool, typer.Option("--dry-run", "-n", help="Print what would be done, and do nothing.")]
JSONLines: TypeAlias = Annotated[bool, typer.Option("--json", help="Print one JSON object a line.")]

CONTEXT: dict[str, Any] = {"help_option_names": ["-h", "--help"]}

_Quiet: TypeAlias = Annotated[bool, typer.Option("--quiet", "-q", help="Print no progress and no counts.")]
_Verbosity: TypeAlias = Annotated[
    int, typer.Option("--verbose", "-v", count=True, help="Say what is done; -vv: everything, for debugging.")
]
_SHARED: Mapping[str, tuple[object, object]] = {"quiet": (_Quiet, False), "verbosity": (_Verbosity, 0)}

_PANEL = "Client options (also HEADRACE_<NAME> in the environment)"
_METAVARS = {
    Choice: "WORD",
    Count: "N",
    Endpoint: "URL",
    Endpoints: "URLS",
    FilePath: "FILE",
    Name: "NAME",
    ProxyServer: "URL",
    RegionName: "NAME",
    Seconds: "SECONDS",
    Size: "SIZE",
    StrategyName: "WORD",
}


@dataclass(frozen=True, slots=True)
class Invocation:
    """What a command is run with, besides its own arguments.

    Attributes:
        options: the client options given on the command line.
        quiet: print no progress and no counts.
        verbosity: how often ``-v`` was given.
    """

    options: Mapping[str, object]
    quiet: bool
    verbosity: int

    @property
    def shows_progress(self) -> bool:
        """Whether anybody would see it."""
        return not self.quiet and draws(sys.stderr)

    def client(self) -> Client:
        """A client with the given options.

        Raises:
            InvalidOption: one of them is not accepted.
        """
        from headrace.client import Client

        return Client(**self.options)


def make_command(function: Callable[..., None]) -> Any:
    """Make a command of a function: its parameters after the first, the `Invocation`, are the command's own arguments."""
    _invocation, *own = inspect.signature(function, eval_str=True).parameters.values()

    @functools.wraps(function)
    def run(**values: Any) -> None:
        verbosity = values.pop("verbosity")
        try:
            if verbosity > 1:
                logging.getLogger("headrace").setLevel(logging.DEBUG)
            quiet = values.pop("quiet")
            options = _client_options({name: values.pop(name) for name in _CLIENT_PARAMETERS})
            function(Invocation(options, quiet, verbosity), **values)
            sys.stdout.flush()
        except BaseException as error:
            raise typer.Exit(end_with(error, debug=verbosity > 1)) from None

    shared = [_parameter(name, kind, default) for name, (kind, default) in _SHARED.items()]
    run.__signature__ = inspect.Signature([*own, *shared, *_CLIENT_PARAMETERS.values()])  # type: ignore[attr-defined]
    run.__annotations__ = {}
    single = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
    single.command(cls=_Command, context_settings=CONTEXT)(run)
    return typer.main.get_command(single)


class _Command(CommandHelp, TyperCommand):
    pass


def _parameter(name: str, annotation: object, default: object) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=annotation, default=default)


def _client_parameter(name: str) -> inspect.Parameter:
    spec = SPECS[name]
    flag = f"--{name.replace('_', '-')}"
    declaration = f"{flag}/--no-{flag[2:]}" if isinstance(spec.kind, Flag) else flag
    kind = bool if isinstance(spec.kind, Flag) else str
    help = spec.help[:1].upper() + spec.help[1:] + (f": {spec.kind.accepted}." if isinstance(spec.kind, Choice) else ".")
    option = typer.Option(declaration, help=help, metavar=_METAVARS.get(type(spec.kind)), show_default=False, rich_help_panel=_PANEL)
    return _parameter(name, Annotated[kind | None, option], None)


_CLIENT_PARAMETERS = {name: _client_parameter(name) for name in SPECS}


def _client_options(given: Mapping[str, bool | str | None]) -> dict[str, object]:
    """The options that were given, checked; each stays as it is where it unsets what the environment sets (``--sse none``)."""
    options: dict[str, object] = {}
    for name, value in given.items():
        if value is not None:
            checked = interpret(name, value, f"--{name.replace('_', '-')}", text=isinstance(value, str))
            options[name] = value if checked is None else checked
    return options
