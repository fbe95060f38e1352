"""Where AWS credentials come from: code, the environment, the user's own function, or botocore's chain.

The order is that of the AWS SDKs: what is given in code, then a profile named in code, then the environment's keys, then all the
rest, which botocore knows: shared files, single sign-on, web identity, ``credential_process``, container and instance metadata.
botocore is imported only when it is asked; keys from code or the environment never load it.
"""

from __future__ import annotations

import functools
import logging
import os
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from time import time
from typing import Any, Protocol, TypeVar, runtime_checkable

from headrace.auth.functions import FunctionSource, posix_seconds
from headrace.auth.refreshing import RefreshingSource, refuse_expired
from headrace.auth.sigv4 import Credentials
from headrace.errors import CredentialsError, HeadraceError
from headrace.http.messages import Secret

__all__ = [
    "BotocoreSource",
    "CallableSource",
    "CredentialSource",
    "EnvironmentSource",
    "StaticSource",
    "chain",
    "region_from_profile",
]

T = TypeVar("T")

_KEY_VARIABLES = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")

# headrace's name first, then those of AWS's replies and files, then those of boto3's arguments.
_SPELLINGS = {
    "access_key": ("access_key", "AccessKeyId", "aws_access_key_id"),
    "secret_key": ("secret_key", "SecretAccessKey", "aws_secret_access_key"),
    "token": ("token", "SessionToken", "Token", "aws_session_token"),
    # botocore has no public name for the end of its credentials.
    "expires": ("expires", "Expiration", "_expiry_time"),
}


@runtime_checkable
class CredentialSource(Protocol):
    """Gives credentials, and others when those have ended.

    A caller signs with `current`, or where that is None with `refresh`. When the service rejects a signature's credentials as expired
    or unknown, it calls `invalidate` and `refresh`; if that brings the same credentials, the source has no others, and the rejection
    stands.
    """

    def current(self) -> Credentials | None:
        """Return credentials that are good to use, or None when the caller is to call `refresh`. Never blocks."""

    def refresh(self) -> Credentials:
        """Return credentials that are good to use, from the network, a file or a program if need be. May block.

        Raises:
            CredentialsError: there are none to be had.
        """

    def invalidate(self, rejected: Credentials) -> None:
        """Drop credentials that the service calls expired or unknown, unless others have already taken their place. Never blocks."""


class StaticSource:
    """Credentials given in code. It is the one source that refuses to be pickled: see `Credentials`."""

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials

    def current(self) -> Credentials | None:
        """Return the credentials, or None after their end."""
        expires = self._credentials.expires
        return self._credentials if expires is None or time() < expires else None

    def refresh(self) -> Credentials:
        """Return the credentials.

        Raises:
            CredentialsError: they have ended.
        """
        refuse_expired(self._credentials)
        return self._credentials

    def invalidate(self, rejected: Credentials) -> None:
        """Do nothing: there are no others to be had."""


class EnvironmentSource(RefreshingSource[Credentials]):
    """``AWS_ACCESS_KEY_ID``, ``AWS_SECRET_ACCESS_KEY``, ``AWS_SESSION_TOKEN`` and ``AWS_CREDENTIAL_EXPIRATION``, read at first use.

    They are read again when the service rejects them or they have ended. Pickled, it reads the environment of the new process.
    """

    def __init__(self, environ: Mapping[str, str] | None = None) -> None:
        super().__init__()
        self._environ = os.environ if environ is None else environ

    def __reduce__(self) -> tuple[Any, ...]:
        return EnvironmentSource, ()

    def _fetch(self) -> Credentials:
        missing = [name for name in _KEY_VARIABLES if not self._environ.get(name)]
        if missing:
            raise CredentialsError(
                f"{' and '.join(missing)} not set in the environment",
                hint="Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY together, and AWS_SESSION_TOKEN for temporary credentials",
            )
        access_key, secret_key = (Secret(self._environ.get(name, "")) for name in _KEY_VARIABLES)
        token, expires = (self._environ.get(name) for name in ("AWS_SESSION_TOKEN", "AWS_CREDENTIAL_EXPIRATION"))
        return Credentials(access_key, secret_key, token or None, posix_seconds(expires))


class CallableSource(FunctionSource[Credentials]):
    """The user's function as a source of keys; see `FunctionSource`.

    It returns `Credentials`, a mapping with ``access_key``, ``secret_key``, ``token`` and ``expires`` (POSIX seconds, an aware
    datetime or ISO 8601 text), the same in the spelling of AWS (``AccessKeyId``, ...), or an object with such attributes, botocore's
    credentials among them.
    """

    def _interpret(self, value: object) -> Credentials:
        return _credentials_from(value)


class BotocoreSource(RefreshingSource[Credentials]):
    """What botocore's chain finds, for one profile if one is named. Pickled, it travels as the profile's name.

    The chain is walked anew at every refresh, so changed files are seen, and nothing of botocore's is carried over a fork.
    """

    def __init__(self, profile: str | None = None) -> None:
        super().__init__()
        self.profile = profile

    def __reduce__(self) -> tuple[Any, ...]:
        return BotocoreSource, (self.profile,)

    def _fetch(self) -> Credentials:
        return _ask_botocore(self.profile, self._found)

    def _found(self) -> Credentials:
        session = _botocore_session(self.profile)
        found = session.get_credentials()
        if found is None:
            raise _nothing_found(session, self.profile)
        return _credentials_from(found)


def chain(*, credentials: object = None, profile: str | None = None, environ: Mapping[str, str] = os.environ) -> CredentialSource:
    """Choose where credentials come from. Reads nothing but ``environ``, and imports no botocore.

    Args:
        credentials: what the user gave in code, the first choice: a source, a function as in `CallableSource`, or what such a
            function may return. botocore's refreshable credentials are asked again when they end.
        profile: a profile of the shared files, the second choice.
        environ: the environment; its keys are the third choice. Without them botocore's chain is walked when credentials are needed.

    Raises:
        CredentialsError: ``credentials`` holds no keys.
        InvalidOption: ``credentials`` is a coroutine function.
    """
    if credentials is not None:
        return _source_of(credentials)
    if profile is not None:
        return BotocoreSource(profile)
    if any(environ.get(name) for name in _KEY_VARIABLES):
        return EnvironmentSource(environ)
    return BotocoreSource()


def region_from_profile(profile: str | None) -> str | None:
    """Return the region that the shared files give for a profile, or for the default one; None if they give none. Reads files.

    Raises:
        CredentialsError: there is no such profile, or a file cannot be read.
    """
    if profile is None and not any(os.path.exists(os.path.expanduser(path)) for path in _shared_files()):
        return None
    region = _ask_botocore(profile, lambda: _botocore_session(profile).get_scoped_config().get("region"))
    return str(region) if region else None


def _source_of(given: object) -> CredentialSource:
    if isinstance(given, CredentialSource):
        return given
    if callable(given):
        return CallableSource(given)
    if hasattr(given, "get_frozen_credentials"):
        return CallableSource(lambda: given)
    return StaticSource(_credentials_from(given))


def _credentials_from(value: object) -> Credentials:
    if isinstance(value, Credentials):
        return value
    # botocore's credentials refresh themselves when they are frozen, so their end is read after that.
    freeze = getattr(value, "get_frozen_credentials", None)
    keys = value if freeze is None else freeze()
    access_key, secret_key = _part(keys, "access_key"), _part(keys, "secret_key")
    if not isinstance(access_key, str) or not isinstance(secret_key, str):
        raise CredentialsError(
            f"no access key and secret key in the {type(value).__name__} given as credentials",
            hint="Give headrace's or botocore's credentials, or a mapping with access_key, secret_key and, for temporary ones, token",
        )
    return Credentials(access_key, secret_key, _part(keys, "token") or None, posix_seconds(_part(value, "expires")))


def _part(value: object, name: str) -> Any:
    for spelling in _SPELLINGS[name]:
        found = value.get(spelling) if isinstance(value, Mapping) else getattr(value, spelling, None)
        if found is not None:
            return found
    return None


class _Discretion(logging.Filter):
    """Keeps from the log what botocore writes at DEBUG level while it is asked for credentials: requests and replies with them."""

    _LOGGERS = ("auth", "awsrequest", "credentials", "crt.auth", "endpoint", "handlers", "httpsession", "parsers", "tokens", "utils")

    def __init__(self) -> None:
        super().__init__()
        self.wanted: ContextVar[bool] = ContextVar("wanted", default=False)
        for name in self._LOGGERS:
            logging.getLogger(f"botocore.{name}").addFilter(self)

    def filter(self, record: logging.LogRecord) -> bool:
        return record.levelno > logging.DEBUG or not self.wanted.get()


@functools.cache
def _discretion() -> _Discretion:
    return _Discretion()


def _botocore_session(profile: str | None) -> Any:
    import botocore.session  # type: ignore[import-untyped]

    return botocore.session.Session(profile=profile)


def _ask_botocore(profile: str | None, function: Callable[[], T]) -> T:
    """What botocore gives; what goes wrong there is raised as one of headrace's errors."""
    wanted = _discretion().wanted
    before = wanted.set(True)
    try:
        return function()
    except HeadraceError:
        raise
    except Exception as error:  # whatever the files, programs and services that botocore asks make it raise
        whose = "AWS credentials" if profile is None else f"the AWS profile {profile!r}"
        failure = CredentialsError(f"botocore could not load {whose}: {type(error).__name__}: {error}")
    finally:
        wanted.reset(before)
    # Only now, when the error is not handled any more: one of a JSON parser, for instance, holds the whole text, and that the keys.
    raise failure


def _nothing_found(session: Any, profile: str | None) -> CredentialsError:
    files = " and ".join(str(session.get_config_variable(name)) for name in ("credentials_file", "config_file"))
    places = "container and instance metadata"
    if profile is None:
        where = f"Looked in the environment, {files} (keys, single sign-on, roles, credential_process), web identity, {places}"
    else:
        where = f"Looked at the profile {profile!r} in {files}, and at {places}"
    remedy = "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, name a profile, or set anonymous if the data is public"
    return CredentialsError("no AWS credentials found", hint=f"{where}. {remedy}")


def _shared_files() -> tuple[str, str]:
    config = os.environ.get("AWS_CONFIG_FILE") or "~/.aws/config"
    return config, os.environ.get("AWS_SHARED_CREDENTIALS_FILE") or "~/.aws/credentials"
