"""Which host a bucket's requests go to, and with which path."""

from __future__ import annotations

import pytest

from headrace.backends.s3.addressing import Addressing
from headrace.errors import InvalidURI


@pytest.mark.parametrize(
    ("endpoint", "style", "bucket", "region", "expected"),
    [
        (None, "auto", "bucket", "us-east-1", "https://bucket.s3.us-east-1.amazonaws.com/"),
        (None, "auto", "bucket", "cn-north-1", "https://bucket.s3.cn-north-1.amazonaws.com.cn/"),
        # The name would not match Amazon's certificate, which is for one level below its own.
        (None, "auto", "with.dots", "eu-west-1", "https://s3.eu-west-1.amazonaws.com/with.dots/"),
        (None, "auto", "Capitals", "us-east-1", "https://s3.us-east-1.amazonaws.com/Capitals/"),
        (None, "path", "bucket", "us-east-1", "https://s3.us-east-1.amazonaws.com/bucket/"),
        (None, "virtual", "with.dots", "us-east-1", "https://with.dots.s3.us-east-1.amazonaws.com/"),
        ("http://127.0.0.1:9000", "auto", "bucket", "us-east-1", "http://127.0.0.1:9000/bucket/"),
        ("http://127.0.0.1:9000/prefix/", "auto", "bucket", "us-east-1", "http://127.0.0.1:9000/prefix/bucket/"),
        ("https://s3.example.com", "virtual", "bucket", "us-east-1", "https://bucket.s3.example.com/"),
        ("https://s3.example.com:8443", "virtual", "bucket", "us-east-1", "https://bucket.s3.example.com:8443/"),
        ("http://[::1]:9000", "path", "bucket", "us-east-1", "http://[::1]:9000/bucket/"),
    ],
)
def test_a_bucket(endpoint: str | None, style: str, bucket: str, region: str, expected: str) -> None:
    origin, path = Addressing(endpoint, style).bucket(bucket, region)
    assert f"{origin}{path}" == expected


def test_the_service_itself() -> None:
    assert Addressing(None, "auto").service("eu-west-1").origin.host == "s3.eu-west-1.amazonaws.com"
    assert Addressing("http://127.0.0.1:9000/prefix", "virtual").service("eu-west-1").path == "/prefix/"


def test_an_endpoint_that_is_none() -> None:
    for endpoint in ("ftp://host", "http://", "http://user:secret@host"):
        with pytest.raises(InvalidURI) as caught:
            Addressing(endpoint, "auto")
        assert "secret" not in str(caught.value)
