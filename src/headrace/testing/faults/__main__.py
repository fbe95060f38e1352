"""The proxy in the foreground: ``python -m headrace.testing.faults --upstream URL --rules FILE.json``."""

from __future__ import annotations

import argparse
import dataclasses
import json
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from headrace.errors import HeadraceError
from headrace.testing.faults.proxy import FaultProxy
from headrace.testing.faults.rules import Rule, parse_rules
from headrace.testing.servers.authority import Authority

__all__: list[str] = []


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m headrace.testing.faults", description="An HTTP/1.1 proxy that makes things go wrong.")
    parser.add_argument("--upstream", required=True, metavar="URL", help="the service that requests are passed to")
    parser.add_argument("--rules", type=Path, metavar="FILE", help="a JSON list of rules; without it everything passes")
    parser.add_argument("--port", type=int, default=0, help="the port to listen on, on loopback; a free one by default")
    parser.add_argument("--seed", type=int, default=0, help="of the dice of rules with a probability")
    parser.add_argument("--tls", type=Path, metavar="DIRECTORY", help="serve TLS, with an authority that is made in this directory")
    parser.add_argument("--ca-bundle", metavar="FILE", help="the certificates to trust of an https:// upstream")
    return parser.parse_args()


def _proxy(arguments: argparse.Namespace) -> FaultProxy:
    rules: Sequence[Rule] = parse_rules(arguments.rules.read_text(encoding="utf-8")) if arguments.rules else []
    certificate = None
    if arguments.tls:
        authority = Authority(arguments.tls)
        certificate = authority.issue()
        print(f"export HEADRACE_CA_BUNDLE={authority.ca_bundle}", flush=True)
    return FaultProxy(
        arguments.upstream, rules, seed=arguments.seed, certificate=certificate, port=arguments.port, ca_bundle=arguments.ca_bundle
    )


def _main() -> int:
    arguments = _arguments()
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    try:
        with _proxy(arguments) as proxy:
            print(f"export HEADRACE_ENDPOINT_URL={proxy.endpoint}", flush=True)
            print("Press Ctrl-C to stop, and to see what has passed.", file=sys.stderr)
            stop.wait()
    except (HeadraceError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    for passage in proxy.passages():
        print(json.dumps(dataclasses.asdict(passage)))
    return 0


if __name__ == "__main__":
    sys.exit(_main())
