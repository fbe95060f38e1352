"""Every error that headrace raises.

    HeadraceError
    ├── NotFound              (FileNotFoundError)  no such object, bucket or file
    ├── AlreadyExists         (FileExistsError)    create-only, and something is there
    ├── PermissionDenied      (PermissionError)    the service knows who asks and says no
    ├── CredentialsError                           no, expired or unusable credentials
    ├── PreconditionFailed                         `if_match` did not hold
    ├── ObjectChanged                              the object was replaced while it was being read or copied
    ├── Throttled                                  the service asks to slow down
    ├── Stalled               (TimeoutError)       no byte moved within the time allowed
    ├── ConnectionFailed      (ConnectionError)    could not connect, or the connection broke
    ├── IntegrityError                             length or checksum differ from what was promised
    ├── ProtocolError                              the peer does not speak valid HTTP
    ├── ServiceError                               any other failure that the service reports
    ├── InvalidURI            (ValueError)
    ├── InvalidOption         (ValueError)
    ├── NotSupported                               this scheme, server or platform cannot do it
    └── MissingDependency     (ImportError)        an optional package is not installed

Each class is something that a caller can act on, and is also the builtin that fits, so ``except FileNotFoundError`` works.
Every error pickles, and none ever holds a secret.
"""

from __future__ import annotations

import errno as _errno
from typing import Any, Self

__all__ = [
    "AlreadyExists",
    "ConnectionFailed",
    "CredentialsError",
    "HeadraceError",
    "IntegrityError",
    "InvalidOption",
    "InvalidURI",
    "MissingDependency",
    "NotFound",
    "NotSupported",
    "ObjectChanged",
    "PermissionDenied",
    "PreconditionFailed",
    "ProtocolError",
    "ServiceError",
    "Stalled",
    "Throttled",
]

_CONTEXT = ("uri", "operation", "status", "code", "request_id", "attempts", "elapsed", "retry_after", "hint")


class HeadraceError(Exception):
    """The root of all errors that headrace raises on purpose.

    Attributes:
        message: what went wrong, in one sentence.
        uri: the object that was being worked on, if there was one; of a URL neither user, password nor query.
        operation: the verb, such as ``"get"``.
        status: the HTTP status code, if a service answered.
        code: the service's own word for the error, such as ``"NoSuchKey"``.
        request_id: the service's name for the failed request; quote it to its operators.
        attempts: how often the request was tried.
        elapsed: seconds from the first attempt to this error.
        retry_after: seconds that the service asked to wait, if it did.
        hint: what to do about it.
    """

    def __init__(
        self,
        message: str,
        *,
        uri: str | None = None,
        operation: str | None = None,
        status: int | None = None,
        code: str | None = None,
        request_id: str | None = None,
        attempts: int = 1,
        elapsed: float | None = None,
        retry_after: float | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.uri = without_secrets(uri)
        self.operation = operation
        self.status = status
        self.code = code
        self.request_id = request_id
        self.attempts = attempts
        self.elapsed = elapsed
        self.retry_after = retry_after
        self.hint = hint

    def with_context(self, **context: Any) -> Self:
        """Fill in what is still unknown (``uri``, ``operation``, ...), keep what is known, and return this error."""
        for name, value in context.items():
            if getattr(self, name) is None:
                setattr(self, name, without_secrets(value) if name == "uri" else value)
        return self

    def __str__(self) -> str:
        subject = " ".join(part for part in (self.operation, self.uri) if part)
        text = f"{subject}: {self.message}" if subject else self.message
        facts = [" ".join(str(part) for part in (self.status, self.code) if part is not None)]
        facts.append(f"request id {self.request_id}" if self.request_id else "")
        facts.append(f"{self.attempts} attempts" if self.attempts > 1 else "")
        facts.append(f"{self.elapsed:.1f} s" if self.attempts > 1 and self.elapsed is not None else "")
        stated = ", ".join(fact for fact in facts if fact)
        text = f"{text} ({stated})" if stated else text
        return f"{text}. {self.hint}" if self.hint else text

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (type(self), self.message, {name: getattr(self, name) for name in _CONTEXT})


def without_secrets(uri: str | None) -> str | None:
    """What may be shown of a URI: of a URL no user, password or query (a presigned one is a secret), and no ``user:password@`` at all."""
    if uri is None or "://" not in uri:
        return uri
    scheme, _, rest = uri.partition("://")
    if scheme.lower() in ("http", "https"):
        rest = rest.partition("?")[0].partition("#")[0]
        host, slash, path = rest.partition("/")
        port = host.rpartition(":")[2]
        # What stands for a port and is none may be the beginning of a password with a slash in it.
        is_url = "@" in host or port == host or port.isdigit() or port.endswith("]")
        rest = f"{host.rpartition('@')[2]}{slash}{path}" if is_url else rest.rpartition("@")[2]
    elif ":" in rest.partition("/")[0]:
        rest = rest.rpartition("@")[2]
    return f"{scheme}://{rest}"


def _restore(kind: type[HeadraceError], message: str, context: dict[str, Any]) -> HeadraceError:
    return kind(message, **context)


class NotFound(HeadraceError, FileNotFoundError):
    """There is no object, bucket or file of this name."""

    def __init__(self, message: str, **context: Any) -> None:
        super().__init__(message, **context)
        self.errno = _errno.ENOENT


class AlreadyExists(HeadraceError, FileExistsError):
    """Something is already there, and the call asked not to replace it."""

    def __init__(self, message: str, **context: Any) -> None:
        super().__init__(message, **context)
        self.errno = _errno.EEXIST


class PermissionDenied(HeadraceError, PermissionError):
    """The service or the file system refuses this to whoever asks."""

    def __init__(self, message: str, **context: Any) -> None:
        super().__init__(message, **context)
        self.errno = _errno.EACCES


class CredentialsError(HeadraceError):
    """No credentials were found, or those found are expired, unknown or wrong."""


class PreconditionFailed(HeadraceError):
    """``if_match`` names another version than the one that is there."""


class ObjectChanged(HeadraceError):
    """The object was replaced between two requests of one read or copy: start it again."""


class Throttled(HeadraceError):
    """The service asked to slow down, and kept asking for as long as the retries lasted."""


class Stalled(HeadraceError, TimeoutError):
    """No byte moved for ``stall_timeout`` seconds, or no connection came up in ``connect_timeout`` seconds."""

    def __init__(self, message: str, **context: Any) -> None:
        super().__init__(message, **context)
        self.errno = _errno.ETIMEDOUT


class ConnectionFailed(HeadraceError, ConnectionError):
    """The host could not be resolved or reached, refused, failed the TLS checks, or broke off."""


class IntegrityError(HeadraceError):
    """Bytes arrived whose number or checksum is not what the service promised. They were not handed out."""


class ProtocolError(HeadraceError):
    """The peer's reply is not valid HTTP, or not what the service's documentation says."""


class ServiceError(HeadraceError):
    """The service reports a failure that no other class names; see ``status`` and ``code``."""


class InvalidURI(HeadraceError, ValueError):
    """The URI has no known scheme, no bucket, or characters that cannot be sent."""


class InvalidOption(HeadraceError, ValueError):
    """An option is unknown, of the wrong type, or in conflict with another."""


class NotSupported(HeadraceError):
    """This scheme, server or platform cannot do what was asked."""


class MissingDependency(HeadraceError, ImportError):
    """An optional package is needed; the message gives the install line."""
