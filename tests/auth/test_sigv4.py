"""Signing: what is signed, what is sent, what never leaves the process."""

from __future__ import annotations

import copy
import pickle
import threading
from collections.abc import Callable
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.auth.sigv4 import (
    EMPTY_SHA256,
    UNSIGNED_PAYLOAD,
    Credentials,
    Signer,
    canonical_query,
    encode_path,
    encode_query_value,
    payload_hash,
)
from headrace.errors import CredentialsError, InvalidOption, InvalidURI

KEYS = Credentials("AKIAIOSFODNN7EXAMPLE", "the-secret-of-all")
TEMPORARY = Credentials("ASIAIOSFODNN7EXAMPLE", "the-secret-of-all", "the-token-of-all", 1.7e9)
UNRESERVED = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"


def signed(signer: Signer, headers: dict[str, str] | None = None, *, credentials: Credentials = KEYS, now: float = 1.7e9) -> dict[str, str]:
    return signer.sign("GET", "host:9000", "/bucket/key", "", headers or {}, EMPTY_SHA256, credentials, now)


def signed_headers(added: dict[str, str]) -> list[str]:
    return added["authorization"].partition("SignedHeaders=")[2].partition(",")[0].split(";")


class TestCredentials:
    def test_shows_only_the_end_of_the_access_key(self) -> None:
        text = f"{TEMPORARY!r} {TEMPORARY} {TEMPORARY:}"
        assert "MPLE" in text
        assert "ASIAIOSF" not in text
        assert "of-all" not in text

    def test_refuses_to_be_pickled_and_says_what_to_do(self) -> None:
        with pytest.raises(CredentialsError, match=r"AWS_ACCESS_KEY_ID.*profile.*imported by name"):
            pickle.dumps(KEYS)

    def test_copies_are_itself(self) -> None:
        assert copy.copy(KEYS) is KEYS
        assert copy.deepcopy([KEYS])[0] is KEYS

    @pytest.mark.parametrize("stray", ["{}\n", " {}", "{}\r", ""])
    def test_refuses_what_copying_has_left(self, stray: str) -> None:
        bad = stray.format("key")
        with pytest.raises(CredentialsError, match="access key"):
            Credentials(bad, "secret")
        with pytest.raises(CredentialsError, match="secret key") as caught:
            Credentials("key", stray.format("hidden"))
        assert "hidden" not in str(caught.value)

    def test_refuses_a_token_that_would_end_the_header(self) -> None:
        with pytest.raises(CredentialsError, match="session token"):
            Credentials("key", "secret", "token\r\nx-amz-acl: public-read")

    def test_refuses_an_end_that_is_no_number(self) -> None:
        with pytest.raises(InvalidOption, match="POSIX seconds"):
            Credentials("key", "secret", None, "2024-01-01")  # type: ignore[arg-type]


class TestSign:
    def test_a_token_is_sent_and_signed(self) -> None:
        added = signed(Signer("us-east-1"), credentials=TEMPORARY)
        assert added["x-amz-security-token"] == "the-token-of-all"
        assert signed_headers(added) == ["host", "x-amz-content-sha256", "x-amz-date", "x-amz-security-token"]

    def test_signs_what_s3_wants_signed_and_nothing_else(self) -> None:
        headers = {"range": "bytes=0-9", "if-match": '"1"', "content-type": "text/plain", "x-amz-acl": "private", "content-md5": "aaa"}
        names = signed_headers(signed(Signer("us-east-1"), headers))
        assert names == ["content-md5", "content-type", "host", "x-amz-acl", "x-amz-content-sha256", "x-amz-date"]

    def test_unsigned_headers_change_nothing(self) -> None:
        signer = Signer("us-east-1")
        assert signed(signer, {"range": "bytes=0-9"}) == signed(signer, {"range": "bytes=10-19"}) == signed(signer)

    def test_leaves_the_callers_headers_alone(self) -> None:
        headers = {"x-amz-acl": "private"}
        signed(Signer("us-east-1"), headers)
        assert headers == {"x-amz-acl": "private"}

    def test_one_second_after_another(self) -> None:
        signer = Signer("us-east-1")
        dates = [signed(signer, now=now)["x-amz-date"] for now in (1.7e9, 1.7e9 + 0.9, 1.7e9 + 1, 1.7e9)]
        assert dates == ["20231114T221320Z", "20231114T221320Z", "20231114T221321Z", "20231114T221320Z"]

    def test_keys_that_take_turns_do_not_mix(self) -> None:
        signer = Signer("us-east-1")
        first, second = signed(signer), signed(signer, credentials=TEMPORARY)
        assert (signed(signer), signed(signer, credentials=TEMPORARY)) == (first, second)
        assert (signed(Signer("us-east-1")), signed(Signer("us-east-1"), credentials=TEMPORARY)) == (first, second)

    def test_same_access_key_with_another_secret(self) -> None:
        signer = Signer("us-east-1")
        changed = Credentials(KEYS.access_key, "another-secret")
        assert signed(signer) != signed(signer, credentials=changed)

    def test_threads_share_a_signer(self) -> None:
        signer = Signer("us-east-1")
        wrong: list[tuple[Credentials, float]] = []
        expected = {(who, now): signed(Signer("us-east-1"), credentials=who, now=now) for who in (KEYS, TEMPORARY) for now in (1e9, 2e9)}

        def work() -> None:
            for _ in range(200):
                wrong.extend(case for case, added in expected.items() if signed(signer, credentials=case[0], now=case[1]) != added)

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert wrong == []

    def test_pickled_signer_holds_no_secret(self) -> None:
        signer = Signer("eu-west-1", "s3express")
        before = signed(signer, credentials=TEMPORARY)
        data = pickle.dumps(signer)
        assert b"of-all" not in data
        assert signed(pickle.loads(data), credentials=TEMPORARY) == before


class TestPresign:
    @pytest.mark.parametrize("expires", [0, 0.5, -1, 604801, float("inf"), float("nan")])
    def test_refuses_a_life_out_of_bounds(self, expires: float) -> None:
        with pytest.raises(InvalidOption, match="604800"):
            Signer("us-east-1").presign("GET", "https", "host", "/key", expires=expires, credentials=KEYS, now=1.7e9)

    @pytest.mark.parametrize(("expires", "sent"), [(1, "1"), (604800, "604800"), (59.9, "59")])
    def test_life_in_whole_seconds(self, expires: float, sent: str) -> None:
        url = Signer("us-east-1").presign("GET", "https", "host", "/key", expires=expires, credentials=KEYS, now=1.7e9)
        assert f"X-Amz-Expires={sent}&" in url

    def test_keeps_the_requests_own_parameters(self) -> None:
        query = canonical_query([("versionId", "a/b"), ("x-amz-acl", "private")])
        url = Signer("us-east-1").presign("PUT", "http", "host:80", "/key", query, expires=60, credentials=TEMPORARY, now=1.7e9)
        assert url.startswith("http://host:80/key?X-Amz-Algorithm=")
        assert "&X-Amz-Security-Token=the-token-of-all&" in url
        assert "&versionId=a%2Fb&x-amz-acl=private&X-Amz-Signature=" in url


class TestPayloadHash:
    def test_of_nothing(self) -> None:
        assert payload_hash([]) == payload_hash([b"", bytearray()]) == EMPTY_SHA256 != UNSIGNED_PAYLOAD

    def test_pieces_do_not_matter(self) -> None:
        assert payload_hash([b"abc", bytearray(b"de"), memoryview(b"f")]) == payload_hash([b"abcdef"])


class TestEncoding:
    @given(st.text())
    def test_once_and_back(self, text: str) -> None:
        for encoded in (encode_path(text), encode_query_value(text)):
            assert unquote(encoded) == text
            assert set(encoded) <= {*UNRESERVED, "%", "/"}

    def test_unreserved_stays(self) -> None:
        assert encode_path(f"/{UNRESERVED}//..") == f"/{UNRESERVED}//.."
        assert encode_query_value(UNRESERVED) == UNRESERVED

    def test_the_rest_is_encoded(self) -> None:
        assert encode_path("a b+c%20é=&?#") == "a%20b%2Bc%2520%C3%A9%3D%26%3F%23"
        assert encode_query_value("a/b c\n") == "a%2Fb%20c%0A"

    @pytest.mark.parametrize("encode", [encode_path, encode_query_value, lambda text: canonical_query([("prefix", text)])])
    def test_lone_surrogates_are_refused(self, encode: Callable[[str], str]) -> None:
        with pytest.raises(InvalidURI, match="surrogate"):
            encode("caf\udce9.npz")

    def test_query_is_sorted_by_name_and_then_by_value(self) -> None:
        assert canonical_query([("b", "1"), ("a-b", "1"), ("a", "2"), ("a", "10"), ("B", "")]) == "B=&a=10&a=2&a-b=1&b=1"
