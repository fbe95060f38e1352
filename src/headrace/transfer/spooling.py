"""Memory that may be larger than is good for a program: the kernel keeps it in a temporary file, as it sees fit."""

from __future__ import annotations

import mmap
import os
import tempfile

from headrace import memory
from headrace.errors import ServiceError
from headrace.models import ObjectInfo

__all__ = ["spooled"]

_IN_MEMORY_BELOW = 32 << 20


def spooled(info: ObjectInfo, start: int, length: int) -> memoryview:
    """Memory for ``length`` bytes of an object; from 32 MiB on that of a file in ``TMPDIR``, without a name, which goes with its last view.

    Raises:
        ServiceError: there is no space for it (code ``NoSpace``).
    """
    if length < _IN_MEMORY_BELOW:
        return memory.fresh(length)
    try:
        with tempfile.TemporaryFile() as file:
            # Space is taken now: a mapping has no way to say that there is none left, but by killing the program.
            getattr(os, "posix_fallocate", _extend)(file.fileno(), 0, length)
            return memoryview(mmap.mmap(file.fileno(), length))
    except OSError as error:
        hint = "Name a directory with more space in TMPDIR."
        raise ServiceError(f"no temporary file of {length} bytes: {error.strerror}", code="NoSpace", uri=info.uri, hint=hint) from None


def _extend(descriptor: int, _start: int, length: int) -> None:
    os.ftruncate(descriptor, length)
