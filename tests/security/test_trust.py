"""TLS as it is by default: who is not proven to be the service gets no request, and nothing is sent in the clear instead."""

from __future__ import annotations

import logging
import ssl
import warnings
from pathlib import Path
from typing import Any

import pytest

from headrace.errors import ConnectionFailed
from headrace.http.tls import client_context
from headrace.testing.servers import Authority

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\nconnection: close\r\n\r\ndata"
VERBS: list[tuple[str, tuple[Any, ...]]] = [
    ("get", ()),
    ("put", (b"data",)),
    ("stat", ()),
    ("list", ()),
    ("delete", ()),
]


@pytest.fixture(scope="session")
def stranger(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> Authority:
    """Another authority, which the clients do not trust."""
    return Authority(tmp_path_factory.mktemp("stranger"))


@pytest.mark.parametrize(
    ("make", "reason", "advice"),
    [
        (lambda ours, other: ours.issue("elsewhere.example"), "Hostname mismatch", "is the endpoint right"),
        (lambda ours, other: ours.issue("127.0.0.1"), "Hostname mismatch", "is the endpoint right"),
        (lambda ours, other: ours.issue("*.localhost"), "Hostname mismatch", "is the endpoint right"),
        (lambda ours, other: ours.issue("localhost", expired=True), "expired", "must renew it"),
        (lambda ours, other: ours.issue("localhost", premature=True), "not yet valid", "set this machine's clock"),
        (lambda ours, other: ours.self_signed("localhost"), "self-signed", "ca_bundle"),
        (lambda ours, other: other.issue("localhost"), "unable to get local issuer", "ca_bundle"),
    ],
    ids=["host", "address", "wildcard", "expired", "premature", "self-signed", "authority"],
)
def test_who_cannot_prove_to_be_the_service_gets_no_request(
    hostile: Any, call: Any, server_tls: Any, authority: Any, stranger: Any, make: Any, reason: str, advice: str
) -> None:
    server = hostile(lambda asked: OK, tls=server_tls(make(authority, stranger)))
    for verb, arguments in VERBS:
        with pytest.raises(ConnectionFailed, match=reason) as caught:
            call(server, verb, "s3://bucket/key", *arguments, options={"ca_bundle": authority.ca_bundle, "max_attempts": 3})
        # A certificate does not become better by trying again, nor by trying without TLS.
        assert (caught.value.code, caught.value.attempts) == ("certificate", 1)
        assert advice in str(caught.value)
    assert server.asked == []
    assert server.connections == len(VERBS)


def test_the_systems_authorities_do_not_include_one_of_ones_own(hostile: Any, call: Any, server_tls: Any) -> None:
    server = hostile(lambda asked: OK, tls=server_tls())
    with pytest.raises(ConnectionFailed, match="ca_bundle"):
        call(server, "get", "s3://bucket/key")
    assert server.asked == []


def test_an_address_is_not_taken_for_a_name(hostile: Any, call: Any, server_tls: Any, authority: Any) -> None:
    server = hostile(lambda asked: OK, tls=server_tls(authority.issue("localhost")))
    server.endpoint = f"https://127.0.0.1:{server.port}"
    with pytest.raises(ConnectionFailed, match=r"IP address mismatch.*use the host's name"):
        call(server, "get", "s3://bucket/key", options={"ca_bundle": authority.ca_bundle})
    assert server.asked == []


def test_tls_that_is_too_old_is_refused(hostile: Any, call: Any, server_tls: Any, authority: Any) -> None:
    context = server_tls()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    server = hostile(lambda asked: OK, tls=context)
    with pytest.raises(ConnectionFailed, match=r"no TLS 1\.2 or newer") as caught:
        call(server, "get", "s3://bucket/key", options={"ca_bundle": authority.ca_bundle})
    assert caught.value.code == "tls"
    assert server.asked == []


def test_a_server_without_tls_gets_no_request_in_the_clear(hostile: Any, call: Any) -> None:
    server = hostile(lambda asked: OK)
    server.endpoint = f"https://localhost:{server.port}"
    with pytest.raises(ConnectionFailed, match="TLS with"):
        call(server, "get", "s3://bucket/key", options={"max_attempts": 3})
    assert server.asked == []


def test_only_who_asks_for_it_is_not_protected_and_is_warned(
    hostile: Any, call: Any, server_tls: Any, authority: Any, caplog: pytest.LogCaptureFixture
) -> None:
    server = hostile(lambda asked: OK, tls=server_tls(authority.self_signed("elsewhere.example")))
    client_context.cache_clear()
    with caplog.at_level(logging.WARNING, logger="headrace"):
        with pytest.raises(ConnectionFailed):
            call(server, "get", "s3://bucket/key", options={"verify_tls": True})
        assert caplog.records == []
        assert call(server, "get", "s3://bucket/key", length=4, options={"verify_tls": False}) == b"data"
    client_context.cache_clear()
    assert "TLS certificates are not verified" in caplog.text


def test_a_bundle_that_has_gone_is_an_error_and_not_the_system(hostile: Any, call: Any, server_tls: Any, tmp_path: Path) -> None:
    server = hostile(lambda asked: OK, tls=server_tls())
    with pytest.raises(ValueError, match="ca_bundle"):
        call(server, "get", "s3://bucket/key", options={"ca_bundle": str(tmp_path / "gone.pem")})
    assert server.asked == []


def test_a_proxy_that_answers_in_the_place_of_a_server_gets_no_request(hostile: Any, call: Any, server_tls: Any, stranger: Any) -> None:
    """What comes through a proxy is verified as without one."""
    context = server_tls(stranger.issue("localhost"))

    def intercepting(asked: Any) -> bytes:
        assert (asked.method, "authorization" in asked.headers) == ("CONNECT", False)
        return b"HTTP/1.1 200 Connection established\r\n\r\n"

    proxy = hostile(intercepting)
    server = hostile(lambda asked: OK, tls=context)
    with pytest.raises(ConnectionFailed):
        call(server, "get", "s3://bucket/key", options={"proxy": f"http://127.0.0.1:{proxy.port}"})
    assert [asked.method for asked in proxy.asked] == ["CONNECT"]
    assert server.asked == []
