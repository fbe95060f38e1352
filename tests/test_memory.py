"""Buffers: fresh ones are sound and go back to the system; the caller's are taken as they are, or refused."""

from __future__ import annotations

import array
import ctypes
import gc
import itertools
import mmap
import os
import platform
import random
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from headrace.errors import InvalidOption
from headrace.memory import aligned, destination, fresh, source

MIB = 1 << 20
SIZES = [0, 1, 4095, 65536, 4 * MIB - 1, 4 * MIB, 4 * MIB + 1, 7 * MIB, 8 * MIB, 8 * MIB + 1, 33 * MIB]

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def address_of(view: memoryview) -> int:
    return int(np.frombuffer(view, np.uint8).ctypes.data)


def mapping_at(address: int) -> str | None:
    """What the kernel says of the mapping that holds this address."""
    for mapping in re.split(r"(?m)^(?=[0-9a-f]+-[0-9a-f]+ )", Path("/proc/self/smaps").read_text()):
        bounds = re.match(r"([0-9a-f]+)-([0-9a-f]+) ", mapping)
        if bounds and int(bounds[1], 16) <= address < int(bounds[2], 16):
            return mapping
    return None


class TestFresh:
    @pytest.mark.parametrize("n", SIZES)
    def test_it_is_writable_flat_bytes(self, n: int) -> None:
        view = fresh(n)
        assert (view.nbytes, view.format, view.ndim, view.itemsize, view.readonly, view.contiguous) == (n, "B", 1, 1, False, True)
        view[:] = pattern = random.Random(n).randbytes(n)
        assert view == pattern

    @pytest.mark.parametrize("n", [-1, 1 << 62])
    def test_an_impossible_size_is_refused(self, n: int) -> None:
        with pytest.raises((ValueError, MemoryError)):
            fresh(n)

    @on_linux
    @pytest.mark.parametrize("n", [4 * MIB, 5 * MIB + 1, 64 * MIB])
    def test_large_memory_is_private_huge_and_aligned_to_huge_pages(self, n: int) -> None:
        view = fresh(n)
        assert address_of(view) % (2 * MIB) == 0
        mapping = mapping_at(address_of(view))
        assert mapping is not None
        assert mapping.split()[1] == "rw-p"
        if Path("/sys/kernel/mm/transparent_hugepage").exists():
            assert re.search(r"(?m)^VmFlags:.* hg( |$)", mapping)

    @on_linux
    def test_memory_goes_back_with_its_last_view(self) -> None:
        code = """if True:
            import os
            import numpy as np
            from headrace.memory import fresh
            def resident():
                with open("/proc/self/statm") as file:
                    return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") >> 20
            def fill(size):
                view = fresh(size)
                np.frombuffer(view, np.uint8)[::4096] = 1
                return view
            fill(8 << 20)
            before = resident()
            views = [fill(size << 20) for size in (8, 6, 4, 12, 64) * 4]
            slices = [view[1000:2000] for view in views]
            del views
            held = resident() - before
            del slices
            print(held, resident() - before)
        """
        done = subprocess.run([sys.executable, "-c", code], env=os.environ, capture_output=True, text=True, check=True)
        held, kept = map(int, done.stdout.split())
        assert held > 300
        assert kept <= 24

    @on_linux
    def test_a_large_mapping_is_kept_for_the_next_call_of_its_size_and_no_longer(self) -> None:
        view = fresh(64 * MIB)
        address = address_of(view)
        del view
        view = fresh(64 * MIB)
        assert address_of(view) == address
        del view
        other = fresh(32 * MIB)
        assert mapping_at(address) is None or mapping_at(address) == mapping_at(address_of(other))

    @on_linux
    def test_the_largest_mappings_are_not_kept(self) -> None:
        view = fresh(300 * MIB)
        address = address_of(view)
        del view
        assert mapping_at(address) is None

    @on_linux
    @pytest.mark.parametrize("n", [8 * MIB, 16 * MIB])
    def test_a_forked_child_has_memory_of_its_own(self, n: int) -> None:
        view = fresh(n)
        view[:2] = b"ab"
        child = os.fork()
        if child == 0:
            view[:2] = b"zz"
            fresh(n)[:2] = b"yy"
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert view[:2] == b"ab"

    @pytest.mark.parametrize(
        "derive",
        [
            lambda view: view[1:-1],
            lambda view: np.frombuffer(view, np.uint8),
            lambda view: np.asarray(view)[::2][1:],
            lambda view: view.obj[5:],
            lambda view: view.obj.reshape(-1, 2)[:, 1].view(np.int8),
            lambda view: view.cast("Q"),
            lambda view: memoryview(view.obj)[:9].toreadonly(),
            lambda view: (ctypes.c_char * 16).from_buffer(view, 16),
        ],
        ids=["slice", "frombuffer", "asarray", "obj", "reshaped", "cast", "readonly", "ctypes"],
    )
    def test_memory_is_not_given_out_again_while_anything_refers_to_it(self, derive: Callable[[memoryview], Any]) -> None:
        view = fresh(8 * MIB)
        view[:] = bytes(8 * MIB)
        derived = derive(view)
        del view
        gc.collect()
        others = [fresh(8 * MIB) for _ in range(4)]
        for other in others:
            other[:] = b"\xff" * len(other)
        assert not np.frombuffer(derived, np.uint8).any() if memoryview(derived).contiguous else not np.asarray(derived).any()

    def test_threads_never_share_memory(self) -> None:
        mixed: list[str] = []
        stamps = itertools.count(1)

        def work(seed: int) -> None:
            rng = random.Random(seed)
            live: dict[int, tuple[int, np.ndarray[Any, np.dtype[np.uint64]]]] = {}
            for _ in range(80):
                stamp, slot = next(stamps), rng.randrange(4)
                view = np.frombuffer(fresh(rng.choice((4, 6, 8)) * MIB), np.uint64)[:: 4096 // 8]
                view[:] = stamp
                live[slot] = (stamp, view)
                mixed.extend(f"{stamp}" for stamp, view in live.values() if not (view == stamp).all())

        threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert mixed == []


class TestAligned:
    @given(st.integers(0, 9 * MIB), st.sampled_from([1, 512, 4096, 65536, 4 * MIB]))
    def test_address_and_length_are_multiples(self, n: int, alignment: int) -> None:
        view = aligned(n, alignment)
        assert n <= view.nbytes < n + alignment
        assert view.nbytes % alignment == 0
        assert not view.nbytes or address_of(view) % alignment == 0
        assert (view.format, view.readonly, view.contiguous) == ("B", False, True)

    @on_linux
    def test_the_kernel_takes_it_for_direct_io(self, tmp_path: Path) -> None:
        content = random.Random(1).randbytes(3 * 4096)
        path = tmp_path / "file"
        path.write_bytes(content)
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_DIRECT)
        except OSError:
            pytest.skip("this file system has no direct I/O")
        try:
            view = aligned(len(content), 4096)
            assert os.preadv(descriptor, [view], 0) == len(content)
        finally:
            os.close(descriptor)
        assert view == content


ANY_ARRAY = arrays.arrays(
    dtype=st.one_of(
        arrays.scalar_dtypes(), arrays.unicode_string_dtypes(), arrays.byte_string_dtypes(), arrays.array_dtypes(allow_subarrays=False)
    ),
    shape=arrays.array_shapes(min_dims=0, min_side=0, max_side=4),
)


class TestArrays:
    @given(ANY_ARRAY)
    def test_any_dtype_and_shape_is_taken_without_a_copy(self, data: np.ndarray[Any, Any]) -> None:
        data = np.ascontiguousarray(data).reshape(data.shape)
        for view in (source(data), destination(data)):
            assert (view.nbytes, view.format, view.ndim) == (data.nbytes, "B", 1)
            assert view.tobytes() == data.tobytes()
            assert not data.nbytes or address_of(view) == data.ctypes.data

    @given(arrays.arrays(dtype=arrays.integer_dtypes(), shape=arrays.array_shapes(min_dims=2, max_dims=3, min_side=0)), st.randoms())
    def test_a_view_is_taken_if_it_is_contiguous(self, data: np.ndarray[Any, Any], rng: random.Random) -> None:
        part = data.transpose() if rng.random() < 0.5 else data[..., :: rng.choice((1, 2, -1))]
        if part.flags.c_contiguous:
            assert source(part).tobytes() == part.tobytes()
        else:
            with pytest.raises(InvalidOption, match="data is not C-contiguous"):
                source(part)

    @given(ANY_ARRAY)
    def test_what_is_written_arrives(self, data: np.ndarray[Any, Any]) -> None:
        into = np.zeros_like(data, order="C")
        destination(into)[:] = source(np.ascontiguousarray(data))
        assert into.tobytes() == data.tobytes()

    @pytest.mark.parametrize(
        "objects",
        [
            np.array([None, 1]),
            np.zeros(0, object),
            np.zeros(2, [("number", "i4"), ("object", object)]),
            memoryview(np.array([None])),
            memoryview(np.zeros(2, [("x", object)])),
            (ctypes.py_object * 2)(),
        ],
    )
    def test_python_objects_are_refused(self, objects: object) -> None:
        for take in (source, destination):
            with pytest.raises(InvalidOption, match="holds Python objects"):
                take(objects)

    def test_a_field_may_have_any_name(self) -> None:
        assert source(memoryview(np.zeros(2, [("O", "i4"), ("Offset", "i4")]))).nbytes == 16


class Point(ctypes.Structure):
    _fields_ = (("label", ctypes.c_char), ("x", ctypes.c_double))


@pytest.fixture
def shared_memory() -> Iterator[SharedMemory]:
    block = SharedMemory(create=True, size=4096)
    yield block
    block.close()
    block.unlink()


class TestBuffers:
    @pytest.mark.parametrize(
        "buffer",
        [
            bytearray(b"abc"),
            bytearray(),
            memoryview(bytearray(b"abcdef"))[1:4],
            memoryview(bytearray(16)).cast("d"),
            memoryview(bytearray(24)).cast("B", (2, 3, 4)),
            memoryview(np.zeros((0, 3))),
            memoryview(np.zeros((), "f4")),
            array.array("d", [1.0, 2.0]),
            mmap.mmap(-1, 4096),
            (ctypes.c_int * 3 * 2)(),
            (Point * 2)(),
            ctypes.c_double(),
        ],
        ids=lambda buffer: type(buffer).__name__,
    )
    def test_writable_ones_are_taken_as_they_are(self, buffer: Any) -> None:
        size = memoryview(buffer).nbytes
        view = destination(buffer)
        assert (view.nbytes, view.format, view.ndim) == (size, "B", 1)
        view[:] = pattern = bytes(range(size % 256)) * 1 + bytes(size - size % 256)
        assert bytes(source(buffer)) == memoryview(buffer).tobytes() == pattern

    def test_shared_memory(self, shared_memory: SharedMemory) -> None:
        view = destination(shared_memory.buf)
        view[:3] = b"abc"
        assert bytes(shared_memory.buf[:3]) == b"abc"
        view.release()

    @pytest.mark.parametrize("data", [b"", b"abc", memoryview(b"abc"), np.float32(1), np.frombuffer(b"abc", np.uint8)])
    def test_read_only_ones_are_sources_and_no_destinations(self, data: Any) -> None:
        assert source(data).tobytes() == memoryview(data).tobytes()
        with pytest.raises(InvalidOption, match=r"into is read-only \(\w+\)"):
            destination(data)

    @pytest.mark.parametrize("data", [memoryview(b"abcd")[::2], memoryview(bytearray(24)).cast("B", (4, 6))[::2]])
    def test_gaps_are_refused(self, data: object) -> None:
        with pytest.raises(InvalidOption, match="not C-contiguous"):
            source(data)

    @pytest.mark.parametrize("data", [[1, 2], 3, None, object(), {"a": 1}, Path("/tmp")])
    def test_what_is_no_buffer_is_refused(self, data: object) -> None:
        with pytest.raises(TypeError, match=f"data must be bytes, an array or another buffer, not {type(data).__name__}"):
            source(data)
        with pytest.raises(TypeError, match="into must be"):
            destination(data)

    def test_text_is_refused(self) -> None:
        with pytest.raises(TypeError, match="encode it first"):
            source("text")
        with pytest.raises(TypeError, match="into must be"):
            destination("text")


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library keeps its heap by other rules")
def test_small_blocks_that_come_and_go_together_are_not_faulted_in_again_and_again() -> None:
    """In a process of its own, because what a heap keeps depends on all that was in it before."""
    script = """
import resource
import numpy as np
from headrace.memory import fresh, retain_heap

def faults(rounds):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(rounds):
        blocks = [fresh(65536) for _ in range(32)]
        for block in blocks:
            block[:] = bytes(65536)
        del blocks, block
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

faults(2)
before = faults(50)
retain_heap()
faults(2)
print(before, faults(50))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    before, after = map(int, done.stdout.split())
    assert before > 50 * 32
    assert after < 50


class TestTensors:
    @pytest.fixture
    def torch(self) -> Any:
        return pytest.importorskip("torch", reason="torch is not installed")

    @pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float8_e4m3fn", "complex64", "bool", "int64"])
    @pytest.mark.parametrize("shape", [(), (3,), (2, 3), (0, 3)])
    def test_any_dtype_and_shape_is_taken_without_a_copy(self, torch: Any, dtype: str, shape: tuple[int, ...]) -> None:
        tensor = torch.zeros(shape, dtype=getattr(torch, dtype))
        view = destination(tensor)
        assert (view.nbytes, view.format) == (tensor.numel() * tensor.element_size(), "B")
        view[:] = b"\x01" * view.nbytes
        assert torch.equal(tensor.reshape(-1).view(torch.uint8), torch.ones(view.nbytes, dtype=torch.uint8))
        assert source(tensor) == view

    def test_a_parameter_is_filled_in_place(self, torch: Any) -> None:
        parameter = torch.nn.Parameter(torch.zeros(2))
        destination(parameter)[:] = np.array([1, 2], np.float32).tobytes()
        assert parameter.tolist() == [1, 2]

    def test_a_tensor_over_fresh_memory_keeps_it(self, torch: Any) -> None:
        view = fresh(8 * MIB)
        view[:] = bytes(8 * MIB)
        tensor = torch.frombuffer(view, dtype=torch.uint8)[1:]
        del view
        others = [fresh(8 * MIB) for _ in range(3)]
        for other in others:
            other[:] = b"\xff" * len(other)
        assert not tensor.any()

    def test_tensors_without_plain_memory_are_refused(self, torch: Any) -> None:
        refused = {
            "in the memory of meta": torch.zeros(2, device="meta"),
            "not contiguous": torch.zeros(2, 3).t(),
            "is a tensor that": torch.zeros(3).to_sparse(),
            "without plain memory": torch.zeros(2, dtype=torch.complex64).conj(),
        }
        for problem, tensor in refused.items():
            with pytest.raises(InvalidOption, match=problem):
                destination(tensor)
