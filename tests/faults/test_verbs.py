"""Every verb against every fault: the right bytes or the documented error, in the documented number of attempts, and nothing left over.

A verb, or a fault, is added by a line in `verbs.VERBS` or `trial.TROUBLES`.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from headrace.testing.servers import Server
from tests.faults.trial import TROUBLES, Trial, Trouble
from tests.faults.verbs import VERBS, Verb

# A verb that hangs must not take the whole run with it.
pytestmark = pytest.mark.timeout(60)

PAIRS = [(verb, trouble) for verb, trouble in itertools.product(VERBS, TROUBLES) if trouble.fault(verb)]
LASTING = [(verb, trouble) for verb, trouble in PAIRS if trouble.lasts(verb) and (verb.thorough or trouble.name == "503")]

AT_ONCE = 24
STALL_SECONDS = 1.0


def of_those(pairs: Iterable[tuple[Verb, Trouble]], *, stall: bool) -> list[object]:
    return [pytest.param(verb, trouble, id=f"{verb.name}-{trouble.name}") for verb, trouble in pairs if trouble.stalls == stall]


@pytest.fixture(params=["blocking", "asyncio"])
def driver(request: pytest.FixtureRequest) -> str:
    driver: str = request.param
    return driver


@pytest.fixture
def trial(driver: str, filled: Callable[[Server], str], tmp_path: Path, request: pytest.FixtureRequest) -> Callable[..., Trial]:
    """Gives the place where a verb is tried."""
    numbers = itertools.count()

    def make(verb: Verb, **options: float) -> Trial:
        server: Server = request.getfixturevalue(verb.server)
        scratch = tmp_path / str(next(numbers))
        scratch.mkdir()
        return Trial(server, filled(server), scratch, driver, **options)

    return make


@pytest.mark.parametrize(("verb", "trouble"), of_those(PAIRS, stall=False))
def test_what_passes_is_healed(verb: Verb, trouble: Trouble, trial: Callable[..., Trial]) -> None:
    trial(verb).heals(verb, trouble)


@pytest.mark.parametrize(("verb", "trouble"), of_those(LASTING, stall=False))
def test_what_lasts_is_the_documented_error(verb: Verb, trouble: Trouble, trial: Callable[..., Trial]) -> None:
    trial(verb).fails(verb, trouble)


@pytest.mark.parametrize(("act", "pairs"), [(Trial.heals, PAIRS), (Trial.fails, LASTING)], ids=["heals", "fails"])
def test_stalls(act: Callable[[Trial, Verb, Trouble], None], pairs: list[tuple[Verb, Trouble]], trial: Callable[..., Trial]) -> None:
    # Waiting takes no processor: many at once.
    tried = [(trial(verb, stall_timeout=STALL_SECONDS), verb, trouble) for verb, trouble in pairs if trouble.stalls]

    def problem(case: tuple[Trial, Verb, Trouble]) -> str | None:
        try:
            act(*case)
        except Exception as error:
            return f"{case[1].name}, {case[2].name}: {type(error).__name__}: {error}"
        return None

    with ThreadPoolExecutor(AT_ONCE) as pool:
        assert [found for found in pool.map(problem, tried) if found] == []
