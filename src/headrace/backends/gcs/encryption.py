"""Keys of the customer's ("Customer-supplied encryption keys" in the documentation)."""

from __future__ import annotations

import hashlib
from base64 import b64encode

from headrace.config.encryption import Encryption
from headrace.errors import NotSupported
from headrace.http.messages import Secret

__all__ = ["key_headers"]


def key_headers(encryption: Encryption | None, *, source: bool = False) -> dict[str, str]:
    """The headers that carry a key of the customer's, for what is read and written or for the ``source`` of a copy.

    Raises:
        NotSupported: another kind of encryption. What ``AES256`` asks for, the service does anyway.
    """
    if encryption is None or encryption.kind == "AES256":
        return {}
    key = encryption.customer_key
    if key is None:
        raise NotSupported("gs:// takes no name of a key", hint="Set it as the bucket's default key.")
    prefix = "x-goog-copy-source-encryption-" if source else "x-goog-encryption-"
    return {
        f"{prefix}algorithm": "AES256",
        f"{prefix}key": Secret(b64encode(key).decode()),
        f"{prefix}key-sha256": b64encode(hashlib.sha256(key).digest()).decode(),
    }
