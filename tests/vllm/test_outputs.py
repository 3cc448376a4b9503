"""What the real engine put out, kept as JSON and replayed, is what it put out, field by field."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from forebay.adapters.vllm.names import installed
from forebay.adapters.vllm.outputs import Recorder, replay
from forebay.middleware.records import Answer
from tests.vllm.real import its_own_warnings, module, sampling

OF_THE_CALL = ("request_id", "metrics", "num_cached_tokens", "num_cache_creation_tokens")
FRANCE = 4649
"""The token of that word."""
KINDS = ("CUMULATIVE", "DELTA", "FINAL_ONLY")
SCHEMA = {"type": "object", "properties": {"city": {"type": "string", "maxLength": 12}}, "required": ["city"]}
CASES: dict[str, dict[str, Any]] = {
    "plain": {},
    "sampled twice": {"n": 2, "temperature": 0.9, "seed": 7, "max_tokens": 40},
    "log probabilities": {"logprobs": 3, "max_tokens": 40, "ignore_eos": True},
    "in columns": {"logprobs": 3, "flat_logprobs": True, "max_tokens": 40, "ignore_eos": True},
    "of the prompt": {"prompt_logprobs": 2},
    "of the prompt, in columns": {"prompt_logprobs": 2, "logprobs": 0, "flat_logprobs": True},
    "twice, with both": {"n": 2, "temperature": 0.9, "seed": 7, "logprobs": 1, "prompt_logprobs": 1},
    "of few tokens": {"logprob_token_ids": [28, 30, 216]},
    "of forbidden tokens": {"logprobs": 2, "allowed_token_ids": [504, 3575], "max_tokens": 4},
    "stop string": {"stop": ["France"]},
    "stop string told": {"stop": ["France"], "include_stop_str_in_output": True},
    "stop token": {"stop_token_ids": [FRANCE]},
    "guided": {"structured_outputs": {"json": SCHEMA}},
    "no text": {"detokenize": False},
    "length": {"max_tokens": 3},
}


@pytest.fixture(scope="module")
def names() -> Any:
    with its_own_warnings():
        return installed()


@pytest.fixture(scope="module")
def prompt(engine: Any) -> list[int]:
    question = [{"role": "user", "content": "What is the capital of France?"}]
    ids: list[int] = engine.get_tokenizer().apply_chat_template(question, add_generation_prompt=True, return_dict=False)
    return ids


def params_of(case: str, kind: str, names: Any) -> Any:
    fields = dict(CASES[case])
    if "structured_outputs" in fields:
        made = module("vllm.sampling_params").StructuredOutputsParams
        fields["structured_outputs"] = made(**fields["structured_outputs"])
    return sampling(output_kind=names.output_kind[kind], **fields)


def said(output: Any) -> dict[str, Any]:
    """Return an output's fields, without what is of the call."""
    fields: dict[str, Any] = {**vars(output), "outputs": [vars(one) for one in output.outputs]}
    return {name: value for name, value in fields.items() if name not in OF_THE_CALL}


def added(before: Any, more: Any) -> Any:
    """Return joined log probabilities; columns stay columns."""
    if before is None or not hasattr(before, "start_indices"):
        return before if before is None else [*before, *more]
    joined = copy.deepcopy(before)
    offset = len(joined.logprobs)
    joined.start_indices += [at + offset for at in more.start_indices]
    joined.end_indices += [at + offset for at in more.end_indices]
    for name in ("token_ids", "logprobs", "ranks", "decoded_tokens"):
        getattr(joined, name).extend(getattr(more, name))
    return joined


def whole(outputs: list[Any], kind: str) -> dict[str, Any]:
    """Return what a call has said in all, choices in their order."""
    choices: dict[int, Any] = {}
    for output in outputs:
        for one in output.outputs:
            before = choices.get(one.index)
            if kind == "DELTA" and before is not None:
                merged = copy.copy(one)
                merged.text = before.text + one.text
                merged.token_ids = [*before.token_ids, *one.token_ids]
                merged.logprobs = added(before.logprobs, one.logprobs)
                choices[one.index] = merged
            else:
                choices[one.index] = one
    all_of_it = copy.copy(outputs[-1])
    all_of_it.prompt_logprobs = outputs[0].prompt_logprobs
    all_of_it.outputs = [choices[index] for index in sorted(choices)]
    return said(all_of_it)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("case", CASES)
async def test_a_kept_answer_is_the_engines(engine: Any, names: Any, prompt: list[int], case: str, kind: str) -> None:
    params = params_of(case, kind, names)
    recorder = Recorder(names, params.output_kind)
    outputs: list[Any] = []
    async for output in engine.generate({"prompt_token_ids": list(prompt)}, params, f"{case}, {kind}"):
        before = copy.deepcopy(output)
        recorder.add(output)
        assert said(output) == said(before)  # others read it, too
        outputs.append(before)
    answer = recorder.answer()
    assert answer is not None
    kept = Answer(json.loads(json.dumps(answer.body, allow_nan=False)), answer.input_tokens, answer.output_tokens)
    expected = whole(outputs, kind)
    assert expected["finished"]
    for other in KINDS:
        asked = names.output_kind[other]
        replayed = replay(names, kept, asked, request_id="again", prompt=None, prompt_token_ids=prompt)
        assert whole(replayed, other) == expected
        assert {type(one) for one in replayed} == {type(outputs[0])}
        assert all(one.num_cached_tokens == len(prompt) and one.request_id == "again" for one in replayed)
    check(case, expected, prompt)


def check(case: str, expected: dict[str, Any], prompt: list[int]) -> None:
    """Check that the case is the one that it is called."""
    choices = expected["outputs"]
    first = choices[0]
    assert len(choices) == CASES[case].get("n", 1)
    assert all(choice["token_ids"] and choice["finish_reason"] in ("stop", "length") for choice in choices)
    assert (first["text"] == "") is (case == "no text")
    if "logprobs" in CASES[case]:
        assert len(first["logprobs"]) == len(first["token_ids"])
        assert isinstance(first["cumulative_logprob"], float)
    if "prompt_logprobs" in CASES[case]:
        assert len(expected["prompt_logprobs"]) == len(prompt)
    if "stop" in CASES[case]:
        assert first["stop_reason"] == "France"
    if case == "stop token":
        assert first["stop_reason"] == FRANCE
    if case == "guided":
        assert json.loads(first["text"])["city"]
    if case in ("length", "of forbidden tokens"):
        assert first["finish_reason"] == "length"
    if case == "of forbidden tokens":
        assert set(first["token_ids"]) <= set(CASES[case]["allowed_token_ids"])


async def test_a_stream_of_many_tokens_comes_back_in_pieces(engine: Any, names: Any, prompt: list[int]) -> None:
    params = params_of("log probabilities", "DELTA", names)
    recorder = Recorder(names, params.output_kind)
    running: dict[int, float] = {}
    count = 0
    async for output in engine.generate({"prompt_token_ids": list(prompt)}, params, "in pieces"):
        recorder.add(output)
        count += len(output.outputs[0].token_ids)
        running[count] = output.outputs[0].cumulative_logprob
    answer = recorder.answer()
    assert answer is not None
    pieces = replay(names, answer, params.output_kind, request_id="again", prompt=None, prompt_token_ids=prompt)
    assert len(pieces) == 3
    count = 0
    for piece in pieces:
        count += len(piece.outputs[0].token_ids)
        assert piece.outputs[0].cumulative_logprob == running[count]  # bit for bit


async def test_an_aborted_call_has_no_answer(engine: Any, names: Any, prompt: list[int]) -> None:
    params = sampling(output_kind=names.output_kind.DELTA, max_tokens=500, ignore_eos=True)
    recorder = Recorder(names, params.output_kind)
    reasons: list[Any] = []
    async for output in engine.generate({"prompt_token_ids": list(prompt)}, params, "to be aborted"):
        recorder.add(output)
        reasons.append(output.outputs[0].finish_reason)
        if len(reasons) == 3:
            await engine.abort("to be aborted")
    assert reasons[-1] == "abort"
    assert recorder.answer() is None


def test_the_offline_engines_outputs_are_kept(llm: Any, names: Any, prompt: list[int]) -> None:
    params = sampling(logprobs=2)
    (output,) = llm.generate([{"prompt_token_ids": prompt}], params, use_tqdm=False)
    recorder = Recorder(names, params.output_kind)
    recorder.add(output)
    answer = recorder.answer()
    assert answer is not None
    (again,) = replay(
        names, answer, params.output_kind, request_id="again", prompt=output.prompt, prompt_token_ids=prompt
    )
    assert said(again) == said(output)
