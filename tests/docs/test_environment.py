"""The page on the environment says what the options' metadata say. Run this file to print the page as it should be."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from headrace import Client
from headrace.config import SPECS, Options
from headrace.errors import NotSupported

PAGE = Path(__file__).parents[2] / "docs" / "environment.md"
BEGIN, END = "<!-- options -->\n", "<!-- /options -->\n"


def option_table() -> str:
    """Every option with its variables."""
    defaults = {option.name: option.default for option in fields(Options)}
    rows = ["| option | what it is | accepted | default | also set by |", "| --- | --- | --- | --- | --- |"]
    for name, spec in SPECS.items():
        default = "not set" if defaults[name] is None else spec.kind.show(defaults[name])
        others = ", ".join(f"`{variable.name}`" + (f" ({variable.scheme})" if variable.scheme else "") for variable in spec.variables)
        rows.append(f"| `{name}` | {spec.help} | {spec.kind.accepted} | {default} | {others} |")
    return "\n".join(rows) + "\n"


def expected_page() -> str:
    """The page, with the table that belongs there."""
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    return f"{before}{BEGIN}\n{option_table()}\n{END}{rest.partition(END)[2]}"


def test_the_page_has_every_option() -> None:
    assert PAGE.read_text(encoding="utf-8") == expected_page(), f"run: python {__file__} > page && mv page {PAGE}"


def test_what_is_said_not_to_be_built_is_refused() -> None:
    for option in ({"oplog": "/tmp/x"},):
        with pytest.raises(NotSupported):
            Client(**option)


if __name__ == "__main__":
    print(expected_page(), end="")
