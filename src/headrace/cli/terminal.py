"""What is only for people: whether there is a terminal, and emphasis on it."""

from __future__ import annotations

import os
from typing import TextIO

__all__ = ["draws", "emphasised"]


def emphasised(text: str, stream: TextIO) -> str:
    """The text in bold, if the stream is a terminal that shows this and nobody objects (``NO_COLOR``, ``TERM=dumb``)."""
    if draws(stream) and not os.environ.get("NO_COLOR"):
        return f"\x1b[1m{text}\x1b[0m"
    return text


def draws(stream: TextIO) -> bool:
    """Whether the stream is a terminal on which a line can be drawn again."""
    return stream.isatty() and os.environ.get("TERM", "dumb") not in ("dumb", "")
