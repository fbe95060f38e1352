"""URLs as they are sent."""

from __future__ import annotations

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.errors import InvalidURI
from headrace.http.messages import Origin, Request, encode_head
from headrace.http.urls import URL, split_url


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("http://host", Origin("http", "host", 80)),
        ("https://Host.Example:8443/x", Origin("https", "host.example", 8443)),
        ("HTTPS://host", Origin("https", "host", 443)),
        ("http://[2001:db8::1]:80/", Origin("http", "2001:db8::1", 80)),
        ("http://m\N{LATIN SMALL LETTER U WITH DIAERESIS}nchen.example", Origin("http", "xn--mnchen-3ya.example", 80)),
        ("http://host?a/b@c", Origin("http", "host", 80)),
        ("http://host#@evil", Origin("http", "host", 80)),
        ("http://host\\@evil", Origin("http", "host", 80)),
    ],
)
def test_where_a_url_leads(url: str, origin: Origin) -> None:
    assert split_url(url)[0] == origin


@pytest.mark.parametrize(
    "url",
    [
        "",
        "host/x",
        "ftp://host",
        "http://",
        "http:///x",
        "http://user@host",
        "http://a b",
        "http://a\nb",
        "http://a%2eb",
        "http://host:x",
        "http://host:0",
        "http://[::1",
        "http://host/\ud800",
        f"http://{'a' * 64}\N{LATIN SMALL LETTER E WITH ACUTE}",
    ],
)
def test_what_leads_nowhere(url: str) -> None:
    with pytest.raises(InvalidURI):
        split_url(url)


@given(st.text())
def test_any_target_can_be_sent_and_stays_as_it_then_is(text: str) -> None:
    origin, target = split_url(f"http://host/{text}")
    assert encode_head(Request("GET", origin, target, {})).startswith(b"GET /")
    assert split_url(f"http://host{target}") == (origin, target)


def test_a_url_shows_no_secret() -> None:
    url = URL("https://me:secret@host/x?sig=secret")
    assert repr(url) == "'https://host/x?(hidden)'"
    assert repr(URL("https://host/x")) == "'https://host/x'"
    assert (str(url), pickle.loads(pickle.dumps(url))) == ("https://me:secret@host/x?sig=secret", url)
