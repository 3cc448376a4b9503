"""Regressions on different features, weighed by one more that learns how far each can be trusted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from .features import MAX_DIMENSION, PRIOR
from .regression import HashedRidge, Ridge
from .state import number_of, pack, pack_symmetric, unpack, unpack_symmetric
from .words import BUCKETS

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from ...middleware.records import JsonObject
    from .features import Array, Features

LEXICAL: Final = "lexical"
WORDS: Final = "words"
VECTOR: Final = "vector"

_LEXICAL_PENALTY: Final = 10.0
_WORD_PENALTY: Final = 3.0
_VECTOR_PENALTY: Final = 10.0
_BLEND_PENALTY: Final = 5.0


class Mixture:
    """Three ridge regressions of one value: on counts and word lists, on hashed words, on the vector where there is one.

    Args:
        leave_out: `LEXICAL`, `WORDS` or `VECTOR`: their value is 0.
    """

    def __init__(self, leave_out: Collection[str] = ()) -> None:
        self._out = frozenset(leave_out)
        self._lexical = Ridge(np.array(PRIOR), _LEXICAL_PENALTY)
        self._words = HashedRidge(BUCKETS, _WORD_PENALTY)
        self._vector: Ridge | None = None
        self._waiting: list[tuple[Array, float]] = []
        # one for requests without a vector, one for those with
        self._blends = tuple(Ridge(np.full(parts, 1 / parts), _BLEND_PENALTY) for parts in (2, 3))

    def values(self, features: Features) -> tuple[float, ...]:
        """Return what each regression says; two values, or three where it can make use of the vector."""
        lexical = 0.0 if LEXICAL in self._out else self._lexical.predict(features.lexical)
        words = 0.0 if WORDS in self._out else self._words.predict(features.words, features.signs)
        vector = features.vector
        if vector is None or self._vector is None or self._vector.size != len(vector):
            return lexical, words
        return lexical, words, self._vector.predict(vector)

    def blend(self, values: tuple[float, ...]) -> float:
        """Return the weighed value."""
        return self._blends[len(values) - 2].predict(values)

    def learn(self, features: Features, values: tuple[float, ...] | None, target: float) -> None:
        """Take in what came true; a vector with the next call of `catch_up`.

        Args:
            values: what had been said of it; None where that was not before it was known, so that it proves nothing.
        """
        if values is not None:
            self._blends[0].learn(np.array(values[:2]), target)
        if values is not None and len(values) > len(self._blends):
            self._blends[1].learn(np.array(values), target)
        self._lexical.learn(np.array(features.lexical), target)
        self._words.learn(features.words, features.signs, target)
        if features.vector is not None and VECTOR not in self._out:
            if self._vector is None or self._vector.size != len(features.vector):
                # the first one, or another embedder's
                self._vector = Ridge(np.zeros(len(features.vector)), _VECTOR_PENALTY)
                self._waiting.clear()
            self._waiting.append((features.vector, target))

    def catch_up(self) -> None:
        """Take in the vectors that were put off."""
        if self._vector is not None and self._waiting:
            waiting, self._waiting = self._waiting, []
            self._vector.learn_all(waiting)

    def dump(self) -> JsonObject:
        """Return the state as JSON."""
        vector = self._vector
        return {
            LEXICAL: [pack(self._lexical.weights), pack_symmetric(self._lexical.covariance)],
            WORDS: [pack(self._words.weights), pack(self._words.variances)],
            "blends": [[pack(each.weights), pack_symmetric(each.covariance)] for each in self._blends],
            VECTOR: None if vector is None else [vector.size, pack(vector.weights), pack_symmetric(vector.covariance)],
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """Take over what `dump` returned.

        Raises:
            ValueError, KeyError, TypeError: it is something else; then this is of no use any more.
        """
        _fill(self._lexical, *state[LEXICAL])
        weights, variances = state[WORDS]
        self._words.weights, self._words.variances = unpack(weights, BUCKETS), np.abs(unpack(variances, BUCKETS))
        for blend, packed in zip(self._blends, state["blends"], strict=True):
            _fill(blend, *packed)
        if state[VECTOR] is not None:
            size, *packed = state[VECTOR]
            if not 1 < number_of(size) <= MAX_DIMENSION + 1:
                raise ValueError("not the size of a vector")
            self._vector = Ridge(np.zeros(int(size)), _VECTOR_PENALTY)
            _fill(self._vector, *packed)


def _fill(ridge: Ridge, weights: Any, covariance: Any) -> None:
    ridge.weights, ridge.covariance = unpack(weights, ridge.size), unpack_symmetric(covariance, ridge.size)
