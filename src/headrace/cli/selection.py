"""What is selected among the things below a prefix: one regular expression for all that was said of it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from headrace.errors import InvalidOption
from headrace.globs import translate

__all__ = ["Selection"]

_FLAGS = re.compile(r"\(\?([aimsux]+)\)")
_EVERYTHING = frozenset({"*", "**", "**/*"})


class Selection(NamedTuple):
    """What is taken: where ``pattern`` is found in the path, any of ``include`` matches, if there are any, and none of ``exclude``.

    Attributes:
        pattern: a regular expression.
        include: globs. One without a ``/`` matches a name at any depth, any other the path from its beginning; what is below a matching
            directory is matched too. A ``/`` at the end matches directories only.
        exclude: the same.
    """

    pattern: str | None = None
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()

    @classmethod
    def of(cls, pattern: str | None, include: Iterable[str] | None, exclude: Iterable[str] | None) -> Selection:
        """A selection from what was given, which may be nothing."""
        return cls(pattern, tuple(include or ()), tuple(exclude or ()))

    @property
    def is_everything(self) -> bool:
        """Whether nothing was said."""
        return self.pattern is None and not self.include and not self.exclude

    def without_inclusions(self) -> Selection:
        """Only what is excluded."""
        return Selection(exclude=self.exclude)

    def regex(self, glob: str | None = None) -> str | None:
        """The regular expression that is found in the paths of what is selected; None selects everything.

        Args:
            glob: what must be found, too.

        Raises:
            InvalidOption: the pattern is none, or the globs leave nothing.
        """
        self._check()
        wanted = [*([glob] if glob else []), *([_scoped(self.pattern)] if self.pattern is not None else [])]
        wanted += [_any(self.include)] if self.include else []
        found = "".join(f"(?=[\\s\\S]*?(?:{regex}))" for regex in wanted)
        refused = f"(?![\\s\\S]*?(?:{_any(self.exclude)}))" if self.exclude else ""
        return f"\\A{found}{refused}" if found or refused else None

    def _check(self) -> None:
        if not all([*self.include, *self.exclude]):
            raise InvalidOption("--include and --exclude need a glob that is not empty")
        if self.include and _EVERYTHING.intersection(self.exclude):
            raise InvalidOption("--exclude '*' leaves nothing, whatever is included", hint="Say --include alone: all else is left out.")
        try:
            re.compile(self.pattern or "")
        except re.error as error:
            raise InvalidOption(f"pattern {self.pattern!r} is not a regular expression: {error}") from None


def _any(globs: Iterable[str]) -> str:
    return "|".join(map(_within, globs))


def _within(glob: str) -> str:
    begin = "\\A" if "/" in glob.rstrip("/") else "(?:\\A|/)"
    end = "/" if glob.endswith("/") else "(?:/|\\Z)"
    return f"{begin}{translate(glob.strip('/'))}{end}"


def _scoped(pattern: str) -> str:
    """The pattern, fit to be a part of another: flags may stand only at the very beginning of one."""
    flags = _FLAGS.match(pattern)
    return f"(?{flags[1]}:{pattern[flags.end() :]})" if flags else pattern
