"""One HTTP/2 connection on an asyncio event loop.

The library ``h2`` keeps the protocol's state: streams, their windows for what is sent, the compression of heads. It is handed one frame
at a time, so that an error is known to be that of one frame, and of one stream. Bodies do not pass through it: they are copied once, from
the memory in which frames are received to their final one.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import select
import struct
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

from headrace.errors import ConnectionFailed, HeadraceError, ProtocolError, Stalled
from headrace.http.effects import Send
from headrace.http.http2.library import (
    CONNECTION_WINDOW,
    MAX_FRAME,
    MAX_HEADERS,
    STREAM_WINDOW,
    ErrorCodes,
    Event,
    H2Error,
    InformationalResponseReceived,
    RemoteSettingsChanged,
    ResponseReceived,
    StreamEnded,
    StreamReset,
    WindowUpdated,
    client_side,
    request_fields,
)
from headrace.http.http2.reply import StreamReply
from headrace.http.http2.stream import Stream
from headrace.http.loop_connection import SWEEPS_PER_STALL, in_executor
from headrace.http.messages import FileRange, Request
from headrace.http.progress import file_became_shorter, progress, unsent_bytes

__all__ = ["Http2Connection"]

# RFC 9113, section 4.1: the length in two pieces, type, flags and stream.
_HEAD = struct.Struct(">BHBBL")
_FRAME_HEAD = _HEAD.size
_IDENTIFIER = 0x7FFFFFFF
_DATA, _HEADERS, _SETTINGS, _PUSH_PROMISE, _GOAWAY, _WINDOW_UPDATE, _CONTINUATION = 0, 1, 4, 5, 7, 8, 9
_HEADS = (_HEADERS, _PUSH_PROMISE, _CONTINUATION)
_END_STREAM, _END_HEADERS, _PADDED = 1, 4, 8
_RECEIVE_AT_ONCE = _FRAME_HEAD + 2 * MAX_FRAME
_WRITE_AT_ONCE = 256 << 10
_READ_AT_ONCE = 1 << 20
_STREAMS = 256
_TURNS = 16
_LAST_STREAM = 2**31 - 3
# Frames in a row that bring no exchange forward: pings, settings, empty pieces of a body.
_IDLE_FRAMES = 4096
# Answers to what the server asks (pings, settings) that it does not take.
_UNTAKEN = 4 << 20
_QUOTES = frozenset("'\"")


class Http2Connection(asyncio.BufferedProtocol):
    """One connection to an origin, serving many exchanges at a time.

    Attributes:
        greeted: done when the server has sent its settings, as one that speaks HTTP/2 does first; fails if it does not.
        is_offered: whether the server has agreed to speak it, if that was asked in the TLS handshake.
        closed: whether the connection is closed.
        served: how many exchanges have ended well.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.greeted: asyncio.Future[None] = self._loop.create_future()
        # Seen, so that asyncio does not report it.
        self.greeted.add_done_callback(lambda greeted: greeted.cancelled() or greeted.exception())
        self.closed = False
        self.served = 0
        self.idle_since = self._loop.time()
        self._retired = False
        self._streams: dict[int, Stream] = {}
        self._waiters: deque[asyncio.Future[None]] = deque()
        self._received = memoryview(bytearray(_RECEIVE_AT_ONCE))
        self._filled = 0
        self._idle_frames = self._idle_sweeps = 0
        self._head_is_open = False
        self._updates = bytearray()
        self._unacknowledged = self._unwanted = 0
        self._written = self._delivered = 0
        self._paused = self._flushing = False
        self._readable = select.poll()
        self._h2 = client_side()
        self._handlers: dict[type[Event], Callable[[Any], object]] = {
            InformationalResponseReceived: self._take_interim,
            RemoteSettingsChanged: self._take_settings,
            ResponseReceived: self._take_head,
            StreamEnded: self._take_end,
            StreamReset: self._take_reset,
            WindowUpdated: self._take_window,
        }

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection is open: greet the server, unless it has chosen to speak HTTP/1.1."""
        self.transport: asyncio.Transport = transport  # type: ignore[assignment]
        self._descriptor: int = transport.get_extra_info("socket").fileno()
        self._readable.register(self._descriptor, select.POLLIN)
        tls = transport.get_extra_info("ssl_object")
        self.is_offered = tls is None or tls.selected_alpn_protocol() == "h2"
        if self.is_offered:
            self._h2.initiate_connection()
            self._h2.increment_flow_control_window(CONNECTION_WINDOW - self._h2.inbound_flow_control_window)
            self._flush()

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where the next bytes belong."""
        return self._received[self._filled :]

    def buffer_updated(self, count: int) -> None:
        """So many bytes are there: go through the frames that are complete."""
        self._filled += count
        position = 0
        try:
            position = self._take_frames()
            self._flush()
            if self._paused and self.transport.get_write_buffer_size() > _UNTAKEN:
                raise ProtocolError("the server asks for answers that it does not take")
        except HeadraceError as error:
            self._break(error)
        if position:
            rest = self._filled - position
            self._received[:rest] = bytes(self._received[position : self._filled])
            self._filled = rest

    def eof_received(self) -> bool:
        """The server has closed its end; False: this end closes too."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is closed, or broke for the reason given."""
        self._end_all(f"{exc or 'it was closed'}")

    def pause_writing(self) -> None:
        """The kernel takes no more for now."""
        self._paused = True

    def resume_writing(self) -> None:
        """The kernel takes more again."""
        self._paused = False
        self._wake_senders()

    # Frames.

    def _take_frames(self) -> int:
        """Go through the frames that are complete; give the number of their bytes."""
        position = 0
        while not self.closed and self._filled >= position + _FRAME_HEAD:
            high, low, kind, flags, identifier = _HEAD.unpack_from(self._received, position)
            length = high << 16 | low
            if not self.greeted.done() and kind != _SETTINGS:
                raise ProtocolError("the server does not speak HTTP/2")
            if length > MAX_FRAME:
                raise ProtocolError(f"the server sent a frame of {length} bytes, of which at most {MAX_FRAME} are allowed")
            end = position + _FRAME_HEAD + length
            if end > self._filled:
                break
            self._take_frame(kind, flags, identifier & _IDENTIFIER, self._received[position:end])
            position = end
        return position

    def _take_frame(self, kind: int, flags: int, identifier: int, frame: memoryview) -> None:
        self._idle_frames += 1
        if self._idle_frames > _IDLE_FRAMES:
            raise ProtocolError("the server sends frames without end that bring nothing forward")
        if kind in _HEADS:
            self._head_is_open = not flags & _END_HEADERS
        elif self._head_is_open and kind in (_DATA, _GOAWAY):
            raise ProtocolError("the server broke the rules of HTTP/2: another frame in the middle of a head")
        if kind == _DATA:
            # The library would copy it three times.
            self._take_data(identifier, flags, frame[_FRAME_HEAD:])
        elif kind == _GOAWAY:
            # The library would take no more frames after it, though the server goes on with the streams that it has begun.
            self._go_away(frame)
        else:
            for event in self._hand_over(frame, identifier):
                handler = self._handlers.get(type(event))
                if handler is not None:
                    handler(event)

    def _take_data(self, identifier: int, flags: int, data: memoryview) -> None:
        length = len(data)
        self._acknowledge(length)
        if flags & _PADDED:
            if not length or data[0] >= length:
                raise ProtocolError("the server broke the rules of HTTP/2: a frame of padding alone")
            data = data[1 : length - data[0]]
        stream = self._streams.get(identifier)
        if stream is None:
            self._allow_unwanted(length)
            return
        if data:
            stream.moved, self._idle_frames = True, 0
        if flags & _END_STREAM:
            self._end_library_stream(identifier)
        try:
            if not stream.reply.status:
                raise ProtocolError("a body before its head")
            stream.reply.take(data)
            if flags & _END_STREAM:
                self._end_stream(identifier, stream)
            elif stream.reply.unwanted:
                self._finish(identifier)
            else:
                stream.unacknowledged += length
                if stream.unacknowledged > STREAM_WINDOW // 2:
                    self._open_window(identifier, stream.unacknowledged)
                    stream.unacknowledged = 0
        except Exception as error:
            self._fail(identifier, error)

    def _end_library_stream(self, identifier: int) -> None:
        """Let the library know that a stream has ended: by an empty trailer, since it would look for the body of another end."""
        self._hand_over(memoryview(_HEAD.pack(0, 0, _HEADERS, _END_HEADERS | _END_STREAM, identifier)), identifier)

    def _end_stream(self, identifier: int, stream: Stream) -> None:
        stream.ended = True
        stream.reply.finish()
        self._finish(identifier)

    def _acknowledge(self, length: int) -> None:
        """Open the connection's window again, but not for every frame."""
        self._unacknowledged += length
        if self._unacknowledged > CONNECTION_WINDOW // 2:
            self._open_window(0, self._unacknowledged)
            self._unacknowledged = 0

    def _open_window(self, identifier: int, length: int) -> None:
        self._updates += _HEAD.pack(0, 4, _WINDOW_UPDATE, 0, identifier) + length.to_bytes(4, "big")

    def _hand_over(self, frame: memoryview, identifier: int) -> list[Event]:
        failure = ""
        try:
            return self._h2.receive_data(bytes(frame))
        except Exception as error:
            # Of the library's own kind, or of another where it did not foresee what came. What quotes the server may quote a secret.
            words = str(error)
            failure = f"the server broke the rules of HTTP/2: {type(error).__name__ if not words or {*words} & _QUOTES else words}"
        if identifier in self._streams:
            self._fail(identifier, ProtocolError(failure))
        raise ProtocolError(failure)

    def _allow_unwanted(self, length: int) -> None:
        """Refuse more of the bodies that were given up than may have been on their way when the server was told."""
        if length:
            self._unwanted -= length
            self._idle_frames -= 1
        if self._unwanted < 0:
            raise ProtocolError("the server sends bodies that nobody asked for")

    def _go_away(self, frame: memoryview) -> None:
        if len(frame) < _FRAME_HEAD + 8:
            raise ProtocolError("the server broke the rules of HTTP/2: a frame is too short")
        last = int.from_bytes(frame[9:13], "big") & _IDENTIFIER
        self.retire()
        for identifier in [each for each in self._streams if each > last]:
            self._streams[identifier].ended = self._streams[identifier].sent = True
            self._fail(identifier, _not_begun("the server closes the connection, and has not begun with this request"))

    # What the frames say.

    def _exchange_of(self, event: Any) -> Stream | None:
        stream = self._streams.get(event.stream_id)
        if stream is not None:
            stream.moved = True
            self._idle_frames = 0
        return stream

    def _take_interim(self, event: InformationalResponseReceived) -> None:
        if (stream := self._exchange_of(event)) is not None:
            with self._blaming(event.stream_id):
                stream.reply.begin_interim()

    def _take_head(self, event: ResponseReceived) -> None:
        if (stream := self._exchange_of(event)) is not None:
            with self._blaming(event.stream_id):
                stream.reply.begin(event.headers)
                if stream.reply.unwanted:
                    self._finish(event.stream_id)

    def _take_end(self, event: StreamEnded) -> None:
        if (stream := self._exchange_of(event)) is not None:
            with self._blaming(event.stream_id):
                self._end_stream(event.stream_id, stream)

    def _take_reset(self, event: StreamReset) -> None:
        if (stream := self._exchange_of(event)) is None:
            return
        stream.ended = stream.sent = True
        error: HeadraceError
        if not event.remote_reset:
            error = ProtocolError(f"the server broke the rules of HTTP/2: {_name(event.error_code)}")
        elif event.error_code == ErrorCodes.REFUSED_STREAM:
            error = _not_begun("the server refused the request before it began with it")
        else:
            error = ConnectionFailed(f"the server broke the exchange off {progress(stream.reply)}: {_name(event.error_code)}")
        self._fail(event.stream_id, error)

    def _take_settings(self, event: RemoteSettingsChanged) -> None:
        if self._h2.encoder.header_table_size > MAX_HEADERS:
            # The server says how much of the requests it will remember; here it is remembered too.
            self._h2.encoder.header_table_size = MAX_HEADERS
        if not self.greeted.done():
            self.greeted.set_result(None)
        self._wake_waiters()
        self._wake_senders()

    def _take_window(self, event: WindowUpdated) -> None:
        if event.stream_id == 0:
            self._wake_senders()
        elif (stream := self._streams.get(event.stream_id)) is not None:
            stream.woken.set()

    @contextlib.contextmanager
    def _blaming(self, identifier: int) -> Iterator[None]:
        """Let what is raised fail this exchange alone."""
        try:
            yield
        except Exception as error:
            self._fail(identifier, error)

    # What the transport calls.

    def is_usable(self, idle_before: float) -> bool:
        """Whether another exchange may begin here; not if nothing has been under way since ``idle_before``."""
        return not self._retired and not self.closed and (bool(self._streams) or self.idle_since > idle_before)

    @property
    def is_idle(self) -> bool:
        """Whether nothing is under way."""
        return not self._streams and not self._waiters

    async def hear(self) -> None:
        """Take first what the server said while nothing was under way: that it has left, perhaps."""
        for _ in range(_TURNS):
            if self._streams or self.closed or not self._readable.poll(0):
                return
            await asyncio.sleep(0)
        self.retire()

    def retire(self) -> None:
        """Begin no more exchanges here, and close after the last."""
        self._retired = True
        if not self._streams:
            self.close()
        waiters, self._waiters = self._waiters, deque()
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    async def exchange(self, send: Send) -> StreamReply:
        """Send the request and receive the whole reply; see `blocking.Connection.exchange`. Cancelled, end this exchange alone.

        A `ConnectionFailed` with the code ``refused`` says that the server has not begun with the request.
        """
        await self._wait_for_room()
        request = send.request
        reply = StreamReply(request.method, send.place, send.limit, send.excerpt)
        done: asyncio.Future[StreamReply] = self._loop.create_future()
        stream = Stream(reply, done)
        identifier = self._open(request, stream)
        send.reply = reply
        try:
            if request.body:
                await self._send_body(identifier, stream, request)
            await done
            self.served += 1
            return reply
        except BaseException:
            if done.done() and not done.cancelled():
                # Seen, so that asyncio does not report it a second time.
                done.exception()
            raise
        finally:
            self._drop(identifier)
            # An exception that its own traceback refers to would live, with the body, until the garbage collector comes.
            del done, stream

    async def _wait_for_room(self) -> None:
        """Wait until the server takes another stream."""
        while len(self._streams) >= min(self._h2.remote_settings.max_concurrent_streams, _STREAMS) and not self._retired:
            waiter = self._loop.create_future()
            self._waiters.append(waiter)
            try:
                await waiter
            except BaseException:
                if waiter in self._waiters:
                    self._waiters.remove(waiter)
                else:
                    # It was this one that was let in.
                    self._wake_waiters()
                raise
        if self._retired or self.closed:
            raise _not_begun("the connection was closed before the request was sent")

    def _open(self, request: Request, stream: Stream) -> int:
        identifier, failure = self._h2.get_next_available_stream_id(), ""
        try:
            self._h2.send_headers(identifier, request_fields(request), end_stream=not request.body)
        except H2Error as error:
            failure = str(error)
        if failure:
            # Outside of the library's error, whose traceback holds the headers.
            raise _not_begun(f"the request cannot be sent on this connection: {failure}")
        self._streams[identifier] = stream
        stream.sent = not request.body
        stream.last_byte = self._written + 1
        if identifier >= _LAST_STREAM:
            self.retire()
        self._flush_soon()
        return identifier

    async def _send_body(self, identifier: int, stream: Stream, request: Request) -> None:
        """Send the body, as the server's windows allow; less of it if the exchange ends before."""
        stream.unsent = request.length
        if not request.length:
            self._send_data(identifier, stream, memoryview(b""))
        for part in request.body:
            if isinstance(part, FileRange):
                await self._send_file(identifier, stream, part)
            else:
                await self._send_memory(identifier, stream, part)

    async def _send_file(self, identifier: int, stream: Stream, part: FileRange) -> None:
        offset, end = part.offset, part.offset + part.length
        while offset < end and not stream.done.done():
            read = functools.partial(os.pread, part.descriptor, min(_READ_AT_ONCE, end - offset), offset)
            piece = await in_executor(self._loop, read)
            if not piece:
                raise file_became_shorter()
            await self._send_memory(identifier, stream, memoryview(piece))
            offset += len(piece)

    async def _send_memory(self, identifier: int, stream: Stream, piece: memoryview) -> None:
        while piece and (room := await self._room(identifier, stream)):
            self._send_data(identifier, stream, piece[:room])
            piece = piece[room:]

    def _send_data(self, identifier: int, stream: Stream, piece: memoryview) -> None:
        stream.unsent -= len(piece)
        stream.sent = not stream.unsent
        self._h2.send_data(identifier, piece, end_stream=stream.sent)
        self._flush()
        stream.moved, stream.last_byte = True, self._written
        self._idle_frames = 0

    async def _room(self, identifier: int, stream: Stream) -> int:
        """How many bytes can be sent now; waits until it is at least one. 0 if the exchange has ended."""
        # Otherwise the loop would not look for a reply, or a reset, as long as the kernel takes everything.
        await asyncio.sleep(0)
        while not stream.done.done():
            room = self._h2.local_flow_control_window(identifier)
            if room > 0 and not self._paused:
                return min(room, self._h2.max_outbound_frame_size, _WRITE_AT_ONCE)
            stream.woken.clear()
            await stream.woken.wait()
        return 0

    def sweep(self, stall_timeout: float) -> None:
        """Called some times in each stall timeout: raise `Stalled` in each exchange in which nothing moves."""
        before = self._delivered
        self._delivered = self._written - self.transport.get_write_buffer_size() - unsent_bytes(self._descriptor)
        for identifier, stream in list(self._streams.items()):
            if stream.moved or before < min(self._delivered, stream.last_byte):
                stream.moved, stream.quiet_sweeps = False, 0
                continue
            stream.quiet_sweeps += 1
            if stream.quiet_sweeps >= SWEEPS_PER_STALL:
                # The others may go on; what comes after them had better have another connection.
                self.retire()
                self._fail(identifier, Stalled(f"no byte moved for {stall_timeout:g} s, {progress(stream.reply)}"))
        # A server that takes no streams at all.
        self._idle_sweeps = 0 if self._streams or not self._waiters else self._idle_sweeps + 1
        if self._idle_sweeps >= SWEEPS_PER_STALL:
            self.close()

    def close(self) -> None:
        """Close at once; what is under way fails."""
        if not self.closed:
            self.closed = True
            if self.is_offered:
                with contextlib.suppress(H2Error):
                    self._h2.close_connection()
                self._flush()
            self.transport.abort()
            self._end_all("it was closed")

    # Ends.

    def _finish(self, identifier: int) -> None:
        stream = self._streams[identifier]
        stream.woken.set()
        if not stream.done.done():
            stream.done.set_result(stream.reply)
        self._drop(identifier)

    def _fail(self, identifier: int, error: BaseException) -> None:
        stream = self._streams[identifier]
        stream.woken.set()
        if not stream.done.done():
            stream.done.set_exception(error)
        self._drop(identifier)

    def _drop(self, identifier: int) -> None:
        """Forget an exchange; tell the server if it is not over. Nothing is written into its memory from here on."""
        stream = self._streams.pop(identifier, None)
        if stream is None or self.closed:
            return
        if not (stream.sent and stream.ended):
            with contextlib.suppress(H2Error):
                self._h2.reset_stream(identifier, ErrorCodes.CANCEL)
            if not stream.ended:
                self._unwanted += STREAM_WINDOW
            self._flush_soon()
        if not self._streams:
            self.idle_since = self._loop.time()
            if self._retired:
                self.close()
        self._wake_waiters()

    def _break(self, error: HeadraceError) -> None:
        """The connection cannot go on."""
        if not self.greeted.done():
            self.greeted.set_exception(error)
        for identifier in list(self._streams):
            self._fail(identifier, ConnectionFailed(f"the connection was given up: {error.message}"))
        self.close()

    def _end_all(self, reason: str) -> None:
        self.closed = True
        if not self.greeted.done():
            self.greeted.set_exception(ConnectionFailed(f"the connection broke before the server greeted: {reason}"))
        for identifier, stream in list(self._streams.items()):
            self._fail(identifier, ConnectionFailed(f"the connection broke {progress(stream.reply)}: {reason}"))
        self.retire()

    # Writing.

    def _flush_soon(self) -> None:
        """Write in this turn of the loop, together with what others have to write in it."""
        if not self._flushing:
            self._flushing = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._flushing = False
        data = self._h2.data_to_send()
        if self._updates:
            data += self._updates
            self._updates.clear()
        if data and not self.transport.is_closing():
            self._written += len(data)
            self.transport.write(data)

    def _wake_senders(self) -> None:
        for stream in self._streams.values():
            if not stream.sent:
                stream.woken.set()

    def _wake_waiters(self) -> None:
        """Let as many begin as there is room for."""
        room = min(self._h2.remote_settings.max_concurrent_streams, _STREAMS) - len(self._streams)
        while self._waiters and room > 0:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                room -= 1


def _not_begun(message: str) -> ConnectionFailed:
    return ConnectionFailed(message, code="refused")


def _name(code: ErrorCodes | int) -> str:
    return code.name if isinstance(code, ErrorCodes) else f"error {code}"
