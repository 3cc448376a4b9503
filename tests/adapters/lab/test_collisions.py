from __future__ import annotations

from collections import Counter

import pytest

from forebay.adapters.embedders.minilm import MiniLMEmbedder
from forebay.adapters.lab.collisions import BENIGN, KINDS, collisions, harmless
from forebay.adapters.lab.judging import cases_of, verdict_of
from forebay.adapters.lab.metrics import clopper_pearson
from forebay.plugins.lab import tools


def test_they_are_reproducible_different_and_of_all_kinds() -> None:
    made = collisions(1000)
    assert made == collisions(1000)
    assert len({(pair.a, pair.b) for pair in made}) == len(made) == 1000
    assert Counter(pair.category for pair in made).keys() == set(KINDS)
    assert not any(pair.same for pair in made)
    assert all(pair.a != pair.b for pair in made)


def test_harmless_ones_share_their_answer() -> None:
    made = harmless(200)
    assert {(pair.same, pair.category) for pair in made} == {(True, BENIGN)}
    assert len({(pair.a, pair.b) for pair in made}) == 200


@pytest.mark.slow
async def test_the_shipped_model_stands_them() -> None:
    """With MiniLM's cosines: at most 1% of 1,000 collisions pass, with 95% confidence; nearly all harmless ones do."""
    used = tools()
    policy = used.contenders["calibrated"].policy
    cases = await cases_of([*collisions(1000), *harmless(200)], MiniLMEmbedder(threads=2, memo=0), used.reader)
    accepted = [verdict_of(policy, case).accepted for case in cases]
    assert clopper_pearson(sum(accepted[:1000]), 1000)[1] <= 0.01
    assert sum(accepted[1000:]) >= 180
