"""What every answer check must do: subclass `AnswerCheckContract` and give it a fixture `check`."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from forebay.middleware.protocols import AnswerCheck
from forebay.middleware.records import Answer, Request
from tests.contract.analyzer import JSON

MESSAGE = st.fixed_dictionaries(
    {"role": st.just("assistant")},
    optional={"content": JSON, "refusal": JSON, "tool_calls": JSON, "function_call": JSON},
)
CHOICE = st.fixed_dictionaries(
    {"message": MESSAGE | JSON, "finish_reason": st.sampled_from(["stop", "length", None]) | JSON}
)
BODY = st.fixed_dictionaries({"choices": st.lists(CHOICE | JSON, max_size=3) | JSON}, optional={"error": JSON}) | JSON


def request(**params: Any) -> Request:
    return Request(id="r", model="small", messages=({"role": "user", "content": "What is a forebay?"},), params=params)


def body(**overrides: Any) -> dict[str, Any]:
    """Return a clean ``chat.completion`` of one choice; overrides are of the choice's message or of its own fields."""
    choice: dict[str, Any] = {"index": 0, "finish_reason": "stop"}
    message: dict[str, Any] = {"role": "assistant", "content": "A pool in front of a turbine."}
    for name, value in overrides.items():
        (choice if name in ("finish_reason", "logprobs", "message") else message)[name] = value
    return {"object": "chat.completion", "choices": [{"message": message, **choice}]}


class AnswerCheckContract:
    def test_it_is_an_answer_check(self, check: AnswerCheck) -> None:
        assert isinstance(check, AnswerCheck)

    def test_a_clean_answer_passes(self, check: AnswerCheck) -> None:
        assert check.refuse(request(), Answer(body())) is None

    @settings(suppress_health_check=[HealthCheck.differing_executors, HealthCheck.function_scoped_fixture])
    @given(body=BODY, params=st.dictionaries(st.sampled_from(["n", "logprobs", "tools"]), JSON, max_size=3))
    def test_no_body_makes_it_raise(self, check: AnswerCheck, body: Any, params: dict[str, Any]) -> None:
        label = check.refuse(request(**params), Answer(body))
        assert label is None or label.replace("_", "").isalpha()
