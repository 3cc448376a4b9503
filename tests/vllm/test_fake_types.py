"""The look-alikes have the fields of the real classes, and forebay reads both alike."""

from __future__ import annotations

import dataclasses
import inspect
from typing import Any

import pytest

from forebay.adapters.vllm import fake_types as fake
from forebay.adapters.vllm.sampling import params_of
from forebay.middleware.keys import UncacheableError
from tests.vllm.real import module

FIELDS: tuple[dict[str, Any], ...] = (
    {},
    {"temperature": 0, "top_p": 0.5, "top_k": 3, "seed": 5},
    {"temperature": 0.7, "top_p": 0.5, "top_k": 3, "min_p": 0.1, "seed": -1, "n": 3},
    {"stop": "END", "stop_token_ids": [9, 3, 9], "bad_words": ["b", "a", "b"], "max_tokens": None},
    {"logprobs": 2, "prompt_logprobs": 1, "flat_logprobs": True, "detokenize": False},
    {"logit_bias": {5: 1.5}, "allowed_token_ids": [4, 2], "extra_args": {"a": [1, None]}},
    {"skip_reading_prefix_cache": True, "stream_interval": 3, "skip_clone": True},
)


def shown(kind: type[Any]) -> dict[str, Any]:
    """Return public fields and defaults."""
    parameters = inspect.signature(kind).parameters.values()
    return {
        one.name: getattr(one.default, "name", one.default)  # of an enum
        for one in parameters
        if not one.name.startswith("_") and one.kind is not inspect.Parameter.VAR_KEYWORD
    }


@pytest.mark.parametrize(
    ("place", "name"),
    [
        ("vllm.outputs", "RequestOutput"),
        ("vllm.outputs", "CompletionOutput"),
        ("vllm.outputs", "WeightVersionSpan"),
        ("vllm.logprobs", "Logprob"),
        ("vllm.sampling_params", "SamplingParams"),
        ("vllm.sampling_params", "StructuredOutputsParams"),
    ],
)
def test_the_fields_are_the_real_ones(place: str, name: str) -> None:
    assert shown(getattr(fake, name)) == shown(getattr(module(place), name))


def test_so_are_the_columns_and_the_kinds() -> None:
    real = module("vllm.logprobs").FlatLogprobs
    assert [one.name for one in dataclasses.fields(fake.FlatLogprobs)] == [one.name for one in dataclasses.fields(real)]
    kinds = module("vllm.sampling_params").RequestOutputKind
    assert [(one.name, one.value) for one in fake.RequestOutputKind] == [(one.name, one.value) for one in kinds]


@pytest.mark.parametrize("fields", FIELDS)
def test_parameters_are_read_alike(fields: dict[str, Any]) -> None:
    real = module("vllm.sampling_params").SamplingParams(**fields)
    assert params_of(real) == params_of(fake.SamplingParams(**fields))


def test_nested_parameters_are_read_alike() -> None:
    real = module("vllm.sampling_params")
    asked = real.SamplingParams(
        structured_outputs=real.StructuredOutputsParams(json={"type": "object"}),
        repetition_detection=real.RepetitionDetectionParams(max_pattern_size=4, min_pattern_size=1, min_count=3),
    )
    alike = fake.SamplingParams(structured_outputs=fake.StructuredOutputsParams(json={"type": "object"}))
    detection = {"max_pattern_size": 4, "min_pattern_size": 1, "min_count": 3}
    assert params_of(asked) == {**params_of(alike), "repetition_detection": detection}


def test_an_array_of_tokens_to_score_is_refused() -> None:
    array = module("numpy").array([[1, 2]])
    with pytest.raises(UncacheableError):
        params_of(module("vllm.sampling_params").SamplingParams(prompt_logprob_token_ids=array))
