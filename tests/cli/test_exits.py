"""How the program ends: statuses, messages, signals, closed pipes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from headrace import __version__, errors
from headrace.cli.exits import PartlyDone, complain, exit_status
from headrace.testing.servers import Server

Program = Callable[..., "subprocess.CompletedProcess[bytes]"]
Here = Callable[..., tuple[int, str, str]]

STATUSES = {
    errors.AlreadyExists: 1,
    errors.ConnectionFailed: 5,
    errors.CredentialsError: 4,
    errors.HeadraceError: 1,
    errors.IntegrityError: 1,
    errors.InvalidOption: 2,
    errors.InvalidURI: 2,
    errors.MissingDependency: 1,
    errors.NotFound: 3,
    errors.NotSupported: 1,
    errors.ObjectChanged: 1,
    errors.PermissionDenied: 4,
    errors.PreconditionFailed: 1,
    errors.ProtocolError: 1,
    errors.ServiceError: 1,
    errors.Stalled: 5,
    errors.Throttled: 1,
}


def test_every_error_has_its_status() -> None:
    assert {kind.__name__ for kind in STATUSES} == set(errors.__all__)
    assert {kind: exit_status(kind("x")) for kind in STATUSES} == STATUSES
    assert [exit_status(error) for error in (KeyboardInterrupt(), BrokenPipeError(), RuntimeError(), OSError())] == [130, 141, 1, 1]


def test_the_status_of_several_failures() -> None:
    same = [errors.NotFound("x"), errors.NotFound("y")]
    assert PartlyDone(0, 2, same).status == 3
    assert PartlyDone(1, 3, same).status == 1
    assert PartlyDone(0, 3, [*same, errors.Stalled("z")]).status == 1


def test_a_message_is_one_line_without_control_characters(capsys: pytest.CaptureFixture[str]) -> None:
    complain("first\nsecond \x1b[31mred")
    assert capsys.readouterr().err == "headrace: first second \\x1b[31mred\n"


class TestUsage:
    def test_version(self, headrace: Program) -> None:
        finished = headrace("--version")
        assert (finished.returncode, finished.stdout) == (0, f"headrace {__version__}\n".encode())
        assert headrace("--version", "ls").stdout == finished.stdout

    def test_version_needs_no_parser(self) -> None:
        script = (
            "import sys; sys.argv[1:] = ['--version']\nfrom headrace.cli import main\ntry: main()\nfinally: print('typer' in sys.modules)"
        )
        assert subprocess.check_output([sys.executable, "-c", script]).endswith(b"False\n")

    def test_the_library_needs_neither_typer_nor_rich(self) -> None:
        script = "import sys, headrace, headrace.aio; print({'typer', 'rich'} & set(sys.modules))"
        assert subprocess.check_output([sys.executable, "-c", script]) == b"set()\n"

    def test_without_words_it_shows_help(self, headrace: Program) -> None:
        finished = headrace()
        assert finished.returncode == 0
        assert all(command in finished.stdout for command in (b"ls", b"cat", b"cp", b"rm", b"config"))

    @pytest.mark.parametrize(
        "words", [["nonsense"], ["ls"], ["ls", "--nonsense", "x"], ["cp", "x"], ["cp", "-j", "0", "x", "y"], ["ls", "foo://x"]]
    )
    def test_wrong_usage_is_2_and_one_line(self, here: Here, words: list[str]) -> None:
        status, output, message = here(*words)
        assert (status, output) == (2, "")
        assert message.startswith("headrace: ")
        assert message.count("\n") == 1


class TestFailures:
    def test_not_found_is_3(self, headrace: Program, tmp_path: Path) -> None:
        finished = headrace("cat", tmp_path / "missing")
        assert (finished.returncode, finished.stdout) == (3, b"")
        assert finished.stderr.startswith(b"headrace: ")
        assert finished.stderr.count(b"\n") == 1

    def test_no_credentials_is_4(self, headrace: Program, free_port: int) -> None:
        finished = headrace("cat", "s3://bucket/key", "--endpoint-url", f"http://127.0.0.1:{free_port}")
        assert finished.returncode == 4

    def test_denied_is_4(self, headrace: Program, s3: Server, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "nobody")
        assert headrace("ls", "s3://bucket").returncode == 4

    def test_unreachable_is_5(self, headrace: Program, free_port: int) -> None:
        finished = headrace(
            "cat", "s3://b/k", "--anonymous", "--region", "r", "--endpoint-url", f"http://127.0.0.1:{free_port}", "--max-attempts", "1"
        )
        assert finished.returncode == 5
        assert finished.stderr.count(b"\n") == 1

    def test_the_traceback_comes_only_when_asked_for(self, headrace: Program, tmp_path: Path) -> None:
        assert b"Traceback" not in headrace("cat", "-v", tmp_path / "missing").stderr
        finished = headrace("cat", "-vv", tmp_path / "missing")
        assert finished.returncode == 3
        assert b"Traceback" in finished.stderr

    def test_warnings_are_messages(self, headrace: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HEADRACE_REIGON", "x")
        finished = headrace("ls", tmp_path)
        assert finished.returncode == 0
        assert finished.stderr.startswith(b"headrace: ")
        assert b"HEADRACE_REIGON" in finished.stderr
        assert finished.stderr.count(b"\n") == 1


class TestStandardOutput:
    @pytest.mark.parametrize("command", [["cat", "{}/many/large"], ["ls", "-r", "{}/many"], ["ls", "-r", "--json", "{}/many"]])
    def test_a_closed_pipe_is_quiet(self, program: list[str], tmp_path: Path, command: list[str]) -> None:
        (tmp_path / "many").mkdir()
        for number in range(2000):
            (tmp_path / "many" / f"{'x' * 100}{number}").touch()
        (tmp_path / "many" / "large").write_bytes(bytes(10 << 20))
        words = [*program, *(word.format(tmp_path) for word in command)]
        with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            assert len(os.read(process.stdout.fileno(), 1)) == 1
            process.stdout.close()
            assert process.stderr.read() == b""
        assert process.returncode == 141

    def test_a_large_object_is_whole_without_a_buffer(self, headrace: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PYTHONUNBUFFERED", "1")
        (tmp_path / "large").write_bytes(bytes(10 << 20))
        assert headrace("cat", tmp_path / "large").stdout == bytes(10 << 20)

    @pytest.mark.parametrize("words", [["cat", "{}"], ["ls", "{}"], ["config"]])
    def test_a_full_disk_is_told(self, program: list[str], tree: Path, words: list[str]) -> None:
        with Path("/dev/full").open("wb") as full:
            finished = subprocess.run(
                [*program, *(word.format(tree / "a.txt") for word in words)], stdout=full, stderr=subprocess.PIPE, timeout=60
            )
        assert finished.returncode == 1
        assert finished.stderr == b"headrace: standard input or output: No space left on device\n"

    def test_a_closed_output_is_told(self, program: list[str], tree: Path) -> None:
        finished = subprocess.run(
            ["bash", "-c", '"$@" >&-', "bash", *program, "cat", str(tree / "a.txt")], stderr=subprocess.PIPE, timeout=60
        )
        assert (finished.returncode, finished.stderr) == (1, b"headrace: standard output is closed\n")


def test_interrupted_is_130_and_nothing_is_left(program: list[str], tmp_path: Path) -> None:
    with subprocess.Popen([*program, "cp", "-v", "-", str(tmp_path / "x")], stdin=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stderr is not None
        # More than a pipe and every buffer hold: when it is written, the program is in the middle of its work.
        process.stdin.write(bytes(32 << 20))
        process.stdin.flush()
        process.send_signal(signal.SIGINT)
        assert process.stderr.read() == b"headrace: interrupted\n"
        process.stdin.close()
    assert process.returncode == 130
    assert list(tmp_path.iterdir()) == []
