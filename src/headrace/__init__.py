"""Storage I/O for AI and ML: one URI-addressed API over S3, local files, direct I/O and memory.

    import headrace

    headrace.put("s3://bucket/key", b"bytes")
    view = headrace.get("s3://bucket/key")
    for item in headrace.get_many(uris):
        train(item.data)

The functions here are the methods of one default `Client`, configured by the environment. `headrace.aio` has the same names as
coroutines.
"""

from __future__ import annotations

import importlib
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from headrace import aio, errors, testing
    from headrace.client import Client
    from headrace.errors import HeadraceError
    from headrace.models import BucketInfo, Item, ObjectInfo, Prefix
    from headrace.paths import Path

__all__ = [
    "BucketInfo",
    "Client",
    "HeadraceError",
    "Item",
    "ObjectInfo",
    "Path",
    "Prefix",
    "__version__",
    "aio",
    "copy",
    "create_container",
    "delete",
    "delete_container",
    "delete_many",
    "errors",
    "exists",
    "get",
    "get_many",
    "get_ranges",
    "list",
    "list_containers",
    "move",
    "open",
    "presign",
    "put",
    "put_many",
    "read_bytes",
    "read_text",
    "stat",
    "stat_many",
    "testing",
]

__version__ = "0.1.0"

logging.getLogger("headrace").addHandler(logging.NullHandler())

# Loaded when they are first asked for: a program that only wants to know the version need not wait for NumPy.
_MODULES = frozenset({"aio", "errors", "testing"})
_HOMES = {
    "BucketInfo": "models",
    "Client": "client",
    "HeadraceError": "errors",
    "Item": "models",
    "ObjectInfo": "models",
    "Path": "paths",
    "Prefix": "models",
}

if TYPE_CHECKING:
    _default = Client()

    copy = _default.copy
    create_container = _default.create_container
    delete = _default.delete
    delete_container = _default.delete_container
    delete_many = _default.delete_many
    exists = _default.exists
    get = _default.get
    get_many = _default.get_many
    get_ranges = _default.get_ranges
    list = _default.list
    list_containers = _default.list_containers
    move = _default.move
    open = _default.open
    presign = _default.presign
    put = _default.put
    put_many = _default.put_many
    read_bytes = _default.read_bytes
    read_text = _default.read_text
    stat = _default.stat
    stat_many = _default.stat_many


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'headrace' has no attribute {name!r}")
    if name in _MODULES:
        return importlib.import_module(f"headrace.{name}")
    home = importlib.import_module(f"headrace.{_HOMES.get(name, 'client')}")
    owner = home if name in _HOMES else home.default_client()
    return globals().setdefault(name, getattr(owner, name))


def __dir__() -> Sequence[str]:
    return __all__
