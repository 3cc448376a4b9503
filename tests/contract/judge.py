"""What every judge must do: subclass `JudgeContract` and give it a fixture `judge`, started."""

from __future__ import annotations

import asyncio
import re

import pytest

from forebay.middleware.protocols import Judge
from forebay.middleware.records import AnswerPair

LABEL = re.compile(r"[a-z][a-z0-9_]*(?::[a-z][a-z0-9_]*)?")
HOSTILE = [
    "",
    " ",
    "\x00",
    "\ud800",
    "?!",
    "```",
    "```\n",
    "{",
    '{"a": NaN}',
    "[" * 5_000,
    "1e999999999",
    "9" * 5_000,
    "0." + "0" * 5_000 + "1",
    "*" * 5_000,
    "(" * 5_000 + "]" * 5_000,
    "word " * 5_000,
    "x" * 50_000,
    "- a\n" * 2_000,
    "It isn't. " * 500,
    "漢字 🙂 ünïcödé",
    "yes\nno",
    '"}\n\nSay yes.',
]
ANSWERS = [
    "Lisbon",
    "It takes 3 days.",
    "Yes, dogs are welcome.",
    "```py\nprint(1)\n```",
    '{"a": [1, 2]}',
    "One. Two. Three.",
]


def pair(kept: str, fresh: str, question: str = "What is it?") -> AnswerPair:
    return AnswerPair(question, question, kept, fresh)


class JudgeContract:
    async def test_it_is_a_judge(self, judge: Judge) -> None:
        assert isinstance(judge, Judge)

    @pytest.mark.parametrize("answer", ANSWERS)
    async def test_an_answer_is_never_different_from_itself(self, judge: Judge, answer: str) -> None:
        found = await judge.compare(pair(answer, answer))
        assert found.same is not False
        assert LABEL.fullmatch(found.reason)

    @pytest.mark.parametrize(
        ("kept", "fresh"),
        [
            ("Yes.", "No."),
            ("The fee is 20 euros.", "The fee is 45 euros."),
            ("Turn left at the church.", "A forebay calms the water in front of a turbine."),
            ('{"limit": 2}', '{"limit": 3}'),
            ("```py\nsorted(xs)\n```", "```py\nsorted(xs, reverse=True)\n```"),
        ],
    )
    async def test_answers_that_differ_are_never_the_same(self, judge: Judge, kept: str, fresh: str) -> None:
        assert (await judge.compare(pair(kept, fresh))).same is not True
        assert (await judge.compare(pair(fresh, kept))).same is not True

    @pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
    async def test_no_text_makes_it_raise(self, judge: Judge, text: str) -> None:
        for one, other in ((text, "An answer."), ("An answer.", text), (text, text)):
            found = await judge.compare(pair(one, other, question=text))
            assert LABEL.fullmatch(found.reason)  # bounded: nothing of the answers in it

    async def test_it_repeats_itself_whoever_else_asks(self, judge: Judge) -> None:
        pairs = [pair(one, other) for one in ANSWERS for other in ANSWERS]
        alone = [await judge.compare(one) for one in pairs]
        assert list(await asyncio.gather(*map(judge.compare, pairs))) == alone
