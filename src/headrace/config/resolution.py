"""Where the value of each option comes from.

In order of precedence: the arguments; ``HEADRACE_<NAME>``; the variables of the service's own SDKs; the configuration file; the
default. An empty variable counts as not set, and so does an argument of None. An option that excludes another displaces it in what
comes later: with ``endpoints`` as an argument, ``AWS_ENDPOINT_URL`` is of no interest.

The configuration file is TOML, ``$XDG_CONFIG_HOME/headrace/config.toml`` (``~/.config`` if that is not set) or the file that
``HEADRACE_CONFIG`` names: the names of options and their values, and no tables.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from headrace.config.options import SPECS, Options, interpret, is_displaced, refuse_rivals, refuse_unknown
from headrace.errors import InvalidOption

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Origin", "Resolved", "Setting", "describe", "resolve"]

_PREFIX = "HEADRACE_"
_FILE_VARIABLE = "HEADRACE_CONFIG"
_TEST_PREFIX = "HEADRACE_TEST_"


class Origin(NamedTuple):
    """Where a value comes from.

    Attributes:
        source: ``"argument"``, ``"environment"``, ``"file"`` or ``"default"``.
        name: which variable or file.
    """

    source: str
    name: str = ""

    def __str__(self) -> str:
        return f"{self.source} {self.name}".rstrip()


class Resolved(NamedTuple):
    """The options in force.

    Attributes:
        options: their values.
        origins: for every option, where its value comes from.
        unknown: the ``HEADRACE_*`` variables that are set and that nobody reads, most often misspelt. Who resolves reports them.
    """

    options: Options
    origins: dict[str, Origin]
    unknown: list[str]


class Setting(NamedTuple):
    """One option for display; a secret in ``value`` is masked."""

    name: str
    value: str
    origin: str
    help: str


class _Given(NamedTuple):
    value: object
    origin: Origin


_Layer: TypeAlias = Mapping[str, _Given]


def resolve(
    arguments: Mapping[str, object] | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    file: Path | None = None,
    scheme: str | None = None,
) -> Resolved:
    """Find the value of every option. Reads the environment and the configuration file, if there is one.

    Args:
        arguments: options that were given in code or on the command line; None is "not given".
        environ: the environment; by default that of the process.
        file: the configuration file, which then must exist; by default the user's.
        scheme: apply only the SDKs' variables that are meant for this URI scheme, so that those for S3 do not leak into other
            services. None applies all, for display.

    Raises:
        InvalidOption: an option is unknown, a value is not accepted, two of the same rank exclude each other, or the file
            cannot be read. It names the option, where it comes from, and what is accepted.
    """
    environ = os.environ if environ is None else environ
    arguments = arguments or {}
    refuse_unknown(arguments, "argument")
    values: dict[str, object] = {}
    origins: dict[str, Origin] = {}
    for layer in (_from_arguments(arguments), _from_environment(environ), _from_sdks(environ, scheme), _from_file(environ, file)):
        added = _interpret_layer(layer, values)
        refuse_rivals(added, origins | {name: layer[name].origin for name in added})
        values |= added
        origins |= {name: layer[name].origin for name in added}
    default = Origin("default")
    return Resolved(
        Options(**values),  # type: ignore[arg-type]
        {name: origins.get(name, default) for name in SPECS},
        sorted(_unknown_variables(environ)),
    )


def describe(resolved: Resolved) -> list[Setting]:
    """Every option with its value, origin and help, as ``headrace config`` shows them, secrets masked."""
    return [
        Setting(name, spec.kind.show(getattr(resolved.options, name)), str(resolved.origins[name]), spec.help)
        for name, spec in SPECS.items()
    ]


def _interpret_layer(layer: _Layer, decided: Mapping[str, object]) -> dict[str, object]:
    """The values of those options that are still open."""
    return {
        name: interpret(name, given.value, given.origin, text=given.origin.source != "argument")
        for name, given in layer.items()
        if name not in decided and not is_displaced(name, decided)
    }


def _from_arguments(arguments: Mapping[str, object]) -> _Layer:
    return {name: _Given(value, Origin("argument")) for name, value in arguments.items() if value is not None}


def _from_environment(environ: Mapping[str, str]) -> _Layer:
    variables = {name: _variable(name) for name in SPECS}
    return {name: _Given(environ[own], Origin("environment", own)) for name, own in variables.items() if environ.get(own)}


def _from_sdks(environ: Mapping[str, str], scheme: str | None) -> _Layer:
    layer: dict[str, _Given] = {}
    for name, spec in SPECS.items():
        for variable in spec.variables:
            text = environ.get(variable.name) if scheme in (None, variable.scheme) or variable.scheme is None else None
            if text:
                text = text if "://" in text else f"{variable.assumed}{text}"
                layer[name] = _Given(variable.words.get(text.lower(), text), Origin("environment", variable.name))
                break
    return layer


def _from_file(environ: Mapping[str, str], file: Path | None) -> _Layer:
    named = os.fspath(file) if file is not None else environ.get(_FILE_VARIABLE)
    path = os.path.expanduser(named) if named else _default_file(environ)
    if not named and not os.path.exists(path):
        return {}
    origin = Origin("file", _with_tilde(path))
    content = _read_toml(path, origin)
    refuse_unknown(content, origin)
    return {name: _Given(value, origin) for name, value in content.items()}


def _default_file(environ: Mapping[str, str]) -> str:
    base = environ.get("XDG_CONFIG_HOME", "")
    if not os.path.isabs(base):  # as the XDG Base Directory Specification wants relative ones to be ignored
        base = os.path.join(environ.get("HOME") or os.path.expanduser("~"), ".config")
    return os.path.join(base, "headrace", "config.toml")


def _read_toml(path: str, origin: Origin) -> dict[str, Any]:
    import tomllib

    try:
        with open(path, "rb") as stream:
            return tomllib.load(stream)
    except OSError as error:
        raise InvalidOption(f"the configuration {origin} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise InvalidOption(f"the configuration {origin} is not TOML: {error}") from error


def _with_tilde(path: str) -> str:
    home = os.path.expanduser("~")
    return f"~{path[len(home) :]}" if path.startswith(f"{home}{os.sep}") else path


def _variable(name: str) -> str:
    return _PREFIX + name.upper()


def _unknown_variables(environ: Mapping[str, str]) -> Iterator[str]:
    known = {_FILE_VARIABLE, *map(_variable, SPECS)}
    return (name for name in environ if name.startswith(_PREFIX) and name not in known and not name.startswith(_TEST_PREFIX))
