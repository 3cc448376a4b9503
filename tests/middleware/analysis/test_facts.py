from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from forebay.middleware.analysis.facts import (
    Difficulty,
    Fingerprint,
    Length,
    Neighbours,
    Priority,
    Profile,
    RequestFacts,
    Staleness,
    Subject,
    Urgency,
    Work,
)
from forebay.middleware.analysis.strategies import Strategy
from forebay.middleware.analysis.stream import Forecast
from forebay.middleware.records import Request

WRONG: list[tuple[type[Any], dict[str, Any]]] = [
    (Length, {"median": -1.0, "q90": 2.0}),
    (Length, {"median": 3.0, "q90": 2.0}),
    (Length, {"median": math.nan, "q90": 2.0}),
    (Length, {"median": 1.0, "q90": math.inf}),
    (Length, {"median": 1.0, "q90": 2.0, "confidence": 1.1}),
    (Profile, {"input_tokens": -1}),
    (Profile, {"input_tokens": 1, "code_share": 1.2}),
    (Profile, {"input_tokens": 1, "max_tokens": -5}),
    (Fingerprint, {"constant": -0.1}),
    (Neighbours, {"recent_same": -1}),
    (Work, {"prefill_tokens": 1, "decode_tokens": 1.0, "kv_blocks": 1, "seconds": -1.0}),
    (Work, {"prefill_tokens": 1, "decode_tokens": math.nan, "kv_blocks": 1}),
    (Difficulty, {"score": 1.5}),
    (Urgency, {"priority": "urgent", "reason": "x"}),
    (Staleness, {"volatility": "soon", "reason": "x"}),
    (Forecast, {"horizon_s": 1.0, "rate": 2.0, "low": 3.0, "high": 4.0}),
    (Forecast, {"horizon_s": 1.0, "rate": 2.0, "low": 1.0, "high": math.inf}),
    (Strategy, {"name": "x", "strictness": 2.0}),
    (Strategy, {"name": "x", "audits": math.inf}),
]


@pytest.mark.parametrize(("record", "values"), WRONG, ids=lambda value: getattr(value, "__name__", str(value)))
def test_a_fact_that_cannot_be_is_refused(record: type[Any], values: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        record(**values)


def test_a_subject_with_other_facts_is_the_same_otherwise() -> None:
    before, after = (RequestFacts(tokens, 1, "question", cacheable=True, semantic=True) for tokens in (12, 13))
    subject = Subject(Request("r", "m", ()), before, vector=(1.0,), now_s=3.0)
    assert subject.having(after) == replace(subject, facts=after)
    assert subject.facts is before


def test_what_is_not_known_has_a_plain_default() -> None:
    facts = RequestFacts(12, 1, "question", cacheable=True, semantic=True)
    assert facts.priority is Priority.STANDARD
    assert facts.prompt_tokens == 12
    known = RequestFacts(
        12, 1, "question", cacheable=True, semantic=True, profile=Profile(40), urgency=Urgency(Priority.BATCH, "key")
    )
    assert (known.priority, known.prompt_tokens) == (Priority.BATCH, 40)
