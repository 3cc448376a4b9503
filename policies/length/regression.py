"""Least squares, one observation at a time."""

from __future__ import annotations

import math
from operator import mul
from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Array = NDArray[np.float64]
    Single = NDArray[np.float32]
    Indices = NDArray[np.integer[Any]]

MEMORY: Final = 100_000
"""Observations after which a weight that was never seen at work has become twice as uncertain."""


class Ridge:
    """Ridge regression by recursive least squares: after each observation the exact solution for all of them.

    A Kalman filter whose weights walk at random, very slowly: without that it would learn nothing more after some ten thousand
    observations. Cost and memory grow with the square of the number of weights.

    The covariance is float32: what rounding takes from its eigenvalues is far less than what the walk adds.

    Args:
        prior: the weights before anything was learned.
        penalty: variance of the noise over that of a weight.
    """

    def __init__(self, prior: Array, penalty: float) -> None:
        self._penalty = penalty
        self.weights: Array = prior.copy()
        self.covariance: Single = np.eye(len(prior), dtype=np.float32) / np.float32(penalty)

    @property
    def size(self) -> int:
        """Number of weights."""
        return len(self.weights)

    def predict(self, x: Array | tuple[float, ...]) -> float:
        """Return the expected value."""
        if isinstance(x, tuple):  # of a few numbers: making an array of them takes longer than to multiply them
            return float(sum(map(mul, self.weights.tolist(), x)))
        return float(self.weights.dot(x))

    def learn(self, x: Array, value: float) -> None:
        """Take in one observation."""
        seen = self.covariance @ x.astype(np.float32)
        scale = 1.0 / (1.0 + max(0.0, float(seen @ x)))
        self.weights += seen * (scale * (value - float(self.weights @ x)))
        # a product of one vector with itself keeps it symmetric to the last bit
        seen *= np.float32(math.sqrt(scale))
        self.covariance -= np.multiply.outer(seen, seen)
        self._walk(1)

    def learn_all(self, observations: Sequence[tuple[Array, float]]) -> None:
        """Take in several: what `learn` does for one after the other, in one pass over the covariance.

        That is far larger than all else here, so that each pass takes time and pushes other things out of the CPU's caches.
        """
        if len(observations) == 1:
            self.learn(*observations[0])
            return
        xs = np.array([x for x, _ in observations], np.float32)
        taken: Single = xs @ self.covariance
        for at, (x, value) in enumerate(observations):
            seen = taken[at]
            # those before it have been taken from the weights, and not yet from the covariance
            seen -= (taken[:at] @ xs[at]) @ taken[:at]
            scale = 1.0 / (1.0 + max(0.0, float(seen @ x)))
            self.weights += seen * (scale * (value - float(self.weights @ x)))
            seen *= np.float32(math.sqrt(scale))
        self.covariance -= taken.T @ taken
        self._walk(len(observations))

    def _walk(self, steps: int) -> None:
        variances = self.covariance.reshape(-1)[:: self.size + 1]
        variances += (variances < 1.0 / self._penalty) * np.float32(steps / (self._penalty * MEMORY))


class HashedRidge:
    """The same for a few of many weights at a time, as though these were independent of each other (as in AROW).

    Args:
        size: number of weights.
        penalty: variance of the noise over that of a weight.
    """

    def __init__(self, size: int, penalty: float) -> None:
        self._penalty = penalty
        self.weights: Array = np.zeros(size)
        self.variances: Array = np.full(size, 1.0 / penalty)

    def predict(self, at: Indices, x: Array) -> float:
        """Return the expected value, where the weights `at` have the inputs `x` and all others 0."""
        return float(self.weights.take(at).dot(x))

    def learn(self, at: Indices, x: Array, value: float) -> None:
        """Take in one observation."""
        seen = self.variances[at] * x
        gain = seen / (1.0 + max(0.0, float(seen @ x)))
        self.weights[at] += gain * (value - self.weights[at] @ x)
        self.variances[at] += 1.0 / (self._penalty * MEMORY) - gain * seen
