"""Deletions: what is refused before anything is asked for, and what goes in one request."""

from __future__ import annotations

import re
from typing import Any

import pytest

from headrace.errors import InvalidOption, InvalidURI, PermissionDenied
from headrace.http.messages import Request
from headrace.stores.store import Store
from headrace.testing.contract.stepping import Answer, Script
from headrace.transfer.deleting import delete, delete_all
from headrace.uri import URI, Location, parse


class Located:
    """As much of a session as a deletion needs."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def locate(self, uri: URI) -> tuple[Store, Location]:
        return self._store, parse(uri)

    def locate_object(self, uri: URI) -> tuple[Store, Location]:
        return self._store, parse(uri).require_object()


@pytest.fixture
def session(store: Store) -> Any:
    return Located(store)


class Deletable:
    """Answers listings of some keys, and deletions of all but some.

    Attributes:
        deleted: the keys of each request.
    """

    def __init__(self, keys: list[str], refused: tuple[str, ...] = ()) -> None:
        self._keys = keys
        self._refused = refused
        self.deleted: list[list[str]] = []

    def __call__(self, request: Request) -> Answer:
        if request.method == "GET":
            contents = "".join(f"<Contents><Key>{key}</Key><Size>1</Size></Contents>" for key in self._keys)
            return Answer(body=f"<ListBucketResult>{contents}</ListBucketResult>".encode())
        if request.method == "DELETE":
            self.deleted.append([request.target.removeprefix("/bucket/")])
            return Answer(status=204)
        document = b"".join(bytes(part) for part in request.body if isinstance(part, memoryview))
        self.deleted.append(re.findall("<Key>(.*?)</Key>", document.decode()))
        failures = "".join(f"<Error><Key>{key}</Key><Code>AccessDenied</Code></Error>" for key in self.deleted[-1] if key in self._refused)
        return Answer(body=f"<DeleteResult>{failures}</DeleteResult>".encode())


@pytest.mark.parametrize(
    ("uri", "recursive"),
    [
        ("s3://bucket", True),
        ("s3://bucket/", True),
        ("memory://bucket/", True),
        ("file:///", True),
        ("/", True),
        ("file:///", "bucket"),
        ("direct:///", "bucket"),
    ],
)
def test_everything_is_not_deleted_by_a_slip(session: Any, uri: str, recursive: Any) -> None:
    """Refused before anything is listed or deleted."""
    script = Script()
    with pytest.raises(InvalidOption):
        script.run(delete(session, uri, recursive, None))
    with pytest.raises(InvalidOption):
        script.run(delete(session, uri, recursive, "pattern"))
    with pytest.raises(InvalidURI):
        script.run(delete(session, uri, recursive=False, pattern=None))
    assert script.requests == []


def test_a_whole_bucket_when_that_is_said(session: Any) -> None:
    server = Deletable(["a", "b/c"])
    assert Script(server=server).run(delete(session, "s3://bucket", "bucket", None)) == 2
    assert server.deleted == [["a", "b/c"]]


def test_a_prefix_ends_at_a_slash(session: Any) -> None:
    script = Script(server=Deletable([]))
    script.run(delete(session, "s3://bucket/a/b", recursive=True, pattern=None))
    assert "prefix=a%2Fb%2F" in script.requests[0].target


def test_one_object_is_one_request(session: Any) -> None:
    server = Deletable([])
    assert Script(server=server).run(delete(session, "s3://bucket/a/b", recursive=False, pattern=None)) == 1
    assert server.deleted == [["a/b"]]


def test_many_go_a_thousand_at_a_time(session: Any) -> None:
    server = Deletable([])
    assert Script(server=server).run(delete_all(session, (f"s3://bucket/{number}" for number in range(2500)))) == 2500
    assert sorted(len(keys) for keys in server.deleted) == [500, 1000, 1000]
    assert sorted(int(key) for keys in server.deleted for key in keys) == list(range(2500))


def test_a_failure_names_its_object(session: Any) -> None:
    server = Deletable([], refused=("2",))
    with pytest.raises(PermissionDenied) as caught:
        Script(server=server).run(delete_all(session, [f"s3://bucket/{number}" for number in range(3)]))
    assert (caught.value.uri, caught.value.code) == ("s3://bucket/2", "AccessDenied")


def test_what_a_pattern_does_not_select_is_not_sent(session: Any) -> None:
    server = Deletable(["p/a1", "p/b", "p/a2"])
    assert Script(server=server).run(delete(session, "s3://bucket/p", recursive=True, pattern="^a")) == 2
    assert server.deleted == [["p/a1", "p/a2"]]
