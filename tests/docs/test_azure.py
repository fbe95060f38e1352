"""The page on Azure: what it shows can be written so, and its numbers are those of the backend."""

from __future__ import annotations

import re
from pathlib import Path

from headrace.auth.azure_signing import LONGEST_SAS, VERSION
from headrace.backends.azure import AzureBackend

PAGE = (Path(__file__).parents[2] / "docs" / "azure.md").read_text(encoding="utf-8")


def test_the_code_runs() -> None:
    blocks = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    assert blocks
    for block in blocks:
        exec(compile(block, "azure.md", "exec"), {})


def test_the_limits() -> None:
    assert VERSION in PAGE
    assert f"{AzureBackend.max_parts:,} blocks of {AzureBackend.max_part_size >> 20:,} MiB" in PAGE
    assert f"Blob Batch, {AzureBackend.delete_batch_size} blobs each" in PAGE
    assert LONGEST_SAS == 7 * 24 * 3600
