"""How long the longest answer of a batch will be, from predictions that are often wrong. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

_POWERS: Final = (2.0, 3.0, 4.0, 6.0, 12.0, 48.0)
_FORGETTING: Final = 0.99
_PRIOR: Final = 4.0
_RELIABLE: Final = 0.25


@dataclass(slots=True)
class _Rule:
    """One power: sums of its norms, of what was, and of the error."""

    power: float
    norms: float = 0.0
    longest: float = 0.0
    error: float = 0.0

    @property
    def scale(self) -> float:
        return self.longest / self.norms if self.norms else 1.0


class Longest:
    """Longest answer = a · (sum of predictions^k)^(1/k), with the k of the least error so far and a the ratio of sums.

    The longest of many answers is longer than the longest prediction, the more so the more of them might be it. The worse the predictions are,
    the smaller is k; 48 is the maximum. A batch former that took the longest prediction would hold batches for shorter than they are.
    """

    def __init__(self) -> None:
        self._rules = [_Rule(power) for power in _POWERS]
        self._best = self._rules[-1]
        self._weight = 0.0

    def learn(self, predicted: Sequence[float], longest: float) -> None:
        """Take in a batch; one without predictions or answers is left out."""
        if not (predicted and 0 < max(predicted) < math.inf and 0 < longest < math.inf):
            return
        for rule in self._rules:
            norm = _norm(predicted, rule.power)
            if not rule.norms:
                rule.norms = rule.longest = _PRIOR * norm
            rule.error = _FORGETTING * rule.error + abs(math.log(max(rule.scale * norm, 1e-9) / longest))
            rule.norms = _FORGETTING * rule.norms + norm
            rule.longest = _FORGETTING * rule.longest + longest
        self._weight = _FORGETTING * self._weight + 1.0
        self._best = min(reversed(self._rules), key=lambda rule: rule.error)

    @property
    def reliable(self) -> bool:
        """Whether the longest answer was within about a quarter of what was expected, over the last hundred batches or so."""
        return self._best.error <= _RELIABLE * self._weight

    def raised(self, predicted: float) -> float:
        """Return what to sum over the members, for `of`."""
        return float(predicted**self._best.power) if predicted > 0 else 0.0

    def of(self, raised: float) -> float:
        """Return the tokens of the longest answer of members of whom `raised` is summed."""
        return self._best.scale * raised ** (1.0 / self._best.power) if raised > 0 else 0.0


def _norm(values: Sequence[float], power: float) -> float:
    most = max(values)
    return float(most * sum((max(value, 0.0) / most) ** power for value in values) ** (1.0 / power))
