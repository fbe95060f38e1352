"""Objects as Python files: `io.RawIOBase` over ranged reads, and over writes in parts."""

from __future__ import annotations

import atexit
import contextlib
import io
import logging
import os
import threading
import weakref
from collections import deque
from concurrent.futures import CancelledError, Future
from typing import Any, TypeVar

from headrace import memory
from headrace.backends.protocol import Fetched, Landing, Part, Upload, WriteOptions
from headrace.errors import HeadraceError, InvalidOption, NotSupported, ObjectChanged
from headrace.http.blocking import Lane
from headrace.http.effects import FINISH_SECONDS, Finish, Operation
from headrace.models import ObjectInfo
from headrace.transfer.reading import fetch, require_same_version
from headrace.transfer.session import Session
from headrace.transfer.spooling import spooled
from headrace.transfer.writing import part_size_for, publish
from headrace.uri import URI

__all__ = ["DEFAULT_BLOCK_SIZE", "ObjectReader", "ObjectWriter", "TextWriter", "open_file"]

T = TypeVar("T")

_log = logging.getLogger("headrace")

DEFAULT_BLOCK_SIZE = 8 << 20
_PARTS_AT_ONCE = 4
_PARTS_BEFORE_GROWTH = 1000
_LINE_BUFFER = 128 << 10


def open_file(
    session: Session, uri: URI, mode: str, block_size: int, info: ObjectInfo | None = None
) -> io.BufferedReader[ObjectReader] | ObjectWriter:
    """The file object behind ``open``; ``info`` is the object's description, if it is known."""
    if mode == "rb":
        return io.BufferedReader(ObjectReader(session, uri, block_size, info), _LINE_BUFFER)
    if mode in ("wb", "xb"):
        return ObjectWriter(session, uri, WriteOptions(create_only=mode == "xb"))
    raise InvalidOption(f"mode {mode!r} is not one of 'rb', 'wb', 'xb'", hint="For text use headrace.Path(uri).open(mode).")


def _start(session: Session, operation: Operation[Any]) -> Future[Any]:
    """Begin an operation in the background."""
    return session.loop_thread.submit(operation)


class ObjectReader(io.RawIOBase):
    """Reads an object by ranges, with one block read ahead when it is read in sequence.

    All reads come from the version that was there when the file was opened; if it is replaced, they raise `ObjectChanged`. What a
    server sends only whole is received before the first byte is read, into a temporary file if it is large.

    Args:
        session: performs the requests.
        uri: the object.
        block_size: bytes of each request for small reads; reads of more go straight into the reader's memory, in parallel.
        info: the object's description, if it is known.
    """

    def __init__(self, session: Session, uri: URI, block_size: int = DEFAULT_BLOCK_SIZE, info: ObjectInfo | None = None) -> None:
        super().__init__()
        if block_size < 1:
            raise InvalidOption(f"block_size must be at least 1, got {block_size}")
        self._session = session
        self._store, self._location = session.locate_object(uri)
        self._block_size = block_size
        self.info: ObjectInfo = info or session.run(self._store.head(self._location))
        self._position = 0
        self._block = memory.fresh(0)
        self._block_start = 0
        self._forget_what_another_process_does()
        _readers.add(self)

    def _forget_what_another_process_does(self) -> None:
        self._ahead: tuple[int, Future[Fetched]] | None = None
        self._lock = threading.Lock()
        self._lane = Lane()

    @property
    def name(self) -> str:
        """The object's URI."""
        return self._location.uri

    def readable(self) -> bool:
        """True."""
        return True

    def seekable(self) -> bool:
        """True."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to a byte; nothing is requested before the next read."""
        self._check_open()
        if whence == io.SEEK_END:
            with self._lock:
                self._receive_what_comes_whole()
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self.info.size}.get(whence)
        if base is None:
            raise ValueError(f"whence must be 0, 1 or 2, not {whence}")
        if base + offset < 0:
            raise ValueError("cannot seek to before the beginning")
        self._position = base + offset
        return self._position

    def tell(self) -> int:
        """The position of the next read."""
        self._check_open()
        return self._position

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer as far as the object goes; the bytes are received straight into it if they are many."""
        self._check_open()
        target = memory.destination(buffer)
        with self._lock:
            self._receive_what_comes_whole()
            wanted = min(len(target), self.info.size - self._position)
            if wanted <= 0:
                return 0
            copied = self._from_block(target[:wanted])
            if copied < wanted:
                try:
                    copied += self._from_store(target[copied:wanted])
                except BaseException:
                    _leave_if_the_program_ends()
                    raise
            return copied

    def readall(self) -> bytes:
        """The rest of the object."""
        with self._lock:
            self._receive_what_comes_whole()
        rest = memoryview(bytearray(max(0, self.info.size - self._position)))
        filled = 0
        while filled < len(rest) and (count := self.readinto(rest[filled:])):
            filled += count
        return bytes(rest)

    def _check_open(self) -> None:
        if self.closed:
            raise ValueError("the file is closed")

    def _receive_what_comes_whole(self) -> None:
        """What its server sends in no other way becomes the one block, and is then what this file is, size and all."""
        if self.info.whole_only:
            self._block, self.info, self._block_start = self._session.run(self._store.get(self._location, Landing(spooled)), self._lane)

    def _from_block(self, target: memoryview) -> int:
        offset = self._position - self._block_start
        count = min(len(target), len(self._block) - offset) if 0 <= offset < len(self._block) else 0
        if count > 0:
            target[:count] = self._block[offset : offset + count]
            self._position += count
        return max(count, 0)

    def _from_store(self, target: memoryview) -> int:
        if len(target) >= self._block_size:
            self._session.run(self._fetch(self._position, len(target), target), self._lane)
            self._position += len(target)
            return len(target)
        sequential = self._position == self._block_start + len(self._block)
        self._block, self._block_start = self._next_block(), self._position
        end = self._block_start + len(self._block)
        if sequential and self._store.uses_http and end < self.info.size:
            self._ahead = end, _start(self._session, self._fetch(end, min(self._block_size, self.info.size - end)))
        return self._from_block(target)

    def _next_block(self) -> memoryview:
        if self._ahead is not None:
            start, future = self._ahead
            try:
                if start == self._position:
                    # Cancelled, if the client was closed meanwhile: then it is read again.
                    with contextlib.suppress(CancelledError):
                        return future.result().data
            finally:
                future.cancel()
                self._ahead = None
        size = min(self._block_size, self.info.size - self._position)
        return self._session.run(self._fetch(self._position, size), self._lane).data

    def _fetch(self, start: int, length: int, into: memoryview | None = None) -> Operation[Fetched]:
        plan = self._session.read_plan
        fetched: Fetched = yield from fetch(
            self._store, self._location, plan, start=start, length=length, into=into, if_match=self.info.etag
        )
        if self.info.etag is None and self._store.uses_http:
            require_same_version(fetched.info, self.info)
        if len(fetched.data) != length:
            raise ObjectChanged("the object became shorter while it was read", uri=self._location.uri, operation="read")
        return fetched

    def interrupt(self) -> None:
        """Make a read that another thread has in progress end soon, with `Cancelled`; the file can be read on."""
        lane, self._lane = self._lane, Lane()
        lane.stop()
        if (ahead := self._ahead) is not None:
            ahead[1].cancel()

    def close(self) -> None:
        """Give up what is read ahead."""
        if not self.closed and self._ahead is not None:
            self._ahead[1].cancel()
        super().close()

    def __reduce__(self) -> Any:
        raise TypeError("an open file cannot be pickled; pickle its URI")


class ObjectWriter(io.RawIOBase):
    """Writes an object in parts, in constant memory; it becomes visible when the file is closed, and only whole.

    An error inside ``with``, `abort`, dropping the file without closing it, or the end of the program publishes nothing. It belongs to
    the process that opened it: a forked child can neither write to it nor end it.

    Args:
        session: performs the requests.
        uri: the object.
        options: how it is written.
        part_size: bytes of each part; None takes the client's. It doubles every thousand parts, so that the service's limit of
            parts is never reached.
    """

    def __init__(self, session: Session, uri: URI, options: WriteOptions, part_size: int | None = None) -> None:
        super().__init__()
        self._session = session
        self._store, self._location = session.locate_object(uri)
        self._options = options
        self._part_size = part_size_for(self._store, 0, part_size or session.write_plan.part_size)
        self._part = memory.fresh(self._part_size)
        self._filled = 0
        self._upload: Upload | None = None
        self._pending: deque[Future[Part]] = deque()
        self._parts: list[Part] = []
        self._number = 0
        self._sent = 0
        self._size = 0
        self._finished = False
        self._process = os.getpid()
        self._lane = Lane()
        self._turn = threading.Lock()
        self.info: ObjectInfo | None = None
        _writers.add(self)

    @property
    def name(self) -> str:
        """The object's URI."""
        return self._location.uri

    def writable(self) -> bool:
        """True."""
        return True

    def tell(self) -> int:
        """Bytes written so far."""
        return self._size

    def write(self, data: Any) -> int:
        """Take all of ``data``; returns its length in bytes. A failure of an earlier part is raised here or by `close`."""
        with self._turn:
            if self._finished:
                raise ValueError("the file is closed")
            self._refuse_another_process()
            source = memory.source(data)
            try:
                self._take(source)
            except BaseException:
                _leave_if_the_program_ends()
                raise
            return len(source)

    def _take(self, source: memoryview) -> None:
        taken = 0
        while taken < len(source):
            count = min(len(source) - taken, self._part_size - self._filled)
            self._part[self._filled : self._filled + count] = source[taken : taken + count]
            self._filled += count
            taken += count
            if self._filled == self._part_size:
                self._send_part()
        self._size += len(source)

    def _send_part(self) -> None:
        upload = self._upload or self._session.run(self._begin(), self._lane)
        self._number += 1
        body = self._part[: self._filled]
        operation = self._store.put_part(upload, self._number, self._sent, [body])
        self._sent += self._filled
        if self._number % _PARTS_BEFORE_GROWTH == 0:
            self._part_size = min(2 * self._part_size, self._store.max_part_size)
        self._part, self._filled = memory.fresh(self._part_size), 0
        if self._store.uses_http:
            self._pending.append(_start(self._session, operation))
            while len(self._pending) >= _PARTS_AT_ONCE:
                self._wait_for_part()
        else:
            self._parts.append(self._session.run(operation, self._lane))

    def _wait_for_part(self) -> None:
        # Among those pending until it is done: `interrupt` cancels it there.
        self._parts.append(self._pending[0].result())
        self._pending.popleft()

    def _begin(self) -> Operation[Upload]:
        begin = Finish(self._store.start_upload(self._location, self._options))
        try:
            upload: Upload = yield begin
        finally:
            # Interrupted too, this is what there is to abort.
            if begin.ended:
                self._upload = begin.result
        return upload

    def close(self) -> None:
        """Send what is left and publish the object.

        Raises:
            HeadraceError: a part or the completion failed; nothing was published.
        """
        if self._finished:
            super().close()
            return
        self._refuse_another_process()
        try:
            self.info = self._publish()
        except BaseException as error:
            self._abort(interrupted=not isinstance(error, Exception))
            raise
        self._finish()

    def _publish(self) -> ObjectInfo:
        if self._upload is None:
            return self._session.run(self._store.put(self._location, [self._part[: self._filled]], self._options), self._lane)
        if self._filled:
            self._send_part()
        while self._pending:
            self._wait_for_part()
        return self._session.run(publish(self._store, self._upload, self._parts, self._size, self._options), self._lane)

    def abort(self) -> None:
        """Give the write up: what was sent is removed, nothing is published. Does nothing after `close`."""
        self._abort(interrupted=False)

    def _abort(self, *, interrupted: bool) -> None:
        """As `abort`; after an interruption, which is to be raised, it takes no long time and raises nothing."""
        if self._finished:
            return
        self._finish()
        if self._upload is None or os.getpid() != self._process:
            return
        _settle(self._pending)
        try:
            self._session.run(_finished(self._store.abort_upload(self._upload), interrupted=interrupted), self._lane)
        except (HeadraceError, TimeoutError) as error:
            if not isinstance(error, HeadraceError) or interrupted:
                _log.warning("%s: what was sent of this object could not be removed: %s", self._location.uri, error)
                return
            raise error.with_context(hint="Parts that were sent may still be held by the service.") from None

    def interrupt(self) -> None:
        """Make what another thread does with this file end soon, with `Cancelled`; it is then fit for `abort` alone."""
        lane, self._lane = self._lane, Lane()
        lane.stop()
        # A copy: the thread may be adding one.
        for future in list(self._pending):
            future.cancel()

    def give_up(self) -> None:
        """As `abort`, from another thread than the one that may be writing, which from then on waits for ever: the program ends."""
        self.interrupt()
        self._turn.acquire(timeout=FINISH_SECONDS)
        self._abort(interrupted=True)

    def _refuse_another_process(self) -> None:
        if os.getpid() != self._process:
            raise NotSupported("a file that is written belongs to the process that opened it", uri=self._location.uri)

    def _finish(self) -> None:
        self._finished = True
        self._part = memory.fresh(0)
        super().close()

    def __exit__(self, kind: Any, error: Any, traceback: Any) -> None:
        if error is None:
            self.close()
        else:
            self._abort(interrupted=not isinstance(error, Exception))

    def __del__(self) -> None:
        # io's own __del__ closes, which would publish what nobody said is complete.
        if not getattr(self, "_finished", True):
            # Nobody is left to tell of a failure.
            with contextlib.suppress(Exception):
                self._abort(interrupted=True)

    def __reduce__(self) -> Any:
        raise TypeError("an open file cannot be pickled; pickle its URI")


class TextWriter(io.TextIOWrapper):
    """Text into a file that can be given up: an error inside ``with``, or dropping it, publishes nothing, as for the file itself.

    Args:
        file: a binary file with `abort`, such as an `ObjectWriter`.
        *options: those of `io.TextIOWrapper`, by position.
    """

    buffer: Any

    # io's own would close the file, and so publish what there is of it.
    def __exit__(self, kind: Any, error: Any, traceback: Any) -> None:
        if error is None:
            self.close()
        else:
            self.buffer.__exit__(kind, error, traceback)

    def __del__(self) -> None:
        # Nobody is left to tell of a failure.
        with contextlib.suppress(Exception):
            if not self.closed:
                self.buffer.abort()


def _settle(pending: deque[Future[Part]]) -> None:
    """Cancel what is in flight, and wait until none of it can write any more."""
    for future in pending:
        future.cancel()
    for future in pending:
        try:
            future.result(timeout=5)
        except BaseException:
            continue


def _finished(operation: Operation[T], *, interrupted: bool) -> Operation[T]:
    result: T = yield Finish(operation, interrupted=interrupted)
    return result


_readers: weakref.WeakSet[ObjectReader] = weakref.WeakSet()
_writers: weakref.WeakSet[ObjectWriter] = weakref.WeakSet()


def _forget_after_fork() -> None:
    for reader in list(_readers):
        reader._forget_what_another_process_does()


os.register_at_fork(after_in_child=_forget_after_fork)


_program_ends = threading.Event()


def _leave_if_the_program_ends() -> None:
    """End a daemon thread that fails because the program has given it up: it would tell of that on standard error."""
    if _program_ends.is_set() and threading.current_thread().daemon:
        raise SystemExit from None


@atexit.register
def _abort_all() -> None:
    """Give up, while there are threads and connections for it, what the program leaves open when it ends."""
    _program_ends.set()
    for writer in list(_writers):
        with contextlib.suppress(Exception):
            writer.give_up()
