"""Batches by a latency curve that is learned while they run."""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Final

from ...middleware.admission.tickets import Formed
from .curve import LatencyCurve, Shapes, shape_of
from .ladder import Ladder
from .longest import Longest
from .plan import Budget, Plans, fitting

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ...middleware.admission.tickets import Ticket
    from .plan import Cut

_ARRIVALS: Final = 64
_ENOUGH: Final = 8
_BUSIEST: Final = 0.97
_BLEND: Final = 0.1
_MARGIN: Final = 1.05
_LEAST_S: Final = 1e-9


class CurveFormer:
    """Forms batches by what `LatencyCurve` has learned, no larger than `Ladder` has found to pay.

    Of four plans for the oldest `window` members the one is taken after which all wait least: one by one, as large as may be,
    neighbours in order of arrival, and neighbours in order of length (`Plans.best`). The second must be expected to save 5%, the last two
    5% more: they rest on more guesses. Those still to come count, too: where the engine is busy for a share u of the time, a second of
    it holds up waiting members / (1 - u). The oldest member's batch of that plan runs, at once.

    Bound: the oldest is in every batch, so that whoever has k before it when it comes leaves with one of the next k + 1.

    Args:
        like: members of like length may be put together; False keeps the order of arrival, for ablations.
    """

    def __init__(self, budget: Budget | None = None, *, window: int = 64, like: bool = True) -> None:
        self._budget = budget if budget is not None else Budget()
        self._window = window
        self._like = like
        self._waiting: OrderedDict[str, Ticket] = OrderedDict()
        self._curve = LatencyCurve()
        self._ladder = Ladder(self._budget.size)
        self._answers = Longest()
        self._predicted: OrderedDict[str, float] = OrderedDict()
        self._arrivals: deque[float] = deque(maxlen=_ARRIVALS)
        self._each_s = 0.0

    def push(self, ticket: Ticket) -> None:
        """Add a member at the end; one that is waiting already keeps its place."""
        if ticket.id not in self._waiting:
            self._waiting[ticket.id] = ticket
            self._arrivals.append(ticket.enqueued_s)

    def form(self, now_s: float) -> Formed:
        """Take out and return the next batch; nobody is held back."""
        if not self._waiting:
            return Formed()
        oldest = list(islice(self._waiting.values(), self._window))
        size = self._ladder.trial(len(oldest))
        if size:
            return self._taken(oldest[: fitting(oldest, replace(self._budget, size=size))])
        if len(oldest) == 1 or self._ladder.size == 1:
            return self._taken(oldest[:1])
        return self._taken(self._best(oldest, now_s))

    def remove(self, ticket_id: str) -> bool:
        """Take a member out and return whether it was waiting."""
        return self._waiting.pop(ticket_id, None) is not None

    def measured(self, members: Sequence[Ticket], seconds: float) -> None:
        """Learn what a batch took; the members carry the answers' real tokens where those are known."""
        if not members or seconds <= 0:
            return
        predicted = [self._predicted.pop(member.id, member.output_tokens) for member in members]
        self._answers.learn(predicted, [member.output_tokens for member in members])
        each_s = seconds / len(members)
        self._each_s += (_BLEND if self._each_s else 1.0) * (each_s - self._each_s)
        shape = shape_of(members)
        longest = Shapes(1, shape.longest, shape.longest**2, shape.longest, shape.output, 1)
        gain = float(self._curve.seconds(longest)) / each_s
        self._curve.learn(shape, seconds)
        self._ladder.ran(len(members), gain)

    def __len__(self) -> int:
        """Return how many wait."""
        return len(self._waiting)

    def _best(self, oldest: list[Ticket], now_s: float) -> list[Ticket]:
        """Return the oldest member's batch of the best plan."""
        budget = replace(self._budget, size=self._ladder.size)
        count = len(oldest)
        busy = self._busy(now_s)
        behind = len(self._waiting) / (1 - busy) - count
        arrived = Plans(oldest, self._curve, budget, self._answers)
        plan = arrived.alone()
        best = oldest[:1]
        least = _waited(plan, range(count)) + behind * sum(plan.seconds)
        plan = arrived.full()
        cost = _MARGIN * (_waited(plan, range(count)) + behind * _filled_up(plan))
        if cost < least:
            least, best = cost, oldest[: plan.ends[0]]
        lines: list[tuple[Plans, Sequence[int]]] = [(arrived, range(count))]
        if self._like:
            by_length = sorted((each.output_tokens, each.input_tokens, at) for at, each in enumerate(oldest))
            order = [at for _, _, at in by_length]
            alike = Plans([oldest[at] for at in order], self._curve, budget, self._answers)
            lines.append((alike, order))
        for plans, places in lines:
            plan = plans.best(behind)
            cost = _MARGIN**2 * (_waited(plan, places) + behind * sum(plan.seconds))
            if cost < least:
                place = places.index(0)
                end = next(end for end in plan.ends if end > place)
                start = max((end for end in plan.ends if end <= place), default=0)
                least, best = cost, [oldest[at] for at in places[start:end]]
        return best

    def _busy(self, now_s: float) -> float:
        """Return the share of time the engine works for the last arrivals, at most 0.97."""
        if len(self._arrivals) < _ENOUGH:
            return 0.0
        return min(_BUSIEST, len(self._arrivals) * self._each_s / max(now_s - self._arrivals[0], _LEAST_S))

    def _taken(self, members: Sequence[Ticket]) -> Formed:
        for member in members:
            del self._waiting[member.id]
            self._predicted[member.id] = member.output_tokens
        while len(self._predicted) > 2 * self._budget.size:  # of batches that failed, and were never measured
            self._predicted.popitem(last=False)
        return Formed(tuple(members))


def _waited(plan: Cut, order: Sequence[int]) -> float:
    """Return the member-seconds until all have their answer, if the batch with the oldest member runs first each time."""
    starts = (0, *plan.ends[:-1])
    batches = zip(starts, plan.ends, plan.seconds, strict=True)
    still, waited = len(order), 0.0
    for _, size, seconds in sorted((min(order[start:end]), end - start, seconds) for start, end, seconds in batches):
        waited += still * seconds
        still -= size
    return waited


def _filled_up(plan: Cut) -> float:
    """Return the seconds of all batches; the last takes no more a member than the others, as it will be filled up by who comes meanwhile."""
    *before, last = plan.seconds
    if not before:
        return last
    return sum(before) + min(last, sum(before) * (plan.ends[-1] - plan.ends[-2]) / plan.ends[-2])
