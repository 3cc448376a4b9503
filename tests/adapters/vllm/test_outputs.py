"""A call's outputs, kept as JSON and replayed, are the outputs that were kept."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forebay.adapters.vllm import fake_types as vllm
from forebay.adapters.vllm.choices import PIECE_TOKENS
from forebay.adapters.vllm.outputs import Recorder
from forebay.middleware.answer_values import text_of_answer
from forebay.middleware.records import Answer
from forebay.policies.answer_checks.clean_end import CleanEnd
from forebay.testing import chat
from tests.adapters.vllm.made_outputs import (
    CUMULATIVE,
    DELTA,
    FINAL_ONLY,
    NAMES,
    again,
    answers,
    its_own,
    joined,
    pieces_of,
    recorded,
    stored,
    streamed_tokens,
)


@given(answers())
def test_a_whole_answer_comes_back_field_by_field(whole: vllm.RequestOutput) -> None:
    for kind in (FINAL_ONLY, CUMULATIVE):
        answer = stored(recorded([whole], kind))
        assert again(answer, FINAL_ONLY) == again(answer, CUMULATIVE) == [its_own(whole)]
        assert joined(again(answer, DELTA)) == its_own(whole)


@given(answers(), st.randoms(use_true_random=False))
def test_a_stream_comes_back_whole_and_in_pieces(whole: vllm.RequestOutput, random: Any) -> None:
    streamed = pieces_of(whole, random)
    before = copy.deepcopy(streamed)
    answer = stored(recorded(streamed, DELTA))
    assert streamed == before  # others read them, too
    assert again(answer, FINAL_ONLY) == [its_own(whole)]
    pieces = again(answer, DELTA)
    assert joined(pieces) == its_own(whole)
    assert [output.finished for output in pieces] == [False] * (len(pieces) - 1) + [True]
    for index in range(len(whole.outputs)):
        ends = [piece.finish_reason for output in pieces for piece in output.outputs if piece.index == index]
        assert ends == [None] * (len(ends) - 1) + [whole.outputs[index].finish_reason]


@given(answers(), st.randoms(use_true_random=False))
def test_a_cumulative_call_is_kept_as_its_last_output_says(whole: vllm.RequestOutput, random: Any) -> None:
    streamed: list[vllm.RequestOutput] = []
    for piece in pieces_of(whole, random):
        latest = joined([*streamed[-1:], piece])
        streamed.append(latest)
    finished: set[int] = set()
    for output in streamed:  # what has ended is not said again
        output.outputs = [one for one in output.outputs if one.index not in finished]
        finished |= {one.index for one in output.outputs if one.finished()}
        if whole.prompt_logprobs is not None:
            output.prompt_logprobs = whole.prompt_logprobs
    assert again(stored(recorded(streamed, CUMULATIVE)), FINAL_ONLY) == [its_own(whole)]


def test_a_stream_comes_back_in_a_few_pieces_cut_where_the_engine_had_cut_it() -> None:
    pieces = again(stored(recorded(streamed_tokens(50), DELTA)), DELTA)
    assert [len(one.outputs[0].token_ids) for one in pieces] == [16, 16, 16, 2]
    assert [len(one.outputs[0].text) for one in pieces] == [16, 16, 16, 2]


def test_no_empty_piece_ends_a_stream() -> None:
    pieces = again(stored(recorded(streamed_tokens(2 * PIECE_TOKENS), DELTA)), DELTA)
    assert [len(one.outputs[0].token_ids) for one in pieces] == [PIECE_TOKENS, PIECE_TOKENS]


def test_the_cumulative_log_probability_runs_through_the_pieces() -> None:
    streamed = streamed_tokens(40, logprobs=True)
    summed = 0.0
    for output in streamed:
        summed += -0.1
        output.outputs[0].cumulative_logprob = summed
    sums = [one.outputs[0].cumulative_logprob for one in again(stored(recorded(streamed, DELTA)), DELTA)]
    assert sums == [streamed[at].outputs[0].cumulative_logprob for at in (15, 31, 39)]


def test_only_the_first_piece_has_the_prompts_log_probabilities() -> None:
    prompt: list[Any] = [None, {6: vllm.Logprob(-1.0, 3)}, {7: vllm.Logprob(-math.inf, 9)}]
    streamed = streamed_tokens(20)
    streamed[0].prompt_logprobs = prompt
    for output in streamed[1:]:
        output.prompt_logprobs = []
    pieces = again(stored(recorded(streamed, DELTA)), DELTA)
    assert [one.prompt_logprobs for one in pieces] == [prompt, []]


def test_a_sampled_token_among_the_likeliest_stays_twice_in_columns() -> None:
    flat = vllm.FlatLogprobs([0], [2], [4, 4], [-0.5, -0.5], [1, 1], ["a", "a"])
    whole = streamed_tokens(1)[0]
    whole.outputs[0].logprobs, whole.outputs[0].cumulative_logprob = flat, -0.5
    assert again(stored(recorded([whole], FINAL_ONLY)), FINAL_ONLY)[0].outputs[0].logprobs == flat


def test_floats_that_json_does_not_have_come_back() -> None:
    whole = streamed_tokens(1, logprobs=True)[0]
    values = [-math.inf, math.inf, math.nan, -0.0, 5e-324]
    whole.outputs[0].logprobs = [{at: vllm.Logprob(value) for at, value in enumerate(values)}]
    whole.outputs[0].cumulative_logprob = -math.inf
    (one,) = again(stored(recorded([whole], FINAL_ONLY)), FINAL_ONLY)[0].outputs
    assert [repr(each.logprob) for each in one.logprobs[0].values()] == [repr(value) for value in values]
    assert one.cumulative_logprob == -math.inf


def test_callers_may_change_what_they_get() -> None:
    answer = recorded(streamed_tokens(40, logprobs=True), DELTA)
    assert answer is not None
    before = copy.deepcopy(again(answer, DELTA))
    for kind in vllm.RequestOutputKind:
        for output in (outputs := again(answer, kind)):
            outputs[0].add(output, aggregate=True)
            output.outputs[0].logprobs.clear()
            output.prompt_token_ids.clear()
    assert again(answer, DELTA) == before


def test_readers_may_change_what_was_recorded() -> None:
    streamed = streamed_tokens(20, logprobs=True)
    untouched = recorded(copy.deepcopy(streamed), DELTA)
    recorder = Recorder(NAMES, DELTA)
    for output in streamed:
        recorder.add(output)
        streamed[0].add(output, aggregate=True)
    for output in streamed:
        output.outputs.clear()
    assert recorder.answer() == untouched


def test_an_answer_reads_like_a_chats() -> None:
    answer = recorded(streamed_tokens(20), DELTA)
    assert text_of_answer(answer) == "t" * 20
    assert answer is not None
    assert (answer.input_tokens, answer.output_tokens) == (3, 20)
    assert CleanEnd().refuse(chat("?"), answer) is None
    cut = streamed_tokens(20)
    cut[-1].outputs[0].finish_reason = "length"
    answer = recorded(cut, DELTA)
    assert answer is not None
    assert CleanEnd().refuse(chat("?"), answer) == "finish_reason_length"


def test_the_first_token_is_told() -> None:
    recorder = Recorder(NAMES, DELTA)
    first, second, *_ = streamed_tokens(3)
    first.outputs[0].text, first.outputs[0].token_ids = "", []
    assert [recorder.add(first), recorder.add(second)] == [False, True]


def test_measurements_of_the_call_are_not_the_answers() -> None:
    streamed = streamed_tokens(3)
    streamed[-1].metrics = object()
    streamed[-1].num_cache_creation_tokens = 3
    streamed[-1].outputs[0].spec_decode_metrics = object()
    (output,) = again(stored(recorded(streamed, DELTA)), DELTA)
    assert (output.metrics, output.num_cache_creation_tokens, output.num_cached_tokens) == (None, 0, 3)
    assert output.outputs[0].spec_decode_metrics is None


@pytest.mark.parametrize("missing", [True, False])
def test_positions_that_are_not_one_a_token_are_not_cut(missing: bool) -> None:
    body = dict(stored(recorded(streamed_tokens(40, logprobs=True), DELTA)).body)
    if missing:
        body["choices"][0]["logprobs"].pop()
    else:
        body["choices"][0]["logprobs"][3] = None
    (piece,) = again(Answer(body), DELTA)
    assert piece.outputs[0].token_ids == list(range(40))


def test_pieces_of_one_choice_follow_each_other() -> None:
    first, second = streamed_tokens(40), streamed_tokens(40)
    for output in second:
        output.outputs[0].index = 1
    for output in first:
        output.finished = False
    mixed = [output for pair in zip(first, second, strict=True) for output in pair]
    indexes = [one.outputs[0].index for one in again(stored(recorded(mixed, DELTA)), DELTA)]
    assert indexes == [0, 0, 0, 1, 1, 1]
