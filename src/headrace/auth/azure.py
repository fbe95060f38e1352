"""Where Azure credentials come from: code, the environment, the user's own function, or azure-identity's chain.

The order is that of Azure's own tools: what is given in code; then of the environment a connection string, a key, a shared access
signature; then Microsoft Entra ID, as azure-identity's ``DefaultAzureCredential`` finds it. azure-identity is imported only when it is
asked.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol, runtime_checkable

from headrace.auth.azure_signing import BearerToken, Credentials, SharedAccessSignature, SharedKey
from headrace.auth.functions import FunctionSource
from headrace.auth.refreshing import RefreshingSource
from headrace.errors import CredentialsError, HeadraceError, MissingDependency
from headrace.http.messages import Secret

__all__ = [
    "EMULATOR_ACCOUNT",
    "CallableSource",
    "ConnectionString",
    "CredentialSource",
    "EnvironmentSource",
    "Found",
    "IdentitySource",
    "StaticSource",
    "TokenSource",
    "find",
]

EMULATOR_ACCOUNT = "devstoreaccount1"
# It is no secret: every emulator has it, and the documentation of Azurite prints it.
_EMULATOR_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
_EMULATOR_ENDPOINT = f"http://127.0.0.1:10000/{EMULATOR_ACCOUNT}"

_SCOPE = "https://storage.azure.com/.default"
_CONNECTION_STRING = "AZURE_STORAGE_CONNECTION_STRING"
_KEYS = ("AZURE_STORAGE_KEY", "AZURE_STORAGE_ACCOUNT_KEY")
_SAS = "AZURE_STORAGE_SAS_TOKEN"

# headrace's name first, then those of Azure's tools and libraries.
_SPELLINGS: Mapping[str, tuple[str, ...]] = {
    "account": ("account", "account_name", "AccountName"),
    "key": ("key", "account_key", "AccountKey"),
    "sas": ("sas_token", "sas", "SharedAccessSignature"),
    "token": ("token",),
    "expires": ("expires", "expires_on"),
    "connection_string": ("connection_string",),
}


@runtime_checkable
class CredentialSource(Protocol):
    """Gives credentials, and others when those have ended; as `headrace.auth.aws.CredentialSource`."""

    def current(self) -> Credentials | None:
        """Return credentials that are good to use, or None when the caller is to call `refresh`. Never blocks."""

    def refresh(self) -> Credentials:
        """Return credentials that are good to use. May block.

        Raises:
            CredentialsError: there are none to be had.
        """

    def invalidate(self, rejected: Credentials) -> None:
        """Drop credentials that the service rejects, unless others have already taken their place. Never blocks."""


class ConnectionString(NamedTuple):
    """What a connection string says ("Configure Azure Storage connection strings", Azure Storage documentation).

    Attributes:
        account: the account's name.
        endpoint: the URL of its blob service.
        credentials: a key or a shared access signature; None where it has neither.
    """

    account: str | None
    endpoint: str | None
    credentials: SharedKey | SharedAccessSignature | None

    @classmethod
    def parse(cls, text: str) -> ConnectionString:
        """Read it.

        Raises:
            CredentialsError: it is not of the form ``Name=value;...``, or says too little. The message does not repeat it.
        """
        fields = _fields(Secret(text))
        if fields is None:
            raise CredentialsError("a connection string with a part that is not of the form Name=value", hint=_CONNECTION_HINT)
        if fields.get("usedevelopmentstorage", "").lower() == "true":
            return cls(EMULATOR_ACCOUNT, _EMULATOR_ENDPOINT, SharedKey(EMULATOR_ACCOUNT, _EMULATOR_KEY))
        account, endpoint = str(fields.get("accountname", "")) or None, str(fields.get("blobendpoint", "")).rstrip("/") or None
        if endpoint is None and account:
            suffix, protocol = fields.get("endpointsuffix", "core.windows.net"), fields.get("defaultendpointsprotocol", "https")
            endpoint = f"{protocol}://{account}.blob.{suffix}"
        if endpoint is None:
            raise CredentialsError("a connection string without AccountName and BlobEndpoint", hint=_CONNECTION_HINT)
        return cls(account, endpoint, _key_or_sas(account, fields.get("accountkey"), fields.get("sharedaccesssignature")))


def _fields(text: str) -> dict[str, Secret] | None:
    """The names, in lower case, and values; None where a part is no such pair."""
    pairs = [pair.partition("=") for pair in text.split(";") if pair.strip()]
    if not all(separator for _, separator, _ in pairs):
        return None
    return {name.strip().lower(): Secret(value.strip()) for name, _, value in pairs}


_CONNECTION_HINT = "Copy it from the account's access keys: AccountName=...;AccountKey=...;EndpointSuffix=core.windows.net"


def _key_or_sas(account: str | None, key: str | None, sas: str | None) -> SharedKey | SharedAccessSignature | None:
    if key:
        if not account:
            raise CredentialsError("an account key without the name of its account", hint="Set `account` (AZURE_STORAGE_ACCOUNT).")
        return SharedKey(account, key)
    return SharedAccessSignature(sas) if sas else None


_NOTHING = ConnectionString(None, None, None)


class StaticSource:
    """Credentials given in code; it refuses to be pickled, as they do. Whether they have ended is left to the service to say."""

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials

    def current(self) -> Credentials:
        """Return the credentials."""
        return self._credentials

    def refresh(self) -> Credentials:
        """Return the credentials."""
        return self._credentials

    def invalidate(self, rejected: Credentials) -> None:
        """Do nothing: there are no others to be had."""


class EnvironmentSource(RefreshingSource[Credentials]):
    """A connection string, a key or a SAS in the environment, read at first use, and again when they are rejected or have ended.

    Pickled, it reads the environment of the new process.

    Args:
        account: the account that a key is for.
        environ: the environment; None is that of the process.
    """

    def __init__(self, account: str | None, environ: Mapping[str, str] | None = None) -> None:
        super().__init__()
        self._account = account
        self._environ = environ

    def __reduce__(self) -> tuple[Any, ...]:
        return EnvironmentSource, (self._account,)

    def _fetch(self) -> Credentials:
        text = _secret(self._environ, _CONNECTION_STRING)
        found = ConnectionString.parse(text).credentials if text else None
        if found is None:
            found = _key_or_sas(self._account, _secret(self._environ, *_KEYS), _secret(self._environ, _SAS))
        if found is None:
            raise CredentialsError(f"the environment no longer has {_CONNECTION_STRING}, {_KEYS[0]} or {_SAS}")
        return found


class CallableSource(FunctionSource[Credentials]):
    """The user's function; see `FunctionSource`.

    It returns what `find` takes as ``credentials``, but for functions: a mapping, a token, or an object with ``get_token``.
    """

    def __init__(self, function: Callable[[], object], account: str | None = None) -> None:
        super().__init__(function)
        self._account = account

    def __reduce__(self) -> tuple[Any, ...]:
        kind, arguments = super().__reduce__()
        return kind, (*arguments, self._account)

    def _interpret(self, value: object) -> Credentials:
        return _ask(value) if hasattr(value, "get_token") else _credentials_from(value, self._account)


class TokenSource(RefreshingSource[Credentials]):
    """Tokens of an object that has ``get_token(scope)``, as the credentials of azure-identity have it.

    It travels to another process as far as that object does.
    """

    def __init__(self, provider: object) -> None:
        super().__init__()
        self._provider = provider

    def __reduce__(self) -> tuple[Any, ...]:
        return TokenSource, (self._provider,)

    def _fetch(self) -> Credentials:
        return _ask(self._provider)


class IdentitySource(RefreshingSource[Credentials]):
    """What azure-identity's ``DefaultAzureCredential`` finds: environment, workload and managed identity, the Azure tools' logins.

    Pickled, it looks anew in the other process.
    """

    def __init__(self) -> None:
        super().__init__()
        self._provider: object = None

    def __reduce__(self) -> tuple[Any, ...]:
        return IdentitySource, ()

    def _fetch(self) -> Credentials:
        if self._provider is None:
            self._provider = _default_credential()
        return _ask(self._provider)

    def _after_fork(self) -> None:
        super()._after_fork()
        # Its connections and locks are the parent's.
        self._provider = None


def _default_credential() -> object:
    try:
        from azure.identity import DefaultAzureCredential  # type: ignore[import-not-found, unused-ignore]
    except ImportError:
        raise MissingDependency(
            "no Azure credentials in the environment, and to look for others needs azure-identity",
            hint="pip install 'headrace[azure]'; or set AZURE_STORAGE_CONNECTION_STRING, AZURE_STORAGE_KEY or AZURE_STORAGE_SAS_TOKEN, "
            "or anonymous if the data is public.",
        ) from None
    credential: object = DefaultAzureCredential()
    return credential


def _ask(provider: Any) -> BearerToken:
    failure: CredentialsError | None = None
    try:
        token = provider.get_token(_SCOPE)
        return BearerToken(token.token, float(token.expires_on))
    except HeadraceError:
        raise
    except Exception as error:  # whatever the files, programs and services that it asks make it raise
        failure = CredentialsError(
            f"{type(provider).__name__} gave no token: {type(error).__name__}",
            hint="Log in with `az login`, or set AZURE_CLIENT_ID, AZURE_TENANT_ID and AZURE_CLIENT_SECRET; "
            "the log of azure.identity tells what was tried.",
        )
    # Without its cause, which may hold a request with a secret.
    raise failure


class Found(NamedTuple):
    """What is known before the first request.

    Attributes:
        account: the storage account, where one is named.
        endpoint: the URL of its blob service, where a connection string gives it.
        source: where credentials come from; None for anonymous requests.
    """

    account: str | None
    endpoint: str | None
    source: CredentialSource | None


def find(
    *,
    account: str | None = None,
    guess: str | None = None,
    credentials: object = None,
    anonymous: bool = False,
    environ: Mapping[str, str] | None = None,
) -> Found:
    """Choose where credentials come from. Reads nothing but ``environ``, and imports no azure-identity.

    Args:
        account: the storage account, where an option names it.
        guess: the account, unless the credentials say another.
        credentials: what the user gave in code, the first choice: a mapping with ``account`` and ``key``, ``sas_token``, ``token`` (and
            ``expires``) or ``connection_string``; an object with ``get_token``; a function that returns any of these; or a source.
        anonymous: sign nothing.
        environ: the environment; None is that of the process.

    Raises:
        CredentialsError: what was given is not usable, or names another account.
    """
    text = _secret(environ, _CONNECTION_STRING)
    if credentials is not None:
        return _given(credentials, account, guess)
    named = ConnectionString.parse(text) if text else _NOTHING
    account = _same(account, named.account) or guess
    if anonymous:
        return Found(account, named.endpoint, None)
    if named.credentials or _secret(environ, *_KEYS, _SAS):
        return Found(account, named.endpoint, EnvironmentSource(account, environ))
    if account == EMULATOR_ACCOUNT:
        return Found(account, named.endpoint, StaticSource(SharedKey(account, _EMULATOR_KEY)))
    return Found(account, named.endpoint, IdentitySource())


def _secret(environ: Mapping[str, str] | None, *names: str) -> Secret | None:
    """The first of these variables that is set. The process's environment, which has secrets, is no variable of the callers' frames."""
    found = (os.environ if environ is None else environ).get
    return next((Secret(found(name, "")) for name in names if found(name)), None)


def _given(credentials: object, account: str | None, guess: str | None) -> Found:
    likely = account or guess
    if isinstance(credentials, CredentialSource):
        return Found(likely, None, credentials)
    if hasattr(credentials, "get_token"):
        return Found(likely, None, TokenSource(credentials))
    if callable(credentials):
        return Found(likely, None, CallableSource(credentials, likely))
    text = _part(credentials, "connection_string")
    named = ConnectionString.parse(text) if isinstance(text, str) else _NOTHING
    found = named.credentials or _credentials_from(credentials, likely)
    own = found.account if isinstance(found, SharedKey) else named.account or _part(credentials, "account")
    return Found(_same(account, own) or guess, named.endpoint, StaticSource(found))


def _same(account: str | None, other: str | None) -> str | None:
    if account and other and account != other:
        raise CredentialsError(
            f"the account is said to be {account!r}, but the credentials are those of {other!r}",
            hint="Look at `account`, AZURE_STORAGE_ACCOUNT and AZURE_STORAGE_CONNECTION_STRING: set one of them.",
        )
    return account or other


def _credentials_from(value: object, account: str | None) -> Credentials:
    if isinstance(value, Credentials):
        return value
    text = _part(value, "connection_string")
    found: Credentials | None = ConnectionString.parse(text).credentials if isinstance(text, str) else None
    if found is None:
        found = _key_or_sas(_part(value, "account") or account, _part(value, "key"), _part(value, "sas"))
    token = _part(value, "token")
    if found is None and isinstance(token, str):
        found = BearerToken(token, _part(value, "expires"))
    if found is None:
        raise CredentialsError(
            f"no key, signature or token in the {type(value).__name__} given as credentials",
            hint="Give a mapping with account and key, sas_token, token or connection_string, or an object with get_token.",
        )
    return found


def _part(value: object, name: str) -> Any:
    for spelling in _SPELLINGS[name]:
        found = value.get(spelling) if isinstance(value, Mapping) else getattr(value, spelling, None)
        if found is not None:
            return Secret(found) if isinstance(found, str) and name != "account" else found
    return None
