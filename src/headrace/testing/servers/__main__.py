"""Run all the servers in the foreground: ``python -m headrace.testing.servers``."""

from __future__ import annotations

import signal
import sys
import threading
from contextlib import ExitStack

from headrace.errors import MissingDependency
from headrace.testing.servers import Azurite, CephRGW, FakeGCS, MiniStack, Nginx, Server

__all__: list[str] = []


def _exports(server: Server) -> str:
    prefix = server.name.upper()
    lines = [f"export {prefix}_ENDPOINT={server.endpoint}"]
    try:
        lines.append(f"export {prefix}_TLS_ENDPOINT={server.tls_endpoint} {prefix}_CA_BUNDLE={server.ca_bundle}")
    except MissingDependency as error:
        lines.append(f"# no TLS: {error}")
    return "\n".join(lines)


def _main() -> None:
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    with ExitStack() as running:
        for server in (FakeGCS(), MiniStack(), CephRGW(), Nginx()):
            try:
                print(_exports(running.enter_context(server)), flush=True)
            except MissingDependency as error:
                print(f"# {server.name} is not started: {error}", flush=True)
        azurite = Azurite()
        try:
            print(_exports(running.enter_context(azurite)), flush=True)
            print(f"export AZURE_STORAGE_ACCOUNT={azurite.access_key} AZURE_STORAGE_KEY={azurite.secret_key}", flush=True)
        except MissingDependency as error:
            print(f"# {azurite.name} is not started: {error}", flush=True)
        print(f"export AWS_ACCESS_KEY_ID={server.access_key} AWS_SECRET_ACCESS_KEY={server.secret_key}", flush=True)
        print("Press Ctrl-C to stop.", file=sys.stderr)
        stop.wait()


if __name__ == "__main__":
    _main()
