"""What the parts of the suite share: fixtures, the two drivers, and how a lack is declared."""

from __future__ import annotations

import functools
import random
import secrets
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar, TypeVar, cast

import pytest

from headrace import aio
from headrace.client import Client
from headrace.errors import HeadraceError
from headrace.testing.contract.asyncio_client import AsyncioClient
from headrace.testing.contract.differences import CAPABILITIES
from headrace.transfer.session import Session

__all__ = ["PART_SIZE", "SMALL_SIZES", "TWO_PARTS", "ContractCase", "names_of", "needs", "payload"]

F = TypeVar("F", bound=Callable[..., Any])

PART_SIZE = 5 << 20
"""The smallest part that services take."""

TWO_PARTS = PART_SIZE + 1000
"""Bytes that make two parts."""

SMALL_SIZES: Mapping[str, object] = {"range_threshold": 1 << 20, "multipart_threshold": PART_SIZE, "part_size": PART_SIZE}
"""Client options with which a few MiB are large: read by parallel ranges, written in parts."""

_LACKING = (HeadraceError, AssertionError, pytest.fail.Exception)


def needs(capability: str) -> Callable[[F], F]:
    """Mark a test as one of a capability, which a backend may lack."""
    assert capability in CAPABILITIES, f"{capability!r} is not declared in differences.CAPABILITIES"

    def mark(test: F) -> F:
        test.needs = (*getattr(test, "needs", ()), capability)  # type: ignore[attr-defined]
        return test

    return mark


class ContractCase:
    """The base of all parts of the suite.

    Attributes:
        lacks: what the backend cannot do, by capability, with the reason.
    """

    lacks: ClassVar[Mapping[str, str]] = {}

    @pytest.fixture
    def options(self) -> dict[str, Any]:
        """The options of the client; override it."""
        return {}

    @pytest.fixture
    def base(self) -> str:
        """The URI of a prefix, ending with ``/``, with nothing below it; override it."""
        raise NotImplementedError("override the fixture `base`")

    @pytest.fixture
    def container(self, base: str) -> str:
        """The URI, ending with ``/``, of a bucket, container or directory that may be created: a bucket, if the URI has an authority."""
        scheme, _, rest = base.partition("://")
        name = f"contract-{secrets.token_hex(6)}"
        return f"{base}{name}/" if rest.startswith("/") else f"{scheme}://{name}/"

    @pytest.fixture(params=["blocking", "asyncio"])
    def client(self, request: pytest.FixtureRequest, options: dict[str, Any]) -> Iterator[Client]:
        """The verbs, driven in both ways."""
        if request.param == "blocking":
            with Client(**{**SMALL_SIZES, **options}) as client:
                yield client
        else:
            with AsyncioClient(aio.Client(**{**SMALL_SIZES, **options})) as twin:
                yield cast(Client, twin)

    @pytest.fixture
    def blocking_client(self, options: dict[str, Any]) -> Iterator[Client]:
        """The blocking verbs, for what has no asyncio twin."""
        with Client(**{**SMALL_SIZES, **options}) as client:
            yield client

    @pytest.fixture
    def session(self, options: dict[str, Any]) -> Iterator[Session]:
        """What is below the verbs, to look at what they leave behind."""
        session = Session({**SMALL_SIZES, **options})
        yield session
        session.close()

    @pytest.fixture(autouse=True)
    def expect_what_is_lacking(self, request: pytest.FixtureRequest) -> None:
        """A test of what the backend is declared to lack must fail."""
        unknown = set(self.lacks) - set(CAPABILITIES)
        assert not unknown, f"lacks names no capability: {unknown}"
        for capability in getattr(request.function, "needs", ()):
            if capability in self.lacks:
                request.applymarker(pytest.mark.xfail(reason=self.lacks[capability], raises=_LACKING, strict=True))


@functools.cache
def payload(size: int, seed: int = 0) -> bytes:
    """``size`` bytes that do not repeat, always the same."""
    return random.Random(seed).randbytes(size)


def names_of(entries: Any, base: str) -> list[str]:
    """The URIs of a listing, without their beginning."""
    return [entry.uri.removeprefix(base) for entry in entries]
