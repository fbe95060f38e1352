"""Server-side encryption, as asked for by the option ``sse``."""

from __future__ import annotations

import binascii
from dataclasses import dataclass, field
from typing import Any

from headrace.errors import CredentialsError

__all__ = ["Encryption"]

_KMS = ("aws:kms:dsse", "aws:kms")


@dataclass(frozen=True, slots=True)
class Encryption:
    """How the service encrypts what is written (Amazon S3 User Guide, "Protecting data with server-side encryption").

    Attributes:
        kind: ``"AES256"`` (the service's keys), ``"aws:kms"`` or ``"aws:kms:dsse"`` (a key management service), or ``"customer"``.
        key_id: the key's name, id or ARN in the key management service; None for the bucket's default key.
        customer_key: the 32 bytes of a key of the customer's. It is never shown, and never pickled.
    """

    kind: str
    key_id: str | None = None
    customer_key: bytes | None = field(default=None, repr=False)

    @classmethod
    def parse(cls, value: object) -> Encryption | None:
        """Read ``"AES256"``, ``"aws:kms[:KEY_ID]"``, ``"customer:BASE64"``, ``"none"``, or the 32 bytes of a customer's key.

        Raises:
            ValueError: it is none of these.
        """
        if isinstance(value, Encryption):
            return value
        if isinstance(value, bytes):
            return cls._customer(value)
        if not isinstance(value, str):
            raise ValueError("not an encryption")
        if value.lower() == "none":
            return None
        if value.upper() == "AES256":
            return cls("AES256")
        if value.startswith("customer:"):
            return cls._customer(binascii.a2b_base64(value.removeprefix("customer:"), strict_mode=True))
        return cls._key_management(value)

    @classmethod
    def _customer(cls, key: bytes) -> Encryption:
        if len(key) != 32:
            raise ValueError("not 32 bytes")
        return cls("customer", customer_key=key)

    @classmethod
    def _key_management(cls, value: str) -> Encryption:
        for kind in _KMS:
            if value == kind:
                return cls(kind)
            key_id = value.removeprefix(f"{kind}:")
            # The key's id becomes part of a header.
            if key_id != value and key_id and key_id.isascii() and key_id.isprintable() and " " not in key_id:
                return cls(kind, key_id)
        raise ValueError("not an encryption")

    def __str__(self) -> str:
        """The form that `parse` reads, but for a customer's key, which is left out."""
        if self.customer_key is not None:
            return "customer:(hidden)"
        return f"{self.kind}:{self.key_id}" if self.key_id else self.kind

    def __reduce__(self) -> tuple[Any, ...]:
        if self.customer_key is not None:
            raise CredentialsError(
                "the customer's encryption key is not pickled", hint="Set HEADRACE_SSE in the environment of the other process"
            )
        return Encryption, (self.kind, self.key_id)
