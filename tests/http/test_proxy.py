"""Which proxy is chosen, and which hosts are served without one."""

from __future__ import annotations

import pytest

from headrace.errors import InvalidOption
from headrace.http.messages import Origin
from headrace.http.proxy import Proxy, choose_proxy

PLAIN = Origin("http", "storage.example.com", 80)
SECURE = Origin("https", "storage.example.com", 443)


@pytest.mark.parametrize(
    ("origin", "environ", "host"),
    [
        (PLAIN, {}, None),
        (PLAIN, {"http_proxy": "http://a:1"}, "a"),
        (PLAIN, {"HTTP_PROXY": "http://a:1"}, "a"),
        (PLAIN, {"HTTPS_PROXY": "http://a:1"}, None),
        (SECURE, {"HTTPS_PROXY": "http://a:1", "HTTP_PROXY": "http://b:1"}, "a"),
        (SECURE, {"HTTP_PROXY": "http://b:1"}, None),
        (SECURE, {"ALL_PROXY": "http://c:1"}, "c"),
        (PLAIN, {"ALL_PROXY": "http://c:1"}, "c"),
        (SECURE, {"HTTPS_PROXY": "http://a:1", "ALL_PROXY": "http://c:1"}, "a"),
        (SECURE, {"https_proxy": "http://lower:1", "HTTPS_PROXY": "http://upper:1"}, "lower"),
        (SECURE, {"https_proxy": "", "HTTPS_PROXY": "http://upper:1"}, None),
        (SECURE, {"HTTPS_PROXY": ""}, None),
        # In a CGI program HTTP_PROXY is what the client's header "Proxy" said.
        (PLAIN, {"HTTP_PROXY": "http://evil:1", "REQUEST_METHOD": "GET"}, None),
        (PLAIN, {"http_proxy": "http://a:1", "REQUEST_METHOD": "GET"}, "a"),
        (SECURE, {"HTTPS_PROXY": "http://a:1", "REQUEST_METHOD": "GET"}, "a"),
    ],
)
def test_the_environment_names_a_proxy(origin: Origin, environ: dict[str, str], host: str | None) -> None:
    proxy = choose_proxy(origin, None, environ)
    assert (proxy.host if proxy else None) == host


def test_an_explicit_proxy_serves_every_host() -> None:
    environ = {"NO_PROXY": "*", "HTTPS_PROXY": "http://other:1"}
    assert choose_proxy(SECURE, "http://mine:3128", environ) == Proxy("mine", 3128)


def test_an_empty_explicit_proxy_means_none() -> None:
    assert choose_proxy(SECURE, "", {"HTTPS_PROXY": "http://other:1"}) is None


@pytest.mark.parametrize(
    ("no_proxy", "host", "port", "excluded"),
    [
        ("", "example.com", 80, False),
        ("example.com", "example.com", 80, True),
        ("example.com", "EXAMPLE.com", 80, True),
        ("EXAMPLE.COM", "example.com", 80, True),
        ("example.com", "example.com.", 80, True),
        ("example.com", "a.example.com", 80, True),
        ("example.com", "a.b.example.com", 80, True),
        (".example.com", "a.example.com", 80, True),
        (".example.com", "example.com", 80, True),
        ("*.example.com", "a.example.com", 80, True),
        ("example.com", "badexample.com", 80, False),
        ("example.com", "example.com.evil.net", 80, False),
        ("a.example.com", "example.com", 80, False),
        ("*", "anything.net", 80, True),
        ("one.net, example.com", "example.com", 80, True),
        ("one.net example.com", "example.com", 80, True),
        (" , ,", "example.com", 80, False),
        (".", "example.com", 80, False),
        ("example.com:8080", "example.com", 8080, True),
        ("example.com:8080", "example.com", 80, False),
        ("*:8080", "example.com", 8080, True),
        ("127.0.0.1", "127.0.0.1", 80, True),
        ("127.0.0.1:9000", "127.0.0.1", 9000, True),
        ("127.0.0.1", "127.0.0.2", 80, False),
        ("0.0.1", "127.0.0.1", 80, False),
        ("10.0.0.0/8", "10.1.2.3", 80, True),
        ("10.0.0.0/8", "11.1.2.3", 80, False),
        ("10.1.2.3/8", "10.9.9.9", 80, True),
        ("10.0.0.0/8", "ten.example.com", 80, False),
        ("10.0.0.0/99", "10.0.0.1", 80, False),
        ("::1", "::1", 80, True),
        ("[::1]", "::1", 80, True),
        ("[::1]:9000", "::1", 9000, True),
        ("[::1]:9000", "::1", 80, False),
        ("0:0::1", "::1", 80, True),
        ("2001:db8::/32", "2001:db8::5", 80, True),
        ("2001:db8::/32", "10.0.0.1", 80, False),
        ("localhost", "localhost", 80, True),
    ],
)
def test_no_proxy(no_proxy: str, host: str, port: int, excluded: object) -> None:
    environ = {"HTTP_PROXY": "http://proxy:3128", "NO_PROXY": no_proxy}
    assert (choose_proxy(Origin("http", host, port), None, environ) is None) == excluded


@pytest.mark.parametrize(
    ("url", "proxy"),
    [
        ("http://proxy", Proxy("proxy", 80)),
        ("http://proxy:3128/", Proxy("proxy", 3128)),
        ("proxy:3128", Proxy("proxy", 3128)),
        ("http://[::1]:3128", Proxy("::1", 3128)),
        ("http://me:p%40ss%3Aw@proxy:3128", Proxy("proxy", 3128, "Basic bWU6cEBzczp3")),
        ("http://me@proxy:3128", Proxy("proxy", 3128, "Basic bWU6")),
        ("me:pass@proxy:3128", Proxy("proxy", 3128, "Basic bWU6cGFzcw==")),
    ],
)
def test_proxy_urls(url: str, proxy: Proxy) -> None:
    assert choose_proxy(SECURE, url) == proxy


@pytest.mark.parametrize(
    "url",
    [
        "socks5://me:hunter2@proxy:1",
        "https://me:hunter2@proxy:1",
        "http://me:hunter2@",
        "http://me:hunter2@proxy:x",
        "http://me:hunter2@[::1",
    ],
)
def test_what_is_no_proxy_is_refused_without_showing_the_password(url: str) -> None:
    with pytest.raises(InvalidOption, match=r"http://\[user:password@\]host:port") as caught:
        choose_proxy(SECURE, url)
    assert "hunter2" not in f"{caught.value!s} {caught.value!r} {caught.value.__cause__!r}"


def test_a_proxy_does_not_show_its_password() -> None:
    proxy = choose_proxy(SECURE, "http://me:hunter2@proxy:3128")
    assert repr(proxy) == str(proxy) == "Proxy('proxy', 3128)"
