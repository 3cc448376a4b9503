"""How waiting members are cut into batches, by what the batches are expected to take. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .curve import STEPS, Shapes
from .longest import maxima

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ...middleware.admission.tickets import Ticket
    from .curve import LatencyCurve
    from .longest import Longest


@dataclass(frozen=True, slots=True)
class Budget:
    """What a batch may hold; a member that is over it alone goes alone.

    Attributes:
        size: members.
        tokens: prompts and predicted answers, summed.
        padded: the same with every member as long as the longest: what an engine that pads holds in memory.
    """

    size: int = 32
    tokens: float = math.inf
    padded: float = math.inf


@dataclass(frozen=True, slots=True)
class Cut:
    """Batches in the order of the members, and what they are expected to take.

    Attributes:
        ends: of each batch, the place after its last member.
        seconds: of each batch.
    """

    ends: tuple[int, ...]
    seconds: tuple[float, ...]


def held(ticket: Ticket) -> float:
    """Return the tokens to allow for: the prompt, and the answer at its 90% quantile where that was predicted."""
    return ticket.input_tokens + max(ticket.output_tokens, ticket.output_tokens_q90)


def fitting(members: Sequence[Ticket], budget: Budget) -> int:
    """Return how many of the first members are within the budget together, at least 1 where there is one."""
    total = longest = 0.0
    for count, member in enumerate(members):
        tokens = held(member)
        total, longest = total + tokens, max(longest, tokens)
        if count and (count >= budget.size or total > budget.tokens or (count + 1) * longest > budget.padded):
            return count
    return len(members)


class Plans:
    """What batches of neighbours are expected to take, for each first place and some 8 sizes, and ways to cut the line into such batches.

    Args:
        members: at least one, in the order of the line.
        answers: how long the longest answer of a batch will be.
    """

    def __init__(self, members: Sequence[Ticket], curve: LatencyCurve, budget: Budget, answers: Longest) -> None:
        count = len(members)
        room = min(count, budget.size)
        self._count = count
        self._sizes = sorted({room, count % room or room, *(step for step in STEPS if step < room)})
        prompts: Any = np.array([member.input_tokens for member in members], dtype=float)
        tokens, squares = _sums(prompts), _sums(prompts * prompts)
        lengths = _sums(np.append(1.0, prompts[1:] != prompts[:-1]))
        holding: Any = np.array([held(member) for member in members])
        held_sums = _sums(holding)
        longest, most = maxima(prompts, self._sizes), maxima(holding, self._sizes)
        outputs = answers.among(np.array([member.output_tokens for member in members], dtype=float), self._sizes)
        self._seconds: list[list[float]] = []
        for at, size in enumerate(self._sizes):
            took = curve.seconds(
                Shapes(
                    size,
                    tokens[size:] - tokens[:-size],
                    squares[size:] - squares[:-size],
                    longest[at],
                    outputs[at],
                    1.0 + lengths[size:] - lengths[1 : count - size + 2],
                )
            )
            if size > 1:
                over = (held_sums[size:] - held_sums[:-size] > budget.tokens) | (size * most[at] > budget.padded)
                took = np.where(over, math.inf, took)
            self._seconds.append(took.tolist())

    def alone(self) -> Cut:
        """Return batches of one."""
        return self._cut([0] * self._count)

    def full(self) -> Cut:
        """Return batches that are each as large as the budget allows."""
        taken = [0] * self._count
        for at, seconds in enumerate(self._seconds):
            for start, took in enumerate(seconds):
                if took < math.inf:
                    taken[start] = at
        return self._cut(taken)

    def best(self, behind: float) -> Cut:
        """Return the batches after which all have waited least.

        A batch holds up all whose answer is not there yet: those in it, those after it, and those who are still to come while the engine
        is busy. By dynamic programming.

        Args:
            behind: how many are behind the line, or still to come.
        """
        costs = [0.0] * (self._count + 1)
        taken = [0] * self._count
        rows = list(zip(self._sizes, self._seconds, strict=True))
        for start in range(self._count - 1, -1, -1):
            still = self._count - start + behind
            least, choice = math.inf, 0
            for at, (size, seconds) in enumerate(rows):
                end = start + size
                if end > self._count:
                    break
                cost = seconds[start] * still + costs[end]
                if cost < least:
                    least, choice = cost, at
            costs[start], taken[start] = least, choice
        return self._cut(taken)

    def _cut(self, taken: Sequence[int]) -> Cut:
        ends: list[int] = []
        seconds: list[float] = []
        at = 0
        while at < self._count:
            seconds.append(self._seconds[taken[at]][at])
            at += self._sizes[taken[at]]
            ends.append(at)
        return Cut(tuple(ends), tuple(seconds))


def _sums(values: Any) -> Any:
    return np.append(0.0, np.cumsum(values))
