"""Certificates: each kind is accepted or refused by OpenSSL as it should be."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from headrace.errors import MissingDependency
from headrace.testing.servers import Authority, Certificate, installed


def handshake(certificate: Certificate, *, trusting: str, host: str) -> None:
    """A TLS handshake in memory between a verifying client and a server with ``certificate``."""
    server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_context.load_cert_chain(certificate.certificate, certificate.key)
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = ssl.create_default_context(cafile=trusting).wrap_bio(to_client, to_server, server_hostname=host)
    server = server_context.wrap_bio(to_server, to_client, server_side=True)
    waiting = [client, server]
    while waiting:
        side = waiting.pop(0)
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            waiting.append(side)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "s3.local", "bucket.s3.local"])
def test_an_issued_certificate_is_trusted_for_the_usual_hosts(authority: Authority, host: str) -> None:
    handshake(authority.issue(), trusting=authority.ca_bundle, host=host)


def test_a_certificate_for_other_hosts_is_refused(authority: Authority) -> None:
    with pytest.raises(ssl.SSLCertVerificationError, match=r"Hostname mismatch"):
        handshake(authority.issue("elsewhere.test"), trusting=authority.ca_bundle, host="localhost")


def test_an_expired_certificate_is_refused(authority: Authority) -> None:
    with pytest.raises(ssl.SSLCertVerificationError, match="expired"):
        handshake(authority.issue(expired=True), trusting=authority.ca_bundle, host="localhost")


def test_a_certificate_of_tomorrow_is_refused(authority: Authority) -> None:
    with pytest.raises(ssl.SSLCertVerificationError, match="not yet valid"):
        handshake(authority.issue(premature=True), trusting=authority.ca_bundle, host="localhost")


def test_a_self_signed_certificate_is_refused(authority: Authority) -> None:
    with pytest.raises(ssl.SSLCertVerificationError, match=r"self.signed"):
        handshake(authority.self_signed(), trusting=authority.ca_bundle, host="localhost")


def test_an_authority_is_trusted_only_by_its_own_clients(authority: Authority, tmp_path: Path) -> None:
    stranger = Authority(tmp_path)
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(authority.issue(), trusting=stranger.ca_bundle, host="localhost")


def test_without_openssl_the_error_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(installed, "SYSTEM_DIRECTORIES", ())
    with pytest.raises(MissingDependency, match=r"apt-get install .* openssl"):
        Authority(tmp_path)
