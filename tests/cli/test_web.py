"""Commands that read URLs."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable
from pathlib import Path

import pytest

from headrace.testing.contract.case import payload
from headrace.testing.servers import Nginx, Server

DATA = payload(100_000)


@pytest.fixture
def url(nginx: Server, monkeypatch: pytest.MonkeyPatch) -> str:
    """A file on a web server with TLS."""
    assert isinstance(nginx, Nginx)
    folder = nginx.root / f"web-{secrets.token_hex(4)}"
    folder.mkdir()
    (folder / "data.bin").write_bytes(DATA)
    # A query would go to the S3 there, but for one that nginx itself does not mind.
    monkeypatch.setenv("HEADRACE_CA_BUNDLE", nginx.ca_bundle)
    return f"{nginx.tls_endpoint}/{folder.name}/data.bin"


def test_cat_and_head(headrace: Callable[..., object], url: str) -> None:
    for words, expected in (
        (["cat", url], DATA),
        (["cat", "--start", "10", "--length", "5", url], DATA[10:15]),
        (["head", "-c", "7", url], DATA[:7]),
    ):
        done = headrace(*words)
        assert (done.returncode, done.stdout, done.stderr) == (0, expected, b"")  # type: ignore[attr-defined]


def test_stat(here: Callable[..., tuple[int, str, str]], url: str) -> None:
    status, output, errors = here("stat", url)
    assert (status, errors) == (0, "")
    assert output.startswith(url)
    assert "100000" in output
    status, output, _ = here("stat", "--json", url)
    assert (status, json.loads(output)["size"]) == (0, len(DATA))


@pytest.mark.parametrize("verb", ["cp", "download"])
def test_copying(here: Callable[..., tuple[int, str, str]], url: str, tmp_path: Path, verb: str) -> None:
    (tmp_path / "into").mkdir()
    assert here(verb, url, tmp_path / "into")[0] == 0
    assert (tmp_path / "into" / "data.bin").read_bytes() == DATA
    assert here("cp", f"{url}#X-Amz-Signature=?*[secret]", "memory://web/", "-v")[:2] == (0, f"{url} -> memory://web/data.bin\n")
    assert here("cp", f"{url}#x", tmp_path / "named")[0] == 0
    assert (tmp_path / "named").read_bytes() == DATA


def test_what_a_url_is_not_for(here: Callable[..., tuple[int, str, str]], url: str, tmp_path: Path) -> None:
    for words in (["rm", url], ["mv", url, tmp_path / "x"], ["ls", url], ["cp", tmp_path / "x", url], ["presign", url]):
        (tmp_path / "x").write_bytes(b"as it was")
        status, output, errors = here(*words)
        assert (status, output) == (1, ""), words
        assert errors.count("\n") == 1
        assert (tmp_path / "x").read_bytes() == b"as it was"
    assert here("cat", f"{url}-missing")[0] == 3
