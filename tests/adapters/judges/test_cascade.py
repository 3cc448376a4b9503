from __future__ import annotations

import pytest

from forebay.adapters.judges.cascade import CascadeJudge
from forebay.middleware.errors import EngineError, ForebayError
from forebay.middleware.records import AnswerPair, Judgement
from tests.contract.judge import pair

PAIR = pair("one", "another")


class Says:
    def __init__(self, same: bool | None, error: ForebayError | None = None) -> None:
        self.same = same
        self.error = error
        self.asked: list[AnswerPair] = []

    async def compare(self, pair: AnswerPair) -> Judgement:
        self.asked.append(pair)
        if self.error is not None:
            raise self.error
        return Judgement(self.same, "said")


@pytest.mark.parametrize(
    ("said", "same", "reason", "asked"),
    [
        ((True, False, False), True, "j0:said", 1),
        ((None, False, True), False, "j1:said", 2),
        ((None, None, True), True, "j2:said", 3),
        ((None, None, None), None, "j2:said", 3),
    ],
)
async def test_the_first_that_can_tell_decides(
    said: tuple[bool | None, ...], same: bool | None, reason: str, asked: int
) -> None:
    judges = [Says(one) for one in said]
    found = await CascadeJudge([(f"j{at}", judge) for at, judge in enumerate(judges)]).compare(PAIR)
    assert (found.same, found.reason) == (same, reason)
    assert sum(len(judge.asked) for judge in judges) == asked


async def test_one_that_fails_is_passed_over() -> None:
    broken = Says(None, EngineError("down"))
    assert (await CascadeJudge([("a", broken), ("b", Says(True))]).compare(PAIR)).same is True


async def test_where_none_can_tell_a_failure_is_told() -> None:
    broken = Says(None, EngineError("down"))
    with pytest.raises(EngineError, match="down"):
        await CascadeJudge([("a", Says(None)), ("b", broken), ("c", Says(None))]).compare(PAIR)


def test_it_needs_a_judge() -> None:
    with pytest.raises(ValueError, match="needs a judge"):
        CascadeJudge([])
