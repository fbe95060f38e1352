"""The examples run, and say what is missing."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python with warnings as errors."""
    return subprocess.run([sys.executable, "-W", "error", *arguments], capture_output=True, text=True, timeout=100)


def run_without(module: str, example: str) -> subprocess.CompletedProcess[str]:
    """Run an example as if a module were not installed."""
    script = f"import runpy, sys; sys.modules[{module!r}] = None; runpy.run_path({str(EXAMPLES / example)!r}, run_name='__main__')"
    return run("-c", script)


def test_no_example_is_forgotten() -> None:
    assert {path.name for path in EXAMPLES.glob("*.py")} == {"demo.py", "endpoints.py", "paths.py", "pytorch_loader.py", "quickstart.py"}


def test_quickstart() -> None:
    finished = run(str(EXAMPLES / "quickstart.py"))
    assert (finished.returncode, finished.stderr) == (0, "")
    assert finished.stdout.count("3 deleted") == 2


def test_paths() -> None:
    finished = run(str(EXAMPLES / "paths.py"))
    assert (finished.returncode, finished.stderr) == (0, "")
    assert finished.stdout.count("latest: 002") == 2


def test_demo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if importlib.util.find_spec("ministack") is None and os.environ.get("CI") != "true":
        pytest.skip("ministack is not installed: pip install ministack")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    finished = run(str(EXAMPLES / "demo.py"))
    assert (finished.returncode, finished.stderr) == (0, "")
    for step in ("upload", "list", "read back", "epoch 2", "parallel ranges"):
        assert step in finished.stdout
    assert list(tmp_path.iterdir()) == []


def test_endpoints() -> None:
    if importlib.util.find_spec("ministack") is None and os.environ.get("CI") != "true":
        pytest.skip("ministack is not installed: pip install ministack")
    finished = run(str(EXAMPLES / "endpoints.py"))
    assert (finished.returncode, finished.stderr) == (0, "")
    assert (finished.stdout.count("in use"), finished.stdout.count("left out")) == (5, 1)


def test_pytorch_loader() -> None:
    if importlib.util.find_spec("torch") is None and os.environ.get("CI") != "true":
        pytest.skip("torch is not installed: pip install torch")
    finished = run(str(EXAMPLES / "pytorch_loader.py"))
    assert (finished.returncode, finished.stderr) == (0, "")
    assert "epoch 1: 8 batches, 64 samples" in finished.stdout


@pytest.mark.parametrize(
    ("module", "example"), [("ministack", "demo.py"), ("ministack", "endpoints.py"), ("numpy", "demo.py"), ("torch", "pytorch_loader.py")]
)
def test_what_is_missing_is_named_with_the_line_that_installs_it(module: str, example: str) -> None:
    finished = run_without(module, example)
    assert finished.returncode == 1
    assert module in finished.stderr
    assert "pip install" in finished.stderr
    assert "Traceback" not in finished.stderr
