"""Requests as they go on the wire, and what is refused before it gets there."""

from __future__ import annotations

from typing import Any

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.errors import InvalidOption, InvalidURI
from headrace.http.messages import FileRange, Origin, Request, encode_head, parse_origin

ORIGIN = Origin("https", "s3.example.com", 443)


def head(
    target: str = "/key",
    headers: dict[str, str] | None = None,
    *,
    method: str = "GET",
    body: tuple[memoryview | FileRange, ...] = (),
    origin: Origin = ORIGIN,
    expect_continue: bool = False,
) -> str:
    return encode_head(Request(method, origin, target, headers or {}, body, expect_continue=expect_continue)).decode("latin-1")


# Heads.


def test_a_head() -> None:
    assert head("/b/k?versions", {"x-a": "1", "range": "bytes=0-1"}) == (
        "GET /b/k?versions HTTP/1.1\r\nhost: s3.example.com\r\nx-a: 1\r\nrange: bytes=0-1\r\n\r\n"
    )


@pytest.mark.parametrize(("method", "length"), [("PUT", "0"), ("POST", "0"), ("GET", None), ("HEAD", None), ("DELETE", None)])
def test_what_has_no_body_says_so_where_one_is_usual(method: str, length: str | None) -> None:
    assert (f"content-length: {length}" in head(method=method)) == (length is not None)
    assert "content-length: 7" in head(method=method, body=(memoryview(b"abc"), FileRange(0, 99, 4)))


def test_a_question_before_the_body() -> None:
    assert "expect: 100-continue\r\n" in head(method="PUT", body=(memoryview(b"x"),), expect_continue=True)


def test_a_proxy_gets_the_whole_url_and_its_own_headers() -> None:
    sent = encode_head(Request("GET", ORIGIN, "/k", {"a": "1"}), "http://s3.example.com", {"proxy-authorization": "Basic eA=="})
    assert sent == (b"GET http://s3.example.com/k HTTP/1.1\r\nhost: s3.example.com\r\na: 1\r\nproxy-authorization: Basic eA==\r\n\r\n")


def test_values_may_be_latin_1() -> None:
    assert encode_head(Request("GET", ORIGIN, "/", {"x-amz-meta-name": "Zoë"})).endswith(b"x-amz-meta-name: Zo\xeb\r\n\r\n")


@pytest.mark.parametrize("evil", ["\r\nx: y", "\nx: y", "\rx: y", "\0", "a\r\n\r\nGET / HTTP/1.1", "\r\n"])
@pytest.mark.parametrize("where", ["value", "name", "target", "method", "host", "proxy"])
def test_nothing_can_be_injected(evil: str, where: str) -> None:
    text = f"a{evil}b"
    request = Request(
        text if where == "method" else "GET",
        Origin("http", text, 80) if where == "host" else ORIGIN,
        text if where == "target" else "/",
        {text if where == "name" else "x": text if where == "value" else "y"},
    )
    with pytest.raises(InvalidOption):
        encode_head(request, "", {"x": text} if where == "proxy" else None)


@pytest.mark.parametrize("name", ["", "a b", "a:b", "x-amz-meta-a: b", "é", "a\t", "(x)", "x\x7f"])
def test_names_that_are_no_names_are_refused_each_time(name: str) -> None:
    for _ in range(2):
        with pytest.raises(InvalidOption, match="cannot be the name of a header"):
            head(headers={"x-ok": "1", name: "2"})


def test_a_space_in_the_target_is_refused() -> None:
    with pytest.raises(InvalidOption, match="percent-encoded"):
        head("/a b")


def test_characters_outside_latin_1_are_refused() -> None:
    with pytest.raises(InvalidOption, match="cannot carry"):
        head(headers={"x-amz-meta-name": "日本"})


def test_a_refusal_does_not_show_the_value() -> None:
    with pytest.raises(InvalidOption) as caught:
        head(headers={"authorization": "top-secret\n"})
    assert "secret" not in str(caught.value)


printable = st.characters(min_codepoint=0x21, max_codepoint=0x7E)
names = st.from_regex(r"[a-z0-9!#$%&'*+.^_`|~-]{1,20}", fullmatch=True).filter(
    lambda name: name not in ("host", "content-length", "expect", "connection", "upgrade", "transfer-encoding")
)


@given(st.text(printable, max_size=30), st.dictionaries(names, st.text(max_size=20), max_size=5))
def test_a_head_that_is_sent_is_read_as_it_was_meant(target: str, headers: dict[str, str]) -> None:
    try:
        sent = encode_head(Request("GET", ORIGIN, f"/{target}", headers))
    except InvalidOption:
        assert any(character in "\r\n\0" or character > "\xff" for value in headers.values() for character in value)
        return
    server = h11.Connection(h11.SERVER)
    server.receive_data(sent)
    try:
        event = server.next_event()
    except h11.RemoteProtocolError:
        # Other control characters cannot change the meaning of a request; servers refuse them.
        assert any(character.isspace() for value in headers.values() for character in value.strip(" \t"))
        return
    assert isinstance(event, h11.Request)
    assert event.target == f"/{target}".encode()
    received = {name.decode(): value.decode("latin-1") for name, value in event.headers}
    assert received.pop("host") == "s3.example.com"
    assert received == {name: value.strip(" \t") for name, value in headers.items()}


@given(st.lists(st.binary(max_size=50), max_size=4), st.sampled_from(["PUT", "POST"]))
def test_a_body_ends_where_the_head_says(parts: list[bytes], method: str) -> None:
    request = Request(method, ORIGIN, "/key", {}, [memoryview(part) for part in parts])
    server = h11.Connection(h11.SERVER)
    server.receive_data(encode_head(request) + b"".join(parts) + b"surplus")
    assert isinstance(server.next_event(), h11.Request)
    body = b""
    while isinstance(event := server.next_event(), h11.Data):
        body += event.data
    assert isinstance(event, h11.EndOfMessage)
    assert (body, server.trailing_data[0]) == (b"".join(parts), b"surplus")


# Requests.


def test_the_length_counts_all_parts() -> None:
    assert Request("PUT", ORIGIN, "/", {}, [memoryview(b"abc"), FileRange(3, 10, 1000), memoryview(b"")]).length == 1003


@pytest.mark.parametrize(("method", "repeatable"), [("GET", True), ("HEAD", True), ("PUT", True), ("DELETE", True), ("POST", False)])
def test_repeatable_is_what_the_method_says_unless_told(method: str, repeatable: Any) -> None:
    assert Request(method, ORIGIN, "/", {}).repeatable is repeatable
    assert Request(method, ORIGIN, "/", {}, repeatable=not repeatable).repeatable is not repeatable


def test_a_request_does_not_show_its_secrets() -> None:
    request = Request("GET", ORIGIN, "/key?X-Amz-Signature=secret", {"authorization": "secret"})
    assert repr(request) == "<Request GET https://s3.example.com/key>"


# Origins.


@pytest.mark.parametrize(
    ("url", "origin", "path", "authority"),
    [
        ("https://s3.example.com", Origin("https", "s3.example.com", 443), "", "s3.example.com"),
        ("https://s3.example.com/", Origin("https", "s3.example.com", 443), "", "s3.example.com"),
        ("http://s3.example.com:80/base/path/", Origin("http", "s3.example.com", 80), "/base/path", "s3.example.com"),
        ("HTTPS://S3.Example.com:9000", Origin("https", "s3.example.com", 9000), "", "s3.example.com:9000"),
        ("http://127.0.0.1:443", Origin("http", "127.0.0.1", 443), "", "127.0.0.1:443"),
        ("localhost:9000", Origin("http", "localhost", 9000), "", "localhost:9000"),
        ("http://[::1]:9000/x", Origin("http", "::1", 9000), "/x", "[::1]:9000"),
        ("https://[2001:db8::1]", Origin("https", "2001:db8::1", 443), "", "[2001:db8::1]"),
    ],
)
def test_origins(url: str, origin: Origin, path: str, authority: str) -> None:
    assert parse_origin(url) == (origin, path)
    assert origin.authority == authority
    assert str(origin) == f"{origin.scheme}://{authority}"


@pytest.mark.parametrize(
    "url",
    [
        "",
        "ftp://host",
        "s3://bucket",
        "http://",
        "http:///path",
        "http://host:port",
        "http://host:99999",
        "http://host:0",
        "http://host:-1",
        "http://[::1",
        "://x",
    ],
)
def test_what_is_no_endpoint_is_refused(url: str) -> None:
    with pytest.raises(InvalidURI):
        parse_origin(url)


@pytest.mark.parametrize(
    "url",
    [
        "http://me:hunter2@host",
        "http://me:hunter2@host:notaport",
        "http://:hunter2@host",
        "http://hunter2@host/path",
        "me:hunter2@host",
        "ftp://me:hunter2@host",
        "http://me:hunter2@",
        "http://me:hunter2@[::1",
        "http://me:#hunter2@host",
        "http://me:?hunter2@host",
        "http://me:x@hunter2@host",
        "http://host:x?sig=hunter2",
        "http://host?sig=hunter2",
        "http://me:hunter2://@host",
    ],
)
def test_what_is_said_of_a_bad_endpoint_never_shows_its_password(url: str) -> None:
    with pytest.raises(InvalidURI) as caught:
        parse_origin(url)
    shown = [str(caught.value), repr(caught.value), str(caught.value.uri), str(caught.value.__cause__), repr(caught.value.args)]
    assert not any("hunter2" in text for text in shown)
