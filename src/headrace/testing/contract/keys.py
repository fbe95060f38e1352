"""Keys are taken literally: what is written under a name is found under it, and only there."""

from __future__ import annotations

import pytest

from headrace.client import Client
from headrace.models import ObjectInfo
from headrace.testing.contract.case import ContractCase, names_of, needs

__all__ = ["KeyContract"]

_PRINTABLE = [chr(code) for code in range(0x20, 0x7F) if chr(code) not in "/\\"]

_ODD = [
    "%41",
    "%2F%25%",
    "a+b",
    " leading and trailing ",
    "trailing dots...",
    ".hidden",
    "...",
    "a&b<c>\"d'e",
    "q?version=1&x#fragment",
    "{000..003}",
    "*[a-z]?",
    "~user",
    "C:drive",
    "e\u0301 is not \u00e9",
    "\u65e5\u672c\u8a9e",
    "\U0001f986",
    "no\u00a0break\u200bspace",
    "-rf",
    "tab\tinside",
]


class KeyContract(ContractCase):
    """Names that are easily damaged on the way."""

    def test_key_every_printable_character(self, client: Client, base: str) -> None:
        names = sorted(f"{character}-{character}" for character in _PRINTABLE)
        assert sum(item.error is None for item in client.put_many((f"{base}{name}", name.encode()) for name in names)) == len(names)
        assert names_of(client.list(base), base) == names
        for item in client.get_many(f"{base}{name}" for name in names):
            assert bytes(item.data or b"") == names[item.index].encode()
        assert client.delete_many(f"{base}{name}" for name in names) == len(names)
        assert list(client.list(base)) == []

    @pytest.mark.parametrize("name", [*_ODD, "".join(_PRINTABLE)], ids=ascii)
    def test_key_an_odd_name(self, client: Client, base: str, name: str) -> None:
        check_round_trip(client, base, name)

    def test_key_names_that_decoding_would_mix_up(self, client: Client, base: str) -> None:
        names = ["%20", "%2520", "+", " ", "A", "%41"]
        for name in names:
            client.put(f"{base}{name}", name.encode())
        assert [client.read_bytes(f"{base}{name}") for name in names] == [name.encode() for name in names]
        assert names_of(client.list(base), base) == sorted(names)

    @needs("backslash")
    def test_key_a_backslash(self, client: Client, base: str) -> None:
        check_round_trip(client, base, "back\\slash")

    @needs("literal_segments")
    @pytest.mark.parametrize("name", ["a//b", "/leading"])
    def test_key_empty_segments(self, client: Client, base: str, name: str) -> None:
        check_round_trip(client, f"{base}deep/", name)

    @needs("dot_segments")
    @pytest.mark.parametrize("name", ["a/./b", "a/../b", "../up", "./here"])
    def test_key_dot_segments(self, client: Client, base: str, name: str) -> None:
        check_round_trip(client, f"{base}deep/", name)

    @needs("trailing_slash")
    def test_key_a_name_that_ends_with_a_slash(self, client: Client, base: str) -> None:
        check_round_trip(client, base, "folder/")

    @needs("key_beside_prefix")
    def test_key_an_object_beside_a_folder_of_its_name(self, client: Client, base: str) -> None:
        for name in ("a", "a/b", "a/b/c"):
            client.put(f"{base}{name}", name.encode())
        assert [client.read_bytes(f"{base}{name}") for name in ("a", "a/b", "a/b/c")] == [b"a", b"a/b", b"a/b/c"]
        assert names_of(client.list(base), base) == ["a", "a/b", "a/b/c"]
        assert names_of(client.list(base, recursive=False), base) == ["a", "a/"]

    def test_key_a_thousand_bytes_in_segments(self, client: Client, base: str) -> None:
        length = 1000 - len(base.encode())
        check_round_trip(client, base, ("segment-of-the-name/" * 50)[:length].rstrip("/"), suffix="")

    @needs("long_names")
    def test_key_a_segment_of_many_hundred_bytes(self, client: Client, base: str) -> None:
        check_round_trip(client, base, "n" * (1000 - len(base.encode())), suffix="")


def check_round_trip(client: Client, base: str, name: str, *, suffix: str = "~") -> None:
    """Write, describe, read, list, copy and delete under a name."""
    uri, data = f"{base}{name}", name.encode()
    assert client.put(uri, data).uri == uri
    info = client.stat(uri)
    assert (info.uri, info.size) == (uri, len(data))
    assert client.read_bytes(uri) == data
    listed = [entry for entry in client.list(base) if isinstance(entry, ObjectInfo)]
    assert [(entry.uri, entry.size) for entry in listed] == [(uri, len(data))]
    assert [entry.uri for entry in client.list(uri)] == [uri]
    copy = f"{base}copy of {name}{suffix}" if suffix else f"{base}copy"
    client.copy(uri, copy)
    assert client.read_bytes(copy) == data
    client.delete(uri)
    assert [entry.uri for entry in client.list(base)] == [copy]
