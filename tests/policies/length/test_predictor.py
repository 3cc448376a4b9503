from __future__ import annotations

import math
import random
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from forebay.middleware.analysis.facts import Fingerprint, Length, Outcome, Profile, Subject
from forebay.policies.length.predictor import PARTS, LengthPredictor
from tests.contract.predictor import PredictorContract, subject

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from forebay.middleware.analysis.protocols import Predictor

TOPICS = ("sea", "engine", "tax", "garden", "piano", "star", "bread", "river", "bridge", "winter")


class TestLengthPredictor(PredictorContract):
    @pytest.fixture
    def make_predictor(self) -> Callable[[], Predictor]:
        return LengthPredictor


def asking(at: int, question: str, *, model: str = "small", **changes: Any) -> Subject:
    made = subject(at, question=question, vector=changes.pop("vector", None))
    request = replace(made.request, id=f"{at}", model=model, tenant="t", params=changes.pop("params", {}))
    facts = replace(made.facts, fingerprint=None, profile=None, length=None, **changes)
    return replace(made, request=request, facts=facts)


def length(predictor: LengthPredictor, asked: Subject) -> Length:
    found = predictor.predict(asked).length
    assert found is not None
    return found


def told(predictor: LengthPredictor, asked: Subject, tokens: int, **ending: Any) -> Length:
    """Let it predict, then learn; return what it said."""
    said = predictor.predict(asked)
    predictor.learn(Outcome(replace(asked, facts=said), output_tokens=tokens, **ending))
    assert said.length is not None
    return said.length


def changed_by(predictor: LengthPredictor, call: Callable[[], object]) -> bool:
    asked = asking(9_999, "Tell me about it.", vector=[0.6, 0.8])
    before = length(predictor, asked)
    call()
    return length(predictor, asked) != before


def stream(count: int, seed: int = 1, **scale: float) -> Sequence[tuple[Subject, int]]:
    """Return questions and lengths: essays are long, yes-or-no questions short, the rest is noise; models differ by a factor."""
    chance = random.Random(seed)
    made: list[tuple[Subject, int]] = []
    for at in range(count):
        topic, long = chance.choice(TOPICS), chance.random() < 0.5
        question = (
            f"Write an essay about the {topic}." if long else f"Is the {topic} older than the {chance.choice(TOPICS)}?"
        )
        model = chance.choice(list(scale) or ["small"])
        typical = (500 if long else 60) * scale.get(model, 1.0)
        made.append(
            (asking(at, f"{question} ({at})", model=model), max(1, round(typical * chance.lognormvariate(0, 0.3))))
        )
    return made


def test_cold_it_guesses_and_says_so() -> None:
    predictor = LengthPredictor()
    essay, closed = (
        length(predictor, asking(0, "Write an essay on tea.")),
        length(predictor, asking(1, "Is tea green?")),
    )
    assert essay.confidence == closed.confidence == 0.0
    assert essay.source == "prior"
    assert closed.median < essay.median
    assert essay.q90 > 2 * essay.median


def test_it_learns_the_order_the_length_and_the_quantile() -> None:
    predictor = LengthPredictor()
    said = [(told(predictor, asked, tokens), tokens) for asked, tokens in stream(1_500)]
    late = said[500:]
    assert 0.87 <= sum(tokens <= each.q90 for each, tokens in late) / len(late) <= 0.93
    assert 0.45 <= sum(tokens <= each.median for each, tokens in late) / len(late) <= 0.55
    assert length(predictor, asking(9_000, "Write an essay about the moon.")).median == pytest.approx(500, rel=0.25)
    assert length(predictor, asking(9_001, "Is the moon older than the tax?")).median == pytest.approx(60, rel=0.25)
    row = predictor.report()[0]
    assert row["n"] == 1_500
    assert row["kendall_tau"] > 0.4
    assert 0.87 <= row["coverage_q90"] <= 0.93


def test_models_share_what_the_prompt_says_and_keep_their_own_level() -> None:
    predictor = LengthPredictor()
    for asked, tokens in stream(600, big=3.0, small=1.0):
        told(predictor, asked, tokens)
    essay = "Write an essay about the moon."
    assert length(predictor, asking(1, essay, model="big")).median == pytest.approx(1500, rel=0.3)
    assert length(predictor, asking(2, essay, model="small")).median == pytest.approx(500, rel=0.3)
    # of a third model that answered only short questions so far
    for at in range(40):
        told(predictor, asking(10_000 + at, f"Is the {TOPICS[at % 10]} red?", model="new"), 120)
    assert length(predictor, asking(3, essay, model="new")).median > 500


def test_a_vector_tells_what_words_do_not() -> None:
    predictor, chance = LengthPredictor(), random.Random(3)
    for at in range(400):
        vector = [chance.gauss(0, 1) for _ in range(16)]
        told(predictor, asking(at, f"Tell me about {at}.", vector=vector), round(200 * math.exp(vector[0] / 2)))
        if at % 4 == 0:  # mixed with requests that have none
            told(predictor, asking(10_000 + at, f"Tell me about {at}."), 200)
    up, down = ([sign * 1.0] + [0.0] * 15 for sign in (1, -1))
    above, below = (length(predictor, asking(9, "Tell me about it.", vector=vector)) for vector in (up, down))
    assert above.source == "vector"
    assert above.median > 2 * below.median
    assert length(predictor, asking(9, "Tell me about it.")).source == "words"


def test_another_embedders_vectors_are_learned_anew() -> None:
    predictor = LengthPredictor()
    for at, size in enumerate([8] * 30 + [12] * 30):
        told(predictor, asking(at, "Tell me.", vector=[1.0] * size), 100)
    assert length(predictor, asking(99, "Tell me.", vector=[1.0] * 12)).source == "vector"
    assert length(predictor, asking(99, "Tell me.", vector=[1.0] * 8)).source == "words"


def test_a_template_is_recognised() -> None:
    predictor = LengthPredictor()
    short, long = Fingerprint("short", 0.9), Fingerprint("long", 0.9)
    for at in range(60):
        told(predictor, asking(at, f"Handle case {at}."), 200 + at % 100)
    for at in range(60, 80):
        print_ = short if at % 2 else long
        asked = asking(at, f"Handle case {at}.")
        told(predictor, replace(asked, facts=replace(asked.facts, fingerprint=print_)), 20 if at % 2 else 1_000)
    asked = asking(99, "Handle case 99.")
    of_short, of_long = (
        length(predictor, replace(asked, facts=replace(asked.facts, fingerprint=one))) for one in (short, long)
    )
    assert of_short.source == of_long.source == "template"
    assert of_short.median < 60
    assert of_long.median > 500
    assert of_short.confidence > length(predictor, asked).confidence


@pytest.mark.parametrize(
    ("params", "most"),
    [
        ({"max_tokens": 16}, 16),
        ({"max_completion_tokens": 9}, 9),
        ({"max_output_tokens": 5, "n": 3}, 15),
        ({"max_tokens": 1}, 1),
    ],
)
def test_the_callers_limit_is_a_cap(params: dict[str, int], most: int) -> None:
    said = length(LengthPredictor(), asking(0, "Write an essay.", params=params))
    assert said.median <= said.q90 <= most


def test_the_profiles_limit_is_a_cap() -> None:
    asked = asking(0, "Write an essay.")
    said = length(LengthPredictor(), replace(asked, facts=replace(asked.facts, profile=Profile(10, max_tokens=7))))
    assert said.q90 <= 7


def test_several_choices_are_as_many_answers() -> None:
    predictor = LengthPredictor()
    one = length(predictor, asking(0, "Write an essay.")).median
    assert length(predictor, asking(1, "Write an essay.", params={"n": 4})).median == pytest.approx(4 * one)


def test_truncated_answers_are_lower_bounds() -> None:
    lengths = [math.exp(random.Random(at).gauss(math.log(400), 0.6)) for at in range(800)]
    honest, naive = LengthPredictor(), LengthPredictor()
    for at, tokens in enumerate(lengths):
        asked, cut = asking(at, f"Tell me about {at}."), tokens > 300
        told(honest, asked, round(min(300, tokens)), truncated=cut)
        told(naive, asked, round(min(300, tokens)))
    asked = asking(9_999, "Tell me about it.")
    assert length(naive, asked).q90 < 320
    assert length(honest, asked).median == pytest.approx(400, rel=0.2)
    assert length(honest, asked).q90 == pytest.approx(400 * math.exp(1.28 * 0.6), rel=0.35)


@pytest.mark.parametrize(("tokens", "complete"), [(9_000, False), (0, True)])
def test_what_ended_otherwise_is_not_learned(tokens: int, complete: bool) -> None:
    predictor, asked = LengthPredictor(), asking(0, "Tell me.")
    before = length(predictor, asked)
    predictor.learn(Outcome(asked, output_tokens=tokens, complete=complete))
    assert length(predictor, asked) == before
    assert predictor.report()[0]["n"] == 0


def test_it_follows_a_change() -> None:
    predictor = LengthPredictor()
    for at in range(1_000):
        told(predictor, asking(at, f"Tell me about {at}."), 100)
    for at in range(1_000, 2_000):
        told(predictor, asking(at, f"Tell me about {at}."), 800)
    assert length(predictor, asking(9_999, "Tell me about it.")).median > 600


def test_after_the_first_answers_several_are_learned_at_a_time() -> None:
    predictor = LengthPredictor()

    def changes(at: int) -> bool:
        asked = asking(at, f"Tell me about {at}.", vector=[0.8, 0.6])
        return changed_by(predictor, lambda: told(predictor, asked, 100 + at))

    assert [changes(at) for at in range(300)] == [True] * 300
    assert [changes(at) for at in range(300, 332)] == 2 * [*15 * [False], True]


@pytest.mark.parametrize("ask", [LengthPredictor.report, LengthPredictor.snapshot])
def test_whoever_asks_what_was_learned_hears_of_all(ask: Callable[[LengthPredictor], object]) -> None:
    predictor, other = LengthPredictor(), LengthPredictor()
    for at in range(302):
        told(predictor, asking(at, f"Tell me about {at}.", vector=[0.8, 0.6]), 100)
    assert not changed_by(predictor, lambda: told(predictor, asking(302, "Tell me.", vector=[0.6, 0.8]), 9_000))
    assert changed_by(predictor, lambda: ask(predictor))
    assert predictor.report()[0]["n"] == 303
    other.restore(predictor.snapshot())
    asked = asking(9_999, "Tell me about it.", vector=[0.6, 0.8])
    assert length(other, asked).median == pytest.approx(length(predictor, asked).median, rel=1e-3)


@pytest.mark.parametrize("part", PARTS)
def test_each_part_can_be_left_out(part: str) -> None:
    predictor = LengthPredictor(leave_out=[part])
    for asked, tokens in stream(60):
        told(predictor, replace(asked, vector=[1.0, 0.5]), tokens)
    assert length(predictor, asking(99, "Tell me.")).median > 0


@pytest.mark.parametrize("tokens", [0.0, -1.0, math.nan, math.inf])
def test_a_meaningless_typical_length_is_refused(tokens: float) -> None:
    with pytest.raises(ValueError, match="positive"):
        LengthPredictor(typical_tokens=tokens)
