"""An HTTP/1.1 client for storage: bytes are received once, into the memory that the caller will use.

``codec`` knows the protocol and does no I/O; ``blocking`` and ``asynchronous`` move bytes between a socket and the codec;
``pool`` keeps connections; ``effects`` is what operations may ask for; ``crew`` performs it in threads, ``asynchronous`` and
``flight`` on an event loop.
"""
