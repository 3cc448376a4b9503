"""Hashed words and pairs of words: a deterministic embedder without a model.

For tests, and for installs without onnxruntime. It sees shared words, not meaning: a paraphrase in other words
is far away. Signed feature hashing after Weinberger et al., "Feature Hashing for Large Scale Multitask
Learning" (ICML 2009).
"""

from __future__ import annotations

import hashlib
import math
import re
from itertools import pairwise
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ...middleware.records import Vector

_WORD: Final = re.compile(r"\w+")
_BIGRAM_WEIGHT: Final = 0.5


class HashingEmbedder:
    """Adds one signed bucket a word and half of one a pair of neighbours, over the L2 norm.

    Args:
        dimension: length of the vectors, at least 2.

    Raises:
        ValueError: `dimension` is below 2.
    """

    def __init__(self, *, dimension: int = 256) -> None:
        if dimension < 2:  # noqa: PLR2004 - in one dimension every text would be equal or opposite
            raise ValueError("dimension must be at least 2")
        self._dimension = dimension

    @property
    def model_id(self) -> str:
        """Names scheme, version and dimension."""
        return f"hashing/1/{self._dimension}"

    @property
    def dimension(self) -> int:
        """Length of each vector."""
        return self._dimension

    async def embed(self, texts: Sequence[str]) -> Sequence[Vector]:
        """Return one unit vector a text, in order; a text without words has one of its own, too."""
        return [self._vector(text) for text in texts]

    def _vector(self, text: str) -> Vector:
        words = _WORD.findall(text.lower())
        vector = [0.0] * self._dimension
        for word in words:
            self._add(vector, word, 1.0)
        for left, right in pairwise(words):
            self._add(vector, f"{left} {right}", _BIGRAM_WEIGHT)
        if not any(vector):
            # no words, or words that cancel each other out
            self._add(vector, f"\0{text}", 1.0)
        norm = math.sqrt(math.fsum(value * value for value in vector))
        return [value / norm for value in vector]

    def _add(self, vector: list[float], feature: str, weight: float) -> None:
        digest = hashlib.blake2b(feature.encode("utf-8", "surrogatepass"), digest_size=8).digest()
        bucket = int.from_bytes(digest[:7], "big") % self._dimension
        vector[bucket] += weight if digest[7] & 1 else -weight
