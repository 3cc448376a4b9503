"""What of vLLM's sampling parameters makes two requests different."""

from __future__ import annotations

import dataclasses
import json
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forebay.adapters.vllm.fake_types import RequestOutputKind, SamplingParams, StructuredOutputsParams
from forebay.adapters.vllm.sampling import params_of
from forebay.middleware.keys import UncacheableError, canonical_json
from forebay.policies.profile.form import is_structured, max_tokens_of, stops_of

USUAL = {"max_tokens": 16, "temperature": 1.0}
OTHER: dict[str, Any] = {
    "n": 2,
    "presence_penalty": 0.5,
    "frequency_penalty": 0.5,
    "repetition_penalty": 1.1,
    "temperature": 0.5,
    "watermarking": True,
    "top_p": 0.9,
    "top_k": 5,
    "min_p": 0.1,
    "seed": 0,
    "stop": ["END"],
    "stop_token_ids": [2],
    "ignore_eos": True,
    "max_tokens": None,
    "min_tokens": 1,
    "logprobs": 0,
    "prompt_logprobs": 0,
    "logprob_token_ids": [5],
    "flat_logprobs": True,
    "detokenize": False,
    "skip_special_tokens": False,
    "spaces_between_special_tokens": False,
    "include_stop_str_in_output": True,
    "structured_outputs": StructuredOutputsParams(regex="a+"),
    "logit_bias": {7: -100.0},
    "allowed_token_ids": [1, 2],
    "extra_args": {"mine": [1, {"a": None}]},
    "bad_words": ["bad"],
    "thinking_token_budget": 0,
    "repetition_detection": SamplingParams(n=3),  # any dataclass
}
DELIVERED: dict[str, Any] = {
    "output_kind": RequestOutputKind.DELTA,
    "stream_interval": 4,
    "skip_clone": True,
    "output_text_buffer_length": 9,
    "skip_reading_prefix_cache": True,
}
REFUSED: dict[str, Any] = {
    "prompt_logprob_token_ids": [[1, 2]],
    "prompt_logprob_start": 0,
    "routed_experts_prompt_start": 3,
    "trace_decode_token_ids": [1, 2],
}


def test_every_field_is_one_that_is_said_or_delivers_or_is_refused() -> None:
    assert {field.name for field in dataclasses.fields(SamplingParams)} == {*OTHER, *DELIVERED, *REFUSED}


@pytest.mark.parametrize("name", OTHER)
def test_a_field_that_changes_an_answer_changes_its_key(name: str) -> None:
    params = params_of(SamplingParams(**{name: OTHER[name]}))
    assert name in params
    assert canonical_json(params) != canonical_json(USUAL)
    assert json.loads(json.dumps(params)) == params


@pytest.mark.parametrize("name", DELIVERED)
def test_how_an_answer_is_sent_does_not(name: str) -> None:
    assert params_of(SamplingParams(**{name: DELIVERED[name]})) == USUAL


@pytest.mark.parametrize("name", REFUSED)
def test_measurements_of_the_model_are_not_kept(name: str) -> None:
    with pytest.raises(UncacheableError, match=name):
        params_of(SamplingParams(**{name: REFUSED[name]}))


@pytest.mark.parametrize("name", ["kv_transfer_params", "ec_transfer_params"])
def test_calls_made_for_their_effect_elsewhere_are_not_kept(name: str) -> None:
    with pytest.raises(UncacheableError, match="extra_args"):
        params_of(SamplingParams(extra_args={name: {"do_remote_decode": True}}))


def test_a_field_of_a_later_version_is_not_overlooked() -> None:
    @dataclasses.dataclass
    class Later(SamplingParams):
        tone: str = "plain"

    assert params_of(Later()) == USUAL
    assert params_of(Later(tone="warm")) == {**USUAL, "tone": "warm"}


def test_a_struct_is_read_by_its_own_list_of_fields() -> None:
    class Struct:
        __struct_fields__ = ("temperature", "max_tokens", "top_p", "_private")

        def __init__(self, top_p: float = 1.0) -> None:
            self.temperature, self.max_tokens, self.top_p, self._private = 1.0, 16, top_p, object()

    assert params_of(Struct()) == USUAL
    assert params_of(Struct(0.5)) == {**USUAL, "top_p": 0.5}


def test_a_default_that_is_written_out_is_no_other_request() -> None:
    same = SamplingParams(top_p=1, top_k=0, stop=[], stop_token_ids=[], bad_words=[], seed=-1, n=1)
    assert canonical_json(params_of(same)) == canonical_json(params_of(SamplingParams()))


@given(st.lists(st.integers(0, 50)), st.randoms())
def test_what_is_a_set_for_vllm_has_no_order(ids: list[int], random: Any) -> None:
    mixed = [*ids, *ids[:2]]
    random.shuffle(mixed)
    assert params_of(SamplingParams(stop_token_ids=ids)) == params_of(SamplingParams(stop_token_ids=mixed))
    assert params_of(SamplingParams(allowed_token_ids=ids)) == params_of(SamplingParams(allowed_token_ids=mixed))
    words = [str(one) for one in ids]
    assert params_of(SamplingParams(bad_words=words)) == params_of(SamplingParams(bad_words=words[::-1]))


def test_the_order_of_stops_and_of_scored_tokens_counts() -> None:
    assert params_of(SamplingParams(stop=["a", "ab"])) != params_of(SamplingParams(stop=["ab", "a"]))
    scored = [params_of(SamplingParams(logprob_token_ids=ids)) for ids in ([1, 2], [2, 1])]
    assert scored[0] != scored[1]


def test_no_allowed_token_is_not_any_token() -> None:
    assert params_of(SamplingParams(allowed_token_ids=[])) != params_of(SamplingParams())


def test_analyzers_read_what_they_read_in_openais_bodies() -> None:
    asked = StructuredOutputsParams(json={"type": "object", "properties": {"b": {}, "a": {}}})
    params = params_of(SamplingParams(max_tokens=50, stop="END", structured_outputs=asked))
    assert (max_tokens_of(params), stops_of(params), is_structured(params)) == (50, 1, True)
    assert params["structured_outputs"] == {
        "json": asked.json,
        "disable_any_whitespace": False,
        "disable_additional_properties": False,
    }
    assert not is_structured(params_of(SamplingParams()))


def test_what_vllm_notes_on_the_parameters_does_not_count() -> None:
    asked = SamplingParams(structured_outputs=StructuredOutputsParams(regex="a"))
    before = params_of(asked)
    assert asked.structured_outputs is not None
    setattr(asked.structured_outputs, "_backend", "xgrammar")  # noqa: B010  (it is vLLM's own)
    assert params_of(asked) == before


@pytest.mark.parametrize(
    "given_",
    [
        {"temperature": float("nan")},
        {"logit_bias": {1: float("-inf")}},
        {"extra_args": {"hook": object()}},
        {"extra_args": {1: "a", "1": "b"}},
        {"extra_args": {(1, 2): "a"}},
        {"stop": [b"bytes"]},
    ],
)
def test_what_has_no_canonical_form_is_refused(given_: dict[str, Any]) -> None:
    with pytest.raises(UncacheableError):
        params_of(SamplingParams(**given_))


@pytest.mark.parametrize("other", [SimpleNamespace(temperature=0.0), dataclasses.make_dataclass("Needs", ["it"])(1)])
def test_parameters_of_another_make_are_refused(other: object) -> None:
    with pytest.raises(UncacheableError):
        params_of(other)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(
    st.dictionaries(st.text(max_size=3), VALUES, min_size=1), st.dictionaries(st.text(max_size=3), VALUES, min_size=1)
)
def test_extra_arguments_are_equal_where_their_json_is(one: dict[str, Any], other: dict[str, Any]) -> None:
    keys = [canonical_json(params_of(SamplingParams(extra_args=each))) for each in (one, other)]
    assert (keys[0] == keys[1]) is (canonical_json(one) == canonical_json(other))
    assert keys[0] == canonical_json(params_of(SamplingParams(extra_args=dict(reversed(one.items())))))
