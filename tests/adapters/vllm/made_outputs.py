"""Outputs of made-up calls, and what becomes of them."""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

from forebay.adapters.vllm import fake_types as vllm
from forebay.adapters.vllm.fake import fake_names
from forebay.adapters.vllm.outputs import Recorder, replay
from forebay.middleware.records import Answer

if TYPE_CHECKING:
    from random import Random

NAMES = fake_names()
CUMULATIVE, DELTA, FINAL_ONLY = vllm.RequestOutputKind
PROMPT = [5, 6, 7]

texts = st.text(max_size=6)
floats = st.floats(max_value=0.0)  # no NaN, which equals nothing
positions: st.SearchStrategy[vllm.OnePosition] = st.dictionaries(
    st.integers(0, 99),
    st.builds(vllm.Logprob, floats, st.none() | st.integers(1, 9), st.none() | texts),
    min_size=1,
    max_size=3,
)


def columns(of: list[Any]) -> vllm.FlatLogprobs:
    flat = vllm.FlatLogprobs()
    flat.extend(of)
    return flat


@st.composite
def choices(draw: st.DrawFn, index: int, form: Any) -> vllm.CompletionOutput:
    tokens = draw(st.lists(st.integers(0, 99), max_size=40))
    logprobs: list[Any] = draw(st.lists(positions, min_size=len(tokens), max_size=len(tokens)))
    summed = 0.0
    for position in logprobs:
        summed += next(iter(position.values())).logprob
    return vllm.CompletionOutput(
        index=index,
        text=draw(st.text(max_size=80)),
        token_ids=tokens,
        cumulative_logprob=None if form is None else summed,
        logprobs=None if form is None else form(logprobs),
        finish_reason=draw(st.sampled_from(["stop", "length", "repetition"])),
        stop_reason=draw(st.none() | st.integers(0, 99) | texts),
        weight_versions=draw(st.none() | st.just([vllm.WeightVersionSpan("default", 0, len(tokens))])),
    )


@st.composite
def answers(draw: st.DrawFn) -> vllm.RequestOutput:
    """Whole outputs of a call."""
    form: Any = draw(st.sampled_from([None, list, columns]))
    prompt: list[Any] = [None, *draw(st.lists(positions, min_size=2, max_size=2))]
    return vllm.RequestOutput(
        request_id="first",
        prompt="text",
        prompt_token_ids=PROMPT,
        prompt_logprobs=None if form is None or draw(st.booleans()) else form(prompt),
        outputs=[draw(choices(index, form)) for index in range(draw(st.integers(1, 3)))],
        finished=True,
        num_cached_tokens=0,
    )


def taken(logprobs: Any, part: slice) -> Any:
    if logprobs is None:
        return None
    rows = list(logprobs)[part]
    return columns(rows) if isinstance(logprobs, vllm.FlatLogprobs) else rows


def pieces_of(whole: vllm.RequestOutput, random: Random) -> list[vllm.RequestOutput]:
    """Cut a whole answer as an engine would have streamed it: choices in turns, sometimes several in one output."""
    queue: list[vllm.RequestOutput] = []
    left = {one.index: 0 for one in whole.outputs}
    said = dict.fromkeys(left, 0)
    while left:
        one = whole.outputs[random.choice(list(left))]
        begin, start = left[one.index], said[one.index]
        end = min(len(one.token_ids), begin + random.choice([0, 1, 1, 1, 3, 20]))
        close = min(len(one.text), start + random.choice([0, 1, 2, 5]))
        last = end == len(one.token_ids) and random.random() < 0.5
        close = len(one.text) if last else close
        piece = vllm.CompletionOutput(
            index=one.index,
            text=one.text[start:close],
            token_ids=one.token_ids[begin:end],
            cumulative_logprob=one.cumulative_logprob if last or one.cumulative_logprob is None else 0.5,
            logprobs=taken(one.logprobs, slice(begin, end)),
        )
        left[one.index], said[one.index] = end, close
        if last:
            del left[one.index]
            piece.finish_reason, piece.stop_reason = one.finish_reason, one.stop_reason
            piece.weight_versions = one.weight_versions
        prompt = whole.prompt_logprobs
        first = prompt is not None and begin == start == 0
        output = vllm.RequestOutput(
            request_id=whole.request_id,
            prompt=whole.prompt,
            prompt_token_ids=whole.prompt_token_ids,
            prompt_logprobs=prompt if first or prompt is None else [],
            outputs=[piece],
            finished=not left,
        )
        if queue and random.random() < 0.2:
            queue[-1].add(output, aggregate=True)
        else:
            queue.append(output)
    return queue


def recorded(outputs: list[vllm.RequestOutput], kind: vllm.RequestOutputKind) -> Answer | None:
    recorder = Recorder(NAMES, kind)
    for output in outputs:
        recorder.add(output)
    return recorder.answer()


def stored(answer: Answer | None) -> Answer:
    assert answer is not None
    body = json.loads(json.dumps(answer.body, allow_nan=False))
    return Answer(body, answer.input_tokens, answer.output_tokens)


def again(answer: Answer, kind: vllm.RequestOutputKind) -> list[Any]:
    return replay(
        NAMES, answer, kind, request_id="second", prompt="text", prompt_token_ids=PROMPT, lora_request="adapter"
    )


def joined(outputs: list[Any]) -> Any:
    """Merge pieces as vLLM's own collector does."""
    whole = copy.deepcopy(outputs[0])
    for output in outputs[1:]:
        whole.add(copy.deepcopy(output), aggregate=True)
    return whole


def its_own(whole: vllm.RequestOutput) -> vllm.RequestOutput:
    """Return an answer as the second call's."""
    own = copy.deepcopy(whole)
    own.request_id, own.lora_request = "second", "adapter"
    own.num_cached_tokens, own.num_cache_creation_tokens = len(PROMPT), 0
    return own


def streamed_tokens(count: int, **fields: Any) -> list[Any]:
    """Return the outputs of a call that streams one token after the other, "t" each."""
    logprobs = fields.pop("logprobs", False)
    return [
        vllm.RequestOutput(
            "first",
            None,
            PROMPT,
            None,
            [
                vllm.CompletionOutput(
                    index=0,
                    text="t",
                    token_ids=[at],
                    cumulative_logprob=-0.1 * (at + 1) if logprobs else None,
                    logprobs=[{at: vllm.Logprob(-0.1, 1, "t")}] if logprobs else None,
                    finish_reason="stop" if at == count - 1 else None,
                    **fields,
                )
            ],
            finished=at == count - 1,
        )
        for at in range(count)
    ]
