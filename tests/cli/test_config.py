"""``headrace config``."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from headrace.cli.application import COMMANDS, command_named
from headrace.config import SPECS

Here = Callable[..., tuple[int, str, str]]


def settings(output: str) -> dict[str, tuple[str, str]]:
    """Value and origin of each option."""
    records = [json.loads(line) for line in output.splitlines()]
    return {record["name"]: (record["value"], record["origin"]) for record in records}


def test_every_option_has_a_value_and_an_origin(here: Here) -> None:
    status, output, errors = here("config")
    assert (status, errors) == (0, "")
    assert [line.split()[0] for line in output.splitlines()] == list(SPECS)
    assert all(line.endswith("default") for line in output.splitlines())


def test_values_and_where_they_come_from(here: Here, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text('max_attempts = 7\npart_size = "16MiB"\nstall_timeout = 9\n')
    monkeypatch.setenv("HEADRACE_CONFIG", str(file))
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    monkeypatch.setenv("HEADRACE_PART_SIZE", "32MiB")
    status, output, errors = here("config", "--json", "--no-verify-tls", "--stall-timeout", "500ms")
    assert (status, errors) == (0, "")
    found = settings(output)
    assert found["max_attempts"] == ("7", f"file {file}")
    assert found["part_size"] == ("32 MiB", "environment HEADRACE_PART_SIZE")
    assert found["region"] == ("eu-central-1", "environment AWS_REGION")
    assert found["verify_tls"] == ("no", "argument")
    assert found["stall_timeout"] == ("0.5 s", "argument")


def test_secrets_are_not_shown(here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_PROXY", "http://user:hunter2@proxy:3128")
    key = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
    for words in ([], ["--json"]):
        status, output, errors = here("config", *words, "--sse", f"customer:{key}", "--endpoint-url", "http://me:hunter2@host")
        assert status == 0
        assert "hunter2" not in output + errors
        assert key[:20] not in output + errors


def test_a_variable_that_nobody_reads_is_reported(here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_REIGON", "eu-central-1")
    status, output, errors = here("config", "--json")
    assert status == 0
    assert "HEADRACE_REIGON" in errors
    assert set(settings(output)) == set(SPECS)


def test_an_option_can_unset_what_the_environment_sets(here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_SSE", "AES256")
    assert settings(here("config", "--json")[1])["sse"] == ("AES256", "environment HEADRACE_SSE")
    assert settings(here("config", "--json", "--sse", "none")[1])["sse"] == ("not set", "argument")


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["--max-attempts", "0"], "--max-attempts"),
        (["--part-size", "1KiB"], "--part-size"),
        (["--addressing", "sideways"], "--addressing"),
        (["--endpoint-url", "ftp://user:hunter2@x"], "--endpoint-url"),
        (["--endpoint-url", "http://a", "--endpoints", "http://b"], "endpoints"),
    ],
)
def test_what_is_not_accepted_is_wrong_usage(here: Here, words: list[str], named: str) -> None:
    status, output, errors = here("config", *words)
    assert (status, output) == (2, "")
    assert named in errors
    assert "hunter2" not in errors
    assert errors.count("\n") == 1


@pytest.mark.parametrize("command", [name for section in COMMANDS.values() for name in section])
def test_every_command_takes_every_option(command: str) -> None:
    flags = {flag for param in command_named(command).params for flag in (*param.opts, *param.secondary_opts)}
    assert [name for name in SPECS if f"--{name.replace('_', '-')}" not in flags] == []
