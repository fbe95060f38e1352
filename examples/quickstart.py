"""The verbs on objects in memory and in files; ``s3://bucket/key`` works just so."""

from __future__ import annotations

import tempfile

import headrace

with tempfile.TemporaryDirectory() as directory:
    for place in ("memory://quickstart", f"file://{directory}"):
        headrace.put(f"{place}/hello", b"hello, world")
        print(headrace.read_text(f"{place}/hello"))

        view = headrace.get(f"{place}/hello", start=7)  # a writable memoryview of the only copy
        view[:] = b"there"
        print(bytes(view).decode())

        for item in headrace.put_many((f"{place}/many/{number}", bytes([number])) for number in range(3)):
            assert item.info is not None
        for item in headrace.get_many([entry.uri for entry in headrace.list(f"{place}/many/")], ordered=True):
            print(item.uri, item.data.tolist() if item.data else item.error)
        print(headrace.delete(f"{place}/many", recursive=True), "deleted")
