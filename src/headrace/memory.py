"""Where bytes land: fresh buffers that the kernel fills cheaply, aligned ones for direct I/O, and the caller's own.

Every function gives a flat `memoryview` of unsigned bytes over the only copy. The memory lives as long as a view of it does,
slices and numpy arrays over it included. Nothing here copies, and everything may be called from any thread.
"""

from __future__ import annotations

import contextlib
import functools
import mmap
import os
import sys
import weakref
from collections import deque
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from headrace.errors import InvalidOption

__all__ = ["aligned", "destination", "fresh", "retain_heap", "source"]

_HUGE_PAGE = 2 << 20
_MAPPED_FROM = 4 << 20
_RECYCLED_UP_TO = 256 << 20
_RECYCLED_IN_PAIRS_UP_TO = 8 << 20
_MADV_HUGEPAGE: int | None = getattr(mmap, "MADV_HUGEPAGE", None)
_MADV_FREE: int | None = getattr(mmap, "MADV_FREE", None)


def fresh(n: int) -> memoryview:
    """Return ``n`` bytes of writable memory with arbitrary content.

    From 4 MiB on it is a private mapping of huge pages. With the last view of it, it is kept for the next call of the same size: one
    of at most 256 MiB, or two of at most 8 MiB. The kernel takes the memory of those back whenever it needs some, and a call of another
    size gives them up; larger ones go back to the system at once.

    Raises:
        MemoryError: this machine does not have so much. A system that promises more than it has would end the process later.
    """
    if n < _MAPPED_FROM:
        return np.empty(n, np.uint8).data
    size = _round_up(n, _HUGE_PAGE)
    mapping = _recycled(size) or _map(n, size)
    # An array made right over the mapping, because arrays sliced from it then refer to it, and not past it to the mapping: its
    # end is the end of every use of the memory.
    array = np.frombuffer(mapping.pages, np.uint8, n, mapping.offset)
    if size <= _RECYCLED_UP_TO:
        weakref.finalize(array, _recycle, mapping).atexit = False
    return array.data


def retain_heap() -> None:
    """Let the C library keep some 8 MiB of freed small blocks, instead of returning pages that the next ones fault in again.

    glibc returns what is free at the end of the heap beyond a threshold, at first 128 KiB. Once a block is freed that had been mapped
    by itself, the threshold is twice its size (mallopt(3), M_MMAP_THRESHOLD). Elsewhere this does nothing. It touches no memory, and may
    be called again and again.
    """
    np.empty(_MAPPED_FROM - 2 * mmap.PAGESIZE, np.uint8)


def aligned(n: int, alignment: int) -> memoryview:
    """Return writable memory for ``n`` bytes of direct I/O: address and length are multiples of ``alignment`` (a power of two).

    Its length is ``n`` rounded up. The content is arbitrary.
    """
    size = _round_up(n, alignment)
    already = size >= _MAPPED_FROM and alignment <= _HUGE_PAGE
    view = fresh(size if already else size + alignment)
    offset = -_address(view) % alignment
    return view[offset : offset + size]


def destination(into: object) -> memoryview:
    """Return the flat bytes of a caller's buffer that is to be filled.

    Args:
        into: anything writable and C-contiguous that exports its memory: a bytearray, a numpy array of any shape and plain
            dtype, ``SharedMemory.buf``, an mmap; or a torch tensor in host memory, pinned or not.

    Raises:
        InvalidOption: it is read-only, not contiguous, holds Python objects, or lies in a device's memory.
        TypeError: it is no buffer.
    """
    view = _flat(into, "into")
    if view.readonly:
        raise InvalidOption(f"into is read-only ({type(into).__name__})", hint="Pass a writable buffer, such as a bytearray.")
    return view


def source(data: object) -> memoryview:
    """Return the flat bytes of data that is to be written.

    Args:
        data: ``bytes``, or anything C-contiguous that exports its memory, as in `destination`, read-only or not.

    Raises:
        InvalidOption: it is not contiguous, holds Python objects, or lies in a device's memory.
        TypeError: it is text, or no buffer.
    """
    if isinstance(data, str):
        raise TypeError("data must be bytes, not str: encode it first, as in text.encode()")
    return _flat(data, "data")


class _Mapping(NamedTuple):
    """Private anonymous memory; from ``offset`` on it is aligned to huge pages, for ``size`` bytes."""

    pages: mmap.mmap
    offset: int
    size: int


# A deque, because appending drops the oldest and, like popping and clearing, is atomic: garbage collection may recycle in the middle of
# anything, so no lock can be held here.
_idle: deque[_Mapping] = deque(maxlen=2)


def _map(n: int, size: int) -> _Mapping:
    if size > _physical():
        raise MemoryError(f"{n} bytes are more than the memory of this machine")
    try:
        pages = mmap.mmap(-1, size + _HUGE_PAGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    except OSError as error:
        raise MemoryError(f"cannot map {size} bytes: {error}") from error
    offset = -_address(pages) % _HUGE_PAGE
    if _MADV_HUGEPAGE is not None:
        # The last page is huge only if half of it is asked for, so that an object never takes 1 MiB more than its size.
        length = (n + _HUGE_PAGE // 2) // _HUGE_PAGE * _HUGE_PAGE
        with contextlib.suppress(OSError):  # a kernel without huge pages
            pages.madvise(_MADV_HUGEPAGE, offset, length)
    return _Mapping(pages, offset, size)


@functools.cache
def _physical() -> int:
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _recycled(size: int) -> _Mapping | None:
    """Take an idle mapping of this size, and let go of those of other sizes on the way."""
    with contextlib.suppress(IndexError):
        while (mapping := _idle.pop()).size != size:
            pass
        return mapping
    return None


def _recycle(mapping: _Mapping) -> None:
    if _MADV_FREE is not None:
        with contextlib.suppress(OSError):  # a kernel that keeps the pages until the mapping is dropped
            mapping.pages.madvise(_MADV_FREE)
    if mapping.size > _RECYCLED_IN_PAIRS_UP_TO:
        _idle.clear()
    _idle.append(mapping)


def _flat(buffer: object, name: str) -> memoryview:
    array = _array(buffer, name)
    if array is None:
        view = _exported(buffer, name)
        if view.format == "B" and view.ndim == 1 and view.c_contiguous:
            return view
        has_objects, contiguous = _has_objects(view.format), view.c_contiguous
    else:
        has_objects, contiguous = array.dtype.hasobject, array.flags.c_contiguous
    if has_objects:
        raise InvalidOption(f"{name} holds Python objects, not bytes", hint="Give it a type of fixed size.")
    if not contiguous:
        raise InvalidOption(f"{name} is not C-contiguous", hint="numpy.ascontiguousarray() makes a contiguous copy.")
    # memoryview.cast() knows neither structures nor empty arrays of several dimensions.
    return (np.frombuffer(view, np.uint8) if array is None else array.reshape(-1).view(np.uint8)).data


def _has_objects(layout: str) -> bool:
    """Whether a format of PEP 3118 has object pointers, which bytes must never overwrite; names of fields stand between colons."""
    return "O" in "".join(layout.split(":")[::2])


def _array(buffer: object, name: str) -> npt.NDArray[Any] | None:
    """The memory as an array, if it is one: numpy's buffers leave out some of its dtypes, and torch's tensors export none."""
    if isinstance(buffer, np.ndarray):
        return buffer
    # Whoever has a tensor has imported torch; this module need not.
    torch = sys.modules.get("torch")
    return _tensor_array(torch, buffer, name) if torch is not None and isinstance(buffer, torch.Tensor) else None


def _tensor_array(torch: Any, tensor: Any, name: str) -> npt.NDArray[Any]:
    if tensor.device.type != "cpu":
        raise InvalidOption(
            f"{name} is a tensor in the memory of {tensor.device}",
            hint="Use a pinned tensor in host memory, and Tensor.copy_() between the two.",
        )
    if tensor.layout != torch.strided or not tensor.is_contiguous():
        raise InvalidOption(f"{name} is a tensor that is not contiguous", hint="Tensor.contiguous() makes a contiguous copy.")
    try:
        # As bytes, because numpy lacks some of torch's types (bfloat16), and flat, because a scalar cannot be seen as bytes.
        array: npt.NDArray[Any] = tensor.detach().reshape(-1).view(torch.uint8).numpy()
    except (RuntimeError, TypeError) as error:
        raise InvalidOption(f"{name} is a tensor without plain memory: {error}", hint="Tensor.clone() gives a plain copy.") from error
    return array


def _exported(buffer: object, name: str) -> memoryview:
    try:
        return memoryview(buffer)  # type: ignore[arg-type]
    except TypeError:
        raise TypeError(f"{name} must be bytes, an array or another buffer, not {type(buffer).__name__}") from None


def _address(buffer: memoryview | mmap.mmap) -> int:
    return int(np.frombuffer(buffer, np.uint8).ctypes.data)


def _round_up(n: int, multiple: int) -> int:
    return -(-n // multiple) * multiple
