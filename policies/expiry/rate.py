"""How often answers of one kind change, learned from whether they had changed when they were computed anew."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final, cast

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ...middleware.records import JsonObject

PRIOR: Final = 4.0
"""How much the guess weighs at the start: as if so many changes had been seen in the time that they take at that rate."""
PER_OCTAVE: Final = 2
BINS: Final = 27 * PER_OCTAVE + 1
"""Ages of changed answers are counted by half octaves, from 1 s to four years; the mean age in each is kept. With all ages
kept the rate would be the same within 2% (tests/policies/expiry/test_rate.py)."""
_LEAST_COUNT: Final = 1e-9
_STEPS: Final = 48
_OVERFLOW: Final = 700.0


class ChangeRate:
    """The rate at which answers of a kind change, from answers that had or had not changed at some age.

    Answers are taken to change as a Poisson process does. One of age t has then changed with probability 1 - exp(-rate · t),
    and where the ages are irregular and nothing but "changed" is known, the likelihood is largest where the sum of
    t / (exp(rate · t) - 1) over those that changed is the sum of t over those that did not (J. Cho and H. Garcia-Molina,
    "Estimating frequency of change", ACM TOIT 3(3), 2003). Three things are added. A Gamma prior with its mode at the guess
    adds PRIOR / rate on the left and PRIOR / guess on the right, so that a few revisions move the rate little. Of answers
    that did not change, the share `noise` is called changed: engines say the same in other words, and judges err. And what
    was seen, the prior included, fades by 1 / `memory` with each new revision, so that the rate follows.

    State: three numbers and at most BINS pairs.

    Args:
        guess: changes a second, to begin with.
        least, most: bounds of the rate.
        noise: in [0, 1).
        memory: revisions, above 1.
    """

    def __init__(self, guess: float, least: float, most: float, *, noise: float = 0.0, memory: float = 500.0) -> None:
        self._guess, self._least, self._most = guess, least, most
        self._noise = noise
        self._keep = 1.0 - 1.0 / memory
        self._prior = PRIOR
        self._held = 0.0
        self._held_s = 0.0
        self._counts = [0.0] * BINS
        self._ages = [0.0] * BINS
        self.rate = self._likeliest()

    @property
    def changed(self) -> float:
        """Revisions in which the answer had changed, as far as they are remembered."""
        return math.fsum(self._counts)

    @property
    def revisions(self) -> float:
        """Revisions, as far as they are remembered."""
        return self._held + self.changed

    def add(self, age_s: float, *, changed: bool) -> None:
        """Take in whether an answer had changed when it was so old; an age that is none is left out."""
        if not 0 <= age_s < math.inf:
            return
        self._prior *= self._keep
        self._held *= self._keep
        self._held_s *= self._keep
        for at, count in enumerate(self._counts):
            if count:
                kept = count * self._keep if count > _LEAST_COUNT else 0.0
                self._counts[at], self._ages[at] = kept, self._ages[at] * self._keep if kept else 0.0
        age_s = min(max(age_s, 1.0), 2.0 ** (BINS // PER_OCTAVE))
        if changed:
            at = min(BINS - 1, int(PER_OCTAVE * math.log2(age_s)))
            self._counts[at] += 1.0
            self._ages[at] += age_s
        else:
            self._held_s += age_s
            self._held += 1.0
        self.rate = self._likeliest()

    def snapshot(self) -> JsonObject:
        """Return the state as JSON."""
        return {
            "prior": self._prior,
            "held": [self._held, self._held_s],
            "changed": [[at, self._counts[at], self._ages[at]] for at in range(BINS) if self._counts[at]],
        }

    def restore(self, state: Any) -> None:
        """Take over a state that `snapshot` returned.

        Raises:
            ValueError, KeyError, TypeError: it is something else; nothing changed.
        """
        (prior,) = _amounts([state["prior"]], 1)
        held, held_s = _amounts(state["held"], 2)
        counts, ages = [0.0] * BINS, [0.0] * BINS
        for row in _array(state["changed"]):
            number, *pair = _array(row)
            if type(number) is not int or not 0 <= number < BINS:
                raise ValueError("rate: no such age")
            counts[number], ages[number] = _amounts(pair, 2)
        self._prior, self._held, self._held_s = prior, held, held_s
        self._counts, self._ages = counts, ages
        self.rate = self._likeliest()

    def _likeliest(self) -> float:
        seen = [(age / count, age) for count, age in zip(self._counts, self._ages, strict=True) if count]
        if not seen and not self._held_s:
            return min(max(self._guess, self._least), self._most)
        sure = 1.0 - self._noise
        right = self._prior / self._guess + self._held_s

        def above(rate: float) -> bool:
            """Return whether the likeliest rate is above this one; the left side falls as the rate rises."""
            left = self._prior / rate
            for mean_s, age_s in seen:
                if rate * mean_s < _OVERFLOW:
                    left += age_s * sure / (math.expm1(rate * mean_s) + self._noise)
            return left > right

        low, high = self._least, self._most
        if not above(low):
            return low
        if above(high):
            return high
        for _ in range(_STEPS):
            middle = math.sqrt(low * high)
            low, high = (middle, high) if above(middle) else (low, middle)
        return math.sqrt(low * high)


def changes_within(stale_share: float) -> float:
    """Return how many changes a lifetime may hold on average, so that this share of it is stale.

    An answer of age a is stale with probability 1 - exp(-rate · a); over a lifetime with x = rate · lifetime changes, the mean of
    that is 1 - (1 - exp(-x)) / x.

    Args:
        stale_share: in (0, 1).
    """
    low, high = 0.0, 1.0 / (1.0 - stale_share)
    for _ in range(2 * _STEPS):
        middle = (low + high) / 2
        low, high = (middle, high) if 1.0 + math.expm1(-middle) / middle < stale_share else (low, middle)
    return (low + high) / 2


def _array(value: Any) -> Sequence[Any]:
    if not isinstance(value, list):
        raise TypeError("rate: not a list")
    return cast("Sequence[Any]", value)


def _amounts(values: Any, length: int) -> list[float]:
    found = _array(values)
    if len(found) != length or not all(type(value) is float and 0 <= value < math.inf for value in found):
        raise ValueError("rate: not so many amounts")
    return [*found]
