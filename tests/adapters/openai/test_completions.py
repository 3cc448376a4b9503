"""Text completions as a whole and as a stream: one from the other."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forebay.adapters.openai.completions import TextAssembler, messages_of, replay

choices: st.SearchStrategy[Any] = st.lists(
    st.fixed_dictionaries(
        {"text": st.text(max_size=40), "finish_reason": st.sampled_from(["stop", "length"])},
        optional={"stop_reason": st.text(max_size=3)},
    ),
    min_size=1,
    max_size=3,
)


@given(given_choices=choices, words=st.integers(1, 5), usage=st.booleans())
@settings(deadline=None)
def test_a_replay_put_together_is_the_answer(given_choices: list[Any], words: int, usage: bool) -> None:
    body = {
        "id": "x",
        "object": "text_completion",
        "choices": [{"index": at, **choice} for at, choice in enumerate(given_choices)],
        "usage": {"prompt_tokens": 1, "completion_tokens": 2},
    }
    assembler = TextAssembler()
    for chunk in replay(body, include_usage=usage, words=words):
        assembler.add(chunk)
    answer = assembler.answer()
    expected = body if usage else {name: value for name, value in body.items() if name != "usage"}
    assert answer.body == expected
    assert (answer.input_tokens, answer.output_tokens) == ((1, 2) if usage else (0, 0))


def test_logprobs_are_sent_once_and_joined() -> None:
    logprobs = {"tokens": ["a", " b"], "token_logprobs": [-1.0, -0.5]}
    body = {"choices": [{"index": 0, "text": "a b", "finish_reason": "stop", "logprobs": logprobs}]}
    chunks = list(replay(body))
    assert [chunk["choices"][0].get("logprobs") for chunk in chunks] == [logprobs, None, None]
    assembler = TextAssembler()
    for part in ({"tokens": ["a"], "token_logprobs": [-1.0]}, {"tokens": [" b"], "token_logprobs": [-0.5]}):
        assembler.add({"choices": [{"index": 0, "text": "", "logprobs": part}]})
    assert assembler.answer().body["choices"][0]["logprobs"] == logprobs


@pytest.mark.parametrize(
    ("prompt", "content"),
    [
        ("once", "once"),
        (["a", "b"], [{"type": "prompt", "prompt": "a"}, {"type": "prompt", "prompt": "b"}]),
        ([1, 2], [{"type": "prompt", "prompt": [1, 2]}]),
        ([[1], [2]], [{"type": "prompt", "prompt": [1]}, {"type": "prompt", "prompt": [2]}]),
    ],
)
def test_a_prompt_is_one_user_message(prompt: Any, content: Any) -> None:
    assert messages_of(prompt) == [{"role": "user", "content": content}]


@pytest.mark.parametrize("prompt", [None, [], 3, {}])
def test_what_is_no_prompt_is_no_message(prompt: Any) -> None:
    assert messages_of(prompt) is None
