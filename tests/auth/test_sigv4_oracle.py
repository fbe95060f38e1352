"""The same request signed by botocore gets the same signature."""

from __future__ import annotations

from datetime import UTC, datetime
from string import ascii_lowercase, digits
from unittest.mock import patch
from urllib.parse import parse_qsl, urlsplit

from botocore.auth import S3SigV4Auth, S3SigV4QueryAuth  # type: ignore[import-untyped]
from botocore.awsrequest import AWSRequest  # type: ignore[import-untyped]
from botocore.credentials import ReadOnlyCredentials  # type: ignore[import-untyped]
from hypothesis import given
from hypothesis import strategies as st

from headrace.auth.sigv4 import Credentials, Signer, canonical_query, encode_path, payload_hash

HOST = "storage.example:9000"
METHODS = st.sampled_from(["GET", "PUT", "HEAD", "DELETE", "POST"])
REGIONS = st.text(ascii_lowercase + digits + "-", min_size=1, max_size=20)
PARAMETERS = st.dictionaries(st.text(max_size=12), st.text(max_size=12), max_size=5)
VISIBLE = st.text([chr(code) for code in range(0x21, 0x7F)], min_size=1, max_size=60)
VALUES = st.text([chr(code) for code in range(0x20, 0x7F)], max_size=30)
NAMES = st.text(ascii_lowercase + digits + "-", min_size=1, max_size=12).map("x-amz-meta-".__add__)
HEADERS = st.dictionaries(NAMES | st.sampled_from(["content-type", "content-md5"]), VALUES, max_size=5)
CREDENTIALS = st.builds(Credentials, VISIBLE, st.text(min_size=1).filter(lambda text: text == text.strip()), st.none() | VISIBLE)
TIMES = st.datetimes(datetime(2000, 1, 1), datetime(2099, 12, 31)).map(lambda moment: moment.replace(tzinfo=UTC))


def to_botocore(credentials: Credentials) -> ReadOnlyCredentials:
    return ReadOnlyCredentials(credentials.access_key, credentials.secret_key, credentials.token)


@given(METHODS, st.text(), PARAMETERS, HEADERS, st.binary(max_size=100), REGIONS, CREDENTIALS, TIMES)
def test_headers(
    method: str,
    key: str,
    parameters: dict[str, str],
    headers: dict[str, str],
    body: bytes,
    region: str,
    credentials: Credentials,
    moment: datetime,
) -> None:
    path, query = f"/bucket/{encode_path(key)}", canonical_query(parameters.items())
    request = AWSRequest(method, f"http://{HOST}{path}?{query}", headers, body)
    with patch("botocore.auth.get_current_datetime", return_value=moment):
        S3SigV4Auth(to_botocore(credentials), "s3", region).add_auth(request)

    added = Signer(region).sign(method, HOST, path, query, headers, payload_hash([body]), credentials, moment.timestamp())

    assert {name.lower(): value for name, value in request.headers.items()} == headers | added


@given(METHODS, st.text(), PARAMETERS, st.integers(1, 604800), REGIONS, CREDENTIALS, TIMES)
def test_presigned_url(
    method: str,
    key: str,
    parameters: dict[str, str],
    expires: int,
    region: str,
    credentials: Credentials,
    moment: datetime,
) -> None:
    path, query = f"/bucket/{encode_path(key)}", canonical_query(parameters.items())
    request = AWSRequest(method, f"https://{HOST}{path}?{query}")
    with patch("botocore.auth.get_current_datetime", return_value=moment):
        S3SigV4QueryAuth(to_botocore(credentials), "s3", region, expires).add_auth(request)

    url = Signer(region).presign(method, "https", HOST, path, query, expires=expires, credentials=credentials, now=moment.timestamp())

    assert urlsplit(url)[:3] == urlsplit(request.url)[:3]
    assert sorted(parse_qsl(urlsplit(url).query, keep_blank_values=True)) == sorted(
        parse_qsl(urlsplit(request.url).query, keep_blank_values=True)
    )
