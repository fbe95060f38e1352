"""Making connections, with both drivers: names and addresses, trust, proxies."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from headrace.errors import ConnectionFailed, InvalidOption, ProtocolError, Stalled
from headrace.http import connecting
from headrace.http.messages import Origin

STALL = 0.3


# Names and addresses.


@pytest.fixture
def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def test_a_refused_connection_says_so(driver: Any, closed_port: int) -> None:
    with pytest.raises(ConnectionFailed, match=f"127.0.0.1:{closed_port} refused the connection") as caught:
        driver.exchange(Origin("http", "127.0.0.1", closed_port))
    assert caught.value.code == "refused"


def test_a_name_with_several_addresses_is_tried_at_each(driver: Any, serve: Any, closed_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    server = serve()
    addresses = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port)) for port in (closed_port, server.port)]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *arguments, **options: addresses)
    assert bytes(driver.exchange(Origin("http", "several.example", 80), "/x").body) == b"/x"
    monkeypatch.setattr(socket, "getaddrinfo", lambda *arguments, **options: addresses[:1] * 2)
    with pytest.raises(ConnectionFailed, match="refused"):
        driver.exchange(Origin("http", "refusing.example", 80))


def test_new_connections_are_spread_over_the_addresses_of_a_name(driver: Any, serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    servers = [serve(lambda peer: peer.reply(peer.request().target.encode(), headers="connection: close\r\n")) for _ in range(3)]
    addresses = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", server.port)) for server in servers]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *arguments, **options: addresses)
    for number in range(6):
        assert bytes(driver.exchange(Origin("http", "spread.example", 80), f"/{number}").body) == f"/{number}".encode()
    assert [len(server.received) for server in servers] == [2, 2, 2]


def test_an_address_that_did_not_answer_comes_last_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(connecting, "_failed", {})
    monkeypatch.setattr("headrace.http.connecting.time.monotonic", lambda: now)
    found = [
        (family, socket.SOCK_STREAM, 6, "", (host, 80))
        for family, host in ((socket.AF_INET6, "::1"), (socket.AF_INET6, "::2"), (socket.AF_INET, "127.0.0.1"))
    ]
    # Each is the first in its turn, but only among those of its kind.
    orders = {tuple(info[4][0] for info in connecting.in_turn("kinds.example", found)) for _ in range(4)}
    assert orders == {("::1", "::2", "127.0.0.1"), ("::2", "::1", "127.0.0.1")}
    connecting.avoid(found[0])
    assert {connecting.in_turn("kinds.example", found)[-1] for _ in range(4)} == {found[0]}
    now += 31
    assert {connecting.in_turn("kinds.example", found)[0] for _ in range(4)} == set(found[:2])


@pytest.mark.parametrize("host", ["::1%nowhere", "a..b", "x" * 64])
def test_a_name_that_cannot_be_resolved_says_so(driver: Any, host: str) -> None:
    with pytest.raises(ConnectionFailed, match="cannot resolve") as caught:
        driver.exchange(Origin("http", host, 80))
    assert caught.value.code == "resolve"


def test_a_connection_that_does_not_come_up_is_given_up(driver: Any, unanswering: Origin) -> None:
    driver.configure(connect_timeout=STALL)
    with pytest.raises(Stalled, match=r"no connection to .* within 0\.3 s") as caught:
        driver.exchange(unanswering)
    assert caught.value.code == "connect"


def test_tls_that_does_not_come_up_is_given_up(driver: Any, serve: Any) -> None:
    driver.configure(connect_timeout=STALL)
    server = serve(lambda peer: peer.rest())
    with pytest.raises(Stalled, match="no connection"):
        driver.exchange(Origin("https", "localhost", server.port))
    assert server.peers[0].closed.wait(10)


def test_ipv6_addresses_work(driver: Any, serve: Any) -> None:
    try:
        server = serve(host="::1")
    except OSError:
        pytest.skip("this machine has no IPv6")
    assert bytes(driver.exchange(server.origin, "/six").body) == b"/six"
    assert server.received[0].headers["host"] == f"[::1]:{server.port}"


# Trust.


def trusting(driver: Any, origin: Origin, **settings: Any) -> bytes:
    driver.configure(**settings)
    return bytes(driver.exchange(origin, "/trusted").body)


def test_an_authority_of_ones_own_is_trusted_when_named(driver: Any, serve: Any, tls: Any, authority: Any) -> None:
    server = serve(tls=tls())
    assert trusting(driver, server.origin, ca_bundle=authority.ca_bundle) == b"/trusted"


def test_an_authority_of_ones_own_is_trusted_by_address(driver: Any, serve: Any, tls: Any, authority: Any) -> None:
    server = serve(tls=tls())
    assert trusting(driver, Origin("https", "127.0.0.1", server.port), ca_bundle=authority.ca_bundle) == b"/trusted"


def test_ssl_cert_file_names_an_authority(driver: Any, serve: Any, tls: Any, authority: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", authority.ca_bundle)
    assert trusting(driver, serve(tls=tls()).origin) == b"/trusted"


def test_an_unknown_authority_is_refused(driver: Any, serve: Any, tls: Any, authority: Any) -> None:
    stranger = authority.self_signed("localhost")
    for settings in ({}, {"ca_bundle": stranger.certificate}):
        with pytest.raises(ConnectionFailed, match="not trusted") as caught:
            trusting(driver, serve(tls=tls()).origin, **settings)
        assert caught.value.code == "certificate"
        assert "ca_bundle" in str(caught.value)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda authority: authority.issue("elsewhere.example"), "Hostname mismatch"),
        (lambda authority: authority.issue("localhost", expired=True), "expired"),
        (lambda authority: authority.self_signed("localhost"), "self-signed"),
    ],
    ids=["wrong host", "expired", "self-signed"],
)
def test_a_certificate_that_is_not_right_is_refused(driver: Any, serve: Any, tls: Any, authority: Any, make: Any, reason: str) -> None:
    server = serve(tls=tls(make(authority)))
    with pytest.raises(ConnectionFailed, match=reason) as caught:
        trusting(driver, server.origin, ca_bundle=authority.ca_bundle)
    assert caught.value.code == "certificate"
    assert server.received == []


def test_unverified_tls_works_and_warns_once(driver: Any, serve: Any, tls: Any, authority: Any, caplog: pytest.LogCaptureFixture) -> None:
    server = serve(
        lambda peer: peer.reply(peer.request().target.encode(), headers="connection: close\r\n"),
        tls=tls(authority.self_signed("x.example")),
    )
    driver.configure(verify_tls=False)
    assert [bytes(driver.exchange(server.origin, "/seen").body) for _ in range(2)] == [b"/seen"] * 2
    assert [record.message.partition(":")[0] for record in caplog.records] == ["TLS certificates are not verified (verify_tls=False)"]


@pytest.mark.parametrize("content", [None, "", "no certificate"])
def test_a_bundle_that_cannot_be_used_says_so(driver: Any, serve: Any, tls: Any, tmp_path: Path, content: str | None) -> None:
    bundle = tmp_path / "bundle.pem"
    if content is not None:
        bundle.write_text(content)
    with pytest.raises(InvalidOption, match=re.escape(str(bundle))):
        trusting(driver, serve(tls=tls()).origin, ca_bundle=str(bundle))


def test_a_plain_server_where_tls_is_meant_says_so(driver: Any, serve: Any) -> None:
    def script(peer: Any) -> None:
        peer.socket.recv(1000)
        peer.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        peer.rest()

    with pytest.raises(ConnectionFailed, match=r"TLS with .* failed") as caught:
        driver.exchange(Origin("https", "localhost", serve(script).port))
    assert caught.value.code == "tls"


# Proxies.


def forwarding(peer: Any) -> None:
    """A proxy: opens tunnels, and says what it was asked for in plain requests."""
    while True:
        received = peer.request()
        if received.method == "CONNECT":
            host, _, port = received.target.rpartition(":")
            peer.send(b"HTTP/1.1 200 Connection established\r\n\r\n")
            peer.relay_to(host, int(port))
            return
        peer.reply(f"proxy: {received.target}".encode())


@pytest.fixture(params=["option", "environment"])
def through(request: pytest.FixtureRequest, driver: Any, monkeypatch: pytest.MonkeyPatch, authority: Any) -> Callable[[str], None]:
    """Make the driver use a proxy."""

    def configure(proxy: str) -> None:
        if request.param == "environment":
            monkeypatch.setenv("ALL_PROXY", proxy)
        driver.configure(ca_bundle=authority.ca_bundle, stall_timeout=5, **({"proxy": proxy} if request.param == "option" else {}))

    return configure


@pytest.mark.parametrize(("user", "authorization"), [("", None), ("me:p%40ss@", "Basic bWU6cEBzcw==")], ids=["anonymous", "password"])
def test_plain_requests_through_a_proxy(driver: Any, serve: Any, through: Any, user: str, authorization: str | None) -> None:
    proxy = serve(forwarding)
    through(f"http://{user}127.0.0.1:{proxy.port}")
    replies = [driver.exchange(Origin("http", "storage.example", 81), f"/key{number}?q") for number in range(2)]
    assert [bytes(reply.body) for reply in replies] == [
        b"proxy: http://storage.example:81/key0?q",
        b"proxy: http://storage.example:81/key1?q",
    ]
    assert proxy.received[0].headers["host"] == "storage.example:81"
    assert proxy.received[0].headers.get("proxy-authorization") == authorization
    assert len(proxy.peers) == 1


@pytest.mark.parametrize(("user", "authorization"), [("", None), ("me:p%40ss@", "Basic bWU6cEBzcw==")], ids=["anonymous", "password"])
def test_tls_through_a_proxy(driver: Any, serve: Any, tls: Any, through: Any, user: str, authorization: str | None) -> None:
    proxy, server = serve(forwarding), serve(tls=tls())
    through(f"http://{user}127.0.0.1:{proxy.port}")
    assert [bytes(driver.exchange(server.origin, f"/{number}").body) for number in range(2)] == [b"/0", b"/1"]
    assert [received.target for received in proxy.received] == [f"localhost:{server.port}"]
    assert proxy.received[0].headers.get("proxy-authorization") == authorization
    assert "proxy-authorization" not in server.received[0].headers


def test_a_server_asked_through_a_proxy_before_a_body(driver: Any, serve: Any, through: Any) -> None:
    def script(peer: Any) -> None:
        received = peer.head()
        assert received.headers["expect"] == "100-continue"
        peer.reply(status="403 Forbidden")
        assert peer.rest() == b""

    proxy = serve(script)
    through(f"http://me:secret@127.0.0.1:{proxy.port}")
    body = [memoryview(bytes(1000))]
    assert driver.exchange(Origin("http", "storage.example", 80), method="PUT", body=body, expect_continue=True).status == 403
    assert proxy.peers[0].closed.wait(10)


def test_a_proxy_that_wants_a_password_says_so(driver: Any, serve: Any, through: Any) -> None:
    proxy = serve(lambda peer: peer.request() and peer.reply(b"who?", status="407 Proxy Authentication Required"))
    through(f"http://me:wrong-secret@127.0.0.1:{proxy.port}")
    with pytest.raises(ConnectionFailed, match="refused a tunnel") as caught:
        driver.exchange(Origin("https", "storage.example", 443))
    assert caught.value.status == 407
    assert "user name and password" in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("act", "error", "reason"),
    [
        (lambda peer: None, ConnectionFailed, "closed the connection before it sent a reply"),
        (lambda peer: peer.reset(), ConnectionFailed, "cannot connect to .* through the proxy"),
        (lambda peer: peer.send(b"SSH-2.0-x\r\n\r\n"), ProtocolError, "not an HTTP/1.1 reply"),
        (lambda peer: peer.reply(status="502 Bad Gateway"), ConnectionFailed, "refused a tunnel"),
        (lambda peer: peer.rest(), Stalled, "through the proxy"),
    ],
    ids=["close", "reset", "garbage", "gateway", "stall"],
)
def test_a_proxy_that_fails(driver: Any, serve: Any, act: Any, error: type[Exception], reason: str) -> None:
    proxy = serve(lambda peer: peer.request() and act(peer))
    driver.configure(proxy=f"http://127.0.0.1:{proxy.port}", connect_timeout=STALL)
    with pytest.raises(error, match=reason):
        driver.exchange(Origin("https", "storage.example", 443))


def test_a_proxy_that_is_not_there(driver: Any, closed_port: int) -> None:
    driver.configure(proxy=f"http://127.0.0.1:{closed_port}")
    with pytest.raises(ConnectionFailed, match=r"through the proxy 127\.0\.0\.1.* refused the connection"):
        driver.exchange(Origin("http", "storage.example", 80))
