from __future__ import annotations

import math
from collections.abc import AsyncIterator, Sequence

import pytest
import pytest_asyncio

from forebay.adapters.embedders.hashing import HashingEmbedder
from forebay.adapters.embedders.minilm import MiniLMEmbedder
from forebay.adapters.judges.agreement import MOST_PIECES, PIECE_BYTES, AgreementJudge, align, pieces
from forebay.adapters.judges.cascade import CascadeJudge
from forebay.adapters.judges.equality import EqualityJudge
from forebay.middleware.errors import EmbedderError
from forebay.middleware.records import Vector
from tests.adapters.judges.samples import load, score
from tests.contract.judge import JudgeContract, pair


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def minilm() -> AsyncIterator[MiniLMEmbedder]:
    embedder = MiniLMEmbedder()
    await embedder.start()
    yield embedder
    await embedder.stop()


class TestAgreementJudge(JudgeContract):
    @pytest.fixture
    def judge(self) -> AgreementJudge:
        return AgreementJudge(HashingEmbedder())


class TestCascadeJudge(JudgeContract):
    @pytest.fixture
    def judge(self) -> CascadeJudge:
        return CascadeJudge([("equality", EqualityJudge()), ("agreement", AgreementJudge(HashingEmbedder()))])


class Planted:
    """An embedder in two dimensions: each text at an angle, 90 degrees where none was given."""

    model_id = "planted/1"
    dimension = 2

    def __init__(self, angles: dict[str, float] | None = None) -> None:
        self.angles = angles or {}
        self.asked: list[str] = []

    async def embed(self, texts: Sequence[str]) -> Sequence[Vector]:
        self.asked += texts
        degrees = [math.radians(self.angles.get(text, 90.0)) for text in texts]
        return [[math.cos(angle), math.sin(angle)] for angle in degrees]


KEPT = "The pool calms the water."
FRESH = "A basin stills what flows in."


@pytest.mark.parametrize(
    ("degrees", "same", "reason"),
    [(0.0, True, "near"), (20.0, True, "near"), (40.0, None, "between"), (80.0, False, "far"), (180.0, False, "far")],
)
async def test_two_cuts(degrees: float, same: bool | None, reason: str) -> None:
    judge = AgreementJudge(Planted({KEPT: 0.0, FRESH: degrees}))
    found = await judge.compare(pair(KEPT, FRESH))
    assert (found.same, found.reason) == (same, reason)


@pytest.mark.parametrize(
    ("kept", "fresh", "same", "reason"),
    [
        ("It costs 3 euros.", "It costs 4 euros.", False, "number_conflict"),
        ("Ships sail from Toulon.", "Ships sail from Nice.", False, "name_conflict"),
        ("Do eat the berries.", "Do not eat the berries.", False, "negation_conflict"),
        ("Eat them.", "Prices fall in winter, and 5 of them stay.", None, "number_missing"),
        ("The wire is made of copper.", "The wire is made of brass.", None, "few_words_differ"),
        ("Run `make -j`, then wait.", "Run `make -J`, then wait.", None, "code_differs"),
    ],
)
async def test_what_speaks_against_it_wins_over_nearness(kept: str, fresh: str, same: bool | None, reason: str) -> None:
    found = await AgreementJudge(Planted()).compare(pair(kept, fresh))  # all vectors are equal
    assert (found.same, found.reason) == (same, reason)


async def test_a_conflict_between_answers_to_other_matters_says_nothing() -> None:
    judge = AgreementJudge(Planted({"It holds 5 boats.": 0.0, "We open at 6.": 70.0}))
    found = await judge.compare(pair("It holds 5 boats.", "We open at 6."))
    assert (found.same, found.reason) == (None, "number_conflict")


async def test_an_answer_in_a_longer_one_is_not_far() -> None:
    judge = AgreementJudge(Planted({"Rome": 0.0, "The capital of Italy is Rome.": 89.0}))
    assert (await judge.compare(pair("Rome", "The capital of Italy is Rome."))).reason == "one_in_the_other"


async def test_a_piece_without_a_counterpart() -> None:
    kept = " ".join(f"Sentence number {word} stands here." for word in "alpha beta gamma delta epsilon".split())
    planted = Planted({"And something else.": 0.0})
    found = await AgreementJudge(planted).compare(pair(kept, kept + " And something else."))
    assert (found.same, found.reason) == (None, "piece_missing")


async def test_pieces_in_another_order() -> None:
    planted = Planted({"Close it.": 0.0, "Shut this.": 1.0})
    found = await AgreementJudge(planted).compare(pair("Close it. Wait long.", "Be patient. Shut this."))
    assert (found.same, found.reason) == (None, "other_order")


async def test_all_of_a_long_answer_is_read_in_pieces_that_fit() -> None:
    planted = Planted()
    long = " ".join(f"Sentence {at} has a few words." for at in range(500))
    assert (await AgreementJudge(planted).compare(pair(long, long))).same is not False
    assert max(len(text.encode()) for text in planted.asked) <= PIECE_BYTES
    assert " ".join(planted.asked[: len(planted.asked) // 2]) == long


async def test_what_would_take_too_long_is_not_judged() -> None:
    planted = Planted()
    endless = "word " * (MOST_PIECES * PIECE_BYTES)
    assert (await AgreementJudge(planted).compare(pair(endless, KEPT))).reason == "too_long"
    assert planted.asked == []


def test_a_sentence_that_is_too_long_is_cut_between_words() -> None:
    found = pieces(["word " * 300])
    assert found is not None
    assert " ".join(found).split() == ["word"] * 300
    assert all(len(piece) <= PIECE_BYTES for piece in found)


@pytest.mark.parametrize("text", ["x" * 5_000, "漢" * 3_000, "слово " * 700, "🙂" * 1_000])
def test_what_the_embedder_has_no_words_for_is_cut_shorter(text: str) -> None:
    found = pieces([text])
    assert found is not None
    assert all(len(piece.encode()) <= PIECE_BYTES for piece in found)
    assert "".join(found).replace(" ", "") == text.replace(" ", "")


@pytest.mark.parametrize(("kept", "fresh"), [("東京は首都です", "京都は首都です"), ("Москва на реке", "Река в Москве")])
async def test_other_scripts_are_not_judged(kept: str, fresh: str) -> None:
    found = await AgreementJudge(Planted()).compare(pair(kept, fresh))
    assert (found.same, found.reason) == (None, "other_script")


async def test_alignment_is_one_to_one_and_best_first() -> None:
    near, far = [1.0, 0.0], [0.0, 1.0]
    found = await align([near, near], [near, far], [10, 10], [10, 30])
    assert found.pairs == ((0, 0), (1, 1))
    assert (found.score, found.worst) == (0.25, 0.0)


def test_cuts_the_wrong_way_round() -> None:
    with pytest.raises(ValueError, match="different_at"):
        AgreementJudge(Planted(), same_at=0.2, different_at=0.3)


async def test_a_failing_embedder_is_told() -> None:
    class Broken(Planted):
        async def embed(self, texts: Sequence[str]) -> Sequence[Vector]:
            raise EmbedderError("broken")

    with pytest.raises(EmbedderError):
        await AgreementJudge(Broken()).compare(pair(KEPT, FRESH))


@pytest.mark.asyncio(loop_scope="module")
async def test_on_labelled_pairs(minilm: MiniLMEmbedder) -> None:
    samples = load()
    assert len(samples) >= 120
    agreement = AgreementJudge(minilm)
    alone = await score(agreement, samples)
    together = await score(CascadeJudge([("equality", EqualityJudge()), ("agreement", agreement)]), samples)
    for found in (alone, together):
        assert (found.false_same, found.false_different) == (0, 0)
    assert alone.sensitivity > 0.25
    assert together.sensitivity > 0.3
    assert together.specificity > 0.4
