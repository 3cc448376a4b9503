"""Engines that take whole batches, for batching.py: what a batch takes, from measurements. Pure.

MiniLM: measured here, texts of equal length (``batching.py --measure`` measures anew). The language models are padded batches that end
with their longest answer; their iteration times were measured by others or earlier (docs/benchmarks.md names them).
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MINILM_FILE: Final = Path(__file__).with_name("data") / "batching_minilm.json"
MINILM_TOKENS: Final = 256


@dataclass(frozen=True, slots=True)
class Work:
    """What a member really asks of an engine."""

    prompt: int
    output: int


class BatchEngine(Protocol):
    """Says what a batch takes."""

    @property
    def name(self) -> str: ...

    @property
    def max_batch(self) -> int: ...

    def seconds(self, batch: Sequence[Work]) -> float: ...


class MiniLM:
    """The embedder as shipped: texts of equal length run together, one length after another; nothing is padded."""

    name = "minilm"
    max_batch = 16

    def __init__(self) -> None:
        rows = json.loads(MINILM_FILE.read_text(encoding="utf-8"))["rows"]
        self._cells = {(size, tokens): seconds / 1e3 for size, tokens, seconds in rows}
        self._sizes = sorted({size for size, _ in self._cells})
        self._lengths = sorted({tokens for _, tokens in self._cells})

    def seconds(self, batch: Sequence[Work]) -> float:
        runs = Counter(min(max(work.prompt, self._lengths[0]), MINILM_TOKENS) for work in batch)
        return sum(self._run(size, tokens) for tokens, size in runs.items())

    def _run(self, size: int, tokens: int) -> float:
        low, high, share = _between(self._sizes, size)
        return (1 - share) * self._at(low, tokens) + share * self._at(high, tokens)

    def _at(self, size: int, tokens: int) -> float:
        low, high, share = _between(self._lengths, tokens)
        return (1 - share) * self._cells[size, low] + share * self._cells[size, high]


@dataclass(frozen=True, slots=True)
class Padded:
    """A language model: prefill of the padded prompts, then as many steps as the longest answer has tokens.

    Attributes:
        steps: seconds of a decode step by batch size.
        prefill_s: for a token of the padded prompts.
        kv_s: for a token held, a step.
    """

    name: str
    max_batch: int
    steps: Mapping[int, float]
    prefill_s: float = 0.0
    kv_s: float = 0.0

    def seconds(self, batch: Sequence[Work]) -> float:
        size = len(batch)
        longest = max(work.prompt for work in batch)
        output = max(work.output for work in batch)
        tokens = size * longest
        held = self.kv_s * size * (longest + output / 2)
        return self.prefill_s * max(tokens, size) + output * (self._step(size) + held)

    def _step(self, size: int) -> float:
        sizes = sorted(self.steps)
        low, high, share = _between(sizes, size)
        return (1 - share) * self.steps[low] + share * self.steps[high]


LLAMA_4090: Final = Padded(
    "llama8b_4090", 32, {1: 0.021083 + 7.34e-5, 256: 0.021083 + 256 * 7.34e-5}, prefill_s=7.672e-5, kv_s=2.167e-8
)
CPU_BF16: Final = Padded("cpu_bf16", 32, {1: 0.0152, 8: 0.0519, 32: 0.1037})
CPU_BITNET: Final = Padded("bitnet_iq2_bn", 32, {1: 0.00231, 8: 0.0213, 32: 0.0873})


def _between(steps: Sequence[int], value: int) -> tuple[int, int, float]:
    """Return the steps around a value, and where between them it lies."""
    at = bisect_right(steps, value)
    if at == 0:
        return steps[0], steps[0], 0.0
    if at == len(steps):
        return steps[-1], steps[-1], 0.0
    low, high = steps[at - 1], steps[at]
    return low, high, (value - low) / (high - low)
