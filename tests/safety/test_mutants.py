"""Each seeded fault is noticed, for what it is; `test_sequences` shows that forebay as it is has none of them."""

from __future__ import annotations

import pytest

from tests.safety.machine import UnsafeError, explore
from tests.safety.mutants import MUTANTS, Mutant

PARTS = 6
SEQUENCES = 1_200
"""Of each part, at most; the first that notices it ends the search. Some mutants are met within a few sequences from one seed
and not in thousands from another, and what is drawn changes with the sources that hypothesis takes constants from."""


def search() -> None:
    """Run the sequences of one part after the other.

    Raises:
        UnsafeError: one of them noticed something.
    """
    for part in range(PARTS):
        explore(sequences=SEQUENCES, part=part)


@pytest.mark.slow
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_it_is_noticed(mutant: Mutant, monkeypatch: pytest.MonkeyPatch) -> None:
    mutant.seed(monkeypatch)
    with pytest.raises(UnsafeError) as caught:
        search()
    assert any(text in str(caught.value) for text in mutant.noticed), str(caught.value)


def test_there_are_twelve_at_least() -> None:
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS) >= 12
