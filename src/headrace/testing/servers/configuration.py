"""Configuration files: the templates beside this module, filled in."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from string import Template

__all__ = ["fill_in", "packaged_text"]


class _PercentTemplate(Template):
    # "$" has a meaning of its own to nginx and to Ceph.
    delimiter = "%"


def packaged_text(name: str) -> str:
    """The text of a file that lies beside this module."""
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")


def fill_in(name: str, directory: Path, **values: object) -> Path:
    """Write the template ``name`` to ``directory`` with each ``%{value}`` filled in, and ``%{directory}`` too; return its path."""
    path = directory / name
    path.write_text(_PercentTemplate(packaged_text(name)).substitute(values, directory=directory), encoding="utf-8")
    return path
