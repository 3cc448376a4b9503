"""The verified policy: what is served, what is audited, and what takes the judge's errors into account."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from forebay.middleware.records import Asked, Audit, Candidate, Verdict
from forebay.policies.acceptance.threshold import ThresholdAcceptance
from forebay.policies.acceptance.verified import VerifiedAcceptance
from tests.contract.acceptance import AcceptanceContract, asking, candidate
from tests.contract.audited import AuditedContract

QUESTION = "What is a forebay?"
BANDS = (0.98, 0.95, 0.9, 0.8)


class Cosine:
    """Accepts from .9; calls a question that holds "not" another one."""

    def judge(self, asked: Asked, candidate: Candidate) -> Verdict:
        if "not" in candidate.entry.question:
            return Verdict(accepted=False, confidence=0.99, reason="negation_conflict")
        accepted = candidate.similarity >= 0.9
        confidence = max(0.0, candidate.similarity)
        return Verdict(accepted=accepted, confidence=confidence, reason="accepted" if accepted else "below_threshold")


def make(**settings: Any) -> VerifiedAcceptance:
    values: dict[str, Any] = {"bands": BANDS, "sensitivity": 1.0, **settings}
    return VerifiedAcceptance(Cosine(), **values)


def who(tenant: str = "", route: str = "", category: str = "") -> Asked:
    return Asked(asking(QUESTION).key, tenant, route, category)


def judged(policy: VerifiedAcceptance, asked: Asked | None = None, similarity: float = 0.99) -> Verdict:
    return policy.judge(asked or who(), candidate(QUESTION, similarity))


def teach(
    policy: VerifiedAcceptance,
    same: bool | None,
    times: int,
    asked: Asked | None = None,
    *,
    similarity: float = 0.99,
    kind: str = "candidate",
) -> None:
    """Judge, draw with the share asked for as often as that takes, learn."""
    for _ in range(times):
        verdict = judged(policy, asked, similarity)
        share = policy.share(asked or who(), verdict)
        policy.learn(Audit(asked or who(), verdict, same, share, served=verdict.proven, kind=kind))


class TestAcceptance(AcceptanceContract):
    @pytest.fixture
    def acceptance(self) -> VerifiedAcceptance:
        return VerifiedAcceptance(ThresholdAcceptance())


class TestProven(AcceptanceContract):
    @pytest.fixture
    def acceptance(self) -> VerifiedAcceptance:
        policy = VerifiedAcceptance(ThresholdAcceptance(), sensitivity=1.0)
        verdict = Verdict(accepted=True, confidence=1.0, reason="accepted")
        for _ in range(1000):
            policy.learn(Audit(who(), verdict, same=True))
        return policy


class TestAudited(AuditedContract):
    def make(self) -> VerifiedAcceptance:
        return VerifiedAcceptance(ThresholdAcceptance(), max_strata=6)


class TestAuditedByAKnownJudge(AuditedContract):
    def make(self) -> VerifiedAcceptance:
        return make(max_strata=3)


class TestCalibrated(AuditedContract):
    def make(self) -> VerifiedAcceptance:
        return make(trust="calibrated")


def test_nothing_is_served_before_it_is_proven() -> None:
    policy = make()
    assert judged(policy) == Verdict(accepted=True, confidence=0.99, reason="accepted", proven=False)
    teach(policy, True, 100)
    assert not judged(policy).proven
    teach(policy, True, 300)
    verdict = judged(policy)
    assert verdict.proven
    assert verdict.stratum == "all >= 0.8"


def test_what_is_vetoed_stays_refused_whatever_is_proven() -> None:
    policy = make()
    teach(policy, True, 2000)
    vetoed = policy.judge(who(), candidate("What is not a forebay?", 1.0))
    assert not vetoed.accepted
    assert vetoed.reason == "negation_conflict"
    assert policy.share(who(), vetoed) == 0.0


def test_the_band_below_the_cut_is_opened_where_proven() -> None:
    policy = make()
    uncertain = judged(policy, similarity=0.85)
    assert (uncertain.accepted, uncertain.proven, uncertain.reason) == (True, False, "uncertain")
    assert not judged(policy, similarity=0.75).accepted
    teach(policy, True, 600, similarity=0.85)
    assert judged(policy, similarity=0.85).proven
    assert judged(policy).proven  # what is surer is part of what was proven
    assert not judged(policy, similarity=0.75).accepted


def test_a_bad_band_keeps_those_above_it_open() -> None:
    policy = make()
    teach(policy, True, 500)
    teach(policy, False, 60, similarity=0.85)
    assert judged(policy).proven
    assert not judged(policy, similarity=0.85).proven


def test_a_stratum_that_turns_bad_is_no_longer_served() -> None:
    policy = make()
    teach(policy, True, 2000)
    assert judged(policy).proven
    teach(policy, False, 6)
    assert not judged(policy).proven


def test_a_new_tenant_is_served_on_the_proof_of_all_until_it_is_known_to_be_worse() -> None:
    policy = make()
    teach(policy, True, 600, who("old", "small", "question"))
    newcomer = who("new", "small", "question")
    assert judged(policy, newcomer).proven
    teach(policy, False, 8, newcomer)
    teach(policy, True, 30, newcomer)
    assert not judged(policy, newcomer).proven
    assert judged(policy, newcomer).stratum.startswith("tenant new question")
    assert judged(policy, who("old", "small", "question")).proven  # its own proof
    for tenant in range(30):
        teach(policy, True, 15, who(f"t{tenant}", "small", "question"))
    assert judged(policy, who("last", "small", "question")).proven  # on what the others have shown since
    assert not judged(policy, newcomer).proven


def test_a_narrow_proof_serves_where_the_wide_one_fails() -> None:
    policy = make()
    good, bad = who("good", "small", "question"), who("bad", "small", "question")
    for _ in range(60):
        teach(policy, False, 1, bad)
        teach(policy, True, 8, good)
    assert judged(policy, good).proven
    assert judged(policy, good).stratum.startswith("tenant good question")
    assert not judged(policy, bad).proven
    assert not judged(policy, who("third", "small", "question")).proven


def test_outcomes_may_come_in_any_order() -> None:
    outcomes = [True] * 150 + [False] * 2
    rows: list[Any] = []
    for seed in range(3):
        policy = make()
        verdict = judged(policy)
        policy.share(who(), verdict)
        for same in Random(seed).sample(outcomes, len(outcomes)):
            policy.learn(Audit(who(), verdict, same))
        rows.append(policy.report())
    assert rows[0] == rows[1] == rows[2]


def test_a_judge_who_cannot_tell_saw_a_difference() -> None:
    silent, different = make(), make()
    for policy, same in ((silent, None), (different, False)):
        teach(policy, True, 300)
        teach(policy, same, 2)
    assert silent.snapshot() == different.snapshot()


def test_an_unknown_judge_must_be_controlled_first() -> None:
    policy = make(sensitivity=None)
    teach(policy, True, 2000)
    assert not judged(policy).proven
    teach(policy, False, 150, kind="control")
    teach(policy, True, 100)
    assert judged(policy).proven


def test_a_judge_who_overlooks_differences_needs_more_audits() -> None:
    def needed(overlooked: int) -> int:
        policy = make(sensitivity=None)
        teach(policy, False, 200 - overlooked, kind="control")
        teach(policy, True, overlooked, kind="control")
        audits = 0
        while not judged(policy).proven:
            teach(policy, True, 1)
            audits += 1
        return audits

    assert needed(0) < needed(60) < needed(120)


def test_a_judge_found_worse_takes_proofs_away_at_once() -> None:
    policy = make(sensitivity=None)
    teach(policy, False, 300, kind="control")
    teach(policy, True, 450)
    assert judged(policy).proven
    teach(policy, True, 300, kind="control")
    assert not judged(policy).proven


def test_an_engine_that_disagrees_with_itself_is_allowed_for_where_that_is_proven() -> None:
    """A tenth of right hits look wrong, as a tenth of the engine's own answers do."""
    strict, fair = make(), make()
    for policy in (strict, fair):
        if policy is fair:
            for _ in range(200):
                teach(policy, False, 1, kind="repeat")
                teach(policy, True, 9, kind="repeat")
        for _ in range(400):
            teach(policy, False, 1)
            teach(policy, True, 14)
    assert not judged(strict).proven
    assert judged(fair).proven
    (row, *_) = fair.report()
    assert 0.07 < row["engine_disagreement"] < 0.1


def test_trust_without_audits() -> None:
    policy = make(trust="calibrated")
    assert judged(policy) == Verdict(accepted=True, confidence=0.99, reason="accepted", proven=True)
    assert not judged(policy, similarity=0.85).accepted
    teach(policy, False, 500)
    assert judged(policy).proven
    assert policy.report()[0]["wrong_share"] == 1.0


def test_hits_that_are_computed_anyway_are_always_audited() -> None:
    policy = make()
    assert policy.share(who(), judged(policy)) == 1.0
    teach(policy, True, 50)
    assert policy.share(who(), judged(policy)) == 1.0


def test_served_hits_are_audited_less_and_less() -> None:
    policy = make(budget=0.2, steady=0.03)
    while not judged(policy).proven:
        teach(policy, True, 1)
    assert policy.share(who(), judged(policy)) == 1.0
    shares: list[float] = []
    for _ in range(40):
        teach(policy, True, 50)
        shares.append(policy.share(who(), judged(policy)))
    assert shares == sorted(shares, reverse=True)
    assert shares[0] == pytest.approx(1 / 3)
    assert shares[-1] == pytest.approx(0.03, abs=0.02)


def test_hits_held_out_for_audits_count_as_tried() -> None:
    policy = make()
    teach(policy, True, 500)
    verdict = judged(policy)
    before = policy.share(who(), verdict)
    for _ in range(50):
        policy.learn(Audit(who(), verdict, same=True, share=before, served=False))
    assert policy.share(who(), verdict) < before


def test_a_proof_that_hangs_by_a_thread_is_looked_at_more() -> None:
    policy = make(budget=0.2, steady=0.03)
    teach(policy, True, 5000)
    calm = policy.share(who(), judged(policy))
    teach(policy, False, 1)
    assert judged(policy).proven
    assert calm < 0.05 < policy.share(who(), judged(policy)) <= 0.2


def test_a_proof_that_was_lost_is_tried_anew() -> None:
    policy = make()
    teach(policy, True, 2000)
    teach(policy, False, 8)
    assert not judged(policy).proven
    while not judged(policy).proven:
        teach(policy, True, 1)
    assert policy.share(who(), judged(policy)) == 1.0


def test_hopeless_hits_are_hardly_audited() -> None:
    policy = make()
    teach(policy, False, 60)
    assert policy.share(who(), judged(policy)) <= 0.01
    newcomer = who("new")
    assert 0 < policy.share(newcomer, judged(policy, newcomer)) <= 0.1


def test_the_number_of_strata_is_bounded() -> None:
    policy = make(max_strata=5)
    for tenant in range(40):
        teach(policy, True, 3, who(f"t{tenant}", "small", "question"))
    strata = {row["stratum"] for row in policy.report()}
    assert len(strata) <= 5
    assert "all" in strata
    smaller = make(max_strata=2)
    smaller.restore(policy.snapshot())
    assert len({row["stratum"] for row in smaller.report()}) == 2
    assert "all" in {row["stratum"] for row in smaller.report()}


def test_a_report_says_what_is_known() -> None:
    policy = make()
    teach(policy, True, 400)
    (top, *_, last) = policy.report()
    assert top["stratum"] == last["stratum"] == "all"
    assert (top["confidence_from"], last["confidence_from"]) == (0.98, 0.8)
    assert top["proven"] is last["proven"] is True
    assert top["wrong_share"] == 0.0
    assert 0.0 < top["upper_bound"] <= 0.02
    assert top["judge_sensitivity"] == 1.0


@pytest.mark.parametrize(
    "settings",
    [{"delta": 0.05}, {"alpha": 0.1}, {"bands": (0.9,)}, {"sensitivity": None}, {"inner_id": "another"}],
)
def test_a_snapshot_of_other_settings_is_refused(settings: dict[str, Any]) -> None:
    other = make(**settings)
    teach(other, True, 20)
    policy = make()
    with pytest.raises(ValueError, match="verified"):
        policy.restore(other.snapshot())
    assert not policy.report()


@pytest.mark.parametrize(
    "settings",
    [
        {"delta": 0.0},
        {"alpha": 1.0},
        {"bands": ()},
        {"bands": (0.5, 0.9)},
        {"bands": (0.9, 0.0)},
        {"budget": 0.0},
        {"steady": 0.5, "budget": 0.1},
        {"sensitivity": 0.0},
        {"max_strata": 0},
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        make(**settings)


def test_a_bad_stratum_is_seldom_ever_served() -> None:
    """Hits are wrong a little more often than allowed; audits and draws as in life."""
    served = 0
    for seed in range(60):
        draws, policy = Random(seed), make(delta=0.1)
        for _ in range(600):
            verdict = judged(policy)
            share = policy.share(who(), verdict)
            if draws.random() < share:
                policy.learn(Audit(who(), verdict, draws.random() >= 0.11, share, served=verdict.proven))
            if verdict.proven:
                served += 1
                break
    assert served <= 3
