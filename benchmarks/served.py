"""nginx on this host, for clients on another: ``python -m benchmarks.served FOLDER ADDRESS``, until standard input ends."""

from __future__ import annotations

import sys
from pathlib import Path

from headrace.testing.servers import Nginx

if __name__ == "__main__":
    with Nginx(root=Path(sys.argv[1]), address=sys.argv[2]) as server:
        print(server.endpoint, server.tls_endpoint, server.ca_bundle, flush=True)
        sys.stdin.read()
