"""Redirects: refused unless the user says otherwise, and never a way for secrets to get to another server."""

from __future__ import annotations

import base64
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from headrace import Client, HeadraceError
from headrace.auth.sigv4 import Credentials
from headrace.errors import ConnectionFailed, NotFound, ObjectChanged, ServiceError
from headrace.testing.contract.case import payload
from headrace.testing.servers import Authority
from tests.backends.web.conftest import Answered, Asked

FOLLOW = {"follow_redirects": True}
KEYS = {"credentials": Credentials("AKID", "secret-key", "session-token"), "region": "us-east-1"}
SECRET_HEADERS = {
    "authorization",
    "x-amz-security-token",
    "x-amz-server-side-encryption-customer-key",
    "x-amz-server-side-encryption-customer-key-md5",
    "x-amz-server-side-encryption-customer-algorithm",
}


def to(location: str, status: int = 302) -> Answered:
    return Answered(status, {"location": location})


def stored(data: bytes) -> Callable[[Asked], Answered]:
    """An object that is there: with ranges, and a tag."""

    def answer(asked: Asked) -> Answered:
        if asked.method == "PUT":
            return Answered(200, {"etag": '"written"'})
        headers = {"etag": '"one"', "accept-ranges": "bytes"}
        if "range" not in asked.headers or asked.method == "HEAD":
            return Answered(200, headers, data)
        first, _, last = asked.headers["range"].removeprefix("bytes=").partition("-")
        piece = data[int(first) : int(last or len(data)) + 1]
        return Answered(206, {**headers, "content-range": f"bytes {first}-{int(first) + len(piece) - 1}/{len(data)}"}, piece)

    return answer


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("verb", ["get", "stat"])
def test_without_the_option_the_error_names_target_and_option(site: Any, call: Any, status: int, verb: str) -> None:
    elsewhere = site(stored(b"caught"))
    here = site(lambda asked: to(f"{elsewhere.url}/object?X-Amz-Signature=SECRET", status))
    with pytest.raises(ServiceError) as caught:
        call(verb, f"{here.url}/object?token=SECRET")
    message = str(caught.value)
    assert caught.value.status == status
    assert elsewhere.url in message
    assert "follow_redirects=True (HEADRACE_FOLLOW_REDIRECTS=1)" in message
    assert "SECRET" not in message + repr(vars(caught.value)) + pickle.dumps(caught.value).decode("latin-1")
    assert (elsewhere.connections, len(here.asked)) == (0, 1)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_read_goes_where_it_is_sent(site: Any, call: Any, status: int) -> None:
    elsewhere = site(stored(payload(1000)))
    here = site(lambda asked: to(f"{elsewhere.url}/there", status))
    assert call("get", f"{here.url}/object", options=FOLLOW) == payload(1000)
    info = call("stat", f"{here.url}/object", options=FOLLOW)
    assert (info.uri, info.size) == (f"{here.url}/object", 1000)
    assert [(asked.method, asked.target) for asked in elsewhere.asked] == [("GET", "/there"), ("HEAD", "/there")]
    assert elsewhere.asked[0].headers["range"].startswith("bytes=0-")
    assert elsewhere.asked[0].headers["host"] == elsewhere.url.removeprefix("http://")


def test_a_large_object_is_read_by_ranges_each_of_which_is_redirected(site: Any, call: Any) -> None:
    elsewhere = site(stored(payload(1_000_000)))
    here = site(lambda asked: to(f"{elsewhere.url}{asked.target}", 307))
    assert call("get", f"{here.url}/object", options={**FOLLOW, "range_threshold": 300_000}) == payload(1_000_000)
    assert len(here.asked) == len(elsewhere.asked) == 4
    assert [asked.headers.get("if-match") for asked in elsewhere.asked] == [None, '"one"', '"one"', '"one"']


@pytest.mark.parametrize(
    ("location", "arrives"),
    [
        ("/other", "/other"),
        ("other", "/a/other"),
        ("../other?x=1", "/other?x=1"),
        ("?x=1", "/a/b?x=1"),
        ("/sp ace#part", "/sp%20ace"),
        ("/%C3%A9/\xc3\xa9/%", "/%C3%A9/%C3%A9/%25"),
    ],
)
def test_a_relative_target(site: Any, call: Any, location: str, arrives: str) -> None:
    here = site(lambda asked: to(location) if asked.target == "/a/b" else stored(b"found")(asked))
    assert call("get", f"{here.url}/a/b", options=FOLLOW) == b"found"
    assert [asked.target for asked in here.asked] == ["/a/b", arrives]


@pytest.mark.parametrize(
    "location", [None, "", "ftp://host/x", "http://", "http://user:SECRET@127.0.0.1/", "//", "http://a b/", "mailto:x"]
)
def test_a_target_that_is_none(site: Any, call: Any, location: str | None) -> None:
    here = site(lambda asked: Answered(302, {} if location is None else {"location": location}))
    with pytest.raises(ServiceError) as caught:
        call("get", f"{here.url}/", options=FOLLOW)
    assert caught.value.status == 302
    assert "SECRET" not in str(caught.value)
    assert len(here.asked) == 1


def test_no_more_than_so_many(site: Any, call: Any) -> None:
    here = site(lambda asked: to(f"/{int(asked.target[1:]) + 1}") if asked.target < "/3" else stored(b"end")(asked))
    assert call("get", f"{here.url}/0", options={**FOLLOW, "max_redirects": 3}) == b"end"
    for limit in (0, 2):
        here.asked.clear()
        with pytest.raises(ServiceError, match="max_redirects"):
            call("get", f"{here.url}/0", options={**FOLLOW, "max_redirects": limit})
        assert len(here.asked) == limit + 1


def test_a_circle_is_noticed(site: Any, call: Any) -> None:
    here = site(lambda asked: to({"/a": "/b", "/b": "/c", "/c": "/b"}[asked.target]))
    with pytest.raises(ServiceError, match="circle"):
        call("get", f"{here.url}/a", options={**FOLLOW, "max_redirects": 50})
    assert len(here.asked) == 3


# Secrets.


@pytest.mark.parametrize("where", ["here", "elsewhere"])
def test_what_is_meant_for_one_server_does_not_reach_another(site: Any, call: Any, where: str) -> None:
    """Another port is another server; the same one gets all of it again."""
    elsewhere, again = site(stored(b"content")), where == "here"
    first = site(
        lambda asked: to("/bucket/moved" if again else f"{elsewhere.url}/x", 307) if "moved" not in asked.target else stored(b"x")(asked)
    )
    options = {**FOLLOW, **KEYS, "endpoint_url": first.url, "sse": os.urandom(32)}
    call("put", "s3://bucket/key", b"content", options=options)
    call("get", "s3://bucket/key", options=options)
    assert all(set(asked.headers) >= SECRET_HEADERS for asked in first.asked)
    assert len(first.asked) == (4 if again else 2)
    assert len(elsewhere.asked) == (0 if again else 2)
    for asked in elsewhere.asked:
        assert not SECRET_HEADERS & set(asked.headers)
        assert "session-token" not in str(asked)


def test_a_password_stays_with_its_server(site: Any, call: Any) -> None:
    elsewhere = site(stored(b"content"))
    here = site(lambda asked: to("/b" if asked.target == "/a" else f"{elsewhere.url}/c"))
    assert call("get", here.url.replace("//", "//me:p%40ss@") + "/a", options=FOLLOW) == b"content"
    expected = "Basic " + base64.b64encode(b"me:p@ss").decode()
    assert [asked.headers.get("authorization") for asked in here.asked] == [expected] * 2
    assert "authorization" not in elsewhere.asked[0].headers


def test_a_signature_in_the_query_stays_and_one_of_the_servers_own_goes_along(site: Any, call: Any) -> None:
    elsewhere = site(stored(b"content"))
    here = site(lambda asked: to(f"{elsewhere.url}{asked.target}&sig=its%20own"))
    query = "X-Amz-Credential=AKID%2F1&X-Amz-Signature=SECRET&versionId=7"
    assert call("get", f"{here.url}/a?{query}", options=FOLLOW) == b"content"
    assert here.asked[0].target == f"/a?{query}"
    assert elsewhere.asked[0].target == "/a?versionId=7&sig=its%20own"


def test_never_from_https_to_http(site: Any, call: Any, server_tls: Any, authority: Authority) -> None:
    elsewhere = site(stored(b"content"))
    here = site(lambda asked: to(f"{elsewhere.url}/x"), tls=server_tls())
    with pytest.raises(ServiceError, match="https"):
        call("get", f"{here.url}/a", options={**FOLLOW, "ca_bundle": authority.ca_bundle})
    assert elsewhere.connections == 0


def test_from_http_to_https(site: Any, call: Any, server_tls: Any, authority: Authority) -> None:
    elsewhere = site(stored(b"content"), tls=server_tls())
    here = site(lambda asked: to(f"{elsewhere.url}/x"))
    assert call("get", f"{here.url}/a", options={**FOLLOW, "ca_bundle": authority.ca_bundle}) == b"content"


def test_the_target_must_be_trusted_as_the_first_server_is(site: Any, call: Any, server_tls: Any, authority: Authority) -> None:
    """By the certificate on the very connection: nothing is asked on one that fails."""
    for certificate in (authority.self_signed(), authority.issue("other.test"), authority.issue(expired=True)):
        elsewhere = site(stored(b"caught"), tls=server_tls(certificate))
        here = site(lambda asked, elsewhere=elsewhere: to(f"{elsewhere.url}/x"), tls=server_tls())
        with pytest.raises(ConnectionFailed) as caught:
            call("get", f"{here.url}/a", options={**FOLLOW, "ca_bundle": authority.ca_bundle})
        assert caught.value.code == "certificate"
        assert elsewhere.asked == []


# Methods and bodies.


@pytest.mark.parametrize("status", [301, 302, 307, 308])
@pytest.mark.parametrize("size", [10, 3 << 20], ids=["small", "asked for first"])
def test_a_body_is_sent_anew(site: Any, call: Any, status: int, size: int) -> None:
    elsewhere = site(stored(b""))
    here = site(lambda asked: to(f"{elsewhere.url}{asked.target}?pid=1", status))
    info = call("put", "s3://bucket/key", payload(size), options={**FOLLOW, **KEYS, "endpoint_url": here.url})
    assert info.etag == '"written"'
    (asked,) = elsewhere.asked
    assert (asked.method, asked.target, asked.body) == ("PUT", "/bucket/key?pid=1", payload(size))
    assert ("expect" in asked.headers) == (size > 1 << 20)


def test_a_file_is_sent_anew(site: Any, tmp_path: Path) -> None:
    (tmp_path / "data").write_bytes(payload(3 << 20))
    elsewhere = site(stored(b""))
    here = site(lambda asked: to(f"{elsewhere.url}{asked.target}", 307))
    with Client(**{**FOLLOW, **KEYS, "endpoint_url": here.url}) as client:
        client.copy(str(tmp_path / "data"), "s3://bucket/key")
    assert [asked.body for asked in elsewhere.asked] == [payload(3 << 20)]


@pytest.mark.parametrize("verb", ["put", "delete"])
def test_a_write_does_not_become_a_read(site: Any, call: Any, verb: str) -> None:
    """A page that says "logged out" must not pass for the word that something was written."""
    elsewhere = site(stored(b"page"))
    here = site(lambda asked: to(f"{elsewhere.url}/login", 303))
    with pytest.raises(ServiceError, match="was it done") as caught:
        call(verb, "s3://bucket/key", *([b"data"] if verb == "put" else []), options={**FOLLOW, **KEYS, "endpoint_url": here.url})
    assert caught.value.status == 303
    assert elsewhere.connections == 0


@pytest.mark.parametrize(("status", "method"), [(301, "GET"), (302, "GET"), (303, "GET"), (307, "POST"), (308, "POST")])
def test_what_becomes_of_a_post(site: Any, call: Any, status: int, method: str) -> None:
    elsewhere = site(lambda asked: Answered(200, {}, b"<DeleteResult/>"))
    here = site(lambda asked: to(f"{elsewhere.url}/x", status))
    call("delete_many", ["s3://bucket/a", "s3://bucket/b"], options={**FOLLOW, **KEYS, "endpoint_url": here.url})
    (asked,) = elsewhere.asked
    assert (asked.method, asked.body) == (method, here.asked[0].body if method == "POST" else b"")
    assert ("content-md5" in asked.headers) == ("content-type" in asked.headers) == (method == "POST")


# What else may happen on the way.


def test_a_body_that_breaks_is_resumed_by_way_of_the_redirect(site: Any, call: Any) -> None:
    """At the byte that it reached, at another node, and bound to the version that was begun."""

    def breaks(asked: Asked) -> Answered:
        whole = stored(payload(200_000))(asked)
        return whole._replace(body=whole.body[:50_000], announced=len(whole.body))

    one, other = site(breaks), site(stored(payload(200_000)))
    nodes = iter([one, other])
    here = site(lambda asked: to(f"{next(nodes).url}/object", 307))
    assert call("get", f"{here.url}/object", options={**FOLLOW, "max_attempts": 2}) == payload(200_000)
    assert other.asked[0].headers["range"] == "bytes=50000-199999"
    assert other.asked[0].headers["if-match"] == '"one"'


def test_a_node_with_another_version_is_noticed(site: Any, call: Any) -> None:
    old, new = site(stored(payload(1_000_000))), site(lambda asked: stored(payload(1_000_000, 1))(asked)._replace(status=412))
    nodes = iter([old])
    here = site(lambda asked: to(f"{next(nodes, new).url}/object"))
    with pytest.raises(ObjectChanged):
        call("get", f"{here.url}/object", options={**FOLLOW, "range_threshold": 300_000})


def test_what_the_target_refuses_is_the_error(site: Any, call: Any) -> None:
    elsewhere = site(lambda asked: Answered(404))
    here = site(lambda asked: to(f"{elsewhere.url}/x", 307))
    with pytest.raises(NotFound) as caught:
        call("get", f"{here.url}/a?sig=SECRET", options=FOLLOW)
    assert caught.value.uri == f"{here.url}/a"
    with pytest.raises(NotFound):
        call("get", "s3://bucket/key", options={**FOLLOW, **KEYS, "endpoint_url": here.url})


def test_a_region_is_still_learnt_and_not_followed(site: Any, call: Any) -> None:
    elsewhere = site(stored(b"caught"))

    def answer(asked: Asked) -> Answered:
        if "/eu-west-9/s3/" in asked.headers["authorization"]:
            return stored(b"found")(asked)
        return Answered(307, {"location": f"{elsewhere.url}/x", "x-amz-bucket-region": "eu-west-9"})

    here = site(answer)
    assert call("get", "s3://bucket/key", options={**FOLLOW, **KEYS, "endpoint_url": here.url}) == b"found"
    assert (len(here.asked), elsewhere.connections) == (2, 0)


@pytest.mark.parametrize("status", [300, 304, 305, 306])
def test_what_is_no_redirect(site: Any, call: Any, status: int) -> None:
    elsewhere = site(stored(b"caught"))
    here = site(lambda asked: to(f"{elsewhere.url}/x", status))
    with pytest.raises(HeadraceError) as caught:
        call("get", f"{here.url}/a", options=FOLLOW)
    assert (caught.value.status, elsewhere.connections) == (status, 0)
