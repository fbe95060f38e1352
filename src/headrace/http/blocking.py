"""HTTP exchanges in the caller's own thread, over blocking sockets."""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import select
import socket
import ssl
import struct
import sys
import threading
import time
import weakref
from collections.abc import Callable, Sequence

from headrace.errors import ConnectionFailed, HeadraceError, Stalled
from headrace.http.codec import Reply, scratch
from headrace.http.connecting import Settings, avoid, connect_error, connect_request, resolve, tunnel_refused
from headrace.http.effects import Cancelled, Send
from headrace.http.messages import FileRange, Origin, Request, encode_head
from headrace.http.pool import Pool
from headrace.http.progress import file_became_shorter, progress, shut_down, unsent_bytes
from headrace.http.proxy import Proxy, choose_proxy
from headrace.http.tls import client_context

__all__ = ["BlockingTransport", "Connection", "Lane", "Settings"]

_RECEIVE_AT_ONCE = 4 << 20
_WAKE_AT = 512 << 10
_FAST = 100e6  # bytes a second, on one connection
# Linux alone keeps a receive window that is large enough for the mark (tcp_set_rcvlowat).
_WAKES_LATE = sys.platform == "linux"
_SEND_AT_ONCE = 1 << 20
_JOIN_BELOW = 256 << 10
_CONTINUE_SECONDS = 1.0
_STOP_CHECK_SECONDS = 0.2
_NO_SENDFILE = frozenset({errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP})


class Connection:
    """One connection to an origin; used by one thread at a time.

    Every wait is bounded by the time without progress: a slow transfer goes on, a stalled one raises `Stalled`.
    """

    __slots__ = (
        "_is_fast",
        "_is_tls",
        "_readable",
        "_scratch",
        "_stall_timeout",
        "_unsent",
        "idle_since",
        "prefix",
        "proxy_headers",
        "served",
        "socket",
    )

    def __init__(self, sock: socket.socket, stall_timeout: float) -> None:
        self.socket = sock
        self.idle_since = 0.0
        self.served = 0
        self.prefix = ""
        self.proxy_headers: dict[str, str] = {}
        self._scratch = scratch()
        self._stall_timeout = stall_timeout
        self._unsent = 0
        self._is_fast = False
        self._is_tls = isinstance(sock, ssl.SSLSocket)
        if self._is_tls:
            sock.settimeout(stall_timeout)
        else:
            # The kernel's own time limits spare the poll() that a Python timeout makes before each call.
            limit = struct.pack("@ll", int(stall_timeout), int(stall_timeout % 1 * 1e6))
            sock.settimeout(None)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._readable = select.poll()
        self._readable.register(sock, select.POLLIN)

    def exchange(self, send: Send) -> Reply:
        """Send the request and receive the whole reply; ``send.reply`` shows the progress.

        Raises:
            Stalled: no byte moved for the stall timeout.
            ConnectionFailed: the connection broke.
            ProtocolError: the reply is not valid HTTP.
            InvalidOption: the request cannot be sent as HTTP.
            Exception: what ``send.place`` raised.
        """
        request = send.request
        reply = send.reply = Reply(request.method, self._scratch, send.place, send.limit, send.excerpt)
        all_sent = self._send(request, reply)
        while not reply.complete:
            self._receive_some(reply)
        self.served += 1
        if not all_sent:
            reply.reusable = False
        return reply

    def _send(self, request: Request, reply: Reply) -> bool:
        """Send head and body; False if the server replied before it had taken all."""
        # Behind a view, since what is sent holds secrets and a traceback may show variables.
        head = memoryview(encode_head(request, self.prefix, self.proxy_headers))
        body = request.body
        self._unsent = request.length
        if not body:
            return self._send_all(head, reply)
        if request.length <= _JOIN_BELOW and not request.expect_continue and FileRange not in map(type, body):
            # One segment train instead of two: cheaper for both ends than the copy that it takes.
            return self._send_all(memoryview(b"".join([head, *body])), reply)  # type: ignore[list-item]
        if not self._send_all(head, reply) or (request.expect_continue and not self._may_continue(reply)):
            return False
        return self._send_parts(body, reply)

    def _may_continue(self, reply: Reply) -> bool:
        """Wait a moment for `100 Continue`; False if a final reply came instead."""
        deadline = time.monotonic() + _CONTINUE_SECONDS
        while not reply.interim and not reply.status and (left := deadline - time.monotonic()) > 0:
            self._receive_within(left, reply)
        return not reply.status

    def _send_parts(self, body: Sequence[memoryview | FileRange], reply: Reply) -> bool:
        for part in body:
            if not isinstance(part, FileRange):
                all_sent = self._send_memory(part, reply)
            elif self._is_tls:
                all_sent = self._send_file_through_memory(part, reply)
            else:
                all_sent = self._send_file(part, reply)
            if not all_sent:
                return False
        self._unsent = unsent_bytes(self.socket.fileno())
        return True

    def _send_memory(self, part: memoryview, reply: Reply) -> bool:
        for start in range(0, len(part), _SEND_AT_ONCE):
            if self._is_answered(reply):
                return False
            self._unsent = unsent_bytes(self.socket.fileno())
            if not self._send_all(part[start : start + _SEND_AT_ONCE], reply):
                return False
        return True

    def _send_all(self, data: memoryview, reply: Reply) -> bool:
        while True:
            try:
                count = self.socket.send(data)
            except (OSError, ValueError) as error:
                if not self._may_send_on(error, reply):
                    return False
                continue
            if count == len(data):
                return True
            data = data[count:]
            self._unsent = unsent_bytes(self.socket.fileno())

    def _send_file(self, part: FileRange, reply: Reply) -> bool:
        offset, end = part.offset, part.offset + part.length
        while offset < end:
            if self._is_answered(reply):
                return False
            self._unsent = unsent_bytes(self.socket.fileno())
            try:
                count = os.sendfile(self.socket.fileno(), part.descriptor, offset, min(end - offset, _SEND_AT_ONCE))
            except OSError as error:
                if error.errno in _NO_SENDFILE:
                    return self._send_file_through_memory(FileRange(part.descriptor, offset, end - offset), reply)
                if not self._may_send_on(error, reply):
                    return False
                continue
            if count == 0:
                raise file_became_shorter()
            offset += count
        return True

    def _send_file_through_memory(self, part: FileRange, reply: Reply) -> bool:
        piece = memoryview(bytearray(min(part.length, _SEND_AT_ONCE)))
        offset, end = part.offset, part.offset + part.length
        while offset < end:
            count = os.preadv(part.descriptor, [piece[: end - offset]], offset)
            if count == 0:
                raise file_became_shorter()
            if not self._send_memory(piece[:count], reply):
                return False
            offset += count
        return True

    def _may_send_on(self, error: Exception, reply: Reply) -> bool:
        """What it means that a send failed: True to try it again, False if the server's reply is what matters now."""
        if isinstance(error, (BrokenPipeError, ConnectionResetError, ssl.SSLEOFError)):
            # A server may refuse a body before it has read it, and close: its reply says why.
            return False
        if not isinstance(error, (BlockingIOError, TimeoutError)):
            raise self._failure(error, reply) from error
        if self._is_answered(reply):
            return False
        self._check_moving(error, reply)
        return True

    def _is_answered(self, reply: Reply) -> bool:
        """Whether the final reply has begun to arrive, though the request is not sent yet."""
        if not self.is_usable():
            self._receive_within(0, reply)
        return reply.status > 0

    def _receive_within(self, seconds: float, reply: Reply) -> None:
        """Take what comes of the reply, but wait no longer than ``seconds`` for it."""
        if not self._is_tls:
            if self._readable.poll(seconds * 1000):
                self._receive_some(reply)
            return
        # That the socket is readable says little: the record may be one of TLS itself, such as a session ticket.
        self.socket.settimeout(seconds)
        try:
            count = self.socket.recv_into(reply.buffer())
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError, TimeoutError):
            return
        except (OSError, ValueError) as error:
            raise self._failure(error, reply) from error
        finally:
            self.socket.settimeout(self._stall_timeout)
        self._take(reply, count)

    def _receive_some(self, reply: Reply) -> None:
        buffer = reply.buffer()
        try:
            if self._is_tls or not reply.exact:
                count = self.socket.recv_into(buffer, min(len(buffer), _RECEIVE_AT_ONCE))
            else:
                count = self._receive_body(buffer)
        except (BlockingIOError, TimeoutError) as error:
            self._check_moving(error, reply)
        except (OSError, ValueError) as error:
            raise self._failure(error, reply) from error
        else:
            self._take(reply, count)

    def _receive_body(self, buffer: memoryview) -> int:
        """Let the kernel fill a body's memory, without waking Python for every segment; at the time limit it gives what has come."""
        begun = time.monotonic()
        if self._is_fast and _WAKES_LATE and len(buffer) >= 2 * _WAKE_AT:
            count = self._receive_late(buffer)
        else:
            count = self.socket.recv_into(buffer, min(len(buffer), _RECEIVE_AT_ONCE), socket.MSG_WAITALL)
        if count >= _WAKE_AT:
            self._is_fast = count > _FAST * (time.monotonic() - begun)
        return count

    def _receive_late(self, buffer: memoryview) -> int:
        """Inside that call the kernel wakes this thread for every segment, to copy it: let it wait until more has come.

        But not for more than will come: the end of a body is received without. And not where bytes come slowly: the receive window
        grows as they are copied, and a long link would not be filled.
        """
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, _WAKE_AT)
        try:
            return self.socket.recv_into(buffer, min(len(buffer) - _WAKE_AT, _RECEIVE_AT_ONCE), socket.MSG_WAITALL)
        finally:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 1)

    def _take(self, reply: Reply, count: int) -> None:
        if count == 0:
            reply.end()
        else:
            reply.advance(count)

    def _check_moving(self, error: Exception, reply: Reply) -> None:
        """After a wait without progress here: go on if the kernel was still sending what it holds of the request."""
        before, self._unsent = self._unsent, unsent_bytes(self.socket.fileno())
        if self._unsent >= before:
            raise self._failure(error, reply) from None

    def _failure(self, error: Exception, reply: Reply) -> HeadraceError:
        if isinstance(error, (BlockingIOError, TimeoutError)):
            return Stalled(f"no byte moved for {self._stall_timeout:g} s, {progress(reply)}")
        return ConnectionFailed(f"the connection broke {progress(reply)}: {error}")

    def is_usable(self) -> bool:
        """Whether an idle connection is still open, and silent: bytes that nobody asked for would pass for the next reply."""
        try:
            return not self._readable.poll(0) and not (self._is_tls and self.socket.pending())  # type: ignore[attr-defined]
        except (OSError, ValueError):
            return False

    def interrupt(self) -> None:
        """End an exchange that another thread has in progress: it raises `ConnectionFailed` there."""
        shut_down(self.socket)

    def close(self) -> None:
        """Close at once."""
        with contextlib.suppress(OSError):
            self.socket.close()


class Lane:
    """One thread's work in progress, which another thread can stop. A forked child cannot: the thread is its parent's."""

    def __init__(self) -> None:
        self._process = os.getpid()
        self.stopped = threading.Event()
        self._lock = threading.Lock()
        self._interrupt: Callable[[], None] | None = None

    def enter(self, interrupt: Callable[[], None]) -> None:
        """Until `leave`, `stop` calls ``interrupt``, which must not block. Raises `Cancelled` if the lane is stopped."""
        with self._lock:
            if self.stopped.is_set():
                raise Cancelled
            self._interrupt = interrupt

    def leave(self) -> None:
        """What `enter` named is no longer to be interrupted: it may already serve somebody else."""
        with self._lock:
            self._interrupt = None

    def stop(self) -> None:
        """Make the work end soon: an exchange breaks off, a sleep ends."""
        if os.getpid() != self._process:
            # Shut down here, the connection would end in the parent too; and the lock may have been held when the process forked.
            return
        with self._lock:
            self.stopped.set()
            if self._interrupt is not None:
                self._interrupt()


class BlockingTransport:
    """Performs `Send` effects for any number of threads, over pooled connections.

    After a fork the child starts with an empty pool; the parent's connections are left to the parent.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._start_empty()
        _transports.add(self)

    def _start_empty(self) -> None:
        self._pool: Pool[Connection] = Pool(self.settings.max_connections)
        self._lock = threading.Lock()
        self._freed: dict[Origin, threading.Condition] = {}

    def exchange(self, send: Send, lane: Lane | None = None) -> Reply:
        """Perform one exchange; see `Connection.exchange` for what it raises.

        A request that is safe to repeat is sent again, once, if a kept connection turns out to have been closed.
        With a ``lane``, its `Lane.stop` ends the exchange soon: `Cancelled` or `ConnectionFailed` is raised.
        """
        request, replayed = send.request, False
        while True:
            pool = self._pool
            connection = self._acquire(pool, request.origin, lane)
            reused, healthy = connection.served > 0, False
            try:
                if lane is not None:
                    lane.enter(connection.interrupt)
                reply = connection.exchange(send)
                healthy = reply.reusable
                return reply
            except ConnectionFailed:
                begun = send.reply is not None and send.reply.begun
                if replayed or begun or not reused or not request.repeatable:
                    raise
                replayed = True
            finally:
                if lane is not None:
                    lane.leave()
                self._release(pool, request.origin, connection, healthy=healthy)

    def _acquire(self, pool: Pool[Connection], origin: Origin, lane: Lane | None) -> Connection:
        while (connection := self._take_or_reserve(pool, origin, lane)) is not None:
            if connection.is_usable():
                return connection
            self._release(pool, origin, connection, healthy=False)
        try:
            return self._connect(origin, lane)
        except BaseException:
            self._release(pool, origin, None, healthy=False)
            raise

    def _take_or_reserve(self, pool: Pool[Connection], origin: Origin, lane: Lane | None) -> Connection | None:
        """An idle connection, or None for the right to open one; waits for either."""
        with self._lock:
            while True:
                connection = pool.take(origin)
                if connection is not None or pool.reserve(origin, time.monotonic()):
                    return connection
                if lane is not None and lane.stopped.is_set():
                    raise Cancelled
                freed = self._freed.setdefault(origin, threading.Condition(self._lock))
                try:
                    # Not without end: a signal that comes just before a wait begins does not end it.
                    freed.wait(_STOP_CHECK_SECONDS)
                except BaseException:
                    # It may have been this thread that was woken for a free connection.
                    freed.notify()
                    raise

    def _release(self, pool: Pool[Connection], origin: Origin, connection: Connection | None, *, healthy: bool) -> None:
        with self._lock:
            if healthy and connection is not None:
                pool.give_back(origin, connection, time.monotonic())
            else:
                pool.discard(origin, connection)
            freed = self._freed.get(origin)
            if freed is not None:
                freed.notify()

    def _connect(self, origin: Origin, lane: Lane | None) -> Connection:
        settings = self.settings
        proxy = choose_proxy(origin, settings.proxy)
        host, port = (proxy.host, proxy.port) if proxy else (origin.host, origin.port)
        sock: socket.socket | None = None
        try:
            sock = _open_socket(host, port, settings.connect_timeout, lane)
            if origin.scheme == "https":
                if proxy:
                    _open_tunnel(sock, origin, proxy, settings)
                context = client_context(settings.ca_bundle, verify=settings.verify_tls)
                # An end without notice is an error: a body that lasts until the end may have been cut.
                sock = context.wrap_socket(sock, server_hostname=origin.host, do_handshake_on_connect=False, suppress_ragged_eofs=False)
                if lane is not None:
                    lane.enter(functools.partial(shut_down, sock))
                sock.settimeout(settings.connect_timeout)
                sock.do_handshake()
            connection = Connection(sock, settings.stall_timeout)
        except BaseException as error:
            if sock is not None:
                sock.close()
            if isinstance(error, (OSError, UnicodeError)) and not isinstance(error, HeadraceError):
                raise connect_error(error, origin, proxy, settings) from error
            raise
        finally:
            if lane is not None:
                lane.leave()
        if proxy and origin.scheme == "http":
            connection.prefix = str(origin)
            connection.proxy_headers = {"proxy-authorization": proxy.authorization} if proxy.authorization else {}
        return connection

    def close(self) -> None:
        """Close all idle connections; those in use are closed when their exchange ends. New exchanges open new ones."""
        with self._lock:
            self._pool.close()
            self._pool = Pool(self.settings.max_connections)


def _open_socket(host: str, port: int, timeout: float, lane: Lane | None) -> socket.socket:
    """Connect to one of the addresses of ``host``, to the next one if it does not answer; each gets ``timeout`` seconds."""
    failure: OSError | None = None
    try:
        for info in resolve(host, port):
            family, kind, protocol, _, address = info
            sock = socket.socket(family, kind, protocol)
            try:
                if lane is not None:
                    lane.enter(functools.partial(shut_down, sock))
                sock.settimeout(timeout)
                sock.connect(address)
            except BaseException as error:
                sock.close()
                if not isinstance(error, OSError):
                    raise
                avoid(info)
                failure = error
            else:
                return sock
        raise failure or OSError(f"no address for {host!r}")
    finally:
        # An exception that its own traceback refers to would live until the garbage collector comes.
        del failure


def _open_tunnel(sock: socket.socket, origin: Origin, proxy: Proxy, settings: Settings) -> None:
    """Ask an HTTP proxy for a connection to ``origin`` (CONNECT, RFC 9110, section 9.3.6)."""
    sock.sendall(connect_request(origin, proxy))
    reply = Reply("CONNECT", scratch())
    # Byte by byte: what follows the head belongs to the TLS layer.
    while not reply.complete:
        count = sock.recv_into(reply.buffer(), 1)
        if count:
            reply.advance(count)
        else:
            reply.end()
        if reply.status >= 300:
            raise tunnel_refused(reply.status, origin, proxy)


_transports: weakref.WeakSet[BlockingTransport] = weakref.WeakSet()


def _start_empty_after_fork() -> None:
    for transport in list(_transports):
        inherited = transport._pool
        transport._start_empty()
        # This closes the child's descriptors only; what the parent has open stays so.
        inherited.close()


os.register_at_fork(after_in_child=_start_empty_after_fork)
