"""A wrapped LLM, on a fake of vLLM's: what is computed, what is not, and what comes back, in which order."""

from __future__ import annotations

import itertools
import threading
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forebay.adapters.vllm.call import Call, calling
from forebay.adapters.vllm.fake_llm import FakeLLM, FakeLLMEngine
from forebay.adapters.vllm.fake_types import RequestOutputKind, SamplingParams
from forebay.adapters.vllm.offline import ForebayLLM
from tests.adapters.vllm.made_llm import EXACT, added, greedy, told, turns, wrapped
from tests.middleware.parts import Given, Spy

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def folder(tmp_path: Path) -> str:
    return str(tmp_path)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ForebayLLM]:
    with wrapped(str(tmp_path_factory.mktemp("shared"))) as llm:
        yield llm


EXAMPLES = itertools.count()


@settings(max_examples=60, deadline=None)
@given(
    asked=st.lists(st.sampled_from(["a", "ab", "ba", "b" * 40, "c", "cc"]), min_size=1, max_size=24), cut=st.booleans()
)
def test_any_prompts_come_back_in_their_order_and_equal_ones_are_computed_once(
    shared: ForebayLLM, asked: list[str], *, cut: bool
) -> None:
    example = next(EXAMPLES)
    prompts = [f"{example} {text}" for text in asked]
    params, distinct, before = greedy(max_tokens=2 if cut else 64), len(set(prompts)), added(shared)
    outputs = shared.generate(prompts, params, use_tqdm=False)
    assert [output.prompt for output in outputs] == prompts
    assert told(outputs) == told(FakeLLM().generate(prompts, params))
    numbers = [int(output.request_id) for output in outputs]
    assert numbers == sorted(set(numbers))
    assert added(shared) - before == distinct
    assert shared.report is not None
    assert shared.report.members == len(prompts)
    assert shared.report.saved == len(prompts) - distinct
    assert told(shared.generate(prompts, params, use_tqdm=False)) == told(outputs)
    assert added(shared) - before == distinct * (2 if cut else 1)  # what is cut is shared, and not kept
    assert not shared.llm_engine.has_unfinished_requests()


def test_one_prompt_of_any_form_is_one_prompt(folder: str) -> None:
    forms: list[Any] = ["ab", [97, 98], {"prompt": "ab"}, {"prompt_token_ids": [97, 98]}, ("ab",), [[97, 98]]]
    with wrapped(folder) as llm:
        firsts = [llm.generate(form, greedy(), use_tqdm=False) for form in forms]
        assert [len(outputs) for outputs in firsts] == [1] * len(forms)
        assert [outputs[0].prompt for outputs in firsts] == ["ab", None, "ab", None, "ab", None]
        assert len({str(outputs[0].outputs) for outputs in firsts}) == 1
        assert added(llm) == 2  # the same tokens, once with their text and once without


def test_parameters_and_adapters_are_one_for_all_or_one_each(folder: str) -> None:
    lora = SimpleNamespace(lora_name="l", lora_int_id=1, lora_path="p")
    with wrapped(folder) as llm:
        each = [greedy(), greedy(max_tokens=63), greedy(), greedy()]
        outputs = llm.generate(
            ["a"] * 4, each, use_tqdm=False, lora_request=[None, None, None, lora], priority=[1, 0, 3, 2]
        )
        assert added(llm) == 3
        assert [output.lora_request for output in outputs] == [None, None, None, lora]
        assert {one.given["priority"] for one in llm.llm_engine.added} == {0, 1, 2}
        assert [one.params.max_tokens for one in llm.llm_engine.added] == [63, 64, 64]  # the most urgent first
        llm.generate(["a"], use_tqdm=False)
        assert llm.llm_engine.added[-1].params == SamplingParams(output_kind=RequestOutputKind.FINAL_ONLY)


def test_prompts_with_the_same_beginning_are_computed_one_after_another(folder: str) -> None:
    prompts = [f"{prefix}{at}" for at in range(3) for prefix in ("long " * 9, "other " * 9)]
    with wrapped(folder) as llm:
        llm.generate(prompts, greedy(), use_tqdm=False)
        assert [one.prompt["prompt"] for one in llm.llm_engine.added] == sorted(prompts)


def test_as_many_are_on_their_way_as_keep_the_engine_busy(folder: str) -> None:
    most = 0
    fake = FakeLLM(FakeLLMEngine(limit=3))

    def count() -> None:
        nonlocal most
        most = max(most, len(fake.llm_engine.waiting))

    fake.llm_engine.before_step = count
    with wrapped(folder, fake) as llm:
        llm.generate([f"{at}" for at in range(40)], greedy(max_tokens=3), use_tqdm=False)
    assert fake.llm_engine.most == 3
    assert most == 6


@pytest.mark.parametrize("given", [{"logprobs": 1}, {"n": 3}, {"n": 2, "logprobs": 1}])
def test_a_kept_answer_equals_the_first_field_by_field(folder: str, given: dict[str, Any]) -> None:
    with wrapped(folder) as llm:
        first = llm.generate(["abc", "abc"], greedy(**given), use_tqdm=False)
        again = llm.generate("abc", greedy(**given), use_tqdm=False)
        assert told(again) == told(first[:1]) == told(first[1:])
        assert added(llm) == 1
        assert again[0].num_cached_tokens == 3
        again[0].outputs[0].token_ids.clear()
        first[0].outputs[0].token_ids.clear()
        assert told(llm.generate("abc", greedy(**given), use_tqdm=False)) == told(first[1:])


def test_who_samples_the_same_several_times_gets_several_answers(folder: str) -> None:
    with wrapped(folder) as llm:
        llm.generate(["a"] * 5, greedy(temperature=0.7), use_tqdm=False)
        assert added(llm) == 5
        llm.generate(["a"], greedy(temperature=0.7), use_tqdm=False)
        assert added(llm) == 5
        llm.generate(["b"] * 5, greedy(temperature=0.7, seed=3), use_tqdm=False)
        assert added(llm) == 6


TEMPLATES: list[dict[str, Any]] = [
    {"chat_template": "t"},
    {"add_generation_prompt": False},
    {"add_generation_prompt": False, "continue_final_message": True},
    {"tools": [{"type": "function", "function": {"name": "f"}}]},
    {"chat_template_kwargs": {"enable_thinking": True}},
]


def test_what_makes_the_prompt_of_a_chat_makes_another_request(folder: str) -> None:
    config = {"acceptance": {"type": "threshold", "threshold": 0.1}}
    with wrapped(folder, config=config) as llm:
        for given in ({}, *TEMPLATES):
            llm.chat(turns("What is a forebay?"), greedy(), use_tqdm=False, **given)
        assert added(llm) == 1 + len(TEMPLATES)
        for given in ({}, *TEMPLATES):
            llm.chat([turns("What is a forebay?")] * 2, greedy(), False, **given)
        assert added(llm) == 1 + len(TEMPLATES)
        llm.chat(turns("What is a forebay?"), greedy(max_tokens=63), use_tqdm=False)
        assert added(llm) == 2 + len(TEMPLATES)


def test_chats_that_ask_the_same_in_other_words_are_computed_once_and_prompts_are_not(folder: str) -> None:
    config = {"acceptance": {"type": "threshold", "threshold": 0.5}}
    first = "What is the forebay in front of a turbine good for, and who built the first one of them?"
    asked = [first, first.replace("?", ", please?"), "How do I bake bread?"]
    with wrapped(folder, config=config) as llm:
        outputs = llm.chat([turns(text) for text in asked], greedy(), use_tqdm=False)
        assert added(llm) == 2
        assert outputs[0].outputs == outputs[1].outputs != outputs[2].outputs
        assert [output.prompt for output in outputs] == [f"add_generation_prompt=True\nuser: {text}" for text in asked]
        assert [bytes(output.prompt_token_ids).decode() for output in outputs] == [output.prompt for output in outputs]
        llm.generate(asked, greedy(), use_tqdm=False)
        assert added(llm) == 5


def test_tenants_do_not_share_answers(folder: str) -> None:
    with wrapped(folder) as llm:
        for tenant in ("one", "two", "one"):
            with calling(Call(tenant=tenant)):
                llm.generate("a", greedy(), use_tqdm=False)
        assert added(llm) == 2


class Bar:
    """A progress bar that notes what it is told."""

    def __init__(self, **given: Any) -> None:
        self.given = given
        self.postfix = given["postfix"]
        self.format_dict = {"elapsed": 0.5}
        self.updates: list[int] = []
        self.closed = False
        self.thread = threading.current_thread()

    def update(self, count: int) -> None:
        assert threading.current_thread() is self.thread
        self.updates.append(count)

    def refresh(self) -> None:
        assert not self.closed

    def close(self) -> None:
        self.closed = True


def test_the_progress_bar_counts_kept_answers_too(folder: str) -> None:
    bars: list[Bar] = []

    def make(**given: Any) -> Bar:
        bars.append(Bar(**given))
        return bars[-1]

    with wrapped(folder) as llm:
        llm.generate(["a", "b"], greedy(n=2), use_tqdm=False)
        assert bars == []
        llm.generate(["a", "c", "c", "b"], greedy(n=2), use_tqdm=make)
        (bar,) = bars
        assert bar.given["total"] == 8
        assert bar.given["desc"] == "Processed prompts"
        assert bar.updates == [2, 2, 2, 2]
        assert bar.closed
        assert bar.postfix.startswith("est. speed input: 16.00 toks/s, output: ")


def test_the_usual_bar_is_tqdm(folder: str, capsys: pytest.CaptureFixture[str]) -> None:
    with wrapped(folder) as llm:
        llm.generate(["a", "a"], greedy())
    assert "Processed prompts: 100%" in capsys.readouterr().err


def test_all_else_goes_to_the_llm(folder: str) -> None:
    fake = FakeLLM()
    with wrapped(folder, fake) as llm:
        assert llm.embed(["a"])[0].prompt == "a"
        assert fake.bare == ["embed"]
        assert llm.model_config is fake.model_config
        with pytest.raises(AttributeError):
            _ = llm.nothing


def test_every_prompt_is_explained_and_told(folder: str) -> None:
    spy = Spy()
    with wrapped(folder, None, EXACT, spy, Given()) as llm:
        llm.generate(["a", "b", "a"], greedy(), use_tqdm=False)
    assert sorted(one.status.value for one in spy.finished) == ["inflight", "miss", "miss"]
    assert len({one.request_id for one in spy.finished}) == 3
