"""What ``storage_options`` mean: options of `headrace.Client`, and the words of other filesystems for the same."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from headrace.auth.sigv4 import Credentials
from headrace.errors import InvalidOption

__all__ = ["options_of"]

# Of fsspec itself; headrace keeps no listings, so that there is nothing to set.
_IGNORED = frozenset({"use_listings_cache", "listings_expiry_time", "max_paths"})
_OTHER_WORDS: Mapping[str, str] = {"anon": "anonymous", "requester_pays": "request_payer"}
_AZURE_WORDS: Mapping[str, str] = {"account_key": "key", "sas_token": "sas_token", "connection_string": "connection_string"}
_CLIENT_WORDS: Mapping[str, str] = {"endpoint_url": "endpoint_url", "region_name": "region", "verify": "verify_tls"}


def options_of(scheme: str, storage_options: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a client; None is "not set". That they are known, the client checks.

    Raises:
        InvalidOption: an option has no meaning here, or is given twice.
    """
    if storage_options.get("credentials") is not None:
        # fsspec tells instances apart by what their options look like, and credentials look alike.
        raise InvalidOption(
            "credentials cannot be given by way of fsspec", hint="Give key and secret, or a profile, or set the environment."
        )
    options: dict[str, Any] = {}
    for name, value in _translated(scheme, dict(storage_options)):
        if value is not None and options.setdefault(name, value) != value:
            raise InvalidOption(f"{name} is given twice")
    return options


def _translated(scheme: str, given: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    if scheme == "s3":
        yield "credentials", _credentials(*(given.pop(name, None) for name in ("key", "secret", "token")))
        for name, value in dict(given.pop("client_kwargs", None) or {}).items():
            yield _of_botocore(name, value), value
    if scheme == "az":
        yield "account", given.pop("account_name", None)
        yield "credentials", {ours: given.pop(theirs) for theirs, ours in _AZURE_WORDS.items() if given.get(theirs) is not None} or None
    if scheme == "gs" and given.get("token") == "anon":
        yield "anonymous", bool(given.pop("token"))
    for name, value in given.items():
        if name not in _IGNORED:
            yield _OTHER_WORDS.get(name, name), value


def _credentials(key: str | None, secret: str | None, token: str | None) -> Credentials | None:
    if key is None and secret is None and token is None:
        return None
    if key is None or secret is None:
        raise InvalidOption("key and secret belong together")
    return Credentials(key, secret, token)


def _of_botocore(name: str, value: object) -> str:
    if name == "verify" and isinstance(value, str):
        return "ca_bundle"
    if name not in _CLIENT_WORDS:
        raise InvalidOption(f"client_kwargs[{name[:60]!r}] has no meaning here", hint=f"Known are {', '.join(_CLIENT_WORDS)}.")
    return _CLIENT_WORDS[name]
