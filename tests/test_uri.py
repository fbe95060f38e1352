"""URIs that are none, and templates: what they stand for, drawn one at a time."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace import Client
from headrace.errors import InvalidOption, InvalidURI
from headrace.uri import expand, parse


@pytest.mark.parametrize(
    ("template", "expanded"),
    [
        ("plain", ["plain"]),
        ("{08..10}", ["08", "09", "10"]),
        ("{1...3}", ["1", "2", "3"]),
        ("{0..10}", [str(number) for number in range(11)]),
        ("{9..011}", ["009", "010", "011"]),
        ("{2..0}x", ["2x", "1x", "0x"]),
        ("{0..1}{a..b}{2..3}", ["0{a..b}2", "0{a..b}3", "1{a..b}2", "1{a..b}3"]),
        ("{1..}", ["{1..}"]),
        (f"{{0..{'9' * 19}}}", [f"{{0..{'9' * 19}}}"]),
    ],
)
def test_templates(template: str, expanded: list[str]) -> None:
    assert list(expand(template)) == expanded


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), max_size=3))
def test_several_sequences_are_a_product(ends: list[tuple[int, int]]) -> None:
    counted = [[str(n) for n in (range(a, b + 1) if a <= b else range(a, b - 1, -1))] for a, b in ends]
    template = "-".join(f"{{{a}..{b}}}" for a, b in ends)
    assert list(expand(template)) == ["-".join(numbers) for numbers in itertools.product(*counted)]


def test_a_template_may_stand_for_more_than_memory_holds() -> None:
    last = "9" * 18
    assert list(itertools.islice(expand(f"{{0..{last}}}" * 3), 2)) == ["000", "001"]
    with pytest.raises(InvalidOption, match="endpoints"):
        Client(endpoints=f"http://host{{0..{last}}}")


@pytest.mark.parametrize("text", ["s3:/bucket/key", "s3:bucket", "gs:/b/k", "https:/host/x", "file:/tmp/x", "memory:x", "abfss:/c@a/k"])
def test_a_scheme_without_its_slashes_is_no_path(text: str) -> None:
    with pytest.raises(InvalidURI, match="lacks a slash") as caught:
        parse(text)
    assert "./" in str(caught.value)


@pytest.mark.parametrize("text", ["./s3:/bucket", "a:b", "c:/x", "12:30.txt", "s3", "s30:x"])
def test_a_colon_in_a_path(text: str) -> None:
    assert parse(text).scheme == "file"


@pytest.mark.parametrize("rest", ["/", "/a", "/a/b%20c/?x=1&y=%2F#z", "//a//../", "/?x=a/b?c", ":8080/a?X-Amz-Signature=abc"])
def test_a_url_is_kept_as_it_is(rest: str) -> None:
    for scheme in ("http", "https"):
        url = f"{scheme}://me:secret@host{rest}"
        location = parse(url).require_object()
        assert location.uri == parse(location.uri).uri == url
        assert location.container == "me:secret@host" + (":8080" if ":8080" in rest else "")
        assert "secret" not in repr(location)
        assert "abc" not in repr(location)


def test_a_url_without_a_path_has_the_root() -> None:
    assert [parse(f"https://host{rest}").uri for rest in ("", "?x", "#x", "?a/b")] == [
        "https://host/",
        "https://host/?x",
        "https://host/#x",
        "https://host/?a/b",
    ]
    assert repr(parse("s3://bucket/key")) == "Location('s3', 'bucket', 'key')"
