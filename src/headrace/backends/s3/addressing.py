"""Where a bucket's requests go: which host, and which path (Amazon S3 User Guide, "Virtual hosting of buckets")."""

from __future__ import annotations

import re
from typing import NamedTuple

from headrace.http.messages import Origin, parse_origin

__all__ = ["Addressing", "Target"]

_DNS_NAME = re.compile(r"[a-z0-9][a-z0-9-]{1,61}[a-z0-9]")


class Target(NamedTuple):
    """A server, and what comes before the key in the path: ``/`` or ``/bucket/``."""

    origin: Origin
    path: str


class Addressing:
    """Chooses between ``bucket.host/key`` and ``host/bucket/key``.

    With ``style="auto"`` an endpoint of the user's gets the bucket in the path, which every server understands, and Amazon gets
    it in the host name, unless the name would not match Amazon's certificate.
    """

    def __init__(self, endpoint_url: str | None, style: str) -> None:
        self._style = style
        self._custom = parse_origin(endpoint_url) if endpoint_url else None

    @property
    def is_amazon(self) -> bool:
        """Whether requests go to Amazon's own endpoints, where the host depends on the region."""
        return self._custom is None

    @property
    def is_plain(self) -> bool:
        """Whether requests go over http without TLS."""
        return self._custom is not None and self._custom[0].scheme == "http"

    def service(self, region: str) -> Target:
        """Where requests go that concern no bucket."""
        if self._custom:
            origin, path = self._custom
            return Target(origin, f"{path}/")
        suffix = ".cn" if region.startswith("cn-") else ""
        return Target(Origin("https", f"s3.{region}.amazonaws.com{suffix}", 443), "/")

    def bucket(self, bucket: str, region: str) -> Target:
        """Where requests go that concern this bucket."""
        origin, path = self.service(region)
        if self._in_host(bucket):
            return Target(Origin(origin.scheme, f"{bucket}.{origin.host}", origin.port), path)
        return Target(origin, f"{path}{bucket}/")

    def target(self, bucket: str, region: str) -> Target:
        """Where requests go that concern this bucket, or the service itself if the name is empty."""
        return self.bucket(bucket, region) if bucket else self.service(region)

    def _in_host(self, bucket: str) -> bool:
        if self._style == "auto":
            return self.is_amazon and _DNS_NAME.fullmatch(bucket) is not None
        return self._style == "virtual"
