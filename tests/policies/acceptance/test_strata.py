"""One stratum: what its audits prove, and from which confidence downward."""

from __future__ import annotations

import json
from math import log
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forebay.policies.acceptance.sequence import evidence_below
from forebay.policies.acceptance.strata import MARGIN, Stratum, numbers

BANDS, ALPHA, LIMIT = 4, 0.05, 0.02


def stratum(limit: float = LIMIT) -> Stratum:
    made = Stratum(BANDS, ALPHA)
    made.allow(limit, max(limit, 0.02))
    return made


def fill(of: Stratum, band: int, right: int, wrong: int = 0, share: float = 1.0) -> Stratum:
    for _ in range(wrong):
        of.count(band, same=False, share=share)
    for _ in range(right):
        of.count(band, same=True, share=share)
    return of


def test_nothing_is_proven_at_first_nor_where_nothing_is_allowed() -> None:
    assert (stratum().proven, stratum().worse, stratum().calm) == (-1, BANDS, 0.0)
    assert fill(stratum(0.0), 0, 3000).proven == -1


def test_where_nothing_can_be_proven_yet_nothing_is_hopeless_for_one_wrong_hit() -> None:
    assert fill(stratum(0.0), 0, 30, 1).worse == BANDS
    assert fill(stratum(0.0), 0, 30, 10).worse == 0


def test_an_audit_counts_for_its_band_and_all_below() -> None:
    made = fill(stratum(), 2, 3, 2)
    assert made.right == [0.0, 0.0, 3.0, 3.0]
    assert made.wrong == [0.0, 0.0, 2.0, 2.0]
    assert made.weight == 5.0


def test_a_flawless_record_opens_all_bands_it_belongs_to() -> None:
    made = fill(stratum(), 0, 400)
    assert made.proven == BANDS - 1
    made = fill(stratum(), 2, 400)
    assert made.proven == BANDS - 1  # from the third cut downward, the two above included


def test_what_is_bad_below_leaves_what_is_good_above() -> None:
    made = fill(fill(stratum(), 0, 400), 3, 60, 40)
    assert made.proven == 2
    assert made.worse == 3


def test_a_proven_band_hands_its_part_of_alpha_on() -> None:
    """The same record that is not enough for a band alone is enough once the one above is proven."""
    enough = next(n for n in range(1000) if evidence_below(n, 0, LIMIT) >= -log(2 * ALPHA / BANDS))
    assert evidence_below(enough, 0, LIMIT) < -log(ALPHA / BANDS)
    alone, after = fill(stratum(), 1, enough), fill(stratum(), 0, 400)
    assert alone.proven == -1
    after.right[1:] = [0.0] * (BANDS - 1)
    fill(after, 1, enough)
    assert after.proven == BANDS - 1


def test_evidence_is_kept_up_to_a_margin() -> None:
    made = fill(stratum(), 0, 5000)
    most = MARGIN - log(ALPHA / BANDS)
    assert evidence_below(made.right[0], made.wrong[0], LIMIT) == pytest.approx(most, abs=0.1)
    assert made.calm == 1.0


def test_a_stratum_that_turns_bad_loses_its_proof_soon() -> None:
    made = fill(stratum(), 0, 5000)
    audits = 0
    while made.proven >= 0 and audits < 200:
        made.count(0, same=audits % 16 != 0, share=1.0)  # three times as many wrong ones as allowed
        audits += 1
    assert audits < 60
    fill(made, 0, 500)
    assert made.proven == BANDS - 1  # and gets it back


def test_likelier_audits_weigh_less() -> None:
    made = stratum()
    made.shares = [0.1, 1.0, 1.0, 1.0]
    made.count(0, same=True, share=0.1)
    made.count(1, same=True, share=1.0)
    assert made.right == pytest.approx([1.0, 1.1, 1.1, 1.1])
    made.shares[0] = 1.0
    made.count(0, same=False, share=0.1)  # drawn when the share was small: counts at most once
    assert made.wrong == [1.0] * BANDS


def test_only_disagreement_that_is_proven_counts() -> None:
    made = stratum()
    for _ in range(20):
        made.repeat(same=True, alpha=0.005)
    assert made.disagreement == 0.0
    for _ in range(60):
        made.repeat(same=False, alpha=0.005)
        made.repeat(same=True, alpha=0.005)
    assert 0.2 < made.disagreement < 60 / 140


@given(
    audits=st.lists(
        st.tuples(st.integers(0, BANDS - 1), st.booleans(), st.sampled_from([0.1, 1.0]), st.integers(1, 300)),
        max_size=8,
    ),
    limit=st.sampled_from([0.0, 0.02, 0.05]),
)
def test_a_restored_stratum_is_the_same(audits: list[tuple[int, bool, float, int]], limit: float) -> None:
    made = stratum(limit)
    for band, same, share, times in audits:
        made.shares[band] = share
        made.repeat(same=same, alpha=0.005)
        for _ in range(times):
            made.count(band, same=same, share=share)
    again = Stratum(BANDS, ALPHA)
    again.restore(json.loads(json.dumps(made.snapshot())), 0.005)
    assert again.snapshot() == made.snapshot()
    for name in ("proven", "worse", "calm", "disagreement", "limit", "bad", "tried"):
        assert getattr(again, name) == getattr(made, name)


@pytest.mark.parametrize(
    "change",
    [
        {"right": [0.0]},
        {"right": "0.0"},
        {"wrong": [0.0, 0.0, 0.0, -1.0]},
        {"shares": [1.0, 1.0, 1.0, 1.5]},
        {"repeats": [0.0]},
        {"limit": True},
        {"tried": -1.0},
        {"limit": 2.0},
        {"bad": None},
    ],
)
def test_another_state_is_refused_and_changes_nothing(change: dict[str, Any]) -> None:
    made = fill(stratum(), 0, 10)
    before = made.snapshot()
    with pytest.raises((ValueError, TypeError)):
        made.restore({**fill(stratum(), 1, 20).snapshot(), **change}, 0.005)
    assert made.snapshot() == before


@pytest.mark.parametrize("values", [None, {}, [1], ["1"], [float("nan")], [float("inf")], [-0.5], [0.0, 0.0]])
def test_numbers_are_checked(values: object) -> None:
    with pytest.raises((ValueError, TypeError)):
        numbers(values, 1)
