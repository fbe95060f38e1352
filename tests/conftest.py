"""What all tests share: a clean environment, and real servers that start when a test first asks for one."""

from __future__ import annotations

import os
import secrets
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

import pytest
from hypothesis import settings

from headrace.errors import MissingDependency
from headrace.testing.servers import Authority, Azurite, CephRGW, FakeGCS, MiniStack, Nginx, Server
from tests.google_account import ServiceAccount

# Continuous integration must not pass because a server was not there.
SERVERS_REQUIRED = os.environ.get("CI") == "true" or os.environ.get("HEADRACE_TEST_REQUIRE_SERVERS") == "1"

# Whatever these say on a developer's machine, it is not what the tests mean.
FOREIGN_PREFIXES = ("AWS_", "AZURE_", "CLOUDSDK_", "GCE_", "GCLOUD_", "GOOGLE_", "HEADRACE_", "SSL_CERT_", "STORAGE_EMULATOR_")
FOREIGN_NAMES = {"ALL_PROXY", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE"}

# A shell lets what it runs in the background ignore these, and so would the programs that tests interrupt.
for _signal, _usual in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL), (signal.SIGTERM, signal.SIG_DFL)):
    if signal.getsignal(_signal) is signal.SIG_IGN:
        signal.signal(_signal, _usual)

# How long an example takes says more about the machine than about the code.
settings.register_profile("headrace", deadline=None)
settings.load_profile("headrace")


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """No credentials, endpoints, proxies or certificates of the machine's own: not in variables, files or a metadata service."""
    for name in list(os.environ):
        if name.upper().startswith(FOREIGN_PREFIXES) or name.upper() in FOREIGN_NAMES:
            monkeypatch.delenv(name)
    nowhere = tmp_path_factory.getbasetemp() / "no-such-file"
    monkeypatch.setenv("AWS_CONFIG_FILE", str(nowhere))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(nowhere))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(nowhere))
    monkeypatch.setenv("NO_GCE_CHECK", "true")


def unavailable(error: MissingDependency) -> NoReturn:
    """Skip the test that needs what is missing; in continuous integration, fail it."""
    if SERVERS_REQUIRED:
        pytest.fail(str(error), pytrace=False)
    pytest.skip(str(error))


@contextmanager
def running(server: Server) -> Iterator[Server]:
    """A server that runs; what it needs and cannot find makes its tests `unavailable`."""
    try:
        server.start()
    except MissingDependency as error:
        unavailable(error)
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="session")
def ministack() -> Iterator[Server]:
    """MiniStack: verifies checksums and conditions, not signatures."""
    with running(MiniStack()) as server:
        yield server


@pytest.fixture(scope="session")
def ceph() -> Iterator[Server]:
    """Ceph's gateway: verifies signatures."""
    with running(CephRGW()) as server:
        yield server


@pytest.fixture(scope="session")
def azurite() -> Iterator[Server]:
    """Azurite: Azure's blob service, which verifies signatures and checksums."""
    with running(Azurite()) as server:
        yield server


@pytest.fixture(scope="session")
def nginx() -> Iterator[Server]:
    """A small S3 on nginx: fast, and verifies nothing."""
    with running(Nginx()) as server:
        yield server


@pytest.fixture(scope="session")
def fake_gcs() -> Iterator[Server]:
    """fake-gcs-server: Google Cloud Storage's JSON API; verifies neither tokens nor signatures."""
    with running(FakeGCS()) as server:
        yield server


@pytest.fixture(scope="session")
def service_account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceAccount]:
    """A service account of Google's, with an endpoint that gives tokens for it."""
    try:
        account = ServiceAccount(tmp_path_factory.mktemp("account"))
    except MissingDependency as error:
        unavailable(error)
    yield account
    account.close()


@pytest.fixture
def bucket() -> str:
    """A bucket name that no other test has. The bucket is not made."""
    return f"test-{secrets.token_hex(6)}"


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """A certificate authority for tests that need certificates of their own: expired, for another host, self-signed."""
    try:
        return Authority(tmp_path_factory.mktemp("authority"))
    except MissingDependency as error:
        unavailable(error)
