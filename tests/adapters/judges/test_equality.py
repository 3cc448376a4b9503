from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forebay.adapters.judges.equality import EqualityJudge, judged
from tests.adapters.judges.samples import load, score
from tests.contract.judge import JudgeContract


class TestEqualityJudge(JudgeContract):
    @pytest.fixture
    def judge(self) -> EqualityJudge:
        return EqualityJudge()


@pytest.mark.parametrize(
    ("kept", "fresh", "same"),
    [
        ("Lisbon", "**lisbon.**", True),
        ("The answer is 1,000.", "1000", True),
        ("Fifteen", "15", True),
        ("You can't pay later.", "You cannot pay later!", True),
        ("yes", "Yep.", True),
        ('{"a": 1.0, "b": [2]}', '```json\n{"b": [2], "a": 1}\n```', True),
        ("Run it:\n```sh\nls -la\n```", "Run it\n```bash\nls -la  \n```", True),
        ("Yes, it is.", "No, it is not.", False),
        ("391", "381", False),
        ("5 km", "7 km", False),
        ("$5", "$6", False),
        ("Jupiter", "Saturn", False),
        ("Yes, it is.", "Yes, until six.", None),
        ("No problem, it is on the way.", "Yes, it is on the way.", None),
        ("5 km", "5 miles", None),
        ("3.14", "3.1416", None),
        ("3.10", "3.1", None),
        ("cat", "cats", None),
        ("USA", "America", None),
        ("A pilot", "A doctor", None),
        ("Run `make -j`.", "Run `make -J`.", None),
        ("-5", "5", False),
        ("15%", "15", None),
        ("x = a", "x == a", None),
        ('{"a": 1}', '{"a": 2}', None),
        ('{"a": 1}', "a 1", None),
        ("?!", "...", None),
        ("", " ", None),
        ("Rome", "The capital of Italy is Rome.", None),
    ],
)
async def test_verdicts(kept: str, fresh: str, same: bool | None) -> None:
    assert judged(kept, fresh).same is same
    assert judged(fresh, kept).same is same


async def test_on_labelled_pairs_it_makes_no_mistake() -> None:
    found = await score(EqualityJudge(), load())
    assert (found.false_same, found.false_different) == (0, 0)
    assert found.sensitivity > 0.2
    assert found.specificity > 0.05


@given(st.text(max_size=100), st.text(max_size=100))
def test_the_order_does_not_matter(one: str, other: str) -> None:
    assert judged(one, other) == judged(other, one)


@given(st.integers(-(10**9), 10**9), st.integers(-(10**9), 10**9))
def test_numbers_are_compared_as_numbers(one: int, other: int) -> None:
    assert judged(f"{one:,}", f"The answer is {other}.").same is (one == other)


@given(st.dictionaries(st.text(max_size=5), st.integers(-5, 5), min_size=1, max_size=4))
def test_the_order_of_keys_does_not_matter(document: dict[str, int]) -> None:
    turned = dict(reversed(document.items()))
    assert judged(json.dumps(document), json.dumps(turned, indent=2)).same is True
