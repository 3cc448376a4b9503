"""What every analyzer must do: subclass `AnalyzerContract` and give it a fixture `analyzer`."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from forebay.middleware.keys import Keyring, make_key
from forebay.middleware.protocols import Analyzer
from forebay.middleware.records import Request

TEXT = st.text(st.characters(), max_size=40)
JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)
CONTENT = JSON | st.lists(st.fixed_dictionaries({"type": st.just("text"), "text": JSON}), max_size=3)
ROLES = st.sampled_from(["system", "developer", "user", "assistant", "tool"])
MESSAGES = st.lists(st.fixed_dictionaries({"role": ROLES | JSON, "content": CONTENT}) | JSON, max_size=5)


def chat(*contents: Any, **params: Any) -> Request:
    """Return a request of a user and an assistant taking turns."""
    roles = ("user", "assistant")
    messages = [{"role": roles[turn % 2], "content": content} for turn, content in enumerate(contents)]
    return Request(id="r", model="small", messages=messages, params=params)


class AnalyzerContract:
    def test_it_is_an_analyzer(self, analyzer: Analyzer) -> None:
        assert isinstance(analyzer, Analyzer)

    @settings(suppress_health_check=[HealthCheck.differing_executors, HealthCheck.function_scoped_fixture])
    @given(messages=MESSAGES | JSON, params=st.dictionaries(TEXT, JSON, max_size=4) | JSON)
    def test_no_json_makes_it_raise(self, analyzer: Analyzer, messages: Any, params: Any) -> None:
        request = Request(id="r", model="small", messages=messages, params=params)
        facts = analyzer.analyze(request)
        assert facts.input_tokens >= 0
        assert facts.turns >= 0
        assert facts.task
        assert (facts.reason == "ok") == (facts.cacheable and facts.semantic)
        assert facts.cacheable or not facts.semantic
        if facts.cacheable:
            assert make_key(request, Keyring.from_secret("of an analyzer test")).exact

    def test_analyzing_is_deterministic(self, analyzer: Analyzer) -> None:
        request = chat("What is the capital of France?", temperature=0.2)
        assert analyzer.analyze(request) == analyzer.analyze(request)
