from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from statistics import median

import pytest

from forebay.middleware.admission.tickets import Load
from forebay.middleware.analysis.facts import Length, Outcome, Profile, RequestFacts, Subject, Work
from forebay.middleware.analysis.protocols import Predictor
from forebay.middleware.records import Request
from forebay.policies.work.law import Shape
from forebay.policies.work.predictor import Price, WorkPredictor
from tests.contract.predictor import PredictorContract
from tests.policies.work.courses import LAW, serve, stays


class TestWork(PredictorContract):
    @pytest.fixture
    def make_predictor(self) -> Callable[[], Predictor]:
        return lambda: WorkPredictor(prices={"*": Price(0.5, 1.5)})


def asked(
    prompt: int = 1000, length: Length | None = None, *, model: str = "m", limit: int | None = None, at: float = 0.0
) -> Subject:
    profile = Profile(prompt, max_tokens=limit)
    facts = RequestFacts(prompt, 1, "other", False, False, profile=profile, length=length)
    return Subject(Request("r", model, ()), facts, now_s=at)


def work(predictor: WorkPredictor, subject: Subject) -> Work:
    found = predictor.predict(subject).work
    assert found is not None
    return found


def test_a_cold_one_says_tokens_blocks_and_price_but_no_seconds() -> None:
    predictor = WorkPredictor(prices={"gpt-*": Price(2.0, 8.0), "*": Price(0.1, 0.2)})
    found = work(predictor, asked(1000, Length(100, 280), model="gpt-4o"))
    assert found == Work(prefill_tokens=1000, decode_tokens=100, kv_blocks=80, usd=(2000 + 800) / 1e6)
    assert WorkPredictor().predict(asked(1000, Length(100, 280))).work == replace(found, usd=None)


def test_without_a_length_nothing_is_said_until_the_engine_is_known() -> None:
    predictor = WorkPredictor()
    assert predictor.predict(asked(limit=50)).work is None
    list(serve(predictor, stays(200, 2.0)))
    assert work(predictor, asked()).decode_tokens == pytest.approx(200, rel=0.3)
    assert work(predictor, asked(limit=50)).decode_tokens == 50


@pytest.mark.parametrize(("rate", "worst"), [(0.1, 0.02), (2.0, 0.06), (6.0, 0.1)])
def test_seconds_are_right_at_the_present_load(rate: float, worst: float) -> None:
    predictor = WorkPredictor(shapes={"m": Shape(128)})
    errors = list[float]()
    for outcome in serve(predictor, stays(500, rate)):
        facts = outcome.subject.facts.work
        if facts is not None and facts.seconds is not None and outcome.ended_s is not None:
            took = outcome.ended_s - (outcome.entered_s or 0)
            errors.append(abs(facts.seconds / took - 1))
    assert len(errors) > 400
    assert median(errors) < worst


def test_more_inside_makes_it_slower_and_a_full_engine_makes_it_wait() -> None:
    predictor = WorkPredictor(shapes={"m": Shape(16)})
    list(serve(predictor, stays(400, 1.0)))
    found = list[Work]()
    for at in range(40):
        subject = asked(500, Length(200, 300), at=1e6)
        found.append(work(predictor, replace(subject, request=replace(subject.request, id=f"x{at}"))))
    alone = found[0]
    assert alone.tpot_s == pytest.approx(LAW.seconds(0, 1, 600), rel=0.05)
    ttfts, tpots = [one.ttft_s or 0 for one in found], [one.tpot_s or 0 for one in found]
    assert tpots[:16] == sorted(tpots[:16])
    assert tpots[16:] == [tpots[16]] * 24
    assert ttfts[15] < 0.5
    assert ttfts[39] > ttfts[20] > 2 * ttfts[15]
    less = work(predictor, replace(asked(500, Length(200, 300), at=1e6), load=Load(3, 0)))
    assert less.ttft_s == found[3].ttft_s
    assert less.seconds_q90 is not None
    assert less.seconds is not None
    assert less.seconds_q90 > less.seconds


def test_the_places_of_an_unknown_engine_are_learned_from_who_had_to_wait() -> None:
    known, unknown = WorkPredictor(shapes={"*": Shape(12)}), WorkPredictor()
    for predictor in (known, unknown):
        list(serve(predictor, stays(600, 5.0, shape=Shape(12))))
    assert [row["places"] for row in (*known.report(), *unknown.report())] == pytest.approx([12, 12], abs=1.0)
    idle = WorkPredictor()
    list(serve(idle, stays(600, 2.0)))
    assert idle.report()[0]["places"] is None


def test_a_models_requests_are_spread_over_the_engines_that_its_last_ones_went_to() -> None:
    one, two = WorkPredictor(), WorkPredictor()
    for predictor in (one, two):
        list(serve(predictor, stays(200, 2.0), lane="left"))
    last = Outcome(asked(), 100, 50, lane="left", entered_s=200.0, first_token_s=200.1, ended_s=201.0)
    two.learn(replace(last, lane="right"))
    found = list[float | None]()
    for predictor, inside in ((one, 10), (one, 20), (two, 20)):
        predictor.learn(last)
        for at in range(20):
            crowd = asked(500, Length(100, 100), at=300.0)
            predictor.predict(replace(crowd, request=replace(crowd.request, id=f"c{at}")))
        found.append(work(predictor, replace(asked(500, Length(100, 100), at=300.0), load=Load(inside, 0))).tpot_s)
    alone, crowded, spread = found
    assert spread == pytest.approx(alone, rel=0.02)
    assert (crowded or 0) > 1.03 * (alone or 0)


def test_what_did_not_happen_as_it_should_is_not_learned() -> None:
    predictor = WorkPredictor()
    good = Outcome(asked(100, Length(10, 10)), 100, 50, entered_s=0.0, first_token_s=0.2, ended_s=1.0)
    for wrong in (
        replace(good, entered_s=None),
        replace(good, ended_s=None),
        replace(good, ended_s=-5.0),
        replace(good, first_token_s=9.0),
        replace(good, output_tokens=0),
    ):
        predictor.learn(wrong)
    assert predictor.report() == []
    predictor.learn(good)
    assert predictor.report()[0]["n"] == 1


def test_an_outcome_that_never_comes_is_forgotten() -> None:
    predictor = WorkPredictor()
    predictor.predict(asked(at=0.0))
    list(
        serve(
            predictor,
            [
                replace(
                    one, entered_s=one.entered_s + 2000, first_s=(one.first_s or 0) + 2000, ended_s=one.ended_s + 2000
                )
                for one in stays(200, 2.0)
            ],
        )
    )
    assert predictor.report()[0]["step_s"] == pytest.approx(LAW.step_s, rel=0.1)


def test_the_report_scores_what_was_said_before() -> None:
    predictor = WorkPredictor(shapes={"m": Shape(128)})
    list(serve(predictor, stays(400, 2.0)))
    (row,) = predictor.report()
    assert row["lane"] == "one"
    assert row["n"] == 400
    assert 0 < row["seconds_median_rel_error"] < 0.1
    assert 0 < row["tpot_median_rel_error"] < 0.1
    assert 0 < row["ttft_median_rel_error"] < 0.2


def test_prices_below_zero_are_refused() -> None:
    with pytest.raises(ValueError, match="price"):
        Price(-1, 0)
