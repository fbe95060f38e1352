"""The XML of Azure's requests and replies."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import unquote

from headrace.auth.azure_signing import DelegationKey
from headrace.backends.service.documents import document, number, parse, text_of
from headrace.backends.service.replies import parse_http_date
from headrace.errors import ProtocolError
from headrace.http.messages import Secret

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

__all__ = [
    "Block",
    "Explanation",
    "ListedBlob",
    "block_list",
    "key_info",
    "parse_blocks",
    "parse_containers",
    "parse_delegation_key",
    "parse_error",
    "parse_listing",
]


class Explanation(NamedTuple):
    """What the document of a failure says; ``detail`` may hold a signature."""

    code: str | None
    message: str
    detail: str


def parse_error(body: memoryview) -> Explanation:
    """What an ``Error`` document says; nothing if the body is none."""
    start = bytes(body[:512])
    if b"<Error" in start:
        try:
            root = parse(body)
        except ProtocolError:
            root = None
        if root is not None and root.tag == "Error":
            # The lines that follow the first repeat the id and the time of the request.
            message = text_of(root, "Message").partition("\n")[0]
            return Explanation(root.findtext("Code"), message, text_of(root, "AuthenticationErrorDetail"))
    return Explanation(None, "", "")


class ListedBlob(NamedTuple):
    """One ``Blob`` of a listing.

    Attributes:
        etag: with its quotes, as the headers of a reply have it; None where only uncommitted blocks are there.
    """

    key: str
    size: int
    etag: str | None
    last_modified: datetime | None
    storage_class: str | None


def parse_listing(body: memoryview) -> tuple[list[ListedBlob], list[str], str | None]:
    """Blobs, prefixes and the next marker of a List Blobs reply. The directories of a hierarchical namespace are left out."""
    root = document(body, "EnumerationResults")
    blobs = [_listed(element) for element in root.iterfind("Blobs/Blob") if element.findtext("Properties/ResourceType") != "directory"]
    prefixes = [_name(element) for element in root.iterfind("Blobs/BlobPrefix")]
    return blobs, prefixes, text_of(root, "NextMarker") or None


def _listed(element: Element) -> ListedBlob:
    properties = element.find("Properties")
    if properties is None:
        raise ProtocolError("a listing of blobs with one that has no properties")
    etag = text_of(properties, "Etag")
    return ListedBlob(
        _name(element),
        number(text_of(properties, "Content-Length") or "0"),
        (etag if etag.endswith('"') else f'"{etag}"') if etag else None,
        parse_http_date(text_of(properties, "Last-Modified")),
        properties.findtext("AccessTier"),
    )


def _name(element: Element) -> str:
    found = element.find("Name")
    text = (found.text or "") if found is not None else ""
    # What XML cannot spell comes percent-encoded.
    return unquote(text, errors="surrogateescape") if found is not None and found.get("Encoded") == "true" else text


def parse_containers(body: memoryview) -> tuple[list[str], str | None]:
    """The names of a List Containers reply, and the next marker."""
    root = document(body, "EnumerationResults")
    return [text_of(element, "Name") for element in root.iterfind("Containers/Container")], text_of(root, "NextMarker") or None


class Block(NamedTuple):
    """A block that waits to become part of a blob; ``id`` is as it was sent, in base64."""

    id: str
    size: int


def parse_blocks(body: memoryview) -> Iterator[Block]:
    """The uncommitted blocks of a Get Block List reply."""
    for element in document(body, "BlockList").iterfind("UncommittedBlocks/Block"):
        yield Block(text_of(element, "Name"), number(text_of(element, "Size")))


def block_list(ids: Iterable[str]) -> bytes:
    """The document that Put Block List takes. The latest block of an id may be a committed one, so that it can be sent again."""
    entries = "".join(f"<Latest>{identity}</Latest>" for identity in ids)
    return f'<?xml version="1.0" encoding="utf-8"?><BlockList>{entries}</BlockList>'.encode()


def key_info(start: str, expires: str) -> bytes:
    """The document that Get User Delegation Key takes; see `headrace.auth.azure_signing.utc`."""
    return f'<?xml version="1.0" encoding="utf-8"?><KeyInfo><Start>{start}</Start><Expiry>{expires}</Expiry></KeyInfo>'.encode()


def parse_delegation_key(body: memoryview) -> DelegationKey:
    """The key of a Get User Delegation Key reply."""
    root = document(body, "UserDelegationKey")
    names = ("SignedOid", "SignedTid", "SignedStart", "SignedExpiry", "SignedService", "SignedVersion")
    return DelegationKey(tuple(text_of(root, name) for name in names), Secret(text_of(root, "Value")))
