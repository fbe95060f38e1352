"""A proxy that makes a connection to a storage service go wrong, just as wrong as a test wants it.

    from headrace.testing.faults import Cut, FaultProxy, Rule

    with FaultProxy(server.endpoint) as proxy, Client(endpoint_url=proxy.endpoint) as client:
        proxy.inject(Rule(fault=Cut(at=1000), method="GET", times=1))
        client.get("s3://bucket/key")
        assert len(proxy.passages("/bucket/key")) == 2

It is also a program: ``python -m headrace.testing.faults --upstream URL --rules FILE.json``.
"""

from headrace.testing.faults.kinds import (
    KINDS,
    Corrupt,
    CorruptUpload,
    Cut,
    Delay,
    Drip,
    DripUpload,
    Fault,
    Garbage,
    Redirect,
    Reset,
    ResetUpload,
    ShortBody,
    Stall,
    StallUpload,
    Status,
    WrongLength,
)
from headrace.testing.faults.proxy import FaultProxy
from headrace.testing.faults.record import Passage
from headrace.testing.faults.rules import Rule, parse_rules

__all__ = [
    "KINDS",
    "Corrupt",
    "CorruptUpload",
    "Cut",
    "Delay",
    "Drip",
    "DripUpload",
    "Fault",
    "FaultProxy",
    "Garbage",
    "Passage",
    "Redirect",
    "Reset",
    "ResetUpload",
    "Rule",
    "ShortBody",
    "Stall",
    "StallUpload",
    "Status",
    "WrongLength",
    "parse_rules",
]
