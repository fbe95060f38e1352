"""Writes in parts: what is composed of what, and that no part outlives its upload, on fake-gcs-server and by script."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

import pytest

from headrace import Client, aio
from headrace.backends.gcs import GcsBackend
from headrace.backends.gcs.composing import HIDDEN
from headrace.backends.protocol import Part, Upload, WriteOptions
from headrace.errors import AlreadyExists, HeadraceError, NotFound, PermissionDenied, PreconditionFailed, ServiceError
from headrace.http.messages import Request
from headrace.stores.retry import RetryPolicy
from headrace.stores.store import Store
from headrace.testing.contract.stepping import Answer, Script
from headrace.testing.faults import FaultProxy, Rule, Stall, Status
from headrace.transfer.session import Session
from headrace.transfer.writing import WritePlan, store_body
from headrace.uri import Location
from tests.backends.gcs.conftest import batch_reply, document, refusal, stored

PLACE = Location("gs", "bucket", "key")
UPLOAD = Upload(PLACE, "0123456789abcdef" * 2)
FOLDER = f"{HIDDEN}{UPLOAD.id}/"
PLAIN = WriteOptions()
DATA = bytes(range(256)) * (45 << 10)
"""Three parts."""


@pytest.fixture
def base(options: dict[str, Any], bucket: str, proxy: FaultProxy) -> Iterator[str]:
    """The URI of a bucket, in which nothing may be at the end that is not known to belong to an upload.

    A part that was on its way when its connection was broken may have arrived after the clean-up.
    """
    with Client(**options) as client:
        client.create_container(f"gs://{bucket}")
        yield f"gs://{bucket}/"
        proxy.inject()
        session = Session(options)
        store, location = session.locate(f"gs://{bucket}/")
        for info in session.run(store.list_uploads(location)):
            assert info.upload.location.key == "object"
            session.run(store.abort_upload(info.upload))
        session.close()
        assert list(client.list(f"gs://{bucket}/{HIDDEN}")) == []
        client.delete(f"gs://{bucket}", recursive="bucket")
        client.delete_container(f"gs://{bucket}")


@pytest.mark.parametrize("count", [1, 32, 33, 70])
def test_any_number_of_parts_in_their_order(options: dict[str, Any], base: str, count: int) -> None:
    session = Session(options)
    store, location = session.locate_object(f"{base}object")
    described = WriteOptions(content_type="text/x", metadata={"a": "ä"})
    upload = session.run(store.start_upload(location, described))
    parts = [session.run(store.put_part(upload, number, 0, [memoryview(f"{number},".encode())])) for number in range(count, 0, -1)]
    info = session.run(store.complete_upload(upload, parts[::-1], described))
    with Client(**options) as client:
        assert client.read_text(f"{base}object") == "".join(f"{number}," for number in range(1, count + 1))
        assert (info.content_type, info.metadata) == ("text/x", {"a": "ä"})
        assert client.stat(f"{base}object") == info
    session.close()


def test_many_parts_are_composed_in_levels(backend: GcsBackend) -> None:
    composed: dict[str, list[str]] = {}

    def server(request: Request) -> Answer:
        if request.target.partition("?")[0].endswith("/compose"):
            sources = json.loads(bytes(request.body[0]))["sourceObjects"]  # type: ignore[arg-type]
            name = request.target.split("/")[6].replace("%2F", "/")
            composed[name] = [source["name"] for source in sources]
            assert all(source["generation"] for source in sources)
            return stored(size=len(_leaves(composed, name)))
        return document({})

    parts = [Part(number, '"5"', 1) for number in range(1, 2001)]
    Script(server=server).run(backend.complete_upload(UPLOAD, parts, PLAIN))
    assert max(len(sources) for sources in composed.values()) == 32
    assert _leaves(composed, "key") == [f"{FOLDER}{part.number:05}" for part in parts]
    # 2000 make 63, those make 2, and those the object.
    assert len(composed) == 63 + 2 + 1


def _leaves(composed: dict[str, list[str]], name: str) -> list[str]:
    return [leaf for source in composed[name] for leaf in (_leaves(composed, source) if source in composed else [source])]


@pytest.mark.parametrize(
    ("options", "answer", "kind"),
    [
        (WriteOptions(create_only=True), refusal(412, "conditionNotMet"), AlreadyExists),
        (WriteOptions(if_match='"7"'), refusal(412, "conditionNotMet"), PreconditionFailed),
        (WriteOptions(if_match='"7"'), refusal(404, "notFound", "Object .headrace-parts/x not found."), NotFound),
        (PLAIN, refusal(404, "notFound", "Object .headrace-parts/x not found."), NotFound),
    ],
)
def test_compositions_that_fail(backend: GcsBackend, options: WriteOptions, answer: Answer, kind: type[HeadraceError]) -> None:
    script = Script(answer)
    with pytest.raises(kind) as caught:
        script.run(backend.complete_upload(UPLOAD, [Part(1, '"5"', 1)], options))
    assert type(caught.value) is kind
    assert json.loads(bytes(script.requests[0].body[0]))["sourceObjects"] == [  # type: ignore[arg-type]
        {"name": f"{FOLDER}00001", "generation": "5"}
    ]


def test_a_part_that_was_never_written(backend: GcsBackend) -> None:
    with pytest.raises(ServiceError, match="part 1"):
        Script().run(backend.complete_upload(UPLOAD, [Part(1, '"an MD5"', 1)], PLAIN))


def test_all_parts_have_the_storage_class_of_the_object(backend: GcsBackend) -> None:
    """A composite has the class of its sources, and may not be given one."""
    options = WriteOptions(storage_class="NEARLINE")
    script = Script(server=lambda _: stored(size=0))
    upload = script.run(backend.start_upload(PLACE, options))
    part = script.run(backend.put_part(upload, 1, 0, [memoryview(b"")]))
    assert b'"storageClass": "NEARLINE"' in bytes(script.requests[-1].body[0])  # type: ignore[arg-type]
    script.run(backend.complete_upload(upload, [part], options))
    composed = next(request for request in script.requests if "/compose" in request.target)
    assert json.loads(bytes(composed.body[0]))["destination"] == {"contentType": "application/octet-stream"}  # type: ignore[arg-type]


def test_parts_that_stay_are_told_of_and_do_no_harm(backend: GcsBackend, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        info = Script(stored(size=1), refusal(403, "forbidden")).run(backend.complete_upload(UPLOAD, [Part(1, '"5"', 1)], PLAIN))
    assert info.uri == "gs://bucket/key"
    assert FOLDER in caplog.text


def test_older_versions_of_parts_are_deleted_too(backend: GcsBackend) -> None:
    listed = {"items": [{"name": f"{FOLDER}00001", "size": "1", "generation": generation} for generation in ("5", "6")]}
    script = Script(document(listed), Answer(status=418))
    with pytest.raises(ServiceError):
        script.run(backend.abort_upload(UPLOAD))
    assert "versions=true" in script.requests[0].target
    sent = bytes(script.requests[1].body[0])  # type: ignore[arg-type]
    assert [f"?generation={generation} HTTP".encode() in sent for generation in (5, 6)] == [True, True]


@pytest.mark.parametrize("identity", ["", "..", "0123", f"{UPLOAD.id}/", f"{UPLOAD.id}-near/line"])
def test_an_upload_that_cannot_be_one(backend: GcsBackend, identity: str) -> None:
    """Its name is a part of the names of what is deleted."""
    upload = Upload(PLACE, identity)
    with pytest.raises(NotFound):
        Script().run(backend.put_part(upload, 1, 0, [memoryview(b"x")]))
    assert Script().run(backend.abort_upload(upload)) is None


def test_what_is_deleted_is_below_the_upload(backend: GcsBackend) -> None:
    """Whatever a service lists."""
    script = Script(document({"items": [{"name": "precious", "size": "1", "generation": "5"}]}))
    script.run(backend.abort_upload(UPLOAD))
    assert script.finished
    assert len(script.requests) == 1


class Storage:
    """Objects by name, with a service's answers to what is done with them, but for requests in whose target ``refused`` is."""

    def __init__(self, refused: str, late: bool) -> None:  # noqa: FBT001
        self.objects: set[str] = set()
        self._refused = refused
        self._late = ["00009"] if late else []

    def answer(self, request: Request) -> Answer:
        path, _, query = unquote(request.target).partition("?")
        if self._refused in unquote(request.target):
            return refusal(403, "forbidden")
        if "uploadType" in query:
            self.objects.add(query.partition("name=")[2].partition("&")[0])
            return stored(size=1 << 20)
        if path.endswith("/batch/storage/v1"):
            return self._delete(bytes(request.body[0]).decode(), request)  # type: ignore[arg-type]
        items = [{"name": name, "size": "1", "generation": "7"} for name in sorted(self.objects)]
        return document({"items": items})

    def _delete(self, text: str, request: Request) -> Answer:
        targets = re.findall("DELETE (.*) HTTP", text)
        for target in targets:
            self.objects.remove(unquote(target).partition("/o/")[2].partition("?")[0])
        folder = f"{HIDDEN}{unquote(targets[0]).split('/')[7]}/"
        self.objects |= {f"{folder}{self._late.pop()}"} if self._late else set()
        return batch_reply(*((number, 204, "") for number in range(len(targets))))


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("refused", ["/upload&", "/00001&", "/00002&", "/compose"])
def test_a_failure_leaves_nothing(backend: GcsBackend, refused: str, late: bool) -> None:  # noqa: FBT001
    """Not even a part that arrives after the parts were deleted."""
    storage, store = Storage(refused, late), Store(backend, RetryPolicy(max_attempts=1))
    script = Script(server=storage.answer)
    with pytest.raises(PermissionDenied):
        script.run(store_body(store, PLACE, memoryview(bytes(2 << 20)), PLAIN, WritePlan(threshold=1, part_size=1 << 20, at_once=8)))
    assert storage.objects == set()
    assert len(script.pauses) == (0 if refused == "/upload&" else 2 if late else 1)


FAILURES = {
    "the beginning": Rule(fault=Status(status=403), target="%2Fupload&", method="POST"),
    "a part": Rule(fault=Status(status=403), target="00002&"),
    "the composition": Rule(fault=Status(status=403), target="/compose"),
}


@pytest.mark.parametrize("failure", FAILURES)
def test_a_failure_on_the_way_leaves_no_object(options: dict[str, Any], base: str, proxy: FaultProxy, failure: str) -> None:
    with Client(**options) as client:
        proxy.inject(FAILURES[failure])
        with pytest.raises(PermissionDenied):
            client.put(f"{base}object", DATA)
        assert not client.exists(f"{base}object")


def test_a_cancelled_task_leaves_no_object(options: dict[str, Any], base: str, proxy: FaultProxy) -> None:
    """Cancelled when one part is written and another is on its way."""

    async def run() -> None:
        async with aio.Client(**options) as client:
            proxy.inject(Rule(fault=Stall(), target="00003&"))
            task = asyncio.create_task(client.put(f"{base}object", DATA))
            while not any("00001" in passage.target and passage.status == 200 for passage in proxy.passages("uploadType")):
                await asyncio.sleep(0.01)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert not await client.exists(f"{base}object")

    asyncio.run(run())


def test_a_bucket_with_nothing_but_unfinished_uploads_can_be_deleted(options: dict[str, Any], bucket: str) -> None:
    session = Session(options)
    with Client(**options) as client:
        client.create_container(f"gs://{bucket}")
        store, location = session.locate_object(f"gs://{bucket}/object")
        upload = session.run(store.start_upload(location, PLAIN))
        session.run(store.put_part(upload, 1, 0, [memoryview(b"data")]))
        assert list(client.list(f"gs://{bucket}/")) == []
        client.delete_container(f"gs://{bucket}")
        with pytest.raises(NotFound):
            list(client.list(f"gs://{bucket}/"))
    session.close()


def test_a_session_on_the_server(options: dict[str, Any], base: str) -> None:
    """A large write of one piece, which the server takes in a session."""
    with Client(**{**options, "multipart_threshold": "64MiB"}) as client:
        data = bytes(17 << 20)
        info = client.put(f"{base}object", data, content_type="text/x", metadata={"a": "b"})
        assert (info.size, info.content_type, info.metadata) == (17 << 20, "text/x", {"a": "b"})
        assert client.get(f"{base}object") == data


def test_the_parts_of_an_upload_that_is_unknown(backend: GcsBackend) -> None:
    with pytest.raises(NotFound) as caught:
        Script(document({})).run(backend.list_parts(UPLOAD))
    assert caught.value.code == "NoSuchUpload"
