"""What the page on several endpoints shows, works."""

from __future__ import annotations

import re
from pathlib import Path

from headrace.endpoints import Endpoints
from headrace.endpoints.strategies import STRATEGIES

PAGE = (Path(__file__).parents[2] / "docs" / "endpoints.md").read_text(encoding="utf-8")


def test_the_examples_run() -> None:
    namespace: dict[str, object] = {}
    examples = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert len(examples) == 3
    for example in examples:
        exec(example, namespace)
    assert Endpoints(["http://a", "http://b"], namespace["NearestFirst"]()).choose().url == "http://a"  # type: ignore[operator]


def test_every_strategy_is_there() -> None:
    assert re.findall(r"^\| `([a-z_]+)`", PAGE, re.MULTILINE)[1:] == list(STRATEGIES)
