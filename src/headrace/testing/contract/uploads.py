"""Writes in parts, as the backend's protocol has them: what is visible, and when."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from headrace.backends.protocol import Part, Upload, WriteOptions
from headrace.client import Client
from headrace.errors import HeadraceError, NotFound
from headrace.stores.store import Store
from headrace.testing.contract.case import PART_SIZE, ContractCase, names_of, needs, payload
from headrace.transfer.session import Session
from headrace.uri import Location

__all__ = ["UploadContract"]

_OPTIONS = WriteOptions()


class Writing(NamedTuple):
    """An object that is written in parts, by hand."""

    session: Session
    store: Store
    location: Location
    upload: Upload

    def part(self, number: int, data: bytes) -> Part:
        """Write a part; all before the last have the smallest size."""
        operation = self.store.put_part(self.upload, number, (number - 1) * PART_SIZE, [memoryview(data)])
        return self.session.run(operation)

    def complete(self, *parts: Part) -> None:
        """Publish these parts."""
        self.session.run(self.store.complete_upload(self.upload, parts, _OPTIONS))

    def abort(self) -> None:
        """Give up."""
        self.session.run(self.store.abort_upload(self.upload))


class UploadContract(ContractCase):
    """``start_upload``, ``put_part``, ``complete_upload``, ``abort_upload``, ``list_parts``, ``list_uploads``."""

    @pytest.fixture
    def writing(self, session: Session, base: str) -> Writing:
        """A write that has begun, of the object ``object``."""
        store, location = session.locate_object(f"{base}object")
        return Writing(session, store, location, session.run(store.start_upload(location, _OPTIONS)))

    def test_upload_parts_in_any_order(self, writing: Writing, blocking_client: Client, base: str) -> None:
        last = writing.part(3, payload(100))
        first = writing.part(1, payload(PART_SIZE, 1))
        second = writing.part(2, payload(PART_SIZE, 2))
        assert names_of(blocking_client.list(base), base) == []
        writing.complete(first, second, last)
        assert blocking_client.get(f"{base}object") == payload(PART_SIZE, 1) + payload(PART_SIZE, 2) + payload(100)

    def test_upload_a_part_written_again_replaces_the_first(self, writing: Writing, blocking_client: Client, base: str) -> None:
        writing.part(1, payload(PART_SIZE, 1))
        part = writing.part(1, payload(PART_SIZE, 2))
        writing.complete(part)
        assert blocking_client.get(f"{base}object") == payload(PART_SIZE, 2)

    def test_upload_the_parts_that_are_there(self, writing: Writing) -> None:
        written = [writing.part(number, payload(size)) for number, size in [(1, PART_SIZE), (2, 10)]]
        listed = writing.session.run(writing.store.list_parts(writing.upload))
        assert [(part.number, part.etag.strip('"'), part.size) for part in listed] == [
            (part.number, part.etag.strip('"'), part.size) for part in written
        ]
        writing.abort()

    def test_upload_given_up(self, writing: Writing, blocking_client: Client, base: str) -> None:
        writing.part(1, payload(PART_SIZE))
        writing.abort()
        writing.abort()
        assert names_of(blocking_client.list(base), base) == []

    @needs("aborted_is_not_found")
    def test_upload_given_up_cannot_go_on(self, writing: Writing) -> None:
        part = writing.part(1, payload(PART_SIZE))
        writing.abort()
        with pytest.raises(NotFound):
            writing.part(2, b"more")
        with pytest.raises(NotFound):
            writing.complete(part)

    @needs("list_uploads")
    def test_upload_unfinished_uploads_are_listed(self, writing: Writing, base: str) -> None:
        def listed(prefix: str) -> list[Upload]:
            return [info.upload for info in writing.session.run(writing.store.list_uploads(writing.session.locate(prefix)[1]))]

        part = writing.part(1, payload(PART_SIZE))
        assert listed(base) == listed(f"{base}obj") == [writing.upload]
        assert listed(f"{base}other") == []
        writing.complete(part)
        assert listed(base) == []

    @needs("parts_are_checked")
    def test_upload_a_part_that_was_never_written(self, writing: Writing, blocking_client: Client, base: str) -> None:
        part = writing.part(1, payload(PART_SIZE))
        with pytest.raises(HeadraceError):
            writing.complete(part, part._replace(number=2, etag='"0123456789abcdef0123456789abcdef"'))
        writing.abort()
        assert names_of(blocking_client.list(base), base) == []
