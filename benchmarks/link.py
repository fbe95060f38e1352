"""A long link on one machine: two network namespaces, and a process that carries their packets across after a while.

The kernel's own emulation of delays (netem) is not in every kernel; TUN devices and namespaces are. The ends see a real network
path: TCP's handshakes, windows and losses are the kernel's own. It needs root and ``ip``, and touches no network but its own two hosts.
"""

from __future__ import annotations

import fcntl
import json
import os
import random
import select
import shutil
import struct
import subprocess
import sys
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

__all__ = ["Hosts", "Link"]

ROOT = Path(__file__).parent.parent

# Addresses for benchmarks of networks (RFC 2544); only the two namespaces know them.
CLIENT, SERVER = "198.18.0.1", "198.18.0.2"
PACKET = 9000  # bytes; with the 1,500 of most networks the carrier would be the bottleneck
QUEUE = 20_000  # packets
_TUNSETIFF, _IFF_TUN, _IFF_NO_PI = 0x400454CA, 0x0001, 0x1000


@dataclass(frozen=True, kw_only=True)
class Link:
    """What a link does to packets, in each direction.

    Attributes:
        round_trip: seconds there and back, without waiting for others.
        rate: bytes a second.
        loss: share of the packets that are dropped.
    """

    round_trip: float
    rate: float
    loss: float = 0.0


class Hosts:
    """A client's and a server's host, with a link between them; inside ``with``.

    Attributes:
        address: the server's.

    Raises:
        RuntimeError: this machine cannot have them: no root, no ``ip``, or no TUN devices.
    """

    address = SERVER

    def __init__(self, link: Link) -> None:
        self._link = link

    def __enter__(self) -> Self:
        if os.geteuid() != 0 or shutil.which("ip") is None or not os.path.exists("/dev/net/tun"):
            raise RuntimeError("a long link needs root, TUN devices, and ip (on Debian: apt-get install iproute2)")
        command = [sys.executable, "-m", "benchmarks.link", json.dumps(asdict(self._link))]
        self._carrier = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._carrier.stdout is not None
        names = self._carrier.stdout.readline().split()
        if len(names) != 2:
            raise RuntimeError(f"the link could not be made; its process ended with status {self._carrier.wait()}")
        self._client, self._server = names
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        # The end of its input tells the carrier to end, however this process does.
        self._carrier.communicate()

    def on_client(self, command: Sequence[str]) -> list[str]:
        """The command that runs ``command`` on the client's host."""
        return ["ip", "netns", "exec", self._client, *command]

    def on_server(self, command: Sequence[str]) -> list[str]:
        """The command that runs ``command`` on the server's host."""
        return ["ip", "netns", "exec", self._server, *command]


class _Direction:
    """One way across: packets wait for their turn at the given rate, and then for the delay."""

    def __init__(self, source: int, target: int, link: Link) -> None:
        self.source = source
        self._target = target
        self._link = link
        self._random = random.Random(source)
        self._free_at = 0.0
        self._under_way: deque[tuple[float, bytes]] = deque()

    @property
    def due(self) -> float | None:
        """When the next packet arrives."""
        return self._under_way[0][0] if self._under_way else None

    def take(self) -> None:
        """Take what the source has sent."""
        for _ in range(64):
            try:
                packet = os.read(self.source, 65536)
            except BlockingIOError:
                return
            if len(self._under_way) < QUEUE and self._random.random() >= self._link.loss:
                self._free_at = max(self._free_at, time.monotonic()) + len(packet) / self._link.rate
                self._under_way.append((self._free_at + self._link.round_trip / 2, packet))

    def deliver(self) -> None:
        """Hand over what has arrived by now."""
        now = time.monotonic()
        while self._under_way and self._under_way[0][0] <= now:
            os.write(self._target, self._under_way.popleft()[1])


def _carry(ends: tuple[int, int], link: Link) -> None:
    """Carry packets between two TUN devices until standard input ends."""
    directions = [_Direction(ends[0], ends[1], link), _Direction(ends[1], ends[0], link)]
    while True:
        due = [direction.due for direction in directions if direction.due is not None]
        wait = max(0.0, min(due) - time.monotonic()) if due else None
        ready, _, _ = select.select([*ends, sys.stdin], [], [], wait)
        if sys.stdin in ready:
            return
        for direction in directions:
            if direction.source in ready:
                direction.take()
            direction.deliver()


def _make_end(namespace: str, device: str, address: str) -> int:
    """A namespace with one TUN device; gives the descriptor at which its packets come out."""
    descriptor = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(descriptor, _TUNSETIFF, struct.pack("16sH22x", device.encode(), _IFF_TUN | _IFF_NO_PI))
    for arguments in (
        f"netns add {namespace}",
        f"link set {device} netns {namespace}",
        f"-n {namespace} link set lo up",
        f"-n {namespace} address add {address}/30 dev {device}",
        f"-n {namespace} link set {device} mtu {PACKET} txqueuelen 10000 up",
    ):
        subprocess.run(["ip", *arguments.split()], check=True)
    return descriptor


def _main() -> None:
    names = [f"headrace-{os.getpid()}-{end}" for end in ("client", "server")]
    devices = [f"hr{os.getpid()}{end}" for end in ("c", "s")]
    try:
        ends = [_make_end(*end) for end in zip(names, devices, (CLIENT, SERVER), strict=True)]
        print(*names, flush=True)
        _carry((ends[0], ends[1]), Link(**json.loads(sys.argv[1])))
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "delete", name], check=False, stderr=subprocess.DEVNULL)


if __name__ == "__main__":
    _main()
