"""Documents that would take more than they are worth are refused."""

from __future__ import annotations

import tracemalloc

import pytest

from headrace.backends.s3.xml import parse_error
from headrace.backends.service.documents import parse
from headrace.errors import ProtocolError

LEVELS = "".join(f'<!ENTITY e{level} "{f"&e{level - 1};" * 100}">' for level in range(1, 8))


@pytest.mark.parametrize(
    "document",
    [
        f'<!DOCTYPE x [<!ENTITY e0 "{"x" * 100}">{LEVELS}]><Error><Code>&e7;</Code></Error>',
        f'<!DOCTYPE x [<!ENTITY e "{"x" * 100_000}">]><Error><Code>{"&e;" * 1000}</Code></Error>',
        '<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><Error><Code>&e;</Code></Error>',
        '<!DOCTYPE x [<!ENTITY % e SYSTEM "http://127.0.0.1:9/x.dtd"> %e;]><Error><Code>x</Code></Error>',
        '<!DOCTYPE Error SYSTEM "http://127.0.0.1:9/x.dtd"><Error><Code>x</Code></Error>',
        "<!DOCTYPE Error><Error><Code>x</Code></Error>",
    ],
    ids=["billion laughs", "quadratic", "file", "parameter", "external subset", "harmless"],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_what_could_define_entities_is_refused(document: str, encoding: str) -> None:
    body = memoryview(f'<?xml version="1.0" encoding="{encoding}"?>{document}'.encode(encoding))
    with pytest.raises(ProtocolError, match="document type"):
        parse(body)
    assert parse_error(body) == (None, None)


@pytest.mark.parametrize(
    "bomb",
    [b"<a>" * 100_000, b"<a>" + b"<a/>" * 600_000 + b"</a>", b"<a>" + b"x" * (17 << 20) + b"</a>"],
    ids=["deep", "wide", "long"],
)
def test_documents_that_no_service_sends_are_refused(bomb: bytes) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(ProtocolError):
            parse(memoryview(bomb))
        assert tracemalloc.get_traced_memory()[1] < 256 << 20
    finally:
        tracemalloc.stop()
