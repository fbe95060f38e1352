"""The options of a write as S3 request headers."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping

from headrace.backends.protocol import Body, WriteOptions
from headrace.backends.service.bodies import digest
from headrace.backends.service.writing import metadata_headers
from headrace.http.messages import Secret

_METADATA_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")

__all__ = ["body_checksum", "customer_key_headers", "description_headers", "encryption_headers"]


def description_headers(options: WriteOptions) -> dict[str, str]:
    """The headers that describe the object.

    Raises:
        InvalidOption: metadata that HTTP headers cannot carry unchanged.
    """
    headers = {}
    if options.content_type is not None:
        headers["content-type"] = options.content_type
    if options.storage_class is not None:
        headers["x-amz-storage-class"] = options.storage_class
    if options.metadata:
        headers |= metadata_headers(options.metadata, "x-amz-meta-", names=_METADATA_NAME, service="S3")
    return headers


def encryption_headers(encryption: object) -> dict[str, str]:
    """The headers that ask the service to encrypt what is written; see `config.Encryption`."""
    kind = getattr(encryption, "kind", None)
    if kind is None:
        return {}
    if kind == "customer":
        return customer_key_headers(encryption)
    headers = {"x-amz-server-side-encryption": kind}
    key_id = getattr(encryption, "key_id", None)
    if key_id:
        headers["x-amz-server-side-encryption-aws-kms-key-id"] = key_id
    return headers


def customer_key_headers(encryption: object, prefix: str = "x-amz-") -> dict[str, str]:
    """The headers that carry a key of the customer's, on reads and writes; empty for other encryption."""
    key: bytes | None = getattr(encryption, "customer_key", None)
    if key is None:
        return {}
    digest = hashlib.md5(key, usedforsecurity=False).digest()
    return {
        f"{prefix}server-side-encryption-customer-algorithm": "AES256",
        f"{prefix}server-side-encryption-customer-key": Secret(base64.b64encode(key).decode()),
        f"{prefix}server-side-encryption-customer-key-md5": base64.b64encode(digest).decode(),
    }


def body_checksum(body: Body, kind: str) -> Mapping[str, str]:
    """The header with the checksum of a body; none for ``"none"``. Reads the body's files."""
    if kind == "none":
        return {}
    return {"content-md5" if kind == "md5" else f"x-amz-checksum-{kind}": digest(body, kind)}
