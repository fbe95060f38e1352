"""Ceph's RADOS Gateway: an S3 server that runs in production, and the one here that checks every signature."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from typing import ClassVar, TypeAlias

from headrace.testing.servers.configuration import fill_in
from headrace.testing.servers.installed import program
from headrace.testing.servers.loopback import LOOPBACK, accepts, answer, free_ports
from headrace.testing.servers.process_group import ProcessGroup
from headrace.testing.servers.server import Server

__all__ = ["CephRGW"]

_PACKAGES = "radosgw ceph-mon ceph-osd ceph-common"
_STORE_PORTS = 500
_GATEWAY = "client.gateway"
_HOSTNAMES = ["localhost", "s3.local"]

_Command: TypeAlias = Callable[..., list[str]]


class CephRGW(Server):
    """A Ceph cluster of one monitor and one store in memory (6 GiB), behind one gateway.

    Signatures are checked strictly: a wrong secret, a clock that is off, a body that is not the signed one are refused. As
    Debian 12 ships it (Ceph 16), it knows no ``x-amz-checksum-*`` and no trailers, ignores ``If-None-Match`` when a multipart upload
    completes, and answers that completion without an ETag. Buckets are also reached as ``BUCKET.s3.local:PORT``, for whoever
    resolves that name to loopback.
    """

    name: ClassVar[str] = "ceph"

    def _launch(self, processes: ProcessGroup) -> None:
        self._port, monitor_port, first_port = free_ports(3)
        directory, cluster, store = processes.directory, str(uuid.uuid4()), str(uuid.uuid4())
        for name in ("monitor", "store", "gateway"):
            (directory / name).mkdir()
        ports = {"port": self._port, "monitor_port": monitor_port, "first_port": first_port, "last_port": first_port + _STORE_PORTS}
        config = str(fill_in("ceph.conf", directory, cluster=cluster, **ports))

        def command(name: str, *arguments: str) -> list[str]:
            return [program(name, packages=_PACKAGES), "-c", config, *arguments]

        self._start_monitor(processes, command, cluster, monitor_port)
        processes.run("ceph", command("ceph", "osd", "new", store))
        processes.run("store", command("ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", store))
        processes.spawn("store", command("ceph-osd", "-i", "0", "-f"))
        self._configure_gateway(processes, command)
        processes.spawn("gateway", command("radosgw", "-n", _GATEWAY, "-f"))
        processes.wait_until(lambda: answer(self._port, "/") is not None)

    def _start_monitor(self, processes: ProcessGroup, command: _Command, cluster: str, port: int) -> None:
        monitors = str(processes.directory / "monitors")
        address = f"[v2:{LOOPBACK}:{port}]"
        processes.run("monmaptool", command("monmaptool", "--create", "--fsid", cluster, "--addv", "a", address, monitors))
        processes.run("monitor", command("ceph-mon", "-i", "a", "--mkfs", "--monmap", monitors))
        processes.spawn("monitor", command("ceph-mon", "-i", "a", "-f"))
        processes.wait_until(lambda: accepts(port))

    def _configure_gateway(self, processes: ProcessGroup, command: _Command) -> None:
        def administer(label: str, *arguments: str) -> str:
            return processes.run(label, command("radosgw-admin", "-n", _GATEWAY, *arguments))

        keys = ("--access-key", self.access_key, "--secret", self.secret_key)
        administer("user", "user", "create", "--uid", "test", "--display-name", "test", *keys)
        # A host that is none of its names is taken for a bucket. The configuration file has room for one name only.
        zone_group = json.loads(administer("zonegroup", "zonegroup", "get"))
        zone_group["hostnames"] = _HOSTNAMES
        described = processes.directory / "zonegroup.json"
        described.write_text(json.dumps(zone_group))
        administer("names", "zonegroup", "set", "--infile", str(described))
