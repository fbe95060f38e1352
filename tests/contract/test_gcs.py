"""``gs://`` keeps the contract on fake-gcs-server."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest

from headrace.testing.contract import BackendContract, PresigningContract, ReadingContract, differences
from headrace.testing.servers import Server
from tests.google_account import ServiceAccount

NO_KEY = "an emulator has no accounts, and so no key to sign with"


class TestFakeGCS(BackendContract):
    lacks: ClassVar = {**differences.FAKE_GCS, "presign": NO_KEY, "presign_plain_put": NO_KEY}
    # Two pages: each write takes fake-gcs-server longer, the more there are.
    many = 1100

    @pytest.fixture
    def options(self, fake_gcs: Server, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", fake_gcs.endpoint.removeprefix("http://"))
        monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "project")
        return {}

    @pytest.fixture
    def base(self, gs_prefix: str) -> str:
        return gs_prefix


class TestFakeGCSOverTLS(ReadingContract):
    lacks = differences.FAKE_GCS

    @pytest.fixture
    def options(self, fake_gcs: Server) -> dict[str, Any]:
        return {"endpoint_url": fake_gcs.tls_endpoint, "ca_bundle": fake_gcs.ca_bundle, "anonymous": True, "project": "project"}

    @pytest.fixture
    def base(self, gs_prefix: str) -> str:
        return gs_prefix


class TestFakeGCSAsAServiceAccount(PresigningContract):
    """Which signs URLs, and belongs to a project."""

    lacks = differences.FAKE_GCS

    @pytest.fixture
    def options(self, fake_gcs: Server, service_account: ServiceAccount, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(service_account.file))
        return {"endpoint_url": fake_gcs.endpoint}

    @pytest.fixture
    def base(self, gs_prefix: str) -> str:
        return gs_prefix
