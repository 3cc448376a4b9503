from __future__ import annotations

import random

import pytest

from forebay.adapters.lab.fit import FEWEST, KNOTS, FitError, Sample, fit, odds


def sample(count: int, seed: int = 1) -> Sample:
    """The same answer where the cosine is high and the first feature absent; the second feature is noise."""
    rng = random.Random(seed)
    cosines = [rng.random() for _ in range(count)]
    features = [(float(rng.random() < 0.5), rng.random()) for _ in range(count)]
    same = [cosine > 0.6 and not conflict for cosine, (conflict, _) in zip(cosines, features, strict=True)]
    return Sample(cosines, features, same, [1.0] * count)


def test_it_finds_what_matters() -> None:
    fitted = fit(sample(2000), (-1, 0))
    assert odds(fitted, 0.9, (0.0, 0.5)) > 0 > odds(fitted, 0.9, (1.0, 0.5))
    assert odds(fitted, 0.3, (0.0, 0.5)) < 0
    assert abs(fitted.weights[1]) < abs(fitted.weights[0]) / 3


def test_signs_hold_against_the_data() -> None:
    assert fit(sample(2000), (1, 0)).weights[0] == 0.0
    assert fit(sample(2000), (-1, 0)).weights[0] < 0


def test_more_cosine_never_counts_against_a_pair() -> None:
    upside_down = sample(2000)
    turned = Sample(
        [1 - cosine for cosine in upside_down.cosines], upside_down.features, upside_down.same, upside_down.weights
    )
    assert fit(turned, (0, 0)).slopes == (0.0,) * len(KNOTS)


def test_weights_count() -> None:
    one = sample(1000)
    doubled = Sample(
        [*one.cosines, *one.cosines],
        [*one.features, *one.features],
        [*one.same, *one.same],
        [*one.weights, *one.weights],
    )
    assert fit(doubled, (-1, 0)).weights == pytest.approx(fit(one, (-1, 0)).weights)
    assert len(one.without([True] * 400 + [False] * 600).same) == 600


def test_too_few_pairs() -> None:
    with pytest.raises(FitError, match="too few labelled pairs"):
        fit(sample(FEWEST), (0, 0))
