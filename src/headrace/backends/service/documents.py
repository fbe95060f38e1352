"""XML documents of replies; the parser is loaded when the first one comes."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from headrace.errors import ProtocolError

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

__all__ = ["document", "moment", "number", "parse", "text_of"]

# A page of a listing has 1,000 entries of at most 1,024 bytes and a dozen elements each. What is far beyond that would take up to
# a hundred times its size in memory.
_LONGEST_DOCUMENT = 16 << 20
_MOST_MARKUP = 500_000


def parse(body: memoryview) -> Element:
    """The root element, all namespaces removed: servers differ in whether they send one.

    Raises:
        ProtocolError: the body is not well-formed XML, or has what no service's reply has: a document type, which could define entities,
            or more elements than a page of a listing.
    """
    from xml.etree import ElementTree

    document = _plausible(body)
    try:
        root = ElementTree.fromstring(document)
    except (ElementTree.ParseError, LookupError, ValueError) as error:
        # The latter two for the name of an encoding.
        raise ProtocolError(f"the reply is not well-formed XML: {error}") from None
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
    return root


def _plausible(body: memoryview) -> bytes:
    if len(body) > _LONGEST_DOCUMENT:
        raise ProtocolError(f"an XML reply of {len(body)} bytes, where at most {_LONGEST_DOCUMENT} make sense")
    document = bytes(body)
    if document.count(b"<") > _MOST_MARKUP:
        raise ProtocolError("an XML reply with more elements than make sense")
    # In UTF-16, which has NUL in its markup, this would be spelled otherwise.
    if b"<!DOCTYPE" in document or b"\0" in document:
        raise ProtocolError("an XML reply with a document type, or not in UTF-8")
    return document


def document(body: memoryview, name: str) -> Element:
    """The root element, which must have this name; see `parse`."""
    root = parse(body)
    if root.tag != name:
        raise ProtocolError(f"a {root.tag[:80]!r} document where {name} was expected")
    return root


def text_of(element: Element, path: str) -> str:
    """The text of a child, or an empty string."""
    return element.findtext(path) or ""


def number(text: str) -> int:
    """A count of bytes, or a place in an order.

    Raises:
        ProtocolError: it is not one.
    """
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        raise ProtocolError(f"{text[:40]!r} where a number was expected")
    return int(text)


def moment(text: str) -> datetime | None:
    """A time in the form of ISO 8601, in UTC unless it says otherwise; None for what is not one."""
    try:
        parsed = datetime.fromisoformat(text) if text else None
    except ValueError:
        return None
    return parsed.replace(tzinfo=UTC) if parsed and parsed.tzinfo is None else parsed
