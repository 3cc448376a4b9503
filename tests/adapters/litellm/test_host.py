"""What forebay asks of the LiteLLM process around it."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest

from forebay.adapters.litellm.host import broke_off, is_fallback, is_unfinished, takes_headers


def call(original: Any) -> dict[str, Any]:
    return {"litellm_logging_obj": SimpleNamespace(model_call_details={"original_response": original})}


ENDED = {"choices": [{"finish_reason": "stop"}]}
BROKEN = {"choices": [{"finish_reason": "stop"}, {"finish_reason": None}]}


@pytest.mark.parametrize(
    ("kwargs", "broken"),
    [
        (call(ENDED), False),
        (call(BROKEN), True),
        (call(json.dumps(ENDED)), False),
        (call(json.dumps(BROKEN)), True),
        (call({"choices": [{"message": {}}]}), False),  # other providers' answers have no such field
        (call({"choices": [{"finish_reason": "error"}]}), True),  # of which LiteLLM makes "stop"
        (call({"choices": [{"finish_reason": "STOP"}]}), False),
        (call({"choices": [{"finish_reason": "length"}]}), False),  # which it leaves as it is
        (call("Completion(choices=[CompletionChoice(finish_reason='weather', text='a')])"), True),
        (call("Completion(choices=[CompletionChoice(finish_reason=None, text='a')])"), True),
        (call("Completion(choices=[CompletionChoice(finish_reason='stop', text='a')])"), False),
        (call("not JSON"), False),
        (call(None), False),
        (call([1]), False),
        ({}, False),
        ({"litellm_logging_obj": object()}, False),
    ],
)
def test_a_choice_the_engine_did_not_end(kwargs: dict[str, Any], broken: bool) -> None:
    assert broke_off(kwargs) is broken


CALLED: dict[str, Any] = {"type": "function_call", "name": "f", "arguments": "{}"}


@pytest.mark.parametrize(
    ("answer", "unfinished"),
    [
        ({"object": "response", "status": "completed", "output": [CALLED]}, False),
        ({"object": "response", "status": "failed", "output": []}, True),
        ({"object": "response", "output": []}, True),
        ({"object": "response", "status": "completed", "error": {"code": "x"}}, True),
        ({"object": "response", "status": "completed", "output": [{"type": "message", "status": "incomplete"}]}, True),
        ({"object": "response", "status": "completed", "output": [{**CALLED, "arguments": "{"}]}, True),
        ({"object": "chat.completion"}, False),
        (None, False),
    ],
)
def test_the_answer_of_a_call_inside_a_call(answer: Any, unfinished: bool) -> None:
    assert is_unfinished(answer) is unfinished


@pytest.mark.parametrize(
    ("metadata", "fallback"), [({"attempted_fallbacks": 1}, True), ({"attempted_fallbacks": 0}, False), ({}, False)]
)
def test_a_fallbacks_answer_is_known(metadata: dict[str, Any], fallback: bool) -> None:
    assert is_fallback({"metadata": metadata}) is fallback


def test_which_providers_take_headers() -> None:
    assert takes_headers({"model": "openai/any", "custom_llm_provider": None})
    assert takes_headers({"model": "any", "custom_llm_provider": "hosted_vllm"})
    assert not takes_headers({"model": "no-such-provider/at-all"})
    assert not takes_headers({"model": None})
