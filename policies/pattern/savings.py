"""What answering a batch of requests as one saves, reckoned before any of it is run.

The lookup is followed in the batch's order: a request equal to an earlier one is saved; one that resembles an earlier one is
saved as likely as the two share an answer; all others are computed, and only those can answer later ones. Tokens are those of
the earlier one, for its answer is what is served.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

import numpy as np

from ...middleware.analysis.stream import Savings
from ...middleware.records import Answer, Asked, Candidate, Entry, Key
from .vectors import Floats, Ring, group_of, nearest

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ...middleware.analysis.stream import Arrival
    from ...middleware.records import Verdict
    from .bands import Bands

NEAREST: Final = 5
"""Earlier requests that one is compared with; as many as the lookup takes from the store by default."""
JUDGED: Final = 3
WORDS_WEIGHT: Final = 0.05
"""As in the lookup: of the nearest so many are judged, in the order of the cosine and, a little, of equal words."""
_WORD: Final = re.compile(r"\w+")
_COMPUTED: Final = 0.5
_FIRST_ROWS: Final = 64

Near: TypeAlias = "tuple[Arrival, float]"
Shares: TypeAlias = "Callable[[Arrival, Sequence[Near]], float]"
"""The probability that a request is answered by one of the nearest earlier ones, given with their similarities."""


@dataclass(slots=True)
class _First:
    """The first of equal requests: with which probability it was served, and the tokens that the answer stands for."""

    served: float
    tokens: float


def expected_savings(arrivals: Sequence[Arrival], shares: Shares, *, same: float = 1.0) -> Savings:
    """Return what need not be computed of a batch, of which nothing is kept yet.

    Args:
        arrivals: in the order they will be looked up. Those without a key share with nobody; those that were answered by the
            cache already (`hit`) save nothing more.
        same: the probability that an equal request is served.
    """
    firsts: dict[str, _First] = {}
    groups: dict[int, _Group] = {}
    units = Ring(1)
    requests = tokens = equal = similar = 0.0
    for arrival in arrivals:
        if not arrival.exact or arrival.hit:
            continue
        first = firsts.get(arrival.exact)
        if first is not None:
            served = first.served + (1 - first.served) * same
            equal += (1 - first.served) * same
            similar += first.served
            tokens += served * first.tokens
            requests += served
            continue
        own = float(arrival.input_tokens + arrival.output_tokens)
        first = firsts[arrival.exact] = _First(0.0, own)
        unit = units.unit(arrival.vector)
        if unit is None:
            continue
        group = groups.setdefault(group_of(arrival.scope, arrival.comparable) ^ len(unit), _Group(len(unit)))
        near = group.near(unit)
        if near:
            first.served = shares(arrival, near)
            first.tokens = firsts[near[0][0].exact].tokens if first.served else own
            similar += first.served
            tokens += first.served * first.tokens
            requests += first.served
        if first.served < _COMPUTED:
            group.add(arrival, unit)
    return Savings(requests, tokens, equal, similar)


class _Group:
    """The computed ones of those that may be compared, and their vectors."""

    def __init__(self, dimension: int) -> None:
        self._arrivals: list[Arrival] = []
        self._rows: Floats = np.zeros((_FIRST_ROWS, dimension), np.float32)

    def add(self, arrival: Arrival, unit: Floats) -> None:
        """Let later ones find it."""
        if len(self._arrivals) == len(self._rows):
            self._rows = np.concatenate([self._rows, np.zeros_like(self._rows)])
        self._rows[len(self._arrivals)] = unit
        self._arrivals.append(arrival)

    def near(self, unit: Floats) -> list[Near]:
        """Return the nearest few with their cosines, the nearest first."""
        cosines = self._rows[: len(self._arrivals)] @ unit
        return [(self._arrivals[at], float(cosines[at])) for at in nearest(cosines, NEAREST)]


def learned(bands: Bands) -> Shares:
    """Return the probability by what was learned of pairs as near as the nearest."""
    return lambda _, near: bands.similar(near[0][1])


def judged(judge: Callable[[Asked, Candidate], Verdict]) -> Shares:
    """Return 1 where an acceptance policy accepts one of the likeliest few and would serve it, else 0.

    Far slower than `learned` (a few tenths of a millisecond a request) and far closer. A context that was read is taken to be the same, for an
    arrival does not hold it.
    """

    def shares(arrival: Arrival, near: Sequence[Near]) -> float:
        asked = Asked(_key(arrival), route=arrival.model)
        words = set(_WORD.findall(arrival.text.casefold()))
        for earlier, similarity in sorted(near, key=lambda found: -_score(words, *found))[:JUDGED]:
            verdict = judge(asked, Candidate(_entry(earlier), similarity))
            if verdict.accepted and verdict.proven:
                return 1.0
        return 0.0

    return shares


def _score(words: set[str], earlier: Arrival, similarity: float) -> float:
    others = set(_WORD.findall(earlier.text.casefold()))
    return similarity + WORDS_WEIGHT * len(words & others) / (len(words | others) or 1)


def _key(arrival: Arrival) -> Key:
    return Key(arrival.scope, "", arrival.exact, arrival.text)


def _entry(arrival: Arrival) -> Entry:
    return Entry(arrival.exact, arrival.scope, "", arrival.text, Answer({}), arrival.model, "", 0.0, 0.0)
