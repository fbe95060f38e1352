"""Memory in temporary files."""

from __future__ import annotations

import gc
import os
from pathlib import Path

import pytest

from headrace.errors import ServiceError
from headrace.models import ObjectInfo
from headrace.transfer.spooling import spooled

INFO = ObjectInfo("https://host/object?sig=secret", 1)


def test_large_memory_is_a_file_without_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    view = spooled(INFO, 0, 40 << 20)
    view[-3:] = b"end"
    assert (view.nbytes, view.format, view.readonly, bytes(view[-3:])) == (40 << 20, "B", False, b"end")
    assert list(tmp_path.iterdir()) == []
    del view
    gc.collect()
    assert not before or len(os.listdir("/proc/self/fd")) == before


def test_small_memory_is_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", "/nowhere")
    assert [spooled(INFO, 0, length).nbytes for length in (0, 1, 1 << 20)] == [0, 1, 1 << 20]


def test_no_space_is_an_error_and_not_the_end() -> None:
    with pytest.raises(ServiceError) as caught:
        spooled(INFO, 0, 1 << 55)
    assert caught.value.code == "NoSpace"
    assert "secret" not in str(caught.value)
