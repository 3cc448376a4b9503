"""The cost law of an engine that batches continuously, and what is known of the engine."""

from __future__ import annotations

import math
from dataclasses import dataclass

BLOCK = 16
BUDGET = 2048


@dataclass(frozen=True, slots=True)
class Law:
    """How long one iteration of an engine takes: a + b * prefill tokens + c * decoding sequences + d * tokens in their KV.

    Good for dense models on one replica (notes of LLMServingSim and vidur say the same of theirs); mixtures of experts have
    steps that this cannot show.

    Attributes:
        step_s: a, of an iteration whatever it does: reading the weights.
        prefill_s: b, of each prompt token.
        decode_s: c, of each sequence that decodes.
        kv_s: d, of each token that the decoding sequences look back at.

    Raises:
        ValueError: a coefficient is negative or not finite.
    """

    step_s: float
    prefill_s: float = 0.0
    decode_s: float = 0.0
    kv_s: float = 0.0

    def __post_init__(self) -> None:
        if not all(math.isfinite(value) and value >= 0 for value in self.coefficients):
            raise ValueError("law: a coefficient is negative or not finite")

    @property
    def coefficients(self) -> tuple[float, float, float, float]:
        """The four as a tuple."""
        return (self.step_s, self.prefill_s, self.decode_s, self.kv_s)

    def seconds(self, prefill: float, decodes: float, kv: float) -> float:
        """Return how long an iteration takes."""
        return self.step_s + self.prefill_s * prefill + self.decode_s * decodes + self.kv_s * kv


@dataclass(frozen=True, slots=True)
class Shape:
    """What limits an engine.

    Attributes:
        max_num_seqs: sequences that may be running, prefilling ones among them; None where it is not known.
        kv_tokens: tokens that its KV cache holds; None where it is not known, or does not bind.
        budget: tokens of one iteration (vLLM's max_num_batched_tokens).
        block: tokens of one KV block.
        prefix_cache: what is still there of a preempted sequence's blocks, and of those that prompts share, is not computed anew.
        scheduled_ahead: the scheduler composes an iteration while the one before runs (vLLM's asynchronous scheduling).

    Raises:
        ValueError: a number is below 1, or the budget below `max_num_seqs`, so that not all could decode.
    """

    max_num_seqs: int | None = None
    kv_tokens: int | None = None
    budget: int = BUDGET
    block: int = BLOCK
    prefix_cache: bool = False
    scheduled_ahead: bool = False

    def __post_init__(self) -> None:
        numbers = (self.max_num_seqs, self.kv_tokens, self.budget, self.block)
        if any(number is not None and number < 1 for number in numbers):
            raise ValueError("shape: a number is below 1")
        if self.max_num_seqs is not None and self.budget < self.max_num_seqs:
            raise ValueError("shape: the budget is below max_num_seqs")
