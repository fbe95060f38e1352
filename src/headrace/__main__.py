"""``python -m headrace``: the same program as ``headrace``."""

from __future__ import annotations

from headrace.cli import main

if __name__ == "__main__":
    main()
