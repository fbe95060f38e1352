"""Checks what ruff does not: sizes of functions and modules, names, and the number of entries at the root.

Large functions and modules are where code gets hard to change; the limits keep the tail short. Prints each violation and ends with
status 1 if there is one.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

MAX_FUNCTION_LINES = 80
MAX_MODULE_LINES = 600
MAX_ROOT_ENTRIES = 20
FOLDERS = ("src", "tests", "benchmarks", "examples", "fuzz", "scripts")

# Names that say nothing, and names that say when something was written instead of what it is. Functions are left to the reviewer.
EMPTY_WORDS = {"util", "utils", "helper", "helpers", "common", "manager", "misc"}
DATED_NAME = re.compile(r"(^|_)(v\d+|phase\d*|new|old|final|enhanced|improved)(_|$)")
WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z0-9]+")

Function = ast.FunctionDef | ast.AsyncFunctionDef


def is_forbidden(name: str) -> bool:
    """Whether a module or class may not be called so."""
    words = {word.lower() for word in WORDS.findall(name)}
    return bool(words & EMPTY_WORDS) or DATED_NAME.search(name) is not None or re.match(r"_?Py[A-Z]", name) is not None


def body_lines(function: Function) -> int:
    """Lines from the first statement after the docstring to the last."""
    body = function.body[1:] if ast.get_docstring(function) is not None else function.body
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0


def definition_problems(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.ClassDef) and is_forbidden(node.name):
        yield f"{node.lineno}: the name {node.name} is not allowed"
    if isinstance(node, Function) and (lines := body_lines(node)) > MAX_FUNCTION_LINES:
        yield f"{node.lineno}: {node.name} has {lines} lines, more than {MAX_FUNCTION_LINES}"


def module_problems(path: Path) -> Iterator[str]:
    text = path.read_text(encoding="utf-8")
    if (lines := text.count("\n")) > MAX_MODULE_LINES:
        yield f"{path}: {lines} lines, more than {MAX_MODULE_LINES}"
    if is_forbidden(path.stem):
        yield f"{path}: the name {path.stem} is not allowed"
    for node in ast.walk(ast.parse(text)):
        yield from (f"{path}:{problem}" for problem in definition_problems(node))


def root_problems() -> Iterator[str]:
    # What git would commit: a virtual environment or a cache at the root is nobody's business.
    listed = subprocess.run(["git", "ls-files", "--cached", "--others", "--exclude-standard"], capture_output=True, text=True, check=True)
    entries = {line.split("/")[0] for line in listed.stdout.splitlines()}
    if len(entries) > MAX_ROOT_ENTRIES:
        yield f"{len(entries)} entries at the root, more than {MAX_ROOT_ENTRIES}: {', '.join(sorted(entries))}"


def main() -> int:
    modules = [path for folder in FOLDERS for path in sorted(Path(folder).rglob("*.py"))]
    problems = [problem for path in modules for problem in module_problems(path)]
    problems += root_problems()
    print("\n".join(problems) if problems else f"{len(modules)} modules are of a good size")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
