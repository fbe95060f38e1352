"""Keys are chosen by others: ``headrace cp -r`` writes below the directory that was named, or nothing at all."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from headrace import Client
from headrace.auth.sigv4 import Credentials
from headrace.testing.servers import Server

Finished: TypeAlias = "subprocess.CompletedProcess[str]"
Program: TypeAlias = Callable[..., Finished]


@pytest.fixture
def headrace(ceph: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Program:
    """Runs the program, in a process of its own and in ``tmp_path``, with a server that takes any key."""
    monkeypatch.setenv("HEADRACE_ENDPOINT_URL", ceph.endpoint)
    monkeypatch.setenv("HEADRACE_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ceph.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", ceph.secret_key)

    def run(*words: str) -> Finished:
        return subprocess.run([sys.executable, "-m", "headrace", *words], cwd=tmp_path, capture_output=True, text=True, timeout=60)

    return run


@pytest.fixture
def fill(ceph: Server, bucket: str) -> Callable[..., str]:
    """Puts objects with the given keys below a prefix, and gives its URI."""

    def put(*keys: str) -> str:
        credentials = Credentials(ceph.access_key, ceph.secret_key)
        with Client(endpoint_url=ceph.endpoint, region="us-east-1", credentials=credentials) as client:
            client.create_container(f"s3://{bucket}")
            for key in keys:
                client.put(f"s3://{bucket}/p/{key}", key.encode())
        return f"s3://{bucket}/p/"

    return put


def files(top: Path) -> dict[str, bytes]:
    """Every file below a directory, by its path; what a link leads to is not below."""
    return {str(path.relative_to(top)): path.read_bytes() for path in top.rglob("*") if path.is_file() and not path.is_symlink()}


@pytest.mark.parametrize(
    "key", ["../escaped", "a/../../escaped", "/absolute", "/etc/passwd", "a//b", ".", "..", "a/.", "a/..", "./a", "a/./b", "../", "/"]
)
def test_a_key_that_is_no_path_below_stops_everything(headrace: Program, fill: Any, tmp_path: Path, key: str) -> None:
    """Even if it comes after others that are harmless."""
    source = fill("-harmless", "harmless", key, "z/harmless")
    done = headrace("cp", "-r", source, "inside/copy")
    assert (done.returncode, done.stdout) == (2, "")
    assert "is no path of a file below the destination" in done.stderr
    assert files(tmp_path) == {}


def test_keys_that_only_look_dangerous_are_files(headrace: Program, fill: Any, tmp_path: Path) -> None:
    keys = [
        "back\\slash",
        "..\\x",
        "C:\\x",
        "...",
        "a..b",
        "a/...",
        "-rf",
        "~",
        "$HOME",
        "a b",
        "%2e%2e%2fx",
        "*",
        "n" * 255,
        "x\ny",
        "\x1b[2J",
    ]
    done = headrace("cp", "-r", fill(*keys), "inside/copy", "-v")
    assert done.returncode == 0
    assert done.stderr.startswith(f"{len(keys)} objects, ")
    assert files(tmp_path) == {f"inside/copy/{key}": key.encode() for key in keys}
    # What is printed cannot steer the terminal.
    assert "\x1b" not in done.stdout
    assert len(done.stdout.splitlines()) == len(keys)


def test_a_name_that_is_too_long_is_refused_before_anything_is_written(headrace: Program, fill: Any, tmp_path: Path) -> None:
    done = headrace("cp", "-r", fill("a", "n" * 256, "z"), "copy")
    assert done.returncode == 2
    assert "too long" in done.stderr
    assert files(tmp_path) == {}


def test_a_key_that_is_a_file_and_a_directory_is_told(headrace: Program, fill: Any, tmp_path: Path) -> None:
    done = headrace("cp", "-r", fill("a", "a/b", "z"), "copy", "-j", "1")
    assert done.returncode == 1
    assert files(tmp_path) == {"copy/a": b"a", "copy/z": b"z"}


def test_one_object_takes_no_name_that_leads_elsewhere(headrace: Program, fill: Any, tmp_path: Path) -> None:
    (tmp_path / "copy").mkdir()
    done = headrace("cp", f"{fill('a/..')}a/..", "copy")
    assert done.returncode == 2
    assert files(tmp_path) == {}


def test_a_link_to_a_directory_is_followed_and_one_to_a_file_is_replaced(headrace: Program, fill: Any, tmp_path: Path) -> None:
    """Whoever owns the destination made the links: no key makes one."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "precious").write_bytes(b"mine")
    copy = tmp_path / "copy"
    copy.mkdir()
    (copy / "directory").symlink_to(tmp_path / "elsewhere")
    (copy / "file").symlink_to(tmp_path / "precious")
    done = headrace("cp", "-r", fill("directory/x", "file"), "copy")
    assert (done.returncode, done.stderr) == (0, "")
    assert files(tmp_path) == {"precious": b"mine", "elsewhere/x": b"directory/x", "copy/file": b"file"}
    assert (copy / "directory").is_symlink()


def test_nul_in_a_key_stops_everything(hostile: Any, headrace: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entries = "".join(f"<Contents><Key>{key}</Key><Size>1</Size></Contents>" for key in ("p/a", "p/b%00/x"))
    body = f"<ListBucketResult><EncodingType>url</EncodingType>{entries}</ListBucketResult>".encode()
    server = hostile(lambda asked: f"HTTP/1.1 200 OK\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n".encode() + body)
    monkeypatch.setenv("HEADRACE_ENDPOINT_URL", server.endpoint)
    done = headrace("cp", "-r", "s3://bucket/p/", "copy")
    assert done.returncode == 2
    assert "no path of a file" in done.stderr
    assert files(tmp_path) == {}
    assert len(server.asked) == 1
