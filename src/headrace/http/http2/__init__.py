"""HTTP/2 (RFC 9113), where it is asked for: one connection to an origin, on an event loop, carries many exchanges at once."""
