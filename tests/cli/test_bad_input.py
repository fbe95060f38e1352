"""Bad input, and services in a bad state: the documented exit status, one line that says what to do, and nothing left behind."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config

from headrace import Client
from headrace.testing.servers import Authority, Server

Program = Callable[..., "subprocess.CompletedProcess[bytes]"]


@pytest.fixture
def bucket_uri(s3: Server, bucket: str) -> str:
    """A bucket on MiniStack."""
    with Client() as client:
        client.create_container(f"s3://{bucket}")
    return f"s3://{bucket}"


@pytest.fixture
def ceph_bucket(ceph: Server, bucket: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """A bucket on Ceph, and an environment that leads to it."""
    monkeypatch.setenv("HEADRACE_ENDPOINT_URL", ceph.endpoint)
    monkeypatch.setenv("HEADRACE_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ceph.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", ceph.secret_key)
    boto(ceph).create_bucket(Bucket=bucket)
    return f"s3://{bucket}"


def boto(server: Server) -> Any:
    """Another client, to see what is really there."""
    return boto3.client(
        "s3",
        endpoint_url=server.endpoint,
        aws_access_key_id=server.access_key,
        aws_secret_access_key=server.secret_key,
        region_name="us-east-1",
        config=Config(s3={"addressing_style": "path"}),
    )


def refused(finished: subprocess.CompletedProcess[bytes], status: int, *named: str) -> None:
    """The command failed so, and said so in one line."""
    message = finished.stderr.decode()
    assert (finished.returncode, finished.stdout) == (status, b""), message
    assert message.startswith("headrace: ")
    assert message.count("\n") == 1
    for name in named:
        assert name in message


def assert_untouched(server: Server, uri: str) -> None:
    """Neither objects nor unfinished uploads are in a bucket."""
    bucket = uri.removeprefix("s3://")
    assert boto(server).list_objects_v2(Bucket=bucket)["KeyCount"] == 0
    assert boto(server).list_multipart_uploads(Bucket=bucket).get("Uploads", []) == []


class TestWords:
    def test_an_unknown_scheme(self, headrace: Program, tree: Path) -> None:
        refused(headrace("cp", tree / "a.txt", "s4://bucket/key"), 2, "unknown scheme 's4'", "file, direct, memory")

    @pytest.mark.parametrize("uri", ["s3://", "s3:///key", "s3://bad name/key"])
    def test_no_bucket(self, headrace: Program, tree: Path, uri: str) -> None:
        refused(headrace("cp", tree / "a.txt", uri), 2, "bucket")

    def test_a_directory_where_a_file_is_meant(self, headrace: Program, tree: Path, tmp_path: Path) -> None:
        refused(headrace("cp", tree, tmp_path / "to"), 2, "-r", str(tree))
        refused(headrace("cat", tree), 3, str(tree))
        assert not (tmp_path / "to").exists()

    @pytest.mark.parametrize(
        ("words", "named"),
        [
            (["lss", "x"], "Did you mean ls?"),
            (["zzzz"], "no command 'zzzz'"),
            (["ls", "--recursve", "x"], "--recursive"),
            (["ls"], "URI"),
            (["cp", "x"], "SRC"),
            (["ls", "--part-size", "lots", "x"], "'8MiB'"),
            (["ls", "-p", "(", "x"], "regular expression"),
            (["ls", "--region", "mars 1", "x"], "--region"),
            (["cp", "-j", "many", "x", "y"], "-j"),
            (["ls", "--endpoint-url", "http://h", "--endpoints", "http://h", "x"], "exclude each other"),
        ],
    )
    def test_wrong_usage(self, here: Callable[..., tuple[int, str, str]], words: list[str], named: str) -> None:
        status, output, errors = here(*words)
        assert (status, output, errors.count("\n")) == (2, "", 1)
        assert named in errors


class TestServices:
    def test_a_missing_key_or_bucket(self, headrace: Program, bucket_uri: str, s3: Server, tree: Path, tmp_path: Path) -> None:
        for words in (
            ["cat", f"{bucket_uri}/none"],
            ["cp", f"{bucket_uri}/none", tmp_path / "to"],
            ["download", f"{bucket_uri}/none", tmp_path],
        ):
            refused(headrace(*words), 3, f"{bucket_uri}/none")
        refused(headrace("cp", tree / "a.txt", f"{bucket_uri}-none/x"), 3, "NoSuchBucket")
        assert not (tmp_path / "to").exists()
        assert_untouched(s3, bucket_uri)

    def test_no_credentials(self, headrace: Program, bucket_uri: str, s3: Server, tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("AWS_ACCESS_KEY_ID")
        monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
        refused(headrace("cp", tree / "a.txt", f"{bucket_uri}/x"), 4, "AWS_ACCESS_KEY_ID")
        assert_untouched(s3, bucket_uri)

    def test_an_expired_token(
        self, headrace: Program, bucket_uri: str, s3: Server, tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        expired = {"Version": 1, "AccessKeyId": "a", "SecretAccessKey": "b", "SessionToken": "c", "Expiration": "2020-01-01T00:00:00Z"}
        (tmp_path / "expired.json").write_text(json.dumps(expired))
        (tmp_path / "config").write_text(f"[profile old]\ncredential_process = cat {tmp_path}/expired.json\n")
        monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
        refused(headrace("cp", tree / "a.txt", f"{bucket_uri}/x", "--profile", "old"), 4, "expired")
        assert_untouched(s3, bucket_uri)

    def test_a_wrong_secret(self, headrace: Program, ceph: Server, ceph_bucket: str, tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not the secret")
        refused(headrace("ls", ceph_bucket), 4, "list", ceph_bucket, "secret")
        finished = headrace("cp", tree / "a.txt", f"{ceph_bucket}/x")
        refused(finished, 4, "SignatureDoesNotMatch")
        assert b"not the secret" not in finished.stderr
        (tree / "large").write_bytes(bytes(6 << 20))
        refused(headrace("cp", tree / "large", f"{ceph_bucket}/x", "--multipart-threshold", "1MiB", "--part-size", "5MiB"), 4)
        assert_untouched(ceph, ceph_bucket)

    def test_a_region_that_the_service_does_not_know(self, headrace: Program, ceph: Server, ceph_bucket: str, tree: Path) -> None:
        """Ceph takes any region in a signature: what was asked for is done, and not half of it."""
        finished = headrace("cp", tree / "a.txt", f"{ceph_bucket}/x", "--region", "mars-1")
        assert (finished.returncode, finished.stderr) == (0, b"")
        assert headrace("cat", f"{ceph_bucket}/x", "--region", "mars-1").stdout == b"a"

    def test_a_wrong_authority(self, headrace: Program, bucket_uri: str, s3: Server, tree: Path, authority: Authority) -> None:
        words = ["cp", tree / "a.txt", f"{bucket_uri}/x", "--endpoint-url", s3.tls_endpoint, "--max-attempts", "1"]
        refused(headrace(*words), 5, "not trusted", "HEADRACE_CA_BUNDLE")
        refused(headrace(*words, "--ca-bundle", authority.ca_bundle), 5, "not trusted")
        refused(headrace(*words, "--ca-bundle", tree / "a.txt"), 2, "PEM")
        refused(headrace(*words, "--ca-bundle", tree / "none"), 2, "none")
        assert_untouched(s3, bucket_uri)
        assert headrace(*words, "--ca-bundle", s3.ca_bundle).returncode == 0

    def test_nobody_there(self, headrace: Program, s3: Server, tree: Path, free_port: int) -> None:
        for endpoint, named in ((f"http://127.0.0.1:{free_port}", "refused"), ("http://no-such-host.invalid", "no-such-host.invalid")):
            refused(headrace("cp", tree / "a.txt", "s3://bucket/x", "--endpoint-url", endpoint, "--max-attempts", "1"), 5, named)

    def test_a_range_past_the_end(self, headrace: Program, bucket_uri: str) -> None:
        assert headrace("cp", "-", f"{bucket_uri}/x", stdin=b"abc").returncode == 0
        refused(headrace("cat", "--start", "4", "--length", "1", f"{bucket_uri}/x"), 2, "4", "3 bytes")
        assert headrace("cat", "--start", "3", "--length", "1", f"{bucket_uri}/x").stdout == b""
        assert headrace("head", "-c", "99", f"{bucket_uri}/x").stdout == b"abc"

    def test_an_empty_object(self, headrace: Program, bucket_uri: str, tmp_path: Path) -> None:
        assert headrace("cp", "-", f"{bucket_uri}/empty").returncode == 0
        finished = headrace("cat", f"{bucket_uri}/empty", f"{bucket_uri}/empty")
        assert (finished.returncode, finished.stdout, finished.stderr) == (0, b"", b"")
        assert headrace("cat", "--start", "-5", "--length", "5", f"{bucket_uri}/empty").returncode == 0
        assert headrace("cp", f"{bucket_uri}/empty", tmp_path / "to").returncode == 0
        assert (tmp_path / "to").read_bytes() == b""

    def test_one_file_of_many_cannot_be_read(self, headrace: Program, bucket_uri: str, tree: Path) -> None:
        (tree / "odd\udcff").write_bytes(b"no key is like this")
        finished = headrace("upload", tree, f"{bucket_uri}/")
        assert finished.returncode == 1
        assert finished.stderr.count(b"\n") == 2
        assert finished.stderr.splitlines()[-1] == b"headrace: 4 of 5 were done"
        assert headrace("ls", "-rc", bucket_uri).stdout == b"4 objects, 10 bytes (10 B)\n"


def test_an_interrupted_upload_leaves_nothing(program: list[str], s3: Server, bucket_uri: str) -> None:
    with subprocess.Popen([*program, "cp", "-", f"{bucket_uri}/x"], stdin=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stderr is not None
        # More than the parts in flight and every buffer hold: when it is written, parts have arrived.
        process.stdin.write(bytes(64 << 20))
        process.stdin.flush()
        assert len(boto(s3).list_multipart_uploads(Bucket=bucket_uri.removeprefix("s3://"))["Uploads"]) == 1
        process.send_signal(signal.SIGINT)
        assert process.stderr.read() == b"headrace: interrupted\n"
        process.stdin.close()
    assert process.returncode == 130
    assert_untouched(s3, bucket_uri)


def test_interrupted_copies_leave_nothing_half_done(program: list[str], s3: Server, bucket_uri: str, tmp_path: Path) -> None:
    for number in range(40):
        with (tmp_path / f"{number:02}").open("wb") as file:
            file.truncate(6 << 20)
    words = [*program, "upload", "-v", "-j", "2", str(tmp_path), f"{bucket_uri}/", "--part-size", "5MiB", "--multipart-threshold", "5MiB"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        first = process.stdout.readline()
        process.send_signal(signal.SIGINT)
        done = [first, *process.stdout.read().splitlines()]
        assert process.stderr.read().splitlines()[-1] == b"headrace: interrupted"
    assert process.returncode == 130
    bucket = bucket_uri.removeprefix("s3://")
    sizes = {entry["Key"]: entry["Size"] for entry in boto(s3).list_objects_v2(Bucket=bucket)["Contents"]}
    assert {line.split(b" -> ")[1].strip().decode() for line in done} <= {f"{bucket_uri}/{key}" for key in sizes}
    assert set(sizes.values()) == {6 << 20}
    assert boto(s3).list_multipart_uploads(Bucket=bucket).get("Uploads", []) == []
