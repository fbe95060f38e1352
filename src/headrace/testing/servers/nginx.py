"""A small S3 on nginx: the fast data plane, for benchmarks and for tests of throughput."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import ClassVar

from headrace.testing.servers import nginx_program
from headrace.testing.servers.authority import HOSTS, Authority
from headrace.testing.servers.configuration import fill_in, packaged_text
from headrace.testing.servers.loopback import LOOPBACK, answer, free_ports
from headrace.testing.servers.process_group import ProcessGroup
from headrace.testing.servers.server import Server

__all__ = ["Nginx"]

_MODULES = ["ndk_http_module", "ngx_http_lua_module"]


class Nginx(Server):
    """nginx that serves files by ``sendfile``, with a small S3 in Lua for the rest (``s3.lua``).

    Buckets, puts, conditional puts, ranges, listings (version 2), copies, multipart uploads and bulk deletes work. Whoever asks,
    may: signatures are not looked at. User metadata, content types, checksums, tags and versions are not kept; an ETag is the
    second of the last change and the size; keys that a file system cannot hold (``a`` beside ``a/b``, ``a//b``, ``a/``, ``..``)
    are refused with 501.

    Args:
        discard: receive every put and every part to its last byte, forget it, and answer 200 with an ETag. Benchmarks of puts then
            measure the client, not the disk. What was put before, or lies in ``root``, can still be read.
        workers: worker processes.
        root: serve this existing folder, whose directories become the buckets, and leave it there in the end. By default the
            objects lie in memory (``/dev/shm``) where there is enough, and go when the server stops.
        authority: who signs the certificate of ``tls_endpoint``; by default an authority of its own.
        address: where it listens; other than loopback only in a network of your own, since whoever reaches it may read and write.
    """

    name: ClassVar[str] = "nginx"

    def __init__(
        self,
        *,
        discard: bool = False,
        workers: int = 2,
        root: str | Path | None = None,
        authority: Authority | None = None,
        address: str = LOOPBACK,
    ) -> None:
        super().__init__(authority=authority)
        self._discard = discard
        self._workers = workers
        self._address = address
        self._given_root = None if root is None else Path(root).resolve()

    @property
    def endpoint(self) -> str:
        """``http://ADDRESS:PORT``."""
        self._running()
        return f"http://{self._address}:{self._port}"

    @property
    def tls_endpoint(self) -> str:
        """``https://localhost:PORT``, or by the address if that is another; it offers HTTP/2 too."""
        self._running()
        return f"https://{'localhost' if self._address == LOOPBACK else self._address}:{self._tls_port}"

    @property
    def root(self) -> Path:
        """The folder of the data: the object ``KEY`` of ``BUCKET`` is the file ``root / BUCKET / KEY``, and may be put there as one."""
        return self._given_root or self._running().directory / "data"

    def _launch(self, processes: ProcessGroup) -> None:
        self._port, self._tls_port = free_ports(2)
        directory, identity = processes.directory, secrets.token_hex(8)
        for name in ("data", "scratch", "incoming"):
            (directory / name).mkdir()
        (directory / "s3.lua").write_text(packaged_text("s3.lua"), encoding="utf-8")
        config = fill_in(
            "nginx.conf",
            directory,
            address=self._address,
            port=self._port,
            tls_port=self._tls_port,
            workers=self._workers,
            root=self.root,
            identity=identity,
            discard=str(self._discard).lower(),
            body_in_file="off" if self._discard else "clean",
            **nginx_program.settings(self.authority.issue(*dict.fromkeys([*HOSTS, self._address])), modules=_MODULES),
        )
        processes.spawn("nginx", nginx_program.command(directory, config))
        processes.wait_until(lambda: answer(self._port, "/.identity", host=self._address) == (200, identity.encode()))

    def _place(self) -> Path:
        # Uploads become objects by rename, which needs one file system for both.
        return self._given_root or super()._place()
