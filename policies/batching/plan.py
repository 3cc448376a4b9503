"""How waiting members are cut into batches, by what the batches are expected to take. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Final

from .curve import STEPS, Shape, shape_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ...middleware.admission.tickets import Ticket
    from .curve import LatencyCurve
    from .longest import Longest

MARGIN: Final = 1.05
"""Company must be expected to save so much: what looks best of many is worse than it looks."""


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
    """Batches in the order of the members, and their worth.

    Attributes:
        ends: of each batch, the place after its last member.
        seconds: that each is expected to take.
        cost: member-seconds until all have their answer, if the batches run in this order.
    """

    ends: tuple[int, ...]
    seconds: tuple[float, ...]
    cost: float


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


def expected(members: Sequence[Ticket], answers: Longest) -> Shape:
    """Return the shape of a batch that has not run yet."""
    raised = sum(answers.raised(member.output_tokens) for member in members)
    return replace(shape_of(members), output=answers.of(raised))


def cut(members: Sequence[Ticket], curve: LatencyCurve, budget: Budget, crowd: float, answers: Longest) -> Cut:
    """Cut members into batches of neighbours so that all wait least; every batch is within the budget.

    A batch holds up all whose answer is not there yet: those in it, those behind it, and those who are still to come while the engine is
    busy. By dynamic programming over some 10 sizes a place.

    Args:
        crowd: how many are still to come.
        answers: how long the longest answer of a batch will be.
    """
    count = len(members)
    prompts = [member.input_tokens for member in members]
    tokens = _sums(prompts)
    squares = _sums([prompt * prompt for prompt in prompts])
    lengths = _sums([1, *(int(one != two) for one, two in pairwise(prompts))])
    shared = _sums([0, *(_common(one.prefix, two.prefix) for one, two in pairwise(members))])
    outputs = _sums([answers.raised(member.output_tokens) for member in members])
    holding = [held(member) for member in members]
    held_sums = _sums(holding)
    costs = [0.0] * (count + 1)
    ends = [0] * count
    seconds = [0.0] * count
    for start in range(count - 1, -1, -1):
        still = count - start + crowd
        best = math.inf
        room = min(count - start, budget.size)
        for size in (*(step for step in STEPS if step < room), room):
            end = start + size
            over = held_sums[end] - held_sums[start] > budget.tokens or size * max(holding[start:end]) > budget.padded
            if over and size > 1:
                break
            took = curve.seconds(
                Shape(
                    size,
                    tokens[end] - tokens[start],
                    squares[end] - squares[start],
                    max(prompts[start:end]),
                    answers.of(max(0.0, outputs[end] - outputs[start])),
                    lengths[end] - lengths[start + 1] + 1,
                    shared[end] - shared[start + 1],
                )
            )
            cost = took * still * (1.0 if size == 1 else MARGIN) + costs[end]
            if cost <= best:
                best, ends[start], seconds[start] = cost, end, took
        costs[start] = best
    places: list[int] = []
    at = 0
    while at < count:
        places.append(at)
        at = ends[at]
    return Cut(tuple(ends[place] for place in places), tuple(seconds[place] for place in places), costs[0])


def runs(members: Sequence[Ticket], curve: LatencyCurve, budget: Budget, crowd: float, answers: Longest) -> Cut:
    """Cut members into batches that are each as large as the budget allows; see `cut`."""
    ends: list[int] = []
    seconds: list[float] = []
    cost, at = 0.0, 0
    while at < len(members):
        batch = members[at : at + fitting(members[at : at + budget.size], budget)]
        took = curve.seconds(expected(batch, answers))
        cost += took * (len(members) - at + crowd)
        at += len(batch)
        ends.append(at)
        seconds.append(took)
    return Cut(tuple(ends), tuple(seconds), cost)


def _sums(values: Iterable[float]) -> list[float]:
    return list(accumulate(values, initial=0))


def _common(one: tuple[int, ...], two: tuple[int, ...]) -> int:
    count = 0
    for left, right in zip(one, two, strict=False):
        if left != right:
            break
        count += 1
    return count
