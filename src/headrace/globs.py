"""Globs: ``*`` and ``?`` stand for characters of one name, ``[...]`` for one of a set, ``**`` for any number of names."""

from __future__ import annotations

import re
from typing import NamedTuple

__all__ = ["Glob", "is_glob", "parse", "translate"]

_SPECIAL = re.compile(r"[*?\[]")
_TOKEN = re.compile(r"\*\*/|\*\*|\*|\?|\[(!?)(\]?[^\]]*)\]", re.DOTALL)


class Glob(NamedTuple):
    """A glob cut up for listing.

    Attributes:
        base: what comes before the first name with a special character; empty, or ends with ``/``.
        prefix: what comes before the first special character: all matches begin so.
        rest: the glob of what comes after ``base``.
    """

    base: str
    prefix: str
    rest: str

    @property
    def is_flat(self) -> bool:
        """Whether it matches nothing deeper than ``base``."""
        return "/" not in self.rest and "**" not in self.rest

    def regex(self, *, below: bool) -> str:
        """A regular expression for the path after ``base``: that of a match, or with ``below`` also of what lies in one."""
        end = "(?:/|\\Z)" if below else "\\Z"
        if self.rest.endswith("/"):
            return f"\\A{translate(self.rest)}"
        return f"\\A{translate(self.rest)}{end}"


def is_glob(text: str) -> bool:
    """Whether there is a special character in the text."""
    return _SPECIAL.search(text) is not None


def parse(text: str) -> Glob:
    """Cut up a key or path that `is_glob`."""
    special = _SPECIAL.search(text)
    prefix = text[: special.start()] if special else text
    base = prefix[: prefix.rfind("/") + 1]
    return Glob(base, prefix, text[len(base) :])


def translate(glob: str) -> str:
    """The regular expression of a glob, without anchors and capturing groups."""
    pieces, position = [], 0
    for token in _TOKEN.finditer(glob):
        pieces += [re.escape(glob[position : token.start()]), _of_token(token)]
        position = token.end()
    return "".join([*pieces, re.escape(glob[position:])])


def _of_token(token: re.Match[str]) -> str:
    simple = {"**/": "(?:[\\s\\S]*/)?", "**": "[\\s\\S]*", "*": "[^/]*", "?": "[^/]"}.get(token.group())
    if simple is not None:
        return simple
    negated, characters = token.groups()
    if not characters:
        return re.escape(token.group())
    inside = re.sub(r"([\\\[\]^&~|])", r"\\\1", characters)
    return f"(?!/)[{'^' if negated else ''}{inside}]"
