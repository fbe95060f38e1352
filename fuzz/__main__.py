"""Fuzzes the target that ``FUZZ_TARGET`` names with atheris; the arguments are those of libFuzzer. See scripts/fuzz."""

from __future__ import annotations

import os
import sys

import atheris

with atheris.instrument_imports(include=["headrace"]):
    from fuzz.targets import TARGETS


def main() -> None:
    # Not an argument, because libFuzzer starts this program again, through a shell, with the arguments that it knows.
    target = TARGETS.get(os.environ.get("FUZZ_TARGET", ""))
    if target is None:
        sys.exit(f"which target? {', '.join(TARGETS)}")
    atheris.Setup([f"{sys.executable} -m fuzz", *sys.argv[1:]], target)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
