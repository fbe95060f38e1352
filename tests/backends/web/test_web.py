"""Reading URLs from web servers that know little: no ranges, no lengths, no HEAD, weak tags, encoded bodies."""

from __future__ import annotations

import pickle
import traceback
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from headrace import Client
from headrace.backends import web
from headrace.errors import (
    ConnectionFailed,
    CredentialsError,
    HeadraceError,
    InvalidOption,
    InvalidURI,
    NotFound,
    NotSupported,
    ObjectChanged,
    PermissionDenied,
    ProtocolError,
    ServiceError,
    Throttled,
)
from headrace.testing.contract.case import payload
from headrace.transfer import spooling
from tests.backends.web.conftest import Answered, Asked

DATA = payload(1_000_000)
LARGE = {"range_threshold": 300_000}
ETAG = {"etag": '"one"', "last-modified": "Sun, 06 Nov 1994 08:49:37 GMT"}

# Servers without ranges, by how they say where a body ends.
FRAMINGS = {"length": {}, "chunked": {"chunked": True}, "until close": {"sized": False}}


def whole(data: bytes = DATA, **framing: Any) -> Callable[[Asked], Answered]:
    """Everything, whatever was asked for."""
    return lambda asked: Answered(200, ETAG, data, **framing)


def ranged(data: bytes = DATA, headers: dict[str, str] = ETAG, **framing: Any) -> Callable[[Asked], Answered]:
    """Ranges, but HEAD is refused."""

    def answer(asked: Asked) -> Answered:
        if asked.method == "HEAD":
            return Answered(405)
        if "range" not in asked.headers:
            return Answered(200, headers, data, **framing)
        first, _, last = asked.headers["range"].removeprefix("bytes=").partition("-")
        if int(first) >= len(data):
            return Answered(416, {"content-range": f"bytes */{len(data)}"})
        piece = data[int(first) : int(last or len(data)) + 1]
        return Answered(206, {**headers, "content-range": f"bytes {first}-{int(first) + len(piece) - 1}/{len(data)}"}, piece, **framing)

    return answer


# Servers without ranges.


@pytest.mark.parametrize("framing", FRAMINGS)
def test_what_comes_whole_is_taken_as_it_is(site: Any, call: Any, framing: str) -> None:
    """In one request, though it is larger than what is read in one where there are ranges."""
    server = site(whole(**FRAMINGS[framing]))
    assert call("get", f"{server.url}/x", options=LARGE) == DATA
    buffer = bytearray(len(DATA))
    call("get", f"{server.url}/x", into=buffer, options=LARGE)
    assert buffer == DATA
    assert len(server.asked) == 2


@pytest.mark.parametrize("framing", FRAMINGS)
@pytest.mark.parametrize(
    ("start", "length"), [(None, 10), (0, 500_000), (100, 10), (999_990, 10), (999_990, 50), (300_000, None), (500_000, 400_000), (5, 0)]
)
def test_a_part_is_taken_out_of_the_whole(site: Any, call: Any, framing: str, start: int | None, length: int | None) -> None:
    server = site(whole(**FRAMINGS[framing]))
    begin = start or 0
    expected = DATA[begin:] if length is None else DATA[begin : begin + length]
    assert call("get", f"{server.url}/x", start=start, length=length, options=LARGE) == expected
    assert len(server.asked) == (1 if length != 0 else len(server.asked))


def test_what_comes_before_and_after_a_part_is_not_kept(site: Any) -> None:
    server = site(whole(bytes(64 << 20)))
    with Client() as client:
        client.get(f"{server.url}/x", length=10)
        tracemalloc.start()
        try:
            assert client.get(f"{server.url}/x", start=60 << 20, length=10) == bytes(10)
            assert tracemalloc.get_traced_memory()[1] < 1 << 20
        finally:
            tracemalloc.stop()


def test_a_part_from_the_end(site: Any, call: Any) -> None:
    server = site(whole())
    assert call("get", f"{server.url}/x", start=-10) == DATA[-10:]
    for framing in ("chunked", "until close"):
        server = site(whole(**FRAMINGS[framing]))
        with pytest.raises(NotSupported, match="does not tell the size"):
            call("get", f"{server.url}/x", start=-10)


def test_ranges_are_taken_out_of_the_whole(site: Any, call: Any) -> None:
    for framing in FRAMINGS.values():
        server = site(whole(**framing))
        views = call("get_ranges", f"{server.url}/x", [(0, 5), (900_000, 5), (999_999, 10)])
        assert [bytes(view) for view in views] == [DATA[:5], DATA[900_000:900_005], DATA[-1:]]


@pytest.mark.parametrize("start", [1_000_001, 2_000_000])
def test_a_part_beyond_the_end(site: Any, call: Any, start: int) -> None:
    for answer in (whole(), ranged()):
        server = site(answer)
        with pytest.raises(InvalidOption, match=str(start)):
            call("get", f"{server.url}/x", start=start)
        assert call("get", f"{server.url}/x", start=1_000_000) == b""


@pytest.mark.parametrize("framing", FRAMINGS)
def test_what_is_known_of_it(site: Any, call: Any, framing: str) -> None:
    server = site(whole(**FRAMINGS[framing]))
    info = call("stat", f"{server.url}/x")
    assert (info.size, info.whole_only, info.etag) == (len(DATA) if framing == "length" else -1, True, '"one"')
    assert info.last_modified is not None
    assert call("exists", f"{server.url}/x")


@pytest.mark.parametrize("framing", FRAMINGS)
def test_a_file_is_received_once(site: Any, framing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spooling, "_IN_MEMORY_BELOW", 1000)
    server = site(whole(**FRAMINGS[framing]))
    with Client(**LARGE) as client, client.open(f"{server.url}/x", block_size=10_000) as file:
        before = len(server.asked) + 1
        assert (file.seek(-5, 2), file.read(), file.seek(10), file.read(5)) == (999_995, DATA[-5:], 10, DATA[10:15])
        assert file.seek(0) == 0
        assert file.read() == DATA
        assert len(server.asked) == before


@pytest.mark.parametrize("framing", FRAMINGS)
@pytest.mark.parametrize("destination", ["memory://web/copy", "file"])
def test_a_copy_comes_once(site: Any, call: Any, framing: str, destination: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spooling, "_IN_MEMORY_BELOW", 1000)
    server = site(whole(**FRAMINGS[framing]))
    target = str(tmp_path / "copy") if destination == "file" else destination
    assert call("copy", f"{server.url}/x", target, options={"multipart_threshold": 1000}).size == len(DATA)
    assert call("read_bytes", target) == DATA
    assert [asked.method for asked in server.asked] == ["HEAD", "GET", "GET"]
    assert "range" not in server.asked[2].headers


def test_what_does_not_end_is_not_held_for_ever(site: Any, call: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "LONGEST_UNTOLD", 500_000)
    server = site(whole(chunked=True))
    with pytest.raises(ProtocolError, match="500000"):
        call("get", f"{server.url}/x")
    assert call("get", f"{server.url}/x", start=900_000, length=10) == DATA[900_000:900_010]


# Other gaps.


@pytest.mark.parametrize("status", [400, 401, 403, 405, 501])
def test_without_head_the_first_byte_is_read(site: Any, call: Any, status: int) -> None:
    """As for a presigned URL, whose signature is for GET alone."""
    server = site(lambda asked: Answered(status) if asked.method == "HEAD" else ranged()(asked))
    info = call("stat", f"{server.url}/x?X-Amz-Signature=abc")
    assert (info.size, info.etag, info.whole_only) == (len(DATA), '"one"', None)
    assert [(asked.method, asked.target, asked.headers.get("range")) for asked in server.asked] == [
        ("HEAD", "/x?X-Amz-Signature=abc", None),
        ("GET", "/x?X-Amz-Signature=abc", "bytes=0-0"),
    ]


def test_an_empty_object_without_head(site: Any, call: Any) -> None:
    server = site(ranged(b""))
    assert call("stat", f"{server.url}/x").size == 0
    assert call("get", f"{server.url}/x") == b""


@pytest.mark.parametrize("framing", ["chunked", "until close"])
def test_ranges_without_a_length(site: Any, call: Any, framing: str) -> None:
    """`Content-Range` tells the size."""
    server = site(ranged(**FRAMINGS[framing]))
    assert call("get", f"{server.url}/x", options=LARGE) == DATA
    assert call("stat", f"{server.url}/x").size == len(DATA)


def test_ranges_of_who_knows_what(site: Any, call: Any) -> None:
    """`Content-Range` without a size: the whole tells it."""

    def answer(asked: Asked) -> Answered:
        if "range" not in asked.headers:
            return whole(chunked=True)(asked)
        return Answered(206, {**ETAG, "content-range": "bytes 0-9/*"}, DATA[:10])

    server = site(lambda asked: Answered(501) if asked.method == "HEAD" else answer(asked))
    assert call("get", f"{server.url}/x", options=LARGE) == DATA
    assert call("get", f"{server.url}/x", start=100, length=10) == DATA[100:110]
    info = call("stat", f"{server.url}/x")
    assert (info.size, info.whole_only) == (-1, True)


def test_a_weak_tag_is_compared_and_not_sent(site: Any, call: Any) -> None:
    server = site(ranged(headers={"etag": 'W/"one"'}))
    assert call("get", f"{server.url}/x", options=LARGE) == DATA
    assert not any("if-match" in asked.headers for asked in server.asked)
    tags = iter(['W/"one"', *['W/"two"'] * 9])
    server = site(lambda asked: ranged(headers={"etag": next(tags)})(asked))
    with pytest.raises(ObjectChanged):
        call("get", f"{server.url}/x", options=LARGE)


@pytest.mark.parametrize("changes", ["size", "time", "tag"])
def test_ranges_of_two_versions_do_not_go_together(site: Any, call: Any, changes: str) -> None:
    """Though the server ignores If-Match, or has no tags at all."""
    first = {"last-modified": "Sun, 06 Nov 1994 08:49:37 GMT", **({"etag": '"one"'} if changes == "tag" else {})}
    second = {**first, **{"time": {"last-modified": "Sun, 06 Nov 1994 08:49:38 GMT"}, "tag": {"etag": '"two"'}}.get(changes, {})}
    answers = iter([ranged(headers=first)])
    other = ranged(DATA + b"more" if changes == "size" else DATA, second)
    server = site(lambda asked: next(answers, other)(asked))
    with pytest.raises(ObjectChanged):
        call("get", f"{server.url}/x", options=LARGE)


def test_a_copy_is_of_one_version(site: Any, call: Any, tmp_path: Path) -> None:
    times = iter(["Sun, 06 Nov 1994 08:49:37 GMT"] * 2)
    server = site(lambda asked: ranged(headers={"last-modified": next(times, "Sun, 06 Nov 1994 08:49:38 GMT")})(asked))
    with pytest.raises(ObjectChanged):
        call("copy", f"{server.url}/x", f"file://{tmp_path}/copy", options={"multipart_threshold": 1000, "part_size": 5 << 20, **LARGE})
    assert list(tmp_path.iterdir()) == []


def test_an_open_file_keeps_to_its_version(site: Any) -> None:
    now = [{"last-modified": "Sun, 06 Nov 1994 08:49:37 GMT"}]
    server = site(lambda asked: ranged(headers=now[0])(asked))
    with Client() as client, client.open(f"{server.url}/x", block_size=1000) as file:
        assert file.read(10) == DATA[:10]
        now[0] = {"last-modified": "Sun, 06 Nov 1994 08:49:38 GMT"}
        file.seek(500_000)
        with pytest.raises(ObjectChanged):
            file.read(10)


def test_a_read_that_breaks_goes_on_without_ranges(site: Any, call: Any) -> None:
    answers = iter([Answered(200, ETAG, DATA[:400_000], announced=len(DATA))])
    server = site(lambda asked: next(answers, whole()(asked)))
    assert call("get", f"{server.url}/x", options={"max_attempts": 2}) == DATA
    assert len(server.asked) == 2


def test_encoding_is_not_asked_for_and_not_undone(site: Any, call: Any) -> None:
    server = site(lambda asked: Answered(200, {"content-encoding": "gzip"}, b"\x1f\x8bencoded"))
    assert call("get", f"{server.url}/x") == b"\x1f\x8bencoded"
    assert call("stat", f"{server.url}/x").metadata == {"content-encoding": "gzip"}
    assert {asked.headers["accept-encoding"] for asked in server.asked} == {"identity"}


@pytest.mark.parametrize("status", [201, 202, 203, 204])
def test_a_success_that_is_not_the_object(site: Any, call: Any, status: int) -> None:
    server = site(lambda asked: Answered(status, {}, b"" if status == 204 else b"soon"))
    for verb in ("get", "stat"):
        with pytest.raises(ServiceError) as caught:
            call(verb, f"{server.url}/x")
        assert caught.value.status == status


def test_a_range_that_was_not_asked_for(site: Any, call: Any) -> None:
    for given in ("bytes 5-14/100", "bytes 0-9/*", "bytes */10", "bytes 0-9", "items 0-9/10", ""):
        server = site(lambda asked, given=given: Answered(206, {"content-range": given}, b"0123456789"))
        with pytest.raises(ProtocolError):
            call("get", f"{server.url}/x", length=10)


# URLs.


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ("", "/"),
        ("/", "/"),
        ("?a=1", "/?a=1"),
        ("/a/b%20c?x=%2F&y=a+b", "/a/b%20c?x=%2F&y=a+b"),
        ('/a b/\N{LATIN SMALL LETTER E WITH ACUTE}|"<>', "/a%20b/%C3%A9%7C%22%3C%3E"),
        ("/100%/%zz%4", "/100%25/%25zz%254"),
        ("/a//../b/./", "/a//../b/./"),
        ("/a#part?x", "/a"),
        ("/a?b?c/d=e&[1]=(2)#f", "/a?b?c/d=e&[1]=(2)"),
        ("/\r\nx: y", "/%0D%0Ax:%20y"),
    ],
)
def test_a_url_is_sent_as_it_is_given(site: Any, call: Any, given: str, sent: str) -> None:
    server = site(whole(b"x"))
    assert call("get", server.url + given) == b"x"
    assert server.asked[0].target == sent
    assert call("stat", server.url + given).size == 1


@pytest.mark.parametrize(
    "url", ["http://", "https:///x", "http://?x", "http://a b/", "http://host:port/", "http://me@/", "http://host:0/x", "http://[::1/x"]
)
def test_a_url_without_a_host(call: Any, url: str) -> None:
    with pytest.raises(InvalidURI):
        call("get", url)


def test_a_user_and_a_password(site: Any, call: Any) -> None:
    server = site(lambda asked: whole(b"x")(asked) if asked.headers.get("authorization") == "Basic bWU6cCYg" else Answered(401))
    assert call("get", server.url.replace("//", "//me:p%26%20@")) == b"x"
    with pytest.raises(CredentialsError, match="user:password@"):
        call("get", server.url)


SECRET = "MARKED"


@pytest.mark.parametrize("status", [302, 400, 403, 404, 500])
def test_a_url_is_a_secret(site: Any, call: Any, status: int, caplog: pytest.LogCaptureFixture) -> None:
    server = site(lambda asked: Answered(status, {"location": f"/?t={SECRET}"}, b"<html>no</html>"))
    url = server.url.replace("//", f"//me:{SECRET}@") + f"/x?X-Amz-Signature={SECRET}#{SECRET}"
    caplog.set_level("DEBUG")
    for verb in ("get", "stat", "read_text"):
        with pytest.raises(HeadraceError) as caught:
            call(verb, url)
        error = caught.value
        assert error.uri == f"{server.url}/x"
        assert SECRET not in f"{error!r} {error} {vars(error)} {pickle.dumps(error)!r}"
        for frame, _ in traceback.walk_tb(error.__traceback__):
            if "/headrace/" in frame.f_code.co_filename and "/tests/" not in frame.f_code.co_filename:
                # But for the caller's own text.
                assert SECRET not in repr([value for value in frame.f_locals.copy().values() if value is not url])
    assert SECRET not in caplog.text


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://host/@scope/x@1", "https://host/@scope/x@1"),
        ("https://host:8080/a@b?c@d", "https://host:8080/a@b"),
        ("https://[::1]/a@b", "https://[::1]/a@b"),
        ("https://me:MARKED@host:80/a@b#c", "https://host:80/a@b"),
        ("https://me:MARK/ED@host/x", "https://host/x"),
        ("https://me@host", "https://host"),
    ],
)
def test_what_errors_show_of_a_url(url: str, shown: str) -> None:
    assert HeadraceError("x", uri=url).uri == shown


def test_a_description_can_be_used_and_does_not_show_the_secret(site: Any, call: Any) -> None:
    server = site(whole(b"x"))
    info = call("stat", f"{server.url}/x?X-Amz-Signature={SECRET}")
    assert call("get", info.uri) == b"x"
    assert SECRET not in repr(info)
    assert pickle.loads(pickle.dumps(info)) == info


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (401, CredentialsError),
        (403, PermissionDenied),
        (404, NotFound),
        (410, NotFound),
        (429, Throttled),
        (500, ServiceError),
        (503, Throttled),
    ],
)
def test_what_failures_mean(site: Any, call: Any, status: int, kind: type[HeadraceError]) -> None:
    server = site(lambda asked: Answered(status, {"retry-after": "7"}))
    for verb in ("get", "stat"):
        with pytest.raises(kind) as caught:
            call(verb, f"{server.url}/x")
        assert (caught.value.status, caught.value.retry_after) == (status, 7.0)


def test_what_a_storage_service_says_of_its_url(site: Any, call: Any) -> None:
    document = b'<?xml version="1.0"?><Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>'
    server = site(lambda asked: Answered(403, {}, document))
    with pytest.raises(PermissionDenied, match="Request has expired") as caught:
        call("get", f"{server.url}/x")
    assert caught.value.code == "AccessDenied"


@pytest.mark.parametrize(
    "verb",
    [
        ("put", b"x"),
        ("delete",),
        ("copy", "/elsewhere"),
        ("move", "memory://bucket/x"),
        ("create_container",),
        ("delete_container",),
        ("list_containers",),
        ("presign",),
        ("list",),
        ("delete_many",),
    ],
    ids=lambda verb: verb[0],
)
def test_nothing_is_written_and_nothing_listed(site: Any, call: Any, verb: tuple[Any, ...]) -> None:
    server = site(whole(b"x"))
    url = f"{server.url}/x/"
    more = [url + verb[1]] if verb[0] == "copy" else list(verb[1:])

    def act() -> None:
        result = call(verb[0], [url] if verb[0] == "delete_many" else url, *more)
        if verb[0] == "list":
            list(result)

    with pytest.raises(NotSupported):
        act()
    assert server.asked == []
    with Client() as client, pytest.raises(NotSupported), client.open(url, "wb") as file:
        file.write(b"x")


def test_many(site: Any) -> None:
    server = site(
        lambda asked: Answered(404) if "missing" in asked.target else whole(asked.target.encode(), chunked=asked.target < "/3")(asked)
    )
    with Client() as client:
        items = list(
            client.get_many([f"{server.url}/{n}?q" for n in range(50)] + [f"{server.url}/missing"], on_error="yield", ordered=True)
        )
    assert [bytes(item.data or b"") for item in items[:50]] == [f"/{n}?q".encode() for n in range(50)]
    assert isinstance(items[50].error, NotFound)


def test_a_length_that_is_a_lie(site: Any, call: Any) -> None:
    server = site(lambda asked: Answered(200, ETAG, DATA[:100], announced=200))
    with pytest.raises(ConnectionFailed, match="100 of 200"):
        call("get", f"{server.url}/x")
