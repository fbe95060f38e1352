"""The program, run as its users run it."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import pytest

from headrace.cli import application
from headrace.testing.servers import Server

Finished: TypeAlias = "subprocess.CompletedProcess[bytes]"


@pytest.fixture(autouse=True)
def no_configuration(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """No configuration file, and no way of buffering, of the machine's own."""
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path_factory.getbasetemp() / "no-configuration"))


@pytest.fixture
def program() -> list[str]:
    """The words that start the program."""
    return [sys.executable, "-m", "headrace"]


@pytest.fixture
def headrace(program: list[str]) -> Callable[..., Finished]:
    """Runs the program in a process of its own; its output is bytes."""

    def run(*arguments: str | Path, stdin: bytes = b"") -> Finished:
        return subprocess.run([*program, *map(str, arguments)], input=stdin, capture_output=True, timeout=60)

    return run


@pytest.fixture
def here(capfd: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Runs the program in this process, where ``memory://`` holds what the test put there; gives status, output and errors."""

    def run(*arguments: str | Path) -> tuple[int, str, str]:
        status = application.run([str(argument) for argument in arguments])
        output, errors = capfd.readouterr()
        return status, output, errors

    return run


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A directory with a few files."""
    top = tmp_path / "tree"
    for name, content in {"a.txt": b"a", "b.bin": b"bb", "deep/c.txt": b"ccc", "deep/er/d.txt": b"dddd"}.items():
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_bytes(content)
    return top


@pytest.fixture
def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        port: int = holder.getsockname()[1]
        return port


@pytest.fixture
def s3(ministack: Server, monkeypatch: pytest.MonkeyPatch) -> Server:
    """A server, and an environment that leads to it, here and in the program."""
    # MiniStack verifies checksums; CRC-32C, the default, at 10 MB/s.
    monkeypatch.setenv("HEADRACE_CHECKSUM", "crc32")
    monkeypatch.setenv("HEADRACE_ENDPOINT_URL", ministack.endpoint)
    monkeypatch.setenv("HEADRACE_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ministack.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", ministack.secret_key)
    return ministack
