"""Look-alikes of the vLLM classes that forebay touches, for tests without vLLM.

Public fields and their defaults are those of vLLM 0.32, where a test holds them against the real ones. Nothing is validated,
and of what vLLM computes from the fields only that is here which changes them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


class RequestOutputKind(Enum):
    """What each output of a call holds: all so far, what is new, or, the only one, all at the end."""

    CUMULATIVE = 0
    DELTA = 1
    FINAL_ONLY = 2


@dataclass
class Logprob:
    """One token at one position."""

    logprob: float
    rank: int | None = None
    decoded_token: str | None = None


OnePosition: TypeAlias = dict[int, Logprob]


@dataclass
class FlatLogprobs:
    """All positions in columns: position i is the rows from ``start_indices[i]`` to below ``end_indices[i]``."""

    start_indices: list[int] = field(default_factory=list[int])
    end_indices: list[int] = field(default_factory=list[int])
    token_ids: list[int] = field(default_factory=list[int])
    logprobs: list[float] = field(default_factory=list[float])
    ranks: list[int | None] = field(default_factory=list["int | None"])
    decoded_tokens: list[str | None] = field(default_factory=list["str | None"])

    def append(self, position: OnePosition | None) -> None:
        """Add a position."""
        self.start_indices.append(len(self.logprobs))
        for token_id, one in (position or {}).items():
            self.token_ids.append(token_id)
            self.logprobs.append(one.logprob)
            self.ranks.append(one.rank)
            self.decoded_tokens.append(one.decoded_token)
        self.end_indices.append(len(self.logprobs))

    def extend(self, positions: Iterable[OnePosition | None]) -> None:
        """Add positions."""
        for position in positions:
            self.append(position)

    def __len__(self) -> int:
        return len(self.start_indices)

    def __iter__(self) -> Iterator[OnePosition]:
        columns = list(zip(self.token_ids, self.logprobs, self.ranks, self.decoded_tokens, strict=True))
        for start, end in zip(self.start_indices, self.end_indices, strict=True):
            yield {token_id: Logprob(logprob, rank, token) for token_id, logprob, rank, token in columns[start:end]}


Logprobs: TypeAlias = FlatLogprobs | list[OnePosition | None]


@dataclass
class WeightVersionSpan:
    """Which weights sampled the tokens from `start` to below `end`."""

    version: str
    start: int
    end: int


@dataclass
class CompletionOutput:
    """One choice of an answer, or a piece of it."""

    index: int
    text: str
    token_ids: list[int]
    cumulative_logprob: float | None
    logprobs: Logprobs | None
    routed_experts: Any = None
    finish_reason: str | None = None
    stop_reason: int | str | None = None
    lora_request: Any = None
    sampling_mask: Any = None
    spec_decode_metrics: Any = None
    weight_versions: list[WeightVersionSpan] | None = None

    def finished(self) -> bool:
        """Return whether this is its end."""
        return self.finish_reason is not None


@dataclass
class RequestOutput:
    """One output of a call: one or several choices, or pieces of them."""

    request_id: str
    prompt: str | None
    prompt_token_ids: list[int] | None
    prompt_logprobs: Logprobs | None
    outputs: list[CompletionOutput]
    finished: bool
    metrics: Any = None
    lora_request: Any = None
    encoder_prompt: str | None = None
    encoder_prompt_token_ids: list[int] | None = None
    num_cached_tokens: int | None = None
    num_cache_creation_tokens: int | None = None
    prompt_token_id_logprobs: Any = field(default=None, kw_only=True)
    kv_transfer_params: dict[str, Any] | None = field(default=None, kw_only=True)
    ec_transfer_params: dict[str, Any] | None = field(default=None, kw_only=True)

    def add(self, next_output: RequestOutput, aggregate: bool) -> None:
        """Merge the next output into this one, as vLLM does for a slow reader.

        Args:
            aggregate: they are pieces, and not each the whole so far.
        """
        self.finished |= next_output.finished
        at = {one.index: place for place, one in enumerate(self.outputs)}
        for one in next_output.outputs:
            if one.index not in at:
                self.outputs.append(one)
            elif aggregate:
                _join(self.outputs[at[one.index]], one)
            else:
                self.outputs[at[one.index]] = one


def _join(choice: CompletionOutput, piece: CompletionOutput) -> None:
    choice.text += piece.text
    choice.token_ids.extend(piece.token_ids)
    if piece.logprobs and choice.logprobs is not None:
        choice.logprobs.extend(piece.logprobs)
    choice.cumulative_logprob = piece.cumulative_logprob
    choice.finish_reason, choice.stop_reason = piece.finish_reason, piece.stop_reason
    choice.weight_versions = piece.weight_versions


@dataclass
class StructuredOutputsParams:
    """The form that an answer must have; one of the first six is given."""

    json: str | dict[str, Any] | None = None
    regex: str | None = None
    choice: list[str] | None = None
    grammar: str | None = None
    json_object: bool | None = None
    disable_any_whitespace: bool = False
    disable_additional_properties: bool = False
    whitespace_pattern: str | None = None
    structural_tag: str | None = None
    _backend: str | None = field(default=None, init=False)


@dataclass
class SamplingParams:
    """What is asked for beside the prompt."""

    n: int = 1
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    repetition_penalty: float = 1.0
    temperature: float = 1.0
    watermarking: bool | None = None
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    seed: int | None = None
    stop: str | list[str] | None = None
    stop_token_ids: list[int] | None = None
    ignore_eos: bool = False
    max_tokens: int | None = 16
    min_tokens: int = 0
    logprobs: int | None = None
    prompt_logprobs: int | None = None
    prompt_logprob_token_ids: Any = None
    prompt_logprob_start: int | None = None
    logprob_token_ids: list[int] | None = None
    flat_logprobs: bool = False
    detokenize: bool = True
    skip_special_tokens: bool = True
    spaces_between_special_tokens: bool = True
    include_stop_str_in_output: bool = False
    output_kind: RequestOutputKind = RequestOutputKind.CUMULATIVE
    stream_interval: int | None = None
    skip_clone: bool = False
    output_text_buffer_length: int = 0
    structured_outputs: StructuredOutputsParams | None = None
    logit_bias: dict[int, float] | None = None
    allowed_token_ids: list[int] | None = None
    extra_args: dict[str, Any] | None = None
    bad_words: list[str] | None = None
    skip_reading_prefix_cache: bool | None = None
    thinking_token_budget: int | None = None
    repetition_detection: Any = None
    routed_experts_prompt_start: int = 0
    trace_decode_token_ids: list[int] | None = None

    def __post_init__(self) -> None:
        self.seed = None if self.seed == -1 else self.seed
        self.stop = [self.stop] if isinstance(self.stop, str) else self.stop or []
        self.stop_token_ids = list(dict.fromkeys(self.stop_token_ids or []))
        self.bad_words = list(dict.fromkeys(self.bad_words or []))
        if self.temperature == 0:
            self.top_p, self.top_k, self.min_p = 1.0, 0, 0.0
        if self.stop and not self.include_stop_str_in_output:
            self.output_text_buffer_length = max(map(len, self.stop)) - 1
        if self.skip_reading_prefix_cache is None:
            self.skip_reading_prefix_cache = self.prompt_logprobs is not None
