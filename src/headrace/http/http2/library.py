"""The door to the library ``h2``, which keeps the state of an HTTP/2 connection: streams, windows, header compression."""

from __future__ import annotations

from headrace.errors import MissingDependency
from headrace.http.messages import Request, Secret, encode_head

try:
    from h2.config import H2Configuration
    from h2.connection import H2Connection
    from h2.errors import ErrorCodes
    from h2.events import (
        Event,
        InformationalResponseReceived,
        RemoteSettingsChanged,
        ResponseReceived,
        StreamEnded,
        StreamReset,
        WindowUpdated,
    )
    from h2.exceptions import H2Error
    from h2.settings import SettingCodes, Settings
    from hpack import HeaderTuple, NeverIndexedHeaderTuple
except ImportError as error:
    raise MissingDependency("HTTP/2 needs the package 'h2'", hint="Install it: pip install 'headrace[http2]'") from error

__all__ = [
    "CONNECTION_WINDOW",
    "MAX_FRAME",
    "MAX_HEADERS",
    "STREAM_WINDOW",
    "ErrorCodes",
    "Event",
    "H2Connection",
    "H2Error",
    "InformationalResponseReceived",
    "RemoteSettingsChanged",
    "ResponseReceived",
    "StreamEnded",
    "StreamReset",
    "WindowUpdated",
    "client_side",
    "request_fields",
]

STREAM_WINDOW = 8 << 20
"""Bytes of one reply's body that may be on their way: enough for 125 MB/s over 60 ms."""

CONNECTION_WINDOW = 32 << 20
"""Bytes of all bodies of a connection that may be on their way."""

MAX_FRAME = 256 << 10
"""Bytes that a frame of the server's may have, its head not counted."""

MAX_HEADERS = 64 << 10
"""Bytes that the head of a reply may have, and that either end remembers of heads to compress others."""

_NOT_SENT = frozenset({"connection", "expect", "host", "keep-alive", "proxy-connection", "te", "transfer-encoding", "upgrade"})


def client_side() -> H2Connection:
    """A connection's state, with windows that let a long link be filled, and limits on what a server may send."""
    # Requests are checked before, by the rules of HTTP/1.1, and their names are in lower case already.
    h2 = H2Connection(H2Configuration(client_side=True, validate_outbound_headers=False, normalize_outbound_headers=False))
    h2.local_settings = settings = Settings(
        client=True,
        initial_values={
            SettingCodes.ENABLE_PUSH: 0,
            SettingCodes.INITIAL_WINDOW_SIZE: STREAM_WINDOW,
            SettingCodes.MAX_FRAME_SIZE: MAX_FRAME,
            SettingCodes.MAX_HEADER_LIST_SIZE: MAX_HEADERS,
        },
    )
    # Only a server may say anything about this one.
    del settings[SettingCodes.ENABLE_CONNECT_PROTOCOL]
    h2.max_inbound_frame_size = MAX_FRAME
    h2.decoder.max_header_list_size = MAX_HEADERS
    return h2


def request_fields(request: Request) -> list[HeaderTuple]:
    """The head of a request (RFC 9113, section 8.3); of what is secret neither end keeps a copy to compress others by.

    Raises:
        InvalidOption: the target or a header holds what would change the meaning of the request, or cannot be sent.
    """
    # Refuses what cannot be sent, for HTTP/1.1 and HTTP/2 alike.
    encode_head(request)
    fields = [
        _field(":method", request.method),
        _field(":scheme", request.origin.scheme),
        _field(":authority", request.origin.authority),
        _field(":path", request.target),
    ]
    fields += [_field(name.lower(), value) for name, value in request.headers.items() if name.lower() not in _NOT_SENT]
    if request.body or request.method in ("PUT", "POST"):
        fields.append(_field("content-length", str(request.length)))
    return fields


def _field(name: str, value: str) -> HeaderTuple:
    kind = NeverIndexedHeaderTuple if isinstance(value, Secret) or name == "authorization" else HeaderTuple
    return kind(name.encode("latin-1"), value.strip(" \t").encode("latin-1"))
