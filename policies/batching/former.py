"""Batches by a latency curve that is learned while they run."""

from __future__ import annotations

import math
from collections import OrderedDict
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Final

from ...middleware.admission.tickets import Formed
from .curve import LatencyCurve, Shape, shape_of
from .gaps import Company, Gaps
from .ladder import Ladder
from .longest import Longest
from .plan import Budget, cut, fitting, held, runs

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from ...middleware.admission.tickets import Ticket
    from .plan import Cut

PARTS: Final = frozenset({"cork", "lengths", "prefix"})
_BLEND: Final = 0.1
_DEARER: Final = 1.02
_STALL_S: Final = 1e-4


class CurveFormer:
    """Forms batches by what `LatencyCurve` has learned, no larger than `Ladder` has found to pay.

    The oldest `window` members are sorted by what they would take alone, and by shared prefix where sharing is measured to
    save time, and cut into batches after which they have waited least (`cut`). That plan is followed where it costs no more of the
    engine's time than batches in order of arrival, and where the lengths of answers are predicted well enough to believe it (`Longest.reliable`).
    Of its batches the one runs that serves most members a second. A batch that holds all who wait, and has room, may be held back for
    the next to come (`Gaps.patience_s`).

    Bounds: the oldest is in one of `max_passes` + 1 batches, so that whoever has k before it when it comes leaves with one of the next
    (k + 1)·(`max_passes` + 1). A free engine is kept waiting no longer than `max_wait_s` after the oldest came, and not
    so long that a member's `Ticket.first_by_s` could not be met any more that could be met at once.

    Args:
        max_passes: batches that may leave without the oldest.
        leave_out: names of `PARTS` not to use, for ablations.

    Raises:
        ValueError: a part is not known.
    """

    def __init__(
        self,
        budget: Budget | None = None,
        *,
        window: int = 64,
        max_wait_s: float = 0.25,
        max_passes: int = 0,
        leave_out: Collection[str] = (),
    ) -> None:
        unknown = set(leave_out) - PARTS
        if unknown:
            raise ValueError(f"there are no parts {sorted(unknown)}; there are {sorted(PARTS)}")
        self._budget = budget if budget is not None else Budget()
        self._window = window
        self._max_wait_s = max_wait_s
        self._max_passes = max_passes
        self._out = frozenset(leave_out)
        self._waiting: OrderedDict[str, Ticket] = OrderedDict()
        self._curve = LatencyCurve()
        self._ladder = Ladder(self._budget.size)
        self._gaps = Gaps()
        self._answers = Longest()
        self._predicted: OrderedDict[str, float] = OrderedDict()
        self._passes = 0
        self._typical = (0.0, 0.0)

    def push(self, ticket: Ticket) -> None:
        """Add a member at the end; one that is waiting already keeps its place."""
        if ticket.id in self._waiting:
            return
        self._waiting[ticket.id] = ticket
        self._gaps.arrived(ticket.enqueued_s)
        prompt, output = self._typical
        self._typical = (
            prompt + _BLEND * (ticket.input_tokens - prompt),
            output + _BLEND * (ticket.output_tokens - output),
        )

    def form(self, now_s: float) -> Formed:
        """Take out and return the next batch, or say when to ask again."""
        if not self._waiting:
            return Formed()
        oldest = list(islice(self._waiting.values(), self._window))
        budget = replace(self._budget, size=self._ladder.size)
        if self._ladder.untried and (len(oldest) >= budget.size or not self._curve.ready):
            return self._taken(oldest[: fitting(oldest, budget)])
        crowd = len(self._waiting) - len(oldest)
        members, plan = self._planned(oldest, budget, crowd)
        if len(plan.ends) == 1:
            until_s = self._held_back_until(members, plan.seconds[0], crowd, now_s)
            if until_s > now_s + _STALL_S:
                return Formed(ask_again_s=until_s)
            return self._taken(members)
        starts = (0, *plan.ends[:-1])
        batches = [members[start:end] for start, end in zip(starts, plan.ends, strict=True)]
        if self._passes >= self._max_passes:
            return self._taken(next(batch for batch in batches if oldest[0] in batch))
        pace = [len(batch) / max(seconds, 1e-9) for batch, seconds in zip(batches, plan.seconds, strict=True)]
        return self._taken(batches[pace.index(max(pace))])

    def remove(self, ticket_id: str) -> bool:
        """Take a member out and return whether it was waiting."""
        if next(iter(self._waiting), None) == ticket_id:
            self._passes = 0
        return self._waiting.pop(ticket_id, None) is not None

    def measured(self, members: Sequence[Ticket], seconds: float) -> None:
        """Learn what a batch took."""
        if members:
            self._curve.learn(shape_of(members), seconds)
            known = [self._predicted.pop(member.id, 0.0) for member in members]
            self._answers.learn(known, max(member.output_tokens for member in members))
            self._ladder.ran(len(members), self._typical_each_s)

    def __len__(self) -> int:
        """Return how many wait."""
        return len(self._waiting)

    def _planned(self, oldest: list[Ticket], budget: Budget, crowd: float) -> tuple[list[Ticket], Cut]:
        plain = runs(oldest, self._curve, budget, crowd, self._answers)
        if "lengths" in self._out or not self._answers.reliable:
            return oldest, plain
        alone = {
            ticket.id: self._curve.seconds(self._alone(ticket.input_tokens, ticket.output_tokens)) for ticket in oldest
        }
        members = sorted(oldest, key=lambda ticket: (alone[ticket.id], ticket.input_tokens))
        plan = cut(members, self._curve, budget, crowd, self._answers)
        if "prefix" not in self._out and self._curve.sharing_s > 0 and any(ticket.prefix for ticket in oldest):
            grouped = sorted(oldest, key=lambda ticket: ticket.prefix)
            other = cut(grouped, self._curve, budget, crowd, self._answers)
            if other.cost < plan.cost:
                members, plan = grouped, other
        # short batches first look good to those who wait; who comes later pays for the engine's time that they cost
        pays = plan.cost < plain.cost and sum(plan.seconds) <= _DEARER * sum(plain.seconds)
        return (members, plan) if pays else (oldest, plain)

    def _held_back_until(self, members: Sequence[Ticket], seconds: float, crowd: float, now_s: float) -> float:
        """Return when a batch of all who wait should run at the latest; the past for now."""
        if "cork" in self._out or len(members) >= self._ladder.size or len(members) < len(self._waiting):
            return now_s
        prompt, output = round(self._typical[0]), self._typical[1]
        size = len(members) + 1
        most = max(*map(held, members), prompt + output)
        if sum(map(held, members)) + prompt + output > self._budget.tokens or size * most > self._budget.padded:
            return now_s
        shape = shape_of(members)
        raised = self._answers.raised
        joined = replace(
            shape,
            size=size,
            tokens=shape.tokens + prompt,
            squares=shape.squares + prompt * prompt,
            longest=max(shape.longest, prompt),
            output=self._answers.of(raised(output) + sum(raised(member.output_tokens) for member in members)),
        )
        joined_s = max(seconds, self._curve.seconds(joined))
        alone_s = self._curve.seconds(self._alone(prompt, output))
        # if others come meanwhile, there is a next batch anyhow, and the one more adds to it what it adds to this one
        nobody = math.exp(-self._gaps.rate * seconds)
        added_s = joined_s - seconds
        added_s += nobody * max(0.0, alone_s - added_s)
        company = Company(len(members), seconds, joined_s, max(alone_s, added_s), added_s, crowd)
        bound_s = min(member.enqueued_s for member in members) + self._max_wait_s
        due_s = min((member.first_by_s - company.joined_s for member in members), default=math.inf)
        return min(now_s + self._gaps.patience_s(company, now_s), bound_s, due_s)

    def _typical_each_s(self, size: int) -> float:
        """Return what a member takes in a batch of so many that are like the ones that came of late."""
        prompt, output = round(self._typical[0]), self._typical[1]
        return self._curve.seconds(Shape(size, size * prompt, size * prompt**2, prompt, output)) / size

    def _alone(self, prompt: int, output: float) -> Shape:
        return Shape(1, prompt, prompt * prompt, prompt, self._answers.of(self._answers.raised(output)))

    def _taken(self, members: Sequence[Ticket]) -> Formed:
        oldest = next(iter(self._waiting))
        self._passes = 0 if any(member.id == oldest for member in members) else self._passes + 1
        for member in members:
            del self._waiting[member.id]
            self._predicted[member.id] = member.output_tokens
        while len(self._predicted) > 2 * self._budget.size:  # of batches that failed, and were never measured
            self._predicted.popitem(last=False)
        return Formed(tuple(members))
