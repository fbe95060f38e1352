"""Objects as the files that fsspec's users expect: with a path, a size, and ``commit`` and ``discard`` for transactions."""

from __future__ import annotations

import io
from typing import Any

__all__ = ["CompressedFile", "ReadFile", "WrittenFile", "read_file"]


class ReadFile(io.BufferedReader):
    """A file that is read.

    Attributes:
        fs: its filesystem.
        path: its path there.
        size: bytes.
    """

    fs: Any
    path: str
    size: int

    @property
    def mode(self) -> str:
        """``"rb"``."""
        return "rb"

    @property
    def full_name(self) -> str:
        """The path with its protocol."""
        return str(self.fs.unstrip_protocol(self.path))

    def info(self) -> dict[str, Any]:
        """What is known of the object that was opened."""
        described: dict[str, Any] = self.fs._entry(self.raw.info)  # type: ignore[attr-defined]
        return described

    @property
    def details(self) -> dict[str, Any]:
        """The same as `info`."""
        return self.info()

    def __reduce__(self) -> tuple[Any, ...]:
        return _reopen, (self.fs, self.path, self.tell())


def read_file(filesystem: Any, path: str, opened: Any) -> ReadFile:
    """The file over what `headrace.open` has opened."""
    file = ReadFile(opened.detach())
    file.fs, file.path = filesystem, path
    file.size = file.raw.info.size  # type: ignore[attr-defined]
    return file


def _reopen(filesystem: Any, path: str, position: int) -> ReadFile:
    file: ReadFile = filesystem.open(path)
    file.seek(position)
    return file


class _Unpublished(io.RawIOBase):
    """A file that publishes nothing but when it is closed by those who say that it is complete."""

    def writable(self) -> bool:
        """True."""
        return True

    def discard(self) -> None:
        """Give the write up."""
        raise NotImplementedError

    def abort(self) -> None:
        """The same as `discard`."""
        self.discard()

    def __exit__(self, kind: Any, error: Any, traceback: Any) -> None:
        if error is None:
            self.close()
        else:
            self.discard()

    def __del__(self) -> None:
        # io's own closes, which would publish. What was opened for the file gives itself up.
        pass

    def __reduce__(self) -> Any:
        raise TypeError("a file that is written cannot be pickled")


class WrittenFile(_Unpublished):
    """A file that is written. It becomes visible when it is closed, or, in a transaction, when that is committed; and only whole.

    An error inside ``with``, `discard`, or dropping it publishes nothing.

    Args:
        filesystem: its filesystem.
        path: its path there.
        mode: ``"wb"`` or ``"xb"``.
        writer: what `headrace.open` has opened.
        autocommit: False leaves publishing to `commit`.
    """

    def __init__(self, filesystem: Any, path: str, mode: str, writer: Any, *, autocommit: bool) -> None:
        super().__init__()
        self.fs = filesystem
        self.path = path
        self.mode = mode
        self.autocommit = autocommit
        self._writer = writer

    @property
    def full_name(self) -> str:
        """The path with its protocol."""
        return str(self.fs.unstrip_protocol(self.path))

    def tell(self) -> int:
        """Bytes written so far."""
        count: int = self._writer.tell()
        return count

    def write(self, data: Any) -> int:
        """Take all of ``data``; returns its length in bytes."""
        if self.closed:
            raise ValueError("the file is closed")
        count: int = self._writer.write(data)
        return count

    def close(self) -> None:
        """End writing; outside of a transaction, publish."""
        if not self.closed:
            try:
                if self.autocommit:
                    self.commit()
            finally:
                super().close()

    def commit(self) -> None:
        """Publish what was written."""
        self._writer.close()

    def discard(self) -> None:
        """Give the write up."""
        self._writer.abort()
        super().close()


class CompressedFile(_Unpublished):
    """What is written into it arrives compressed in a `WrittenFile`, and is published with that.

    Args:
        file: the file.
        compressor: writes into it, and does not close it.
    """

    def __init__(self, file: WrittenFile, compressor: Any) -> None:
        super().__init__()
        self._file = file
        self._compressor = compressor

    def write(self, data: Any) -> int:
        """Take all of ``data``; returns its length in bytes."""
        self._compressor.write(data)
        return memoryview(data).nbytes

    def close(self) -> None:
        """End writing; outside of a transaction, publish."""
        if not self.closed:
            try:
                self._compressor.close()
                self._file.close()
            finally:
                super().close()

    def discard(self) -> None:
        """Give the write up."""
        self._file.discard()
        super().close()
