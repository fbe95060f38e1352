"""The commands with ``az://``."""

from __future__ import annotations

import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from headrace.testing.servers import Server

Here = Callable[..., tuple[int, str, str]]


@pytest.fixture
def account(azurite: Server, monkeypatch: pytest.MonkeyPatch) -> str:
    """An environment that leads to the server; gives the account's name."""
    connection = f"AccountName={azurite.access_key};AccountKey={azurite.secret_key};BlobEndpoint={azurite.endpoint}"
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", connection)
    return azurite.access_key


def test_a_container_and_what_is_in_it(here: Here, account: str, bucket: str, tree: Path, tmp_path: Path) -> None:
    uri = f"az://{bucket}"
    assert here("mb", uri) == (0, "", "")
    assert f"{uri}/" in here("buckets", "az://")[1]
    assert here("cp", "-r", tree, f"{uri}/tree/")[0] == 0
    assert here("ls", "-r", f"{uri}/tree/")[1].count("\n") == 4
    assert here("ls", "-r", f"az://{account}/{bucket}/tree/")[1].count("\n") == 4
    named = f"az://{account}/{bucket}"
    assert here("cp", f"{named}/tree/a.txt", f"{named}/")[0] == 0
    assert here("cp", f"{named}/tree/*.txt", f"{named}/texts/")[0] == 0
    assert here("rm", "-r", named)[0] == here("rm", "-r", f"{named}/")[0] == 2
    assert here("rm", "-r", f"{named}/texts")[0] == 0
    assert here("rm", f"{named}/a.txt")[0] == 0
    assert here("ls", "-rc", named)[1].startswith("4 objects")
    assert here("cat", f"{uri}/tree/deep/c.txt")[1] == "ccc"
    assert here("cp", f"{uri}/tree/a.txt", f"{uri}/copy")[0] == 0
    assert here("download", f"{uri}/tree/", tmp_path / "back")[0] == 0
    assert sorted(path.name for path in (tmp_path / "back").rglob("*.txt")) == ["a.txt", "c.txt", "d.txt"]
    status, output, errors = here("presign", f"{uri}/copy")
    assert (status, errors) == (0, "")
    with urllib.request.urlopen(output.strip()) as reply:
        assert reply.read() == b"a"
    assert here("rb", uri)[0] == 1
    assert here("rm", "-r", "--bucket", uri)[0] == 0
    assert here("rb", uri)[0] == 0
    assert here("ls", f"{uri}/")[0] == 3
