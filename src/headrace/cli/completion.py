"""``headrace completion``: scripts for shells."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Annotated, Any, TypeAlias

import typer

from headrace.cli.command import Invocation
from headrace.errors import InvalidOption

__all__ = ["completion"]

_Words: TypeAlias = "dict[str, tuple[str, dict[str, str]]]"
"""Of each command its summary, and its options with their help."""


def completion(
    invocation: Invocation,
    shell: Annotated[str, typer.Argument(metavar="SHELL", help="bash, zsh or fish.")],
) -> None:
    """Print a script that lets the shell complete commands and options, and the names of files.

    For bash: source <(headrace completion bash), in ~/.bashrc. For zsh: the same, in ~/.zshrc after compinit. For fish:
    headrace completion fish > ~/.config/fish/completions/headrace.fish.
    """
    write = _SHELLS.get(shell)
    if write is None:
        raise InvalidOption(f"there is no completion for {shell!r}", hint=f"Known are {', '.join(_SHELLS)}.")
    print("\n".join(write(_words())))


def _words() -> _Words:
    from headrace.cli.application import COMMANDS, command_named

    summaries = {name: summary for section in COMMANDS.values() for name, summary in section.items()}
    return {name: (summary, _options(command_named(name))) for name, summary in summaries.items()}


def _options(command: Any) -> dict[str, str]:
    options = {"--help": "Print help."}
    for param in command.params:
        if param.param_type_name == "option":
            options |= dict.fromkeys([*param.opts, *param.secondary_opts], param.help or "")
    return options


def _bash(words: _Words) -> Iterator[str]:
    shared = [option for option in words["ls"][1] if all(option in options for _, options in words.values())]
    yield "_headrace() {"
    yield f'    local shared="{" ".join(shared)}"'
    yield '    local word=${COMP_WORDS[COMP_CWORD]} choices=""'
    yield '    if [ "$COMP_CWORD" -eq 1 ]; then'
    yield f'        choices="{" ".join(words)} --help --version"'
    yield "    else"
    yield '        case "$word:${COMP_WORDS[1]}" in'
    for name, (_, options) in words.items():
        own = [option for option in options if option not in shared]
        yield f'        -*:{name}) choices="{" ".join([*own, "$shared"])}" ;;'
    yield "        esac"
    yield "    fi"
    yield '    COMPREPLY=($(compgen -W "$choices" -- "$word"))'
    yield "}"
    yield "complete -o bashdefault -o default -F _headrace headrace"


def _zsh(words: _Words) -> Iterator[str]:
    yield "#compdef headrace"
    yield "_headrace() {"
    yield "    local -a choices"
    yield "    if (( CURRENT == 2 )); then"
    yield f"        choices=({' '.join(_quoted(f'{name}:{summary}') for name, (summary, _) in words.items())})"
    yield "        _describe command choices"
    yield "        return"
    yield "    fi"
    yield "    if [[ $words[CURRENT] == -* ]]; then"
    yield "        case $words[2] in"
    for name, (_, options) in words.items():
        yield f"        {name}) choices=({' '.join(_quoted(f'{option}:{help}') for option, help in options.items())}) ;;"
    yield "        esac"
    yield "        _describe option choices"
    yield "        return"
    yield "    fi"
    yield "    _files"
    yield "}"
    yield "compdef _headrace headrace"


def _fish(words: _Words) -> Iterator[str]:
    for name, (summary, options) in words.items():
        yield f"complete -c headrace -n __fish_use_subcommand -f -a {name} -d {_quoted(summary)}"
        for option, help in options.items():
            flag = f"-l {option[2:]}" if option.startswith("--") else f"-s {option[1:]}"
            yield f"complete -c headrace -n '__fish_seen_subcommand_from {name}' {flag} -d {_quoted(help)}"


def _quoted(text: str) -> str:
    """In single quotes, for shells."""
    return "'" + text.replace("'", "'\\''") + "'"


_SHELLS: dict[str, Callable[[_Words], Iterator[str]]] = {"bash": _bash, "zsh": _zsh, "fish": _fish}
