"""Outputs that are no whole answer are not kept, and what is not made of outputs is not replayed."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from forebay.adapters.vllm import fake_types as vllm
from forebay.middleware.errors import PayloadError
from forebay.middleware.records import Answer
from tests.adapters.vllm.made_outputs import DELTA, FINAL_ONLY, again, recorded, streamed_tokens


@pytest.mark.parametrize("kind", vllm.RequestOutputKind)
@pytest.mark.parametrize("reason", ["abort", "error", "unheard of"])
def test_what_was_broken_off_is_not_kept(kind: vllm.RequestOutputKind, reason: str) -> None:
    streamed = streamed_tokens(3)
    streamed[-1].outputs[0].finish_reason = reason
    assert recorded(streamed, kind) is None


def test_what_has_not_ended_is_not_kept() -> None:
    streamed = streamed_tokens(3)
    assert recorded([], DELTA) is None
    assert recorded(streamed[:-1], DELTA) is None
    streamed[-1].finished = False
    assert recorded(streamed, DELTA) is None


def test_one_broken_choice_of_several_breaks_the_answer() -> None:
    whole = streamed_tokens(1)[0]
    other = copy.deepcopy(whole.outputs[0])
    other.index, other.finish_reason = 1, "abort"
    whole.outputs.append(other)
    assert recorded([whole], FINAL_ONLY) is None
    other.finish_reason = None
    assert recorded([whole], FINAL_ONLY) is None
    other.finish_reason = "stop"
    assert recorded([whole], FINAL_ONLY) is not None
    other.index = 2  # the second is missing
    assert recorded([whole], FINAL_ONLY) is None


@pytest.mark.parametrize("kind", vllm.RequestOutputKind)
def test_a_prompt_that_comes_in_parts_is_not_kept(kind: vllm.RequestOutputKind) -> None:
    first, second = streamed_tokens(3), streamed_tokens(3)
    first[-1].finished = False
    assert recorded([*first, *second], kind) is None


@pytest.mark.parametrize("name", ["routed_experts", "sampling_mask", "of_a_later_version"])
def test_a_choice_with_more_than_is_kept_is_not_kept(name: str) -> None:
    streamed = streamed_tokens(3)
    setattr(streamed[-1].outputs[0], name, object())
    assert recorded(streamed, DELTA) is None


@pytest.mark.parametrize("at", [0, -1])
@pytest.mark.parametrize(
    "name",
    [
        "prompt_token_id_logprobs",
        "kv_transfer_params",
        "ec_transfer_params",
        "encoder_prompt_token_ids",
        "of_a_later_version",
    ],
)
def test_an_output_with_more_than_is_kept_is_not_kept(name: str, at: int) -> None:
    streamed = streamed_tokens(3)
    setattr(streamed[at], name, [1])
    assert recorded(streamed, DELTA) is None


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"object": "chat.completion", "choices": []},
        {"object": "forebay.tokens"},
        {"object": "forebay.tokens", "choices": []},
        {"object": "forebay.tokens", "choices": [{"index": 0}]},
        {"object": "forebay.tokens", "choices": ["text"]},
        {"object": "forebay.tokens", "choices": None},
    ],
)
@pytest.mark.parametrize("kind", vllm.RequestOutputKind)
def test_another_answer_is_refused(body: dict[str, Any], kind: vllm.RequestOutputKind) -> None:
    with pytest.raises(PayloadError):
        again(Answer(body), kind)
