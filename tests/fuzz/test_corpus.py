"""Every input of the corpora through its target, without a fuzzer: what was found once stays found."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuzz.targets import TARGETS

CORPUS = Path(__file__).parents[2] / "fuzz" / "corpus"
INPUTS = sorted(path.relative_to(CORPUS) for path in CORPUS.rglob("*") if path.is_file())


@pytest.mark.parametrize("name", TARGETS)
def test_what_the_fuzzer_kept_passes(name: str) -> None:
    inputs = [path for path in INPUTS if path.parts[0] == name]
    assert len(inputs) >= 9
    for path in inputs:
        try:
            TARGETS[name]((CORPUS / path).read_bytes())
        except BaseException as error:
            error.add_note(f"the input is fuzz/corpus/{path}")
            raise


def test_the_corpus_is_small_and_all_of_it_is_replayed() -> None:
    assert {path.parts[0] for path in INPUTS} == set(TARGETS)
    assert sum((CORPUS / path).stat().st_size for path in INPUTS) < 200_000


@pytest.mark.parametrize("name", TARGETS)
@given(data=st.binary(max_size=200))
def test_noise_passes(name: str, data: bytes) -> None:
    TARGETS[name](data)
