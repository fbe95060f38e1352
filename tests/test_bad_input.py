"""What users get wrong: each is told by the documented error, which names the URI, says what to do, and shows no secret."""

from __future__ import annotations

import copy
import itertools
import logging
import os
import pickle
import socket
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from headrace import Client, HeadraceError
from headrace.auth.sigv4 import Credentials
from headrace.errors import ConnectionFailed, CredentialsError, InvalidOption, InvalidURI, NotFound, PermissionDenied, Stalled
from headrace.testing.servers import Authority, Server

SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
TOKEN = "FwoGZXIvYXdzEXAMPLETOKEN"
FAST = {"max_attempts": 1, "connect_timeout": 5.0}


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Some credentials, for requests that fail before anybody looks at them."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)


@pytest.fixture
def nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No credentials anywhere."""
    monkeypatch.setenv("HOME", str(tmp_path))


def verbs(client: Client, uri: str) -> Iterator[Any]:
    """Every verb on one object."""
    yield lambda: client.get(uri)
    yield lambda: client.read_bytes(uri)
    yield lambda: client.get_ranges(uri, [(0, 1)])
    yield lambda: list(client.get_many([uri]))
    yield lambda: client.put(uri, b"data")
    yield lambda: list(client.put_many([(uri, b"data")]))
    yield lambda: client.stat(uri)
    yield lambda: list(client.stat_many([uri]))
    yield lambda: client.exists(uri)
    yield lambda: list(client.list(uri))
    yield lambda: client.delete(uri)
    yield lambda: client.delete_many([uri])
    yield lambda: client.copy(uri, "memory://bad-input/copy")
    yield lambda: client.copy(uri, uri + "-copy")
    yield lambda: client.move(uri, "memory://bad-input/copy")
    yield lambda: client.open(uri).read()


def close_written(client: Client, uri: str) -> None:
    with client.open(uri, "wb") as file:
        file.write(b"data")


@pytest.mark.parametrize(
    "uri",
    [
        "nobody-knows://bucket/key",
        "S3://bucket/key",
        "://bucket/key",
        "s 3://bucket/key",
        "zip://file::s3://bucket/key",
        "s3:///key",
        "s3://?/key",
        "s3://.b/key",
    ],
)
def test_a_uri_that_nothing_serves(uri: str) -> None:
    client = Client()
    for verb in [
        *verbs(client, uri),
        lambda: close_written(client, uri),
        lambda: client.presign(uri),
        lambda: client.create_container(uri),
    ]:
        with pytest.raises(InvalidURI) as caught:
            verb()
        assert isinstance(caught.value, ValueError)
        assert uri in str(caught.value)


@pytest.mark.parametrize("uri", ["s3://", "s3://bucket", "s3://bucket/", "memory://bucket", "file:///", "direct:///"])
@pytest.mark.usefixtures("keys")
def test_a_uri_that_names_no_object(uri: str) -> None:
    client = Client(endpoint_url="http://127.0.0.1:9", **FAST)
    for verb in [*verbs(client, uri)][:9]:
        with pytest.raises(InvalidURI) as caught:
            verb()
        assert uri.partition("://")[0] in str(caught.value)


@pytest.mark.parametrize("uri", ["", "file://relative/path", "file://", "/a\0b", "direct://x"])
def test_a_path_that_is_none(uri: str) -> None:
    with pytest.raises(InvalidURI):
        Client().get(uri)


@pytest.mark.parametrize("uri", [None, 5, b"s3://bucket/key", ["s3://bucket/key"]])
def test_what_is_no_uri(uri: Any) -> None:
    with pytest.raises(TypeError):
        Client().get(uri)


@pytest.mark.usefixtures("nobody")
def test_no_credentials(ministack: Server) -> None:
    client = Client(endpoint_url=ministack.endpoint, **FAST)
    for verb in verbs(client, "s3://bucket/key"):
        with pytest.raises(CredentialsError, match="AWS_ACCESS_KEY_ID") as caught:
            verb()
        assert "s3://bucket/" in str(caught.value)
        assert caught.value.hint


@pytest.mark.usefixtures("nobody")
def test_a_profile_that_is_not_there(ministack: Server) -> None:
    with pytest.raises(CredentialsError, match="no-such-profile"):
        Client(endpoint_url=ministack.endpoint, profile="no-such-profile", **FAST).get("s3://bucket/key")


@pytest.mark.usefixtures("nobody")
def test_a_function_that_gives_no_credentials(ministack: Server) -> None:
    def broken() -> object:
        raise RuntimeError(f"the vault is closed: {SECRET}")

    for function in (broken, lambda: None, lambda: {"access_key": "AKIDEXAMPLE"}):
        with pytest.raises(CredentialsError) as caught:
            Client(endpoint_url=ministack.endpoint, credentials=function, **FAST).get("s3://bucket/key")
        assert caught.value.uri == "s3://bucket/key"


@pytest.mark.parametrize(("access_key", "secret_key"), [("testkey", SECRET), ("AKIDUNKNOWN", SECRET)], ids=["wrong secret", "unknown key"])
def test_wrong_credentials(ceph: Server, access_key: str, secret_key: str) -> None:
    client = Client(endpoint_url=ceph.endpoint, credentials=Credentials(access_key, secret_key, TOKEN), **FAST)
    for verb in [
        client.get,
        lambda uri: list(client.list(uri)),
        lambda uri: client.put(uri, b"data"),
        lambda uri: list(client.get_many([uri])),
    ]:
        with pytest.raises(CredentialsError) as caught:
            verb("s3://bucket/key")
        assert caught.value.status == 403
        assert caught.value.hint
        assert "s3://bucket/" in str(caught.value)


def test_what_one_may_not_see(ceph: Server, bucket: str) -> None:
    Client(endpoint_url=ceph.endpoint, credentials=Credentials(ceph.access_key, ceph.secret_key)).create_container(f"s3://{bucket}")
    client = Client(endpoint_url=ceph.endpoint, anonymous=True, **FAST)
    for verb in verbs(client, f"s3://{bucket}/key"):
        with pytest.raises(PermissionDenied) as caught:
            verb()
        assert isinstance(caught.value, PermissionError)
        assert caught.value.status == 403
        assert bucket in str(caught.value)


@pytest.mark.usefixtures("keys")
def test_a_port_that_nobody_listens_on() -> None:
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{reserved.getsockname()[1]}"
        client = Client(endpoint_url=endpoint, **FAST)
        for verb in [*verbs(client, "s3://bucket/key"), lambda: close_written(client, "s3://bucket/key")]:
            with pytest.raises(ConnectionFailed, match="refused") as caught:
                verb()
            assert isinstance(caught.value, ConnectionError)
            assert endpoint in str(caught.value)
            assert "s3://bucket/" in str(caught.value)


@pytest.mark.usefixtures("keys")
def test_a_host_that_does_not_exist() -> None:
    with pytest.raises(ConnectionFailed, match=r"resolve 'no-such-host\.invalid'") as caught:
        Client(endpoint_url="http://no-such-host.invalid:9000", **FAST).get("s3://bucket/key")
    assert caught.value.uri == "s3://bucket/key"
    assert caught.value.attempts == 1


@pytest.mark.usefixtures("keys")
def test_a_server_that_says_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        client = Client(endpoint_url=f"http://127.0.0.1:{silent.getsockname()[1]}", stall_timeout=0.2, max_attempts=2)
        with pytest.raises(Stalled) as caught:
            client.get("s3://bucket/key")
        assert isinstance(caught.value, TimeoutError)
        assert (caught.value.uri, caught.value.attempts) == ("s3://bucket/key", 2)


@pytest.mark.usefixtures("keys")
def test_a_server_whose_authority_is_not_known(ministack: Server, authority: Authority) -> None:
    for bundle in (None, authority.ca_bundle):
        client = Client(endpoint_url=ministack.tls_endpoint, ca_bundle=bundle)
        for verb in (client.get, client.stat, lambda uri, client=client: list(client.get_many([uri]))):
            with pytest.raises(ConnectionFailed, match="not trusted") as caught:
                verb("s3://bucket/key")
            # A certificate does not become better by trying again.
            assert (caught.value.code, caught.value.attempts) == ("certificate", 1)
            assert "ca_bundle" in str(caught.value)


@pytest.mark.usefixtures("keys")
def test_tls_to_a_server_without(ministack: Server) -> None:
    with pytest.raises(ConnectionFailed, match="TLS"):
        Client(endpoint_url=ministack.endpoint.replace("http:", "https:"), **FAST).get("s3://bucket/key")


@pytest.mark.parametrize("scheme", ["file", "direct"])
def test_a_directory_where_a_file_is_meant(tmp_path: Path, scheme: str) -> None:
    (tmp_path / "directory").mkdir()
    uri = f"{scheme}://{tmp_path}/directory"
    client = Client()
    for verb in (
        client.get,
        client.stat,
        client.read_bytes,
        client.delete,
        client.open,
        lambda uri: client.copy(uri, f"{scheme}://{tmp_path}/copy"),
    ):
        with pytest.raises(NotFound, match="director") as caught:
            verb(uri)
        assert caught.value.uri == uri
    for write in (lambda: client.put(uri, b"data"), lambda: close_written(client, uri)):
        with pytest.raises(HeadraceError, match="director"):
            write()
    assert not client.exists(uri)
    assert os.listdir(tmp_path) == ["directory"]


@pytest.mark.parametrize("scheme", ["file", "direct"])
def test_a_file_where_a_directory_is_meant(tmp_path: Path, scheme: str) -> None:
    (tmp_path / "file").write_bytes(b"data")
    uri = f"{scheme}://{tmp_path}/file/below"
    with pytest.raises(NotFound):
        Client().get(uri)
    with pytest.raises(HeadraceError) as caught:
        Client().put(uri, b"data")
    assert caught.value.uri == uri
    assert (tmp_path / "file").read_bytes() == b"data"


@pytest.mark.parametrize("scheme", ["file", "memory"])
def test_ranges_and_buffers(tmp_path: Path, scheme: str) -> None:
    client, uri = Client(), f"{scheme}://bad-input{tmp_path}/object".replace("file://bad-input", "file://")
    client.put(uri, b"0123456789")
    wrong: list[dict[str, Any]] = [
        {"length": -1},
        {"start": 11},
        {"start": 11, "length": 0},
        {"into": bytes(10)},
        {"into": bytearray(9)},
        {"into": np.zeros((10, 2), np.uint8)[:, 0]},
        {"into": np.array([object()] * 10)},
        {"start": 2, "length": 5, "into": bytearray(4)},
    ]
    for arguments in wrong:
        with pytest.raises(InvalidOption):
            client.get(uri, **arguments)
    with pytest.raises(TypeError):
        client.get(uri, into="text")


def test_an_option_that_is_none() -> None:
    for options, name in [
        ({"endpont_url": "http://127.0.0.1"}, "endpoint_url"),
        ({"part_size": "1 KiB"}, "part_size"),
        ({"max_attempts": 0}, "max_attempts"),
        ({"anonymous": True, "credentials": Credentials("AKIDEXAMPLE", SECRET)}, "anonymous"),
    ]:
        with pytest.raises(InvalidOption, match=name) as caught:
            Client(**options)
        assert SECRET not in str(caught.value)


def test_an_endpoint_with_a_password() -> None:
    client = Client(endpoint_url="http://user:open-sesame@127.0.0.1")
    with pytest.raises(InvalidURI, match="no user name or password") as caught:
        client.get("s3://bucket/key")
    for shown in (str(caught.value), repr(client), repr(client.options)):
        assert "open-sesame" not in shown


def test_a_variable_that_nobody_reads_is_told(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setenv("HEADRACE_ENDPONT_URL", "http://127.0.0.1:9")
    with caplog.at_level(logging.WARNING, logger="headrace"):
        Client(max_attempts=1)
    assert "HEADRACE_ENDPONT_URL" in caplog.text


@pytest.mark.parametrize("verb", ["get", "put", "list", "get_many"])
def test_no_secret_in_whatever_is_shown(ceph: Server, caplog: pytest.LogCaptureFixture, verb: str) -> None:
    """In errors, with all their causes, in their pickles, in representations, and in the log at its most talkative."""
    credentials = Credentials("AKIDEXAMPLE", SECRET, TOKEN)
    client = Client(endpoint_url=ceph.endpoint, credentials=credentials, max_attempts=2)
    calls = {
        "get": lambda: client.get("s3://bucket/key"),
        "put": lambda: client.put("s3://bucket/key", b"data"),
        "list": lambda: list(client.list("s3://bucket/")),
        "get_many": lambda: list(client.get_many(["s3://bucket/key"])),
    }
    with caplog.at_level(logging.DEBUG), pytest.raises(HeadraceError) as caught:
        calls[verb]()
    error = caught.value
    shown = [str(error), repr(error), repr(vars(error)), "".join(traceback.format_exception(error)), caplog.text]
    shown += [repr(copy.copy(error)), pickle.dumps(error).decode("latin-1")]
    shown += [repr(client), repr(client.options), repr(credentials), str(credentials)]
    for text, secret in itertools.product(shown, (SECRET, TOKEN, "AKIDEXAMPLE")):
        assert secret not in text


def test_a_signed_url_is_a_secret_that_no_log_holds(ceph: Server, caplog: pytest.LogCaptureFixture) -> None:
    client = Client(endpoint_url=ceph.endpoint, credentials=Credentials(ceph.access_key, ceph.secret_key))
    with caplog.at_level(logging.DEBUG):
        url = client.presign("s3://bucket/key", expires=60)
    assert "X-Amz-Signature=" in url
    assert url.partition("X-Amz-Signature=")[2] not in caplog.text
