"""A throw-away certificate authority, made with the ``openssl`` program."""

from __future__ import annotations

import ipaddress
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from headrace.errors import ServiceError
from headrace.testing.servers.installed import program

__all__ = ["HOSTS", "Authority", "Certificate"]

#: The names that a certificate is for unless others are asked for: this machine, and a domain for virtual-host addressing.
HOSTS = ("localhost", "127.0.0.1", "s3.local", "*.s3.local")

# Elliptic curves: a key takes milliseconds. RSA would take a tenth of a second each.
_NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
_DAYS = "30"
_AUTHORITY_EXTENSIONS = ["basicConstraints=critical,CA:TRUE", "keyUsage=critical,keyCertSign,cRLSign"]


class Certificate(NamedTuple):
    """The paths of a PEM certificate and of its unencrypted PEM private key."""

    certificate: str
    key: str


class Authority:
    """A certificate authority that nobody trusts but those who are given its ``ca_bundle``.

    Args:
        directory: where its files go; made if need be. Removing it is the caller's affair.

    Raises:
        MissingDependency: there is no ``openssl`` program.

    Attributes:
        ca_bundle: the path of the PEM file to trust.
    """

    def __init__(self, directory: Path) -> None:
        self._openssl = program("openssl", packages="openssl")
        self._directory = directory
        self._issued = 0
        directory.mkdir(parents=True, exist_ok=True)
        root = self._self_signed("authority", "headrace throw-away authority", _AUTHORITY_EXTENSIONS)
        self.ca_bundle, self._key = root

    def issue(self, *hosts: str, expired: bool = False, premature: bool = False) -> Certificate:
        """A server certificate that this authority signed.

        Args:
            hosts: DNS names (``*.`` allowed) and IP addresses; `HOSTS` if none is given. Name another to test a wrong host.
            expired: make one that was valid until yesterday.
            premature: make one that will be valid from tomorrow on.
        """
        name = self._next_name()
        certificate, request = self._paths(name), self._path(f"{name}.request")
        config = self._config(name, [*_server_extensions(hosts or HOSTS), "authorityKeyIdentifier=keyid"])
        new_key = ("-new", *_NEW_KEY, "-keyout", certificate.key)
        self._run("req", "-config", config, "-subj", "/CN=headrace test server", *new_key, "-out", request)
        if premature:
            self._sign_for_tomorrow(name, request, certificate.certificate)
            return certificate
        signer = ("-CA", self.ca_bundle, "-CAkey", self._key, "-CAcreateserial", "-days", "-1" if expired else _DAYS)
        self._run("x509", "-req", "-in", request, *signer, "-extfile", config, "-extensions", "added", "-out", certificate.certificate)
        return certificate

    def _sign_for_tomorrow(self, name: str, request: str, certificate: str) -> None:
        """Sign by ``openssl ca``: of the commands of all versions, it alone takes a first day."""
        settings = [f"database={self._path(f'{name}.database')}", f"new_certs_dir={self._directory}", "rand_serial=yes", "policy=any"]
        with open(self._path(f"{name}.config"), "a") as config, open(self._path(f"{name}.database"), "w"):
            config.write("\n".join(["[ca]", "default_ca=own", "[own]", *settings, "[any]", "commonName=optional", ""]))
        first = datetime.now(UTC) + timedelta(days=1)
        days = ("-startdate", f"{first:%Y%m%d%H%M%SZ}", "-enddate", f"{first + timedelta(days=1):%Y%m%d%H%M%SZ}")
        signer = ("-cert", self.ca_bundle, "-keyfile", self._key, "-md", "sha256", *days, "-extensions", "added")
        self._run("ca", "-batch", "-notext", "-config", self._path(f"{name}.config"), *signer, "-in", request, "-out", certificate)

    def self_signed(self, *hosts: str) -> Certificate:
        """A server certificate that no authority signed, for ``hosts`` (`HOSTS` if none is given)."""
        return self._self_signed(self._next_name(), "headrace self-signed test server", _server_extensions(hosts or HOSTS))

    def _self_signed(self, name: str, subject: str, extensions: list[str]) -> Certificate:
        certificate, config = self._paths(name), self._config(name, extensions)
        new_key = ("-x509", *_NEW_KEY, "-keyout", certificate.key, "-days", _DAYS)
        self._run("req", "-config", config, "-extensions", "added", "-subj", f"/CN={subject}", *new_key, "-out", certificate.certificate)
        return certificate

    def _config(self, name: str, extensions: list[str]) -> str:
        # Always a file of our own: what the system's openssl.cnf adds differs from system to system.
        path = self._path(f"{name}.config")
        lines = ["[req]", "distinguished_name=subject", "[subject]", "[added]", "subjectKeyIdentifier=hash", *extensions, ""]
        Path(path).write_text("\n".join(lines))
        return path

    def _paths(self, name: str) -> Certificate:
        return Certificate(self._path(f"{name}.pem"), self._path(f"{name}.key"))

    def _path(self, name: str) -> str:
        return str(self._directory / name)

    def _next_name(self) -> str:
        self._issued += 1
        return f"server-{self._issued}"

    def _run(self, *arguments: str) -> None:
        done = subprocess.run([self._openssl, *arguments], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise ServiceError(f"openssl {arguments[0]} failed: {done.stderr.strip()}")


def _server_extensions(hosts: tuple[str, ...]) -> list[str]:
    names = ",".join(f"{'IP' if _is_address(host) else 'DNS'}:{host}" for host in hosts)
    return [f"subjectAltName={names}", "basicConstraints=critical,CA:FALSE", "extendedKeyUsage=serverAuth"]


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
