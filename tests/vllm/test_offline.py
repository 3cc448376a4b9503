"""A wrapped LLM beside the bare one: equal tokens where it computes, the first answer where it does not, and vLLM's own bar."""

from __future__ import annotations

import functools
import inspect
import json
import tempfile
from typing import TYPE_CHECKING, Any

import pytest

from forebay.adapters.vllm.fake_llm import FakeLLM
from forebay.adapters.vllm.offline import ForebayLLM, wrap_llm
from forebay.middleware.config import parse_config
from tests.vllm.real import module, sampling

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

CITIES = ("France", "Italy", "Spain", "Japan", "Norway", "Egypt")
OF_THE_CALL = {"request_id", "metrics", "num_cached_tokens", "num_cache_creation_tokens", "outputs", "prompt_logprobs"}
SCHEMA = {"type": "object", "properties": {"city": {"enum": ["Paris", "Rome"]}}, "required": ["city"]}
CASES: dict[str, dict[str, Any]] = {
    "greedy": {},
    "n=2": {"n": 2, "temperature": 0.3, "seed": 7, "max_tokens": 200},
    "logprobs": {"logprobs": 3},
    "prompt logprobs": {"prompt_logprobs": 2, "logprobs": 1},
    "flat logprobs": {"logprobs": 2, "flat_logprobs": True},
    "schema": {"structured_outputs": SCHEMA},
    "cut": {"max_tokens": 3},
}


@pytest.fixture(scope="module")
def wrapped(llm: Any) -> Iterator[ForebayLLM]:
    parts = {"store": {"type": "memory"}, "embedder": {"type": "hashing"}, "cache": {"semantic": "off"}}
    with tempfile.TemporaryDirectory() as folder, wrap_llm(llm, parse_config({**parts, "state_dir": folder})) as made:
        yield made


def conversation(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


def asked(**fields: Any) -> Any:
    if "structured_outputs" in fields:
        made = module("vllm.sampling_params").StructuredOutputsParams(json=fields["structured_outputs"])
        fields = {**fields, "structured_outputs": made}
    return sampling(**{"max_tokens": 60, **fields})


def tokens(outputs: Sequence[Any]) -> list[list[list[int]]]:
    return [[list(one.token_ids) for one in output.outputs] for output in outputs]


def told(output: Any) -> dict[str, Any]:
    """What an output says beside what is of its call."""
    fields: dict[str, Any] = output.__dict__
    said = {name: value for name, value in fields.items() if name not in OF_THE_CALL}
    said["prompt_logprobs"] = None if output.prompt_logprobs is None else list(output.prompt_logprobs)
    said["outputs"] = [choice(one) for one in output.outputs]
    return said


def choice(one: Any) -> dict[str, Any]:
    fields: dict[str, Any] = one.__dict__
    return {**fields, "logprobs": None if one.logprobs is None else list(one.logprobs)}


@pytest.mark.parametrize("case", CASES)
def test_a_miss_equals_the_bare_llm_and_a_hit_the_miss(llm: Any, wrapped: ForebayLLM, case: str) -> None:
    asks = conversation(f"What is the capital of France? ({case})")
    bare = llm.chat(asks, asked(**CASES[case]), use_tqdm=False)
    first = wrapped.chat(asks, asked(**CASES[case]), use_tqdm=False)
    assert wrapped.report is not None
    assert wrapped.report.computed == 1
    again = wrapped.chat(asks, asked(**CASES[case]), use_tqdm=False)
    assert tokens(first) == tokens(bare)
    assert told(again[0]) == told(first[0])
    assert {type(one.logprobs) for one in again[0].outputs} == {type(one.logprobs) for one in first[0].outputs}
    assert first[0].prompt == bare[0].prompt
    assert first[0].prompt_token_ids == bare[0].prompt_token_ids
    assert int(again[0].request_id) > int(first[0].request_id) > int(bare[0].request_id)
    ends = {one.finish_reason for one in first[0].outputs}
    assert wrapped.report.exact == (ends == {"stop"})
    assert ends == {"length"} or case != "cut"
    if case == "schema":
        assert json.loads(again[0].outputs[0].text)["city"] in {"Paris", "Rome"}


def test_equal_prompts_of_a_call_are_computed_once_and_all_come_in_their_order(llm: Any, wrapped: ForebayLLM) -> None:
    texts = [f"The capital of {country} is" for country in CITIES]
    ids = [llm.get_tokenizer().encode(texts[0]), {"prompt": texts[1]}]
    prompts: list[Any] = [*texts, *reversed(texts), *ids, *texts[2:4]]
    params = asked(max_tokens=8)  # cut, nearly all: shared while they are computed, and not kept
    outputs = wrapped.generate(prompts, params, use_tqdm=False)
    assert wrapped.report is not None
    assert wrapped.report.computed == len(CITIES) + 1  # ids alone have no text to be told
    bare = llm.generate(prompts, params, use_tqdm=False)
    assert tokens(outputs) == tokens(bare)
    assert [output.prompt for output in outputs] == [output.prompt for output in bare]
    assert [output.prompt_token_ids for output in outputs] == [output.prompt_token_ids for output in bare]
    numbers = [int(output.request_id) for output in outputs]
    assert numbers == sorted(set(numbers))
    assert not llm.llm_engine.has_unfinished_requests()


def test_each_prompt_has_parameters_and_a_priority_of_its_own(llm: Any, wrapped: ForebayLLM) -> None:
    texts = [f"A short word about {country}:" for country in CITIES[:3]]
    params = [asked(max_tokens=3), asked(max_tokens=5, n=2, temperature=0.8, seed=1), asked(max_tokens=7)]
    outputs = wrapped.generate(texts, params, use_tqdm=False, priority=[2, 0, 1])
    bare = llm.generate(texts, params, use_tqdm=False)
    assert tokens(outputs)[::2] == tokens(bare)[::2]
    assert [[len(ids) for ids in each] for each in tokens(outputs)] == [[3], [5, 5], [7]]


def test_what_samples_without_a_seed_is_sampled_each_time(wrapped: ForebayLLM) -> None:
    outputs = wrapped.generate(["Once upon a time"] * 4, asked(temperature=1.0, max_tokens=12), use_tqdm=False)
    assert len({tuple(one[0]) for one in tokens(outputs)}) > 1


def test_the_progress_bar_is_vllms(wrapped: ForebayLLM, capsys: pytest.CaptureFixture[str]) -> None:
    tqdm = functools.partial(module("tqdm").tqdm, leave=True, mininterval=0)
    wrapped.chat([conversation("What is two and two?")] * 3, asked(), tqdm)
    assert "Processed prompts: 100%" in capsys.readouterr().err
    wrapped.chat([conversation("What is two and two?")] * 3, asked(), use_tqdm=False)
    assert "Processed prompts" not in capsys.readouterr().err


def test_vllms_refusals_come_out_and_nothing_is_left(llm: Any, wrapped: ForebayLLM) -> None:
    far_too_long = "word " * 5000
    with pytest.raises(module("vllm.exceptions").VLLMValidationError, match="maximum context length"):
        wrapped.generate(["short", far_too_long], asked(), use_tqdm=False)
    assert not llm.llm_engine.has_unfinished_requests()
    assert wrapped.generate("short", asked(max_tokens=2), use_tqdm=False)[0].finished


def test_an_interrupt_leaves_the_engine_empty(llm: Any, wrapped: ForebayLLM, monkeypatch: pytest.MonkeyPatch) -> None:
    step, steps = llm.llm_engine.step, iter(range(5))

    def interrupted() -> Any:
        if next(steps, None) is None:
            raise KeyboardInterrupt
        return step()

    monkeypatch.setattr(llm.llm_engine, "step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        wrapped.generate([f"Count to {number}:" for number in range(30, 40)], asked(ignore_eos=True), use_tqdm=False)
    monkeypatch.undo()
    assert not llm.llm_engine.has_unfinished_requests()
    outputs = wrapped.generate("Count to forty:", asked(max_tokens=4), use_tqdm=False)
    assert tokens(outputs) == tokens(llm.generate("Count to forty:", asked(max_tokens=4), use_tqdm=False))


def test_all_else_is_the_llms(llm: Any, wrapped: ForebayLLM) -> None:
    assert wrapped.get_tokenizer() is llm.get_tokenizer()
    params = module("vllm.sampling_params").BeamSearchParams(beam_width=2, max_tokens=3)
    assert wrapped.beam_search([{"prompt": "The capital of France is"}], params)[0].sequences


@pytest.mark.parametrize("name", ["generate", "chat", "enqueue", "enqueue_chat"])
def test_the_fake_llm_takes_what_the_real_one_takes(llm: Any, name: str) -> None:
    fake, real = (inspect.signature(getattr(one, name)).parameters for one in (FakeLLM(), llm))
    assert {at: one.default for at, one in fake.items()} == {at: one.default for at, one in real.items()}
