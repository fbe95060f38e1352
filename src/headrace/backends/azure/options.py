"""The options of a write as request headers."""

from __future__ import annotations

import re

from headrace.backends.protocol import WriteOptions
from headrace.backends.service.writing import metadata_headers

__all__ = ["description_headers"]

# "Naming and referencing containers, blobs, and metadata": names of metadata are C# identifiers; of those HTTP carries these.
_METADATA_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def description_headers(options: WriteOptions) -> dict[str, str]:
    """The headers that describe a blob.

    Raises:
        InvalidOption: metadata that the service cannot keep unchanged.
    """
    headers = {}
    if options.content_type is not None:
        headers["x-ms-blob-content-type"] = options.content_type
    if options.storage_class is not None:
        headers["x-ms-access-tier"] = options.storage_class
    if options.metadata:
        headers |= metadata_headers(options.metadata, "x-ms-meta-", names=_METADATA_NAME, service="Azure")
    return headers
