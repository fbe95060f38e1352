"""Which account, container and blob a URI means, and where its requests go ("Blob service resource URIs")."""

from __future__ import annotations

import re
from typing import NamedTuple

from headrace.auth.sigv4 import encode_path
from headrace.errors import InvalidOption, InvalidURI
from headrace.http.messages import Origin, parse_origin
from headrace.uri import Location

__all__ = ["Addressing", "Target", "account_in_url"]

_HOST = "blob.core.windows.net"
_ACCOUNT = re.compile(r"[a-z0-9]{3,24}").fullmatch
_ALIASED = re.compile(r"(?:^|/)\.\.?(?:/|$)|\\").search


class Target(NamedTuple):
    """Where the requests of one account go: a server, and what comes before the container in the path, empty or ``/account``."""

    origin: Origin
    path: str


class Addressing:
    """Finds the server and the path of a location.

    Args:
        account: the account that is meant where a URI names none; None if none is.
        endpoint_url: the address of its blob service: a host of its own, or with the account in the path, as emulators have it. By
            default that of Azure's public cloud.
        style: ``"account"`` reads ``az://a/b/c`` as container ``b`` of account ``a``; ``"auto"`` only where ``a`` is ``account``.
    """

    def __init__(self, account: str | None, endpoint_url: str | None, style: str) -> None:
        self._custom = Target(*parse_origin(endpoint_url)) if endpoint_url else None
        self.account = account
        self._account_first = style == "account"
        self._targets: dict[str, Target] = {}

    def interpret(self, location: Location) -> Location:
        """The location, with the account that its URI names as its first segment, if it does."""
        if location.account or not (self._account_first or location.container == self.account):
            return location
        return location.with_account_first() if location.container else location

    def account_of(self, location: Location) -> str:
        """The account that a location is in.

        Raises:
            InvalidOption: nothing says it.
        """
        account = location.account or self.account
        if not account:
            hint = "Set `account` (AZURE_STORAGE_ACCOUNT), or write abfss://container@account.dfs.core.windows.net/key."
            raise InvalidOption("no storage account is named", uri=location.uri, hint=hint)
        return account

    def target(self, account: str) -> Target:
        """Where the requests of an account go.

        Raises:
            InvalidOption: the endpoint is that of another account, or the account's name cannot be one.
        """
        target = self._targets.get(account)
        if target is None:
            target = self._targets[account] = self._found(account)
        return target

    def _found(self, account: str) -> Target:
        custom = self._custom
        if custom is not None and account == self.account:
            return custom
        # It becomes a part of a host name: anything else would lead elsewhere than to the service.
        if not _ACCOUNT(account):
            raise InvalidURI(f"{account[:40]!r} cannot be the name of a storage account")
        if custom is None:
            return Target(Origin("https", f"{account}.{_HOST}", 443), "")
        origin, path = custom
        if self.account and path == f"/{self.account}":
            return Target(origin, f"/{account}")
        if self.account and origin.host.startswith(f"{self.account}."):
            return Target(origin._replace(host=account + origin.host[len(self.account) :]), path)
        raise InvalidOption(f"the endpoint is not that of account {account!r}", hint="Use a client of its own for each account.")

    @staticmethod
    def path(target: Target, container: str, key: str) -> str:
        """The path of a blob, of a container (no ``key``), or of the service (no ``container``).

        Raises:
            InvalidURI: the service would take the name for another one.
        """
        if not key:
            return f"{target.path}/{container}"
        if _ALIASED(key):
            raise InvalidURI(
                f"{key[:80]!r} cannot be the name of a blob",
                hint="Azure resolves the segments . and .., and takes a backslash for a slash: another blob would be meant.",
            )
        return f"{target.path}/{container}/{encode_path(key)}"


def account_in_url(endpoint_url: str) -> str | None:
    """The account that an endpoint's address seems to name: the only segment of its path, or the first label of a host of the cloud's."""
    origin, path = parse_origin(endpoint_url)
    segment = path.removeprefix("/")
    if segment:
        return segment if _ACCOUNT(segment) else None
    label, _, rest = origin.host.partition(".")
    return label if rest.startswith("blob.") and _ACCOUNT(label) else None
