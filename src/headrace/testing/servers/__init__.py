"""Real storage servers on loopback, for tests, demos and benchmarks.

    with MiniStack() as server:
        client = headrace.Client(endpoint_url=server.endpoint, ...)

Each starts on free ports in a temporary directory of its own, and is gone without trace when it stops, or when the process that
started it ends in whatever way. ``python -m headrace.testing.servers`` runs them all in the foreground.
"""

from __future__ import annotations

from headrace.testing.servers.authority import Authority, Certificate
from headrace.testing.servers.azurite import Azurite
from headrace.testing.servers.ceph import CephRGW
from headrace.testing.servers.fake_gcs import FakeGCS
from headrace.testing.servers.ministack import MiniStack
from headrace.testing.servers.nginx import Nginx
from headrace.testing.servers.server import Server

__all__ = ["Authority", "Azurite", "CephRGW", "Certificate", "FakeGCS", "MiniStack", "Nginx", "Server"]
