"""The signatures that AWS itself has published."""

from __future__ import annotations

from datetime import UTC, datetime
from hashlib import sha256
from typing import NamedTuple

import pytest

from headrace.auth.sigv4 import EMPTY_SHA256, Credentials, Signer, canonical_query, encode_path, payload_hash


class SuiteCase(NamedTuple):
    """A case of AWS's Signature Version 4 test suite. Those about path normalisation are left out: S3 does not normalise."""

    name: str
    signature: str
    method: str = "GET"
    path: str = "/"
    query: tuple[tuple[str, str], ...] = ()
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""


UNRESERVED = "-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
FORM = "application/x-www-form-urlencoded"
SUITE_TOKEN = (
    "AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMicRXmxfpSPfIeoIYRqTflfKD8YUuwthAx7mSEI/qkPpKPi"
    "/kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZampKsburEDy0KPkyQDYwT7WZ0wq5VSXDvp75YU9HFvlRd8Tx6q6fE8YQcHNVXAkiY9q6d+xo0rKwT38xVqr7ZD0u0iPPk"
    "UL64lIZbqBAz+scqKmlzm8FDrypNC9Yjc8fPOLn9FX9KSYvKTr4rvx3iSIlTJabIQwj2ICCR/oLxBA=="
)

SUITE = [
    SuiteCase("get-vanilla", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
    SuiteCase("get-unreserved", "07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f", path=f"/{UNRESERVED}"),
    SuiteCase("get-utf8", "8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85", path="/\u1234"),
    SuiteCase("get-space-unnormalized", "652487583200325589f1fba4c7e578f72c47cb61beeca81406b39ddec1366741", path="/example space/"),
    SuiteCase("get-slashes-unnormalized", "87cca117541a147f6df867677d98a7d80dff226d2bfca9e4ffa899665623c7e5", path="//example//"),
    SuiteCase(
        "get-vanilla-empty-query-key",
        "a67d582fa61cc504c4bae71f336f98b97f1ea3c7a6bfe1b6e45aec72011b9aeb",
        query=(("Param1", "value1"),),
    ),
    SuiteCase(
        "get-vanilla-query-order-key",
        "eedbc4e291e521cf13422ffca22be7d2eb8146eecf653089df300a15b2382bd1",
        query=(("Param1", "value2"), ("Param1", "Value1")),
    ),
    SuiteCase(
        "get-vanilla-query-order-key-case",
        "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
        query=(("Param2", "value2"), ("Param1", "value1")),
    ),
    SuiteCase(
        "get-vanilla-query-order-encoded",
        "371d3713e185cc334048618a97f809c9ffe339c62934c032af5a0e595648fcac",
        query=(("Param-3", "Value3"), ("Param", "Value2"), ("\u1234", "Value1")),
    ),
    SuiteCase(
        "get-vanilla-query-unreserved",
        "9c3e54bfcdf0b19771a7f523ee5669cdf59bc7cc0884027167c21bb143a40197",
        query=((UNRESERVED, UNRESERVED),),
    ),
    SuiteCase(
        "get-vanilla-utf8-query",
        "2cdec8eed098649ff3a119c94853b13c643bcf08f8b0a1d91e12c9027818dd04",
        query=(("\u1234", "bar"),),
    ),
    SuiteCase(
        "get-header-key-duplicate",
        "c9d5ea9f3f72853aea855b47ea873832890dbdd183b4468f858259531a5138ea",
        headers=(("my-header1", "value2,value2,value1"),),
    ),
    SuiteCase(
        "get-header-value-order",
        "08c7e5a9acfcfeb3ab6b2185e75ce8b1deb5e634ec47601a50643f830c755c01",
        headers=(("my-header1", "value4,value1,value3,value2"),),
    ),
    SuiteCase(
        "get-header-value-trim",
        "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736",
        headers=(("my-header1", " value1"), ("my-header2", ' "a   b   c"')),
    ),
    SuiteCase("post-vanilla", "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b", method="POST"),
    SuiteCase(
        "post-vanilla-query",
        "28038455d6de14eafc1f9222cf5aa6f1a96197d7deb8263271d420d138af7f11",
        method="POST",
        query=(("Param1", "value1"),),
    ),
    SuiteCase(
        "post-header-key-sort",
        "c5410059b04c1ee005303aed430f6e6645f61f4dc9e1461ec8f8916fdf18852c",
        method="POST",
        headers=(("my-header1", "value1"),),
    ),
    SuiteCase(
        "post-header-value-case",
        "cdbc9802e29d2942e5e10b5bccfdd67c5f22c7c4e8ae67b53629efa58b974b7d",
        method="POST",
        headers=(("my-header1", "VALUE1"),),
    ),
    SuiteCase(
        "post-sts-header-before",
        "85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead",
        method="POST",
        headers=(("x-amz-security-token", SUITE_TOKEN),),
    ),
    SuiteCase(
        "post-x-www-form-urlencoded",
        "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
        method="POST",
        headers=(("content-type", FORM),),
        body=b"Param1=value1",
    ),
    SuiteCase(
        "post-x-www-form-urlencoded-parameters",
        "1a72ec8f64bd914b0e42e42607c7fbce7fb2c7465f63e3092b3b0d39fa77a6fe",
        method="POST",
        headers=(("content-type", f"{FORM}; charset=utf8"),),
        body=b"Param1=value1",
    ),
]


@pytest.mark.parametrize("case", SUITE, ids=lambda case: case.name)
def test_test_suite(case: SuiteCase) -> None:
    signed = {"host": "example.amazonaws.com", "x-amz-date": "20150830T123600Z", **dict(case.headers)}
    authorization = Signer("us-east-1", "service").authorization(
        case.method,
        encode_path(case.path),
        canonical_query(case.query),
        signed,
        payload_hash([case.body]),
        credentials=Credentials("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"),
        now=datetime(2015, 8, 30, 12, 36, tzinfo=UTC).timestamp(),
    )
    assert authorization == (
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, "
        f"SignedHeaders={';'.join(sorted(signed))}, Signature={case.signature}"
    )


EXAMPLE = Credentials("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
EXAMPLE_HOST = "examplebucket.s3.amazonaws.com"
EXAMPLE_TIME = datetime(2013, 5, 24, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("parameters", "signature"),
    [
        ([("lifecycle", "")], "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"),
        ([("max-keys", "2"), ("prefix", "J")], "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"),
    ],
    ids=["get-bucket-lifecycle", "list-objects"],
)
def test_s3_examples_as_headrace_signs_them(parameters: list[tuple[str, str]], signature: str) -> None:
    """Amazon S3 API Reference, "Authenticating Requests: Using the Authorization Header"."""
    added = Signer("us-east-1").sign(
        "GET", EXAMPLE_HOST, "/", canonical_query(parameters), {}, EMPTY_SHA256, credentials=EXAMPLE, now=EXAMPLE_TIME
    )
    assert added == {
        "authorization": "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request, "
        f"SignedHeaders=host;x-amz-content-sha256;x-amz-date, Signature={signature}",
        "x-amz-content-sha256": EMPTY_SHA256,
        "x-amz-date": "20130524T000000Z",
    }


@pytest.mark.parametrize(
    ("method", "key", "headers", "body", "signature"),
    [
        ("GET", "test.txt", {"range": "bytes=0-9"}, b"", "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"),
        (
            "PUT",
            "test$file.text",
            {"date": "Fri, 24 May 2013 00:00:00 GMT", "x-amz-storage-class": "REDUCED_REDUNDANCY"},
            b"Welcome to Amazon S3.",
            "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
        ),
    ],
    ids=["get-object", "put-object"],
)
def test_s3_examples_with_more_headers_signed(method: str, key: str, headers: dict[str, str], body: bytes, signature: str) -> None:
    digest = sha256(body).hexdigest()
    signed = headers | {"host": EXAMPLE_HOST, "x-amz-content-sha256": digest, "x-amz-date": "20130524T000000Z"}
    authorization = Signer("us-east-1").authorization(
        method, f"/{encode_path(key)}", "", signed, digest, credentials=EXAMPLE, now=EXAMPLE_TIME
    )
    assert authorization.endswith(f"Signature={signature}")


def test_s3_presigned_url_example() -> None:
    """Amazon S3 API Reference, "Authenticating Requests: Using Query Parameters"."""
    url = Signer("us-east-1").presign("GET", "https", EXAMPLE_HOST, "/test.txt", expires=86400, credentials=EXAMPLE, now=EXAMPLE_TIME)
    assert url == (
        "https://examplebucket.s3.amazonaws.com/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256"
        "&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request&X-Amz-Date=20130524T000000Z"
        "&X-Amz-Expires=86400&X-Amz-SignedHeaders=host"
        "&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"
    )
