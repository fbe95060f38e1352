"""The program ``headrace``: one file a command, which parses, calls a verb, prints and exits.

Exit status: 0 everything asked was done, 1 something was not, 2 wrong usage, 3 not found, 4 denied or no credentials,
5 the service could not be reached, 130 interrupted (143 by SIGTERM, 129 by SIGHUP); 141 when a reader closed the pipe, as for every
program that writes into one.
"""

from __future__ import annotations

import sys

__all__ = ["main"]


def main() -> None:
    """Run the program on the arguments of this process, and exit."""
    arguments = sys.argv[1:]
    # What this asks needs no parser, which would take as long to load as everything else.
    if arguments == ["--version"]:
        from headrace import __version__

        print(f"headrace {__version__}")
        sys.exit()
    from headrace.cli import signals

    sys.exit(signals.end(_run(arguments)))


def _run(arguments: list[str]) -> int:
    from headrace.cli import signals

    try:
        signals.listen()
        from headrace.cli.application import run
        from headrace.cli.exits import show_warnings

        show_warnings()
        return run(arguments)
    except KeyboardInterrupt:
        # Outside of any command: while the program is loaded.
        print("headrace: interrupted", file=sys.stderr)
        return signals.INTERRUPTED
