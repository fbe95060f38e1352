"""The options themselves: for each its default, what it accepts, what it is for, and the SDKs' variables that set it too."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, NoReturn

from headrace.config.encryption import Encryption
from headrace.config.kinds import (
    GIB,
    MIB,
    Choice,
    Count,
    EncryptionText,
    Endpoint,
    Endpoints,
    FilePath,
    Flag,
    Kind,
    Name,
    ProxyServer,
    RegionName,
    Seconds,
    SecretSource,
    Size,
    StrategyName,
)
from headrace.errors import CredentialsError, InvalidOption

__all__ = [
    "DEFAULTS",
    "SPECS",
    "Options",
    "Spec",
    "Variable",
    "interpret",
    "is_displaced",
    "merge",
    "portable",
    "refuse_rivals",
    "refuse_unknown",
]

_RIVALS = {"endpoint_url": "endpoints", "endpoints": "endpoint_url", "anonymous": "credentials", "credentials": "anonymous"}


class Variable(NamedTuple):
    """An environment variable of an SDK's.

    Attributes:
        name: as the SDK spells it.
        scheme: the one scheme that it is meant for; None if it is meant for all.
        words: the SDK's words that mean one of ours.
        assumed: what begins a URL that is given without a scheme.
    """

    name: str
    scheme: str | None = None
    words: Mapping[str, str] = {}
    assumed: str = ""


class Spec(NamedTuple):
    """What is known of an option besides its type and default."""

    kind: Kind
    help: str
    variables: tuple[Variable, ...]


def _s3(name: str, **words: str) -> Variable:
    return Variable(name, "s3", words)


def _gs(name: str, assumed: str = "") -> Variable:
    return Variable(name, "gs", assumed=assumed)


def _az(name: str) -> Variable:
    return Variable(name, "az")


def _spec(kind: Kind, help: str, *variables: Variable) -> dict[str, Spec]:
    return {"spec": Spec(kind, help, variables)}


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Options:
    """The options of a client, checked, each value in its one form: sizes in bytes (``int``), times in seconds (``float``).

    Sizes may be given as ``"8MiB"`` or ``"64 MB"``, times as ``"10s"`` or ``"500ms"``. None is "not set": what happens then is in
    the option's help. Secrets are neither shown nor pickled.

    Raises:
        InvalidOption: a value is not accepted, or two exclude each other.
    """

    endpoint_url: str | None = field(
        default=None,
        metadata=_spec(
            Endpoint(),
            "address of the service, if not the cloud's own",
            _s3("AWS_ENDPOINT_URL_S3"),
            _s3("AWS_ENDPOINT_URL"),
            _gs("STORAGE_EMULATOR_HOST", assumed="http://"),
            _az("AZURE_STORAGE_ENDPOINT"),
            _az("AZURE_ENDPOINT_URL"),
        ),
    )
    endpoints: tuple[str, ...] | None = field(
        default=None, metadata=_spec(Endpoints(), "several addresses of one service, all with the same objects")
    )
    endpoint_strategy: Any = field(
        default="round_robin",
        hash=False,
        metadata=_spec(
            StrategyName("round_robin", "least_connections", "power_of_two_choices"), "how requests are spread over several endpoints"
        ),
    )
    region: str | None = field(
        default=None,
        metadata=_spec(
            RegionName(),
            "region of the buckets; else the profile's, else asked of the service",
            _s3("AWS_REGION"),
            _s3("AWS_DEFAULT_REGION"),
        ),
    )
    profile: str | None = field(
        default=None, metadata=_spec(Name(), "profile of the cloud's shared configuration files", _s3("AWS_PROFILE"))
    )
    project: str | None = field(
        default=None,
        metadata=_spec(
            Name(),
            "Google Cloud project whose buckets are listed, and that new ones belong to",
            _gs("GOOGLE_CLOUD_PROJECT"),
            _gs("GCLOUD_PROJECT"),
        ),
    )
    anonymous: bool = field(default=False, metadata=_spec(Flag(), "send requests unsigned, for public data", _s3("AWS_NO_SIGN_REQUEST")))
    credentials: Any = field(
        default=None,
        hash=False,
        metadata=_spec(SecretSource(), "credentials, or a function that gives them; else searched as the cloud's own tools do"),
    )
    account: str | None = field(
        default=None,
        metadata=_spec(
            Name(),
            "storage account of az:// URIs that name none; else the connection string's or the endpoint's",
            _az("AZURE_STORAGE_ACCOUNT"),
            _az("AZURE_STORAGE_ACCOUNT_NAME"),
        ),
    )
    az_style: str = field(
        default="auto",
        metadata=_spec(
            Choice("auto", "account"), "whether az:// URIs begin with the account: only where that is the option's (auto), or always"
        ),
    )
    addressing: str = field(
        default="auto", metadata=_spec(Choice("auto", "path", "virtual"), "bucket in the path or in the host name of a request")
    )
    ca_bundle: str | None = field(
        default=None,
        metadata=_spec(FilePath(), "file of the certificates to trust; else the system's", _s3("AWS_CA_BUNDLE"), Variable("SSL_CERT_FILE")),
    )
    verify_tls: bool = field(default=True, metadata=_spec(Flag(), "check the certificates of servers"))
    proxy: str | None = field(default=None, metadata=_spec(ProxyServer(), "HTTP proxy; else HTTPS_PROXY, HTTP_PROXY and NO_PROXY decide"))
    http2: bool = field(default=False, metadata=_spec(Flag(), "use HTTP/2 where the server offers it"))
    follow_redirects: bool = field(default=False, metadata=_spec(Flag(), "follow redirects to other servers"))
    max_redirects: int = field(default=5, metadata=_spec(Count(0), "redirects followed for one request"))
    connect_timeout: float = field(default=10.0, metadata=_spec(Seconds(), "longest wait for a connection"))
    stall_timeout: float = field(
        default=30.0, metadata=_spec(Seconds(), "longest wait without a byte moving; whole transfers have no limit")
    )
    fsync: bool = field(default=False, metadata=_spec(Flag(), "wait until local writes are on the device, not only in its cache"))
    max_attempts: int = field(default=5, metadata=_spec(Count(1), "tries of a request, the first one included", _s3("AWS_MAX_ATTEMPTS")))
    max_connections: int = field(default=128, metadata=_spec(Count(1), "connections to one host at the same time"))
    part_size: int = field(
        default=8 * MIB, metadata=_spec(Size(5 * MIB, 5 * GIB), "size of the parts of a large write; it grows for the largest")
    )
    range_threshold: int = field(default=8 * MIB, metadata=_spec(Size(1), "objects larger than this are read by parallel ranges"))
    multipart_threshold: int = field(
        default=32 * MIB, metadata=_spec(Size(1, 5 * GIB), "data larger than this are written in parallel parts")
    )
    sign_payload: bool | None = field(
        default=None, metadata=_spec(Flag(), "sign the bodies of writes too; else only over http without TLS")
    )
    checksum: str = field(
        default="auto",
        metadata=_spec(
            Choice("auto", "crc32c", "crc32", "md5", "none"),
            "checksum sent with writes, and whether that of reads is verified; auto: CRC-32C, unless a signature covers the body",
            _s3("AWS_REQUEST_CHECKSUM_CALCULATION", when_supported="auto", when_required="none"),
        ),
    )
    request_payer: bool = field(
        default=False,
        metadata=_spec(Flag(), "accept the charges of buckets whose readers pay", _s3("AWS_REQUEST_PAYER", requester="yes")),
    )
    sse: Encryption | None = field(
        default=None, metadata=_spec(EncryptionText(), "encryption that the service is asked for; else the bucket's default")
    )
    memory_budget: int | None = field(
        default=None, metadata=_spec(Size(MIB), "memory that a batch may hold ahead of its consumer; else it is chosen")
    )
    oplog: str | None = field(default=None, metadata=_spec(FilePath(), "file that records every operation; else none are recorded"))

    def __post_init__(self) -> None:
        values = {name: interpret(name, getattr(self, name)) for name in SPECS}
        for name, value in values.items():
            object.__setattr__(self, name, value)
        refuse_rivals(values)

    def __repr__(self) -> str:
        return f"Options({', '.join(f'{name}={SPECS[name].kind.show(value)!r}' for name, value in self._set().items())})"

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (portable(self._set()),)

    def _set(self) -> dict[str, object]:
        """What is not at its default."""
        values = {name: getattr(self, name) for name in SPECS}
        return {name: value for name, value in values.items() if value != DEFAULTS[name]}


SPECS: Mapping[str, Spec] = {option.name: option.metadata["spec"] for option in dataclasses.fields(Options)}
"""What is known of each option, by its name."""

DEFAULTS: Mapping[str, Any] = {option.name: option.default for option in dataclasses.fields(Options)}
"""The value of each option that nobody sets."""


def merge(options: Options, **changes: object) -> Options:
    """Return ``options`` with some of them changed, as for a single call.

    None unsets an option. An option that excludes one of the changes is set back to its default.

    Raises:
        InvalidOption: an option is unknown, a value is not accepted, or two of the changes exclude each other.
    """
    refuse_unknown(changes, "argument")
    displaced = {name: DEFAULTS[name] for name in _RIVALS if is_displaced(name, changes)}
    given = {name: DEFAULTS[name] if value is None else value for name, value in changes.items()}
    return dataclasses.replace(options, **(displaced | given)) if changes else options


def portable(arguments: Mapping[str, object]) -> dict[str, object]:
    """Return the arguments, if they may be pickled.

    Raises:
        CredentialsError: one of them holds a secret.
        InvalidOption: one of them is unknown or not accepted.
    """
    refuse_unknown(arguments, "argument")
    for name, value in arguments.items():
        if value is not None and not SPECS[name].kind.may_be_pickled(interpret(name, value)):
            advice = ", name a profile, or give a function that can be imported by name" if name == "credentials" else ""
            raise CredentialsError(
                f"{name} holds a secret, which is not pickled",
                hint=f"Set HEADRACE_{name.upper()} in the environment of the other process{advice}.",
            )
    return dict(arguments)


def interpret(name: str, value: object, origin: object = "argument", *, text: bool = False) -> object:
    """Read the value of an option; see `Kind.read`. None is accepted where it is the default.

    Raises:
        InvalidOption: the value is not accepted.
    """
    if value is None and DEFAULTS[name] is None:
        return None
    kind = SPECS[name].kind
    try:
        return kind.read(value, text=text)
    except ValueError as error:
        raise InvalidOption(f"{name} {error} ({origin})", hint=f"Accepted: {kind.accepted}.") from None


def is_displaced(name: str, values: Mapping[str, object]) -> bool:
    """Whether one of the values excludes this option."""
    rival = _RIVALS.get(name)
    return rival is not None and _is_active(values.get(rival))


def refuse_rivals(values: Mapping[str, object], origins: Mapping[str, object] | None = None) -> None:
    """Refuse values that exclude each other.

    Raises:
        InvalidOption: two of them do.
    """
    for name, value in values.items():
        if _is_active(value) and is_displaced(name, values):
            named = " and ".join(f"{one} ({(origins or {}).get(one, 'argument')})" for one in (name, _RIVALS[name]))
            raise InvalidOption(f"{named} exclude each other", hint="Set one of them.")


def refuse_unknown(names: Mapping[str, object], origin: object) -> None:
    """Refuse names that are no options.

    Raises:
        InvalidOption: one of them is none.
    """
    for name in names:
        if name not in SPECS:
            _refuse_name(name, origin)


def _refuse_name(name: str, origin: object) -> NoReturn:
    import difflib

    close = difflib.get_close_matches(str(name), SPECS, n=1)
    hint = f"Did you mean {close[0]}?" if close else f"Known are {', '.join(SPECS)}."
    raise InvalidOption(f"there is no option {str(name)[:60]!r} ({origin})", hint=hint)


def _is_active(value: object) -> bool:
    return value is not None and value is not False


def _restore(values: dict[str, Any]) -> Options:
    return Options(**values)
