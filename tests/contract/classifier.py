"""What every classifier must do: subclass `ClassifierContract` and give it a fixture `classifier`."""

from __future__ import annotations

import copy
from dataclasses import fields, replace
from typing import Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from forebay.middleware.analysis.facts import RequestFacts
from forebay.middleware.analysis.protocols import Classifier
from forebay.middleware.records import Request
from tests.contract.analyzer import JSON, MESSAGES, TEXT

CORE: Final = frozenset({"cacheable", "semantic", "reason"})
"""What a classifier may change beside its own fact, and only to refuse."""

FACTS: Final = RequestFacts(input_tokens=12, turns=1, task="question", cacheable=True, semantic=True)
ANY_FACTS: st.SearchStrategy[RequestFacts] = st.sampled_from(
    [
        FACTS,
        replace(FACTS, semantic=False, reason="raw_input"),
        replace(FACTS, cacheable=False, semantic=False, reason="empty"),
        RequestFacts(0, 0, "other", cacheable=False, semantic=False, reason="malformed"),
        RequestFacts(10**9, 10**6, "code", cacheable=True, semantic=True, labels={"size": 3, "kind": "x", "new": True}),
    ]
)
HINTS: st.SearchStrategy[dict[str, str]] = st.dictionaries(
    TEXT | st.sampled_from(["header.x-forebay-priority", "key.forebay_priority", "team.forebay_priority"]),
    TEXT | st.sampled_from(["interactive", "batch", "BACKGROUND", "", "high"]),
    max_size=4,
)
REQUESTS: st.SearchStrategy[Request] = st.builds(
    Request,
    id=st.just("r"),
    model=TEXT,
    messages=MESSAGES | JSON,
    params=st.dictionaries(TEXT | st.sampled_from(["service_tier", "priority", "user"]), JSON, max_size=4) | JSON,
    tenant=TEXT,
    endpoint=st.sampled_from(["chat", "completions", "embeddings"]) | TEXT,
    stream=st.booleans(),
    batch=st.booleans(),
    deadline_s=st.none() | st.floats(),
    labels=st.dictionaries(TEXT | st.sampled_from(["key", "team", "user"]), TEXT, max_size=3),
    hints=HINTS,
)


class ClassifierContract:
    def test_it_is_a_classifier(self, classifier: Classifier) -> None:
        assert isinstance(classifier, Classifier)

    @settings(suppress_health_check=[HealthCheck.differing_executors, HealthCheck.function_scoped_fixture])
    @given(asked=REQUESTS, facts=ANY_FACTS)
    def test_no_request_makes_it_raise(self, classifier: Classifier, asked: Request, facts: RequestFacts) -> None:
        self.check(classifier, asked, facts)

    @pytest.mark.parametrize(
        "question",
        ["What is the capital of France?", "What is the price of gold now?", "What is my balance?", "", "x" * 50_000],
    )
    def test_it_finds_one_fact_and_gives_back_the_others(self, classifier: Classifier, question: str) -> None:
        request = Request("r", "small", ({"role": "user", "content": question},), {"temperature": 0.2}, stream=True)
        for facts in (FACTS, replace(FACTS, cacheable=False, semantic=False, reason="volatile")):
            found = self.check(classifier, request, facts)
            assert found == classifier.classify(request, facts), "it is not deterministic"
            again = classifier.classify(request, found)
            assert again == found, "classifying twice says more"

    def test_a_request_is_left_as_it_is(self, classifier: Classifier) -> None:
        messages = [{"role": "user", "content": [{"type": "text", "text": "What is the time?"}]}]
        params, hints = {"service_tier": "flex"}, {"header.x-forebay-priority": "batch"}
        before = copy.deepcopy((messages, params, hints))
        classifier.classify(Request("r", "small", messages, params, hints=hints), FACTS)
        assert (messages, params, hints) == before

    def check(self, classifier: Classifier, request: Request, facts: RequestFacts) -> RequestFacts:
        """Classify a request, hold what may change against what did, and return the facts."""
        found = classifier.classify(request, facts)
        changed = {field.name for field in fields(found) if getattr(found, field.name) != getattr(facts, field.name)}
        assert len(changed - CORE) <= 1
        assert facts.cacheable or not found.cacheable
        assert facts.semantic or not found.semantic
        assert found.cacheable or not found.semantic
        assert (found.reason == "ok") == (found.cacheable and found.semantic)
        if not changed & {"cacheable", "semantic"}:
            assert found.reason == facts.reason
        return found
