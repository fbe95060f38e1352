"""URLs that anybody may use for a while."""

from __future__ import annotations

import ssl
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from headrace.client import Client
from headrace.errors import InvalidOption
from headrace.testing.contract.case import ContractCase, needs, payload

__all__ = ["PresigningContract"]


class PresigningContract(ContractCase):
    """``presign``, the URLs used by a client that knows nothing of the service."""

    @needs("presign")
    def test_presigning_reading(self, client: Client, base: str, options: dict[str, Any]) -> None:
        client.put(f"{base}an object + more", payload(1000))
        assert fetch(client.presign(f"{base}an object + more"), options) == payload(1000)

    @needs("presign_plain_put")
    def test_presigning_writing(self, client: Client, base: str, options: dict[str, Any]) -> None:
        url = client.presign(f"{base}object", method="PUT", expires=60)
        try:
            fetch(url, options, method="PUT", body=payload(1000))
        except HTTPError as refusal:
            refusal.close()
            pytest.fail(f"the service refuses the URL: {refusal}")
        assert client.get(f"{base}object") == payload(1000)

    @needs("presign_is_verified")
    def test_presigning_for_one_object_only(self, client: Client, base: str, options: dict[str, Any]) -> None:
        client.put(f"{base}object", b"data")
        client.put(f"{base}secret", b"data")
        with pytest.raises(HTTPError) as caught:
            fetch(client.presign(f"{base}object").replace("object", "secret"), options)
        caught.value.close()
        assert caught.value.code == 403

    @needs("presign")
    @pytest.mark.parametrize("expires", [0, -1, 10**9])
    def test_presigning_a_time_that_is_none(self, client: Client, base: str, expires: int) -> None:
        with pytest.raises(InvalidOption, match=r"expires|second"):
            client.presign(f"{base}object", expires=expires)


def fetch(url: str, options: dict[str, Any], *, method: str = "GET", body: bytes | None = None) -> bytes:
    """One plain HTTP request."""
    context = ssl.create_default_context(cafile=options.get("ca_bundle")) if url.startswith("https:") else None
    with urlopen(Request(url, body, method=method), context=context, timeout=30) as reply:
        data: bytes = reply.read()
    return data
