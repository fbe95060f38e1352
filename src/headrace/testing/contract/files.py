"""Objects as files: reads at any place, writes that become visible whole or not at all."""

from __future__ import annotations

import gc
import io
import pickle
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.client import Client
from headrace.errors import AlreadyExists, InvalidOption, NotFound
from headrace.testing.contract.case import PART_SIZE, TWO_PARTS, ContractCase, names_of, needs, payload
from headrace.transfer.session import Session

__all__ = ["FileContract"]

_LINES = b"first\nsecond, longer\n\nlast without an end"
_SIZE = 300_000
_BLOCK = 10_000


class FileContract(ContractCase):
    """``open``."""

    @pytest.mark.parametrize("size", [0, 1, _BLOCK, _SIZE])
    def test_file_reading_all(self, client: Client, base: str, size: int) -> None:
        client.put(f"{base}object", payload(size))
        with client.open(f"{base}object", block_size=_BLOCK) as file:
            assert file.read() == payload(size)
            assert file.read() == file.read(10) == b""

    @pytest.mark.parametrize("step", [1_000, _BLOCK, 33_333, 200_000])
    def test_file_reading_in_steps(self, client: Client, base: str, step: int) -> None:
        client.put(f"{base}object", payload(_SIZE))
        with client.open(f"{base}object", block_size=_BLOCK) as file:
            pieces = list(iter(lambda: file.read(step), b""))
        assert b"".join(pieces) == payload(_SIZE)
        assert {len(piece) for piece in pieces[:-1]} == {step}

    def test_file_a_read_past_the_large_threshold(self, client: Client, base: str) -> None:
        client.put(f"{base}object", payload(3_500_000))
        with client.open(f"{base}object", block_size=_BLOCK) as file:
            file.seek(17)
            assert file.read(3_000_000) == payload(3_500_000)[17:3_000_017]
            assert file.read() == payload(3_500_000)[3_000_017:]

    def test_file_moving_about(self, client: Client, base: str) -> None:
        client.put(f"{base}object", payload(_SIZE))
        with client.open(f"{base}object", block_size=_BLOCK) as file:
            assert (file.seek(-10, io.SEEK_END), file.read(100)) == (_SIZE - 10, payload(_SIZE)[-10:])
            assert (file.seek(5), file.read(5), file.tell()) == (5, payload(_SIZE)[5:10], 10)
            assert (file.seek(50, io.SEEK_CUR), file.read(5)) == (60, payload(_SIZE)[60:65])
            assert (file.seek(_SIZE + 5), file.read(5)) == (_SIZE + 5, b"")
            with pytest.raises((ValueError, OSError)):
                file.seek(-1)

    def test_file_any_sequence_of_reads(self, client: Client, base: str) -> None:
        """As a file of the same bytes in memory would answer."""
        client.put(f"{base}object", payload(_SIZE))
        steps = st.lists(st.tuples(st.integers(0, _SIZE + 100), st.booleans(), st.integers(0, 3 * _BLOCK)), max_size=12)

        @settings(max_examples=25, deadline=None, database=None, derandomize=True)
        @given(steps)
        def check(steps: list[tuple[int, bool, int]]) -> None:
            same = io.BytesIO(payload(_SIZE))
            with client.open(f"{base}object", block_size=_BLOCK) as file:
                for position, moves, count in steps:
                    if moves:
                        assert file.seek(position) == same.seek(position)
                    assert file.read(count) == same.read(count)
                    assert file.tell() == same.tell()

        check()

    def test_file_filling_buffers(self, client: Client, base: str) -> None:
        client.put(f"{base}object", payload(_SIZE))
        with client.open(f"{base}object", block_size=_BLOCK) as file:
            for length in (100, 3 * _BLOCK, 0, 250_000):
                buffer, start = bytearray(length), file.tell()
                assert file.readinto(buffer) == length
                assert buffer == payload(_SIZE)[start : start + length]
            rest = bytearray(_SIZE)
            assert file.readinto(rest) == _SIZE - 100 - 3 * _BLOCK - 250_000

    def test_file_lines(self, blocking_client: Client, base: str) -> None:
        blocking_client.put(f"{base}object", _LINES)
        with blocking_client.open(f"{base}object", block_size=4) as file:
            assert file.readline() == b"first\n"
            assert list(file) == [b"second, longer\n", b"\n", b"last without an end"]

    def test_file_text(self, blocking_client: Client, base: str) -> None:
        with io.TextIOWrapper(blocking_client.open(f"{base}text", "wb"), "utf-8", newline="") as file:  # type: ignore[type-var]
            file.write("naïve\nsecond\n")
        with io.TextIOWrapper(blocking_client.open(f"{base}text"), "utf-8") as file:  # type: ignore[type-var]
            assert file.readlines() == ["naïve\n", "second\n"]

    def test_file_what_a_file_says_of_itself(self, blocking_client: Client, base: str) -> None:
        with blocking_client.open(f"{base}object", "wb") as file:
            assert (file.readable(), file.writable(), file.seekable()) == (False, True, False)
            assert (file.write(b"data"), file.tell()) == (4, 4)
        with blocking_client.open(f"{base}object") as file:
            assert (file.readable(), file.writable(), file.seekable()) == (True, False, True)
            assert getattr(file, "name", None) == f"{base}object"
        with pytest.raises(ValueError, match="closed"):
            file.read()
        with pytest.raises((TypeError, pickle.PicklingError)):
            pickle.dumps(file)

    def test_file_reading_a_missing_object(self, client: Client, base: str) -> None:
        def read() -> None:
            with client.open(f"{base}missing") as file:
                file.read()

        with pytest.raises(NotFound):
            read()

    @pytest.mark.parametrize("mode", ["r", "w", "ab", "rb+", "", "rt"])
    def test_file_other_modes(self, client: Client, base: str, mode: Any) -> None:
        def use() -> None:
            with client.open(f"{base}object", mode) as file:
                file.tell()

        with pytest.raises(InvalidOption, match="mode"):
            use()

    @pytest.mark.parametrize("pieces", [[], [b""], [b"one"], [b"one", b"", b"two"], [payload(100_000)] * 5], ids=len)
    def test_file_writing_a_small_object(self, client: Client, base: str, pieces: list[bytes]) -> None:
        with client.open(f"{base}object", "wb") as file:
            for piece in pieces:
                assert file.write(piece) == len(piece)
        assert client.read_bytes(f"{base}object") == b"".join(pieces)

    @pytest.mark.parametrize(("size", "step"), [(PART_SIZE, 1_000_000), (PART_SIZE + 1, 7_000_000), (12_345_678, 900_000)])
    def test_file_writing_in_parts(self, client: Client, base: str, size: int, step: int) -> None:
        data = memoryview(payload(size))
        with client.open(f"{base}object", "wb") as file:
            for start in range(0, size, step):
                assert file.write(data[start : start + step]) == len(data[start : start + step])
            assert not client.exists(f"{base}object")
        assert client.get(f"{base}object") == payload(size)

    def test_file_the_writers_buffer_may_be_used_again(self, client: Client, base: str) -> None:
        buffer = bytearray(1_500_000)
        with client.open(f"{base}object", "wb") as file:
            for number in range(5):
                buffer[:] = bytes([number]) * len(buffer)
                file.write(buffer)
        assert client.get(f"{base}object") == b"".join(bytes([number]) * len(buffer) for number in range(5))

    def test_file_what_is_no_buffer_is_refused(self, client: Client, base: str) -> None:
        with client.open(f"{base}object", "wb") as file:
            file.write(b"good")
            with pytest.raises(TypeError):
                file.write("text")  # type: ignore[arg-type]
        assert client.read_bytes(f"{base}object") == b"good"

    @pytest.mark.parametrize("size", [10, TWO_PARTS])
    def test_file_an_error_publishes_nothing(self, client: Client, base: str, size: int) -> None:
        client.put(f"{base}object", b"as it was")

        def write() -> None:
            with client.open(f"{base}object", "wb") as file:
                file.write(payload(size))
                raise LookupError

        with pytest.raises(LookupError):
            write()
        assert client.read_bytes(f"{base}object") == b"as it was"
        assert names_of(client.list(base), base) == ["object"]

    @needs("list_uploads")
    @needs("aborted_is_not_listed")
    @pytest.mark.parametrize("end", ["abort", "error", "drop"])
    def test_file_a_write_that_is_given_up_leaves_no_upload(self, blocking_client: Client, base: str, session: Session, end: str) -> None:
        store, location = session.locate(base)
        assert session.run(store.list_uploads(location)) == []
        file: Any = blocking_client.open(f"{base}object", "wb")
        file.write(payload(TWO_PARTS))
        assert len(session.run(store.list_uploads(location))) == 1
        if end == "abort":
            file.abort()
        elif end == "error":
            file.__exit__(LookupError, LookupError(), None)
        else:
            del file
            gc.collect()
        assert session.run(store.list_uploads(location)) == []
        assert not blocking_client.exists(f"{base}object")

    @pytest.mark.parametrize("size", [10, TWO_PARTS])
    def test_file_a_file_that_is_dropped_publishes_nothing(self, blocking_client: Client, base: str, size: int) -> None:
        file = blocking_client.open(f"{base}object", "wb")
        file.write(payload(size))
        del file
        gc.collect()
        assert names_of(blocking_client.list(base), base) == []

    def test_file_closing_twice(self, client: Client, base: str) -> None:
        with client.open(f"{base}object", "wb") as file:
            file.write(b"data")
            file.close()
            file.close()
        assert client.read_bytes(f"{base}object") == b"data"
        with pytest.raises(ValueError, match="closed"):
            file.write(b"more")

    def test_file_creating(self, client: Client, base: str) -> None:
        def create(data: bytes) -> None:
            with client.open(f"{base}object", "xb") as file:
                file.write(data)

        create(b"first")
        with pytest.raises(AlreadyExists):
            create(b"second")
        assert client.read_bytes(f"{base}object") == b"first"
