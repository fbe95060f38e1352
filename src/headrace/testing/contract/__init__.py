"""What every storage backend must do, as a pytest suite: name two fixtures, and each verb is tried in both drivers.

    import pytest
    from headrace.testing.contract import BackendContract

    class TestMyService(BackendContract):
        lacks = {"metadata": "the service keeps none"}

        @pytest.fixture
        def options(self):
            return {"endpoint_url": "http://127.0.0.1:9000"}

        @pytest.fixture
        def base(self):
            return f"s3://bucket/{uuid.uuid4()}/"

``base`` is the URI of a prefix, ending with ``/``, below which there is nothing yet; ``options`` are those of `headrace.Client`.
What a service cannot do is declared in ``lacks``, by the names in `differences.CAPABILITIES`; a test of it must then fail, so that the
declaration goes when the service learns it. The classes of the parts (`ReadingContract`, ...) can be used alone.

The suite needs pytest and hypothesis: ``pip install headrace[test]``. With pytest-timeout, a verb that hangs fails its test.
"""

from __future__ import annotations

import pytest

_PARTS = ("batches", "containers", "copying", "deleting", "files", "keys", "listing", "presigning", "reading", "uploads", "writing")

# Before the parts are imported: a failing assertion then shows the values that it compared.
pytest.register_assert_rewrite(*(f"{__name__}.{part}" for part in _PARTS))

from headrace.testing.contract.batches import BatchContract  # noqa: E402
from headrace.testing.contract.case import ContractCase, needs  # noqa: E402
from headrace.testing.contract.containers import ContainerContract  # noqa: E402
from headrace.testing.contract.copying import CopyingContract  # noqa: E402
from headrace.testing.contract.deleting import DeletingContract  # noqa: E402
from headrace.testing.contract.files import FileContract  # noqa: E402
from headrace.testing.contract.keys import KeyContract  # noqa: E402
from headrace.testing.contract.listing import ListingContract  # noqa: E402
from headrace.testing.contract.presigning import PresigningContract  # noqa: E402
from headrace.testing.contract.reading import ReadingContract  # noqa: E402
from headrace.testing.contract.uploads import UploadContract  # noqa: E402
from headrace.testing.contract.writing import WritingContract  # noqa: E402

__all__ = [
    "BackendContract",
    "BatchContract",
    "ContainerContract",
    "ContractCase",
    "CopyingContract",
    "DeletingContract",
    "FileContract",
    "KeyContract",
    "ListingContract",
    "PresigningContract",
    "ReadingContract",
    "UploadContract",
    "WritingContract",
    "needs",
]


class BackendContract(
    ReadingContract,
    WritingContract,
    ListingContract,
    DeletingContract,
    CopyingContract,
    BatchContract,
    FileContract,
    UploadContract,
    ContainerContract,
    PresigningContract,
    KeyContract,
):
    """The whole suite."""
