"""The XML of S3: every key can be spelt, and nothing that is damaged passes."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote
from xml.etree import ElementTree
from xml.sax.saxutils import escape

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.backends.protocol import Part
from headrace.backends.s3 import xml
from headrace.errors import ProtocolError

NAMESPACE = "{http://s3.amazonaws.com/doc/2006-03-01/}"

keys = st.text(st.characters(exclude_categories=["Cs", "Cn"]), min_size=1)
etags = st.text(st.characters(exclude_categories=["Cs", "Cn", "Cc"]))
speakable = st.text(st.characters(exclude_categories=["Cs", "Cn", "Cc"], include_characters="\t\n\r"), min_size=1)


@given(st.lists(speakable, min_size=1, max_size=20))
def test_keys_to_delete(names: list[str]) -> None:
    root = ElementTree.fromstring(xml.delete_objects(names))
    assert [element.text for element in root.iter(f"{NAMESPACE}Key")] == names
    assert root.findtext(f"{NAMESPACE}Quiet") == "true"


@given(st.lists(keys, max_size=20))
def test_keys_that_are_listed_in_percent_encoding(names: list[str]) -> None:
    contents = "".join(f"<Contents><Key>{quote(name, safe='/')}</Key><Size>1</Size></Contents>" for name in names)
    body = f"<ListBucketResult><EncodingType>url</EncodingType>{contents}</ListBucketResult>".encode()
    assert [listed.key for listed in xml.parse_listing(memoryview(body))[0]] == names


def test_a_plus_that_is_a_space_and_one_that_is_not() -> None:
    """Amazon writes a space as a plus sign, and that as %2B."""
    body = b"<ListBucketResult><EncodingType>url</EncodingType><Contents><Key>a+b%2Bc</Key><Size>1</Size></Contents></ListBucketResult>"
    assert xml.parse_listing(memoryview(body))[0][0].key == "a b+c"
    plain = body.replace(b"<EncodingType>url</EncodingType>", b"")
    assert xml.parse_listing(memoryview(plain))[0][0].key == "a+b%2Bc"


@given(st.lists(st.tuples(st.integers(1, 10_000), etags), max_size=10))
def test_parts_to_complete(parts: list[tuple[int, str]]) -> None:
    root = ElementTree.fromstring(xml.complete_upload([Part(number, etag, 5, "yZRlqg==") for number, etag in parts]))
    found = [tuple(element.findtext(f"{NAMESPACE}{name}") for name in ("PartNumber", "ETag", "ChecksumCRC32C")) for element in root]
    assert found == [(str(number), etag, "yZRlqg==") for number, etag in parts]


@given(st.binary(max_size=200))
def test_bytes_that_are_no_listing(body: bytes) -> None:
    with pytest.raises(ProtocolError):
        xml.parse_listing(memoryview(body))


@given(st.binary(max_size=200))
def test_bytes_that_explain_no_error(body: bytes) -> None:
    assert xml.parse_error(memoryview(body)) == (None, None)


@given(speakable)
def test_an_error_is_explained(message: str) -> None:
    document = f"<Error><Code>X</Code><Message>{escape(message, {chr(13): '&#13;'})}</Message></Error>"
    assert xml.parse_error(memoryview(document.encode())) == ("X", message)


def test_the_deepest_document_that_is_read_is_let_go_of_again() -> None:
    deep = b"<a>" * 200_000 + b"</a>" * 200_000
    with pytest.raises(ProtocolError, match="ListBucketResult was expected"):
        xml.parse_listing(memoryview(deep))


@pytest.mark.parametrize("encoding", ["UTF-9", "utf-7", "base64", "rot13", "cp037", "x" * 100])
def test_encodings_that_are_none(encoding: str) -> None:
    body = memoryview(f'<?xml version="1.0" encoding="{encoding}"?><ListBucketResult/>'.encode())
    with pytest.raises(ProtocolError):
        xml.parse_listing(body)


@pytest.mark.parametrize("size", ["", "-1", "+1", "1_0", "1.0", "\N{ARABIC-INDIC DIGIT ONE}", "9" * 20, "9" * 5000])
def test_sizes_that_are_none(size: str) -> None:
    body = f"<ListBucketResult><Contents><Key>k</Key><Size>{size}</Size></Contents></ListBucketResult>".encode()
    with pytest.raises(ProtocolError, match="where a number was expected"):
        xml.parse_listing(memoryview(body))


def test_a_time_without_a_zone_is_taken_as_utc() -> None:
    entry = b"<Contents><Key>k</Key><Size>1</Size><LastModified>0001-01-01T00:00:00</LastModified></Contents>"
    body = b"<ListBucketResult>" + entry + b"</ListBucketResult>"
    assert xml.parse_listing(memoryview(body))[0][0].last_modified == datetime(1, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize("understand", [xml.parse_listing, xml.parse_parts, xml.parse_uploads, xml.parse_buckets, xml.parse_delete_errors])
def test_another_document_than_the_one_that_was_asked_for(understand: Callable[[memoryview], Any]) -> None:
    """An error page that happens to be XML must not pass for "nothing is there" or "all were deleted"."""
    with pytest.raises(ProtocolError, match="was expected"):
        list(understand(memoryview(b"<html><body/></html>")))
