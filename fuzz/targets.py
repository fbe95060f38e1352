"""What is fuzzed: each target takes any bytes, and fails (by any exception) if headrace gets them wrong.

An input is whatever the fuzzer likes; where a target needs more than one value, the first bytes choose them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from itertools import islice

import h11

from fuzz.oracle import agree, feed, fresh_memory, outcome
from headrace.backends.s3 import xml
from headrace.backends.s3.replies import error_from, object_info
from headrace.backends.service.reading import content_range
from headrace.config.kinds import HIDDEN, Endpoint, Endpoints
from headrace.config.options import SPECS
from headrace.errors import HeadraceError, InvalidURI, ProtocolError
from headrace.http.codec import Reply
from headrace.uri import Location, expand, parse

__all__ = ["TARGETS"]

_METHODS = ("GET", "HEAD", "PUT", "DELETE", "CONNECT", "POST", "GET", "GET")
_SPACED_EXTENSION = re.compile(rb"[ \t]+;")


def replies(data: bytes) -> None:
    """The reply codec: split anywhere it reads the same, and what it accepts h11 reads in the same way.

    The first byte chooses the method and whether the body is placed, the second how many sizes of pieces follow.
    """
    if len(data) < 2:
        return
    method = _METHODS[data[0] & 7]
    place = fresh_memory if data[0] & 8 else None
    count = data[1] % 8
    pieces, wire = [max(1, size) for size in data[2 : 2 + count]], data[2 + count :]
    at_once = outcome(wire, method=method, place=place)
    assert outcome(wire, method=method, place=place, pieces=pieces) == at_once
    if isinstance(at_once, str):
        return
    fed = feed(wire, method=method, place=place, pieces=pieces)
    _understand(fed.reply)
    try:
        agree(fed, wire, method)
    except h11.RemoteProtocolError:
        # RFC 9112, section 7.1.1, allows white space before a chunk extension; h11 does not.
        assert _SPACED_EXTENSION.search(wire)


def _understand(reply: Reply) -> None:
    """What S3 makes of a reply: a value, or one of headrace's errors."""
    try:
        first, count, size = content_range(reply)
        assert 0 <= first <= first + count <= size
        object_info("s3://bucket/key", reply.headers, size)
    except ProtocolError:
        pass
    assert isinstance(error_from(reply), HeadraceError)
    str(error_from(reply))


_DOCUMENTS: tuple[Callable[[memoryview], object], ...] = (
    xml.parse_listing,
    xml.parse_parts,
    xml.parse_uploads,
    lambda body: list(xml.parse_buckets(body)),
    lambda body: list(xml.parse_delete_errors(body)),
)


def documents(data: bytes) -> None:
    """The XML of S3: every document is understood, or refused with `ProtocolError`."""
    body = memoryview(data)
    for understand in _DOCUMENTS:
        try:
            understand(body)
        except ProtocolError:
            continue
    xml.parse_error(body)
    try:
        objects, _prefixes, _token = xml.parse_listing(body)
    except ProtocolError:
        return
    for listed in objects:
        assert listed.size >= 0
        assert listed.last_modified is None or listed.last_modified.tzinfo is not None


def uris(data: bytes) -> None:
    """URIs and templates: parsed or refused, and what is parsed has one spelling that means the same."""
    text = data.decode("utf-8", "surrogateescape")
    for uri in [text, *islice(expand(text), 20)]:
        _parse_twice(uri)


def _parse_twice(uri: str) -> None:
    try:
        location = parse(uri)
    except InvalidURI as error:
        str(error)
        return
    assert isinstance(location, Location)
    if location.scheme != "file" or "://" in uri:
        assert parse(location.uri) == location


def options(data: bytes) -> None:
    """Options as text: read or refused with `ValueError`, and what is read stays the same and can be shown.

    The first byte chooses the option. What is said of a value never shows a password.
    """
    if not data or b"\0" in data:
        return
    names = sorted(SPECS.keys() - {"credentials"})
    kind = SPECS[names[data[0] % len(names)]].kind
    text = data[1:].decode("utf-8", "surrogateescape")
    try:
        value = kind.read(text, text=True)
    except ValueError as error:
        shown = str(error)
    else:
        assert value is None or kind.read(value) == value
        shown = kind.show(value)
    if isinstance(kind, Endpoint | Endpoints):
        _assert_no_password(text, shown)


def _assert_no_password(text: str, shown: str) -> None:
    match = re.match(r"https?://[^/@\s]*:([^/@\s]{8,})@[a-z]+/?$", text)
    if match is not None:
        assert match[1] not in shown.replace(HIDDEN, "")


TARGETS: Mapping[str, Callable[[bytes], None]] = {target.__name__: target for target in (replies, documents, uris, options)}
"""Every target by its name."""
