"""Shared keys, shared access signatures and tokens: the vectors of the documentation, and what is no key."""

from __future__ import annotations

import base64
import hashlib
import hmac
import pickle
from typing import Any
from urllib.parse import parse_qs

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.auth.azure_signing import BearerToken, DelegationKey, SharedAccessSignature, SharedKey, _Mac, utc
from headrace.errors import CredentialsError, InvalidOption
from headrace.http.messages import Secret

KEY = base64.b64encode(b"a key of the account").decode()
SHARED = SharedKey("myaccount", KEY)
NOTHING = 12 * "\n"  # no header has a value
DATED = {"x-ms-date": "Fri, 26 Jun 2015 23:39:12 GMT", "x-ms-version": "2015-02-21"}


def code(text: str, key: bytes = b"a key of the account") -> str:
    return base64.b64encode(hmac.digest(key, text.encode(), "sha256")).decode()


@given(st.binary(min_size=1, max_size=200), st.text(st.characters(exclude_categories=["Cs"])))
def test_the_code_is_that_of_the_standard_library(key: bytes, text: str) -> None:
    assert _Mac(key).base64(text) == base64.b64encode(hmac.new(key, text.encode(), hashlib.sha256).digest()).decode()


@pytest.mark.parametrize(
    ("method", "path", "query", "headers", "length", "expected"),
    [
        # "Authorize with Shared Key", "Shared Key format for 2009-09-19 and later".
        (
            "GET",
            "/mycontainer",
            [("restype", "container"), ("comp", "metadata"), ("timeout", "20")],
            DATED,
            0,
            f"GET{NOTHING}x-ms-date:Fri, 26 Jun 2015 23:39:12 GMT\nx-ms-version:2015-02-21\n"
            "/myaccount/mycontainer\ncomp:metadata\nrestype:container\ntimeout:20",
        ),
        # The same, "Constructing the canonicalized resource string": values of one name are sorted, with commas between them.
        (
            "GET",
            "/mycontainer",
            [("restype", "container"), ("comp", "list"), *(("include", word) for word in ("snapshots", "metadata", "uncommittedblobs"))],
            {},
            0,
            f"GET{NOTHING}/myaccount/mycontainer\ncomp:list\ninclude:metadata,snapshots,uncommittedblobs\nrestype:container",
        ),
        # Headers in the order of their names, in which a hyphen comes after the end of a name.
        (
            "PUT",
            "/c/a%20b",
            [],
            {
                "content-md5": "MD5",
                "content-type": "text/plain",
                "if-match": '"m"',
                "if-none-match": "*",
                "range": "bytes=0-9",
                "x-ms-meta-a_b": "2",
                "x-ms-meta-a": " 1 ",
                "x-ms-blob-type": "BlockBlob",
                "user-agent": "x",
            },
            11,
            'PUT\n\n\n11\nMD5\ntext/plain\n\n\n"m"\n*\n\nbytes=0-9\n'
            "x-ms-blob-type:BlockBlob\nx-ms-meta-a:1\nx-ms-meta-a_b:2\n/myaccount/c/a%20b",
        ),
        ("GET", "/myaccount/", [("comp", "list")], {}, 0, f"GET{NOTHING}/myaccount/myaccount/\ncomp:list"),
    ],
    ids=["container", "several values", "all headers", "emulator"],
)
def test_what_is_signed(method: str, path: str, query: Any, headers: dict[str, str], length: int, expected: str) -> None:
    assert SHARED.string_to_sign(method, path, query, headers, length) == expected
    assert SHARED.authorization(method, path, query, headers, length) == f"SharedKey myaccount:{code(expected)}"


def test_a_service_sas() -> None:
    query = parse_qs(SHARED.service_sas("c", "a b/é+", permissions="cw", expires="2030-01-01T00:00:00Z", protocol="https"))
    text = "cw\n\n2030-01-01T00:00:00Z\n/blob/myaccount/c/a b/é+\n\n\nhttps\n2021-12-02\nb" + 7 * "\n"
    assert query == {
        "sv": ["2021-12-02"],
        "sr": ["b"],
        "sp": ["cw"],
        "se": ["2030-01-01T00:00:00Z"],
        "spr": ["https"],
        "sig": [code(text)],
    }


def test_a_user_delegation_sas() -> None:
    terms = ("oid", "tid", "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z", "b", "2021-12-02")
    key = DelegationKey(terms, Secret(KEY))
    query = parse_qs(key.sas("myaccount", "c", "k", permissions="r", expires="2026-01-01T01:00:00Z", protocol="https"))
    text = (
        "r\n\n2026-01-01T01:00:00Z\n/blob/myaccount/c/k\noid\ntid\n2026-01-01T00:00:00Z\n2026-01-02T00:00:00Z\nb\n2021-12-02\n"
        "\n\n\n\nhttps\n2021-12-02\nb" + 7 * "\n"
    )
    assert query["sig"] == [code(text)]
    assert tuple(query[name][0] for name in ("skoid", "sktid", "skt", "ske", "sks", "skv")) == terms


@pytest.mark.parametrize("key", ["", " ", "no base64!", KEY[:-1], f"{KEY}\n"])
def test_what_is_no_key(key: str) -> None:
    with pytest.raises(CredentialsError, match="base64") as caught:
        SharedKey("myaccount", key)
    assert len(key) < 3 or key not in str(caught.value)


@pytest.mark.parametrize("account", ["", "ab", "a" * 25, "My", "a-b-c", "abc.evil", "abc/x"])
def test_what_is_no_account(account: str) -> None:
    with pytest.raises(CredentialsError, match="name of a storage account"):
        SharedKey(account, KEY)


@pytest.mark.parametrize(("token", "sent"), [("?sv=1&sig=a%3D", "sv=1&sig=a%3D"), (" sv=1&sig=x&\n", "sv=1&sig=x")])
def test_a_sas_as_it_is_copied(token: str, sent: str) -> None:
    assert SharedAccessSignature(token).token == sent


@pytest.mark.parametrize("token", ["", "?", "sv=1", "sig=", "sv=1 2&sig=x", "sv=1&sig=x\r\nx: y", "sig=é", "sig=x#y"])
def test_what_is_no_sas(token: str) -> None:
    with pytest.raises(CredentialsError, match="holds none"):
        SharedAccessSignature(token)


@pytest.mark.parametrize(
    ("end", "seconds"), [("&se=1970-01-01T00:01:00Z", 60.0), ("&se=1970-01-02", 86400.0), ("", None), ("&se=soon", None)]
)
def test_when_a_sas_ends(end: str, seconds: float | None) -> None:
    assert SharedAccessSignature(f"sig=x{end}").expires == seconds


def test_what_is_no_token() -> None:
    for value in ("", "a b", "a\r\nb: c"):
        with pytest.raises(CredentialsError):
            BearerToken(value)
    with pytest.raises(InvalidOption, match="POSIX seconds"):
        BearerToken("x", "tomorrow")  # type: ignore[arg-type]


@pytest.mark.parametrize("credentials", [SHARED, SharedAccessSignature("sig=SECRET"), BearerToken("SECRET")])
def test_credentials_show_nothing_and_are_not_pickled(credentials: Any) -> None:
    assert repr(credentials) == f"<{type(credentials).__name__}>"
    with pytest.raises(CredentialsError, match="not pickled"):
        pickle.dumps(credentials)


def test_equality_is_that_of_the_secret() -> None:
    assert SharedKey("myaccount", KEY) == SHARED != SharedKey("another", KEY)
    assert len({SharedAccessSignature("sig=x"), SharedAccessSignature("?sig=x"), SharedAccessSignature("sig=y")}) == 2
    assert BearerToken("x", 1.0) == BearerToken("x", 2.0) != BearerToken("y", 1.0)


def test_times() -> None:
    assert utc(1.9) == "1970-01-01T00:00:01Z"
