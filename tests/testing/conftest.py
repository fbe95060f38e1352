"""boto3, the client that servers are judged by."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from headrace.testing.servers import Server


@pytest.fixture
def s3() -> Callable[..., Any]:
    """Makes a boto3 client of a server: ``s3(server, tls=False, **arguments)``."""

    def connect(server: Server, *, tls: bool = False, **changes: Any) -> Any:
        arguments = {
            "endpoint_url": server.tls_endpoint if tls else server.endpoint,
            "verify": server.ca_bundle if tls else None,
            "aws_access_key_id": server.access_key,
            "aws_secret_access_key": server.secret_key,
            "region_name": "us-east-1",
            # Ceph 16 and the small S3 on nginx know no trailing checksums.
            "config": Config(s3={"addressing_style": "path"}, request_checksum_calculation="when_required", retries={"max_attempts": 0}),
        }
        return boto3.client("s3", **{**arguments, **changes})

    return connect


@pytest.fixture
def error_code() -> Callable[..., str]:
    """Makes a call that must fail and gives the service's word for why: ``error_code(client.get_object, Bucket=..., ...)``."""

    def failing(call: Callable[..., Any], **arguments: Any) -> str:
        with pytest.raises(ClientError) as raised:
            call(**arguments)
        return str(raised.value.response["Error"]["Code"])

    return failing
