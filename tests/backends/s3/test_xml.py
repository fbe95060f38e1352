"""The XML of S3: every key can be spelt, and nothing that is damaged passes."""

from __future__ import annotations

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


def test_entities_do_not_explode() -> None:
    """The parser of Python 3.11 and newer bounds what entities may grow to."""
    levels = "".join(f'<!ENTITY e{level} "{f"&e{level - 1};" * 100}">' for level in range(1, 8))
    bomb = f'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY e0 "{"x" * 100}">{levels}]><Error><Code>&e7;</Code></Error>'.encode()
    assert xml.parse_error(memoryview(bomb)) == (None, None)
    with pytest.raises(ProtocolError):
        xml.parse(memoryview(bomb))
