"""How stale answers are that are served, with learned lifetimes and with fixed ones at the same number of upstream calls.

A made-up upstream whose answers change at known times: those of each kind as a Poisson process of a rate that no policy is
told, some kinds never. Questions are asked by Zipf's law, for simulated days. The policies are the real ones; around them a cache of
ours serves what is stale within its grace and computes it anew behind the caller, as the pipeline does. The fixed lifetimes, one
for all or those that ship times a factor, are chosen by bisection so that the upstream is called as often as with learned ones.

    make bench NAME=freshness ARGS='--json freshness.json'
"""

from __future__ import annotations

import argparse
import random
from bisect import bisect_right
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path
from statistics import fmean, stdev
from typing import TYPE_CHECKING, Any, Final

from rich.console import Console
from rich.table import Table

from forebay.adapters.lab.report import as_json, write_json
from forebay.middleware.analysis.facts import RequestFacts, Staleness, Volatility
from forebay.middleware.lifetimes import Revision
from forebay.middleware.protocols import Revised
from forebay.middleware.records import Answer, Request
from forebay.policies.expiry.fixed import FixedExpiry
from forebay.policies.expiry.volatility import VolatilityExpiry
from forebay.testing import completion

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from forebay.middleware.protocols import Expiry

HOUR_S: Final = 3_600.0
DAY_S: Final = 86_400.0
CHANGES_EVERY_S: Final = {
    Volatility.TIMELESS: 0.0,
    Volatility.SLOW: 4 * DAY_S,
    Volatility.DAILY: 5 * HOUR_S,
    Volatility.PERSONAL: 12 * HOUR_S,
}
"""How long an answer of each kind holds on average; 0: for ever. Not what the policies begin with."""
QUESTIONS: Final = 150
"""Of each kind."""
ZIPF: Final = 0.9
GRACE_SHARE: Final = 0.5
ANSWER: Final = Answer(completion("An answer."))
LEARNED: Final = "volatility"


@dataclass(slots=True)
class Kept:
    """A kept answer."""

    made_s: float
    version: int
    fresh_s: float
    grace_s: float


@dataclass(slots=True)
class Counts:
    """What came of the requests of one kind; `days` has how many were asked on each day, and got a stale answer."""

    asked: int = 0
    calls: int = 0
    stale: int = 0
    behind_s: float = 0.0
    days: dict[int, list[int]] = field(default_factory=dict[int, list[int]])

    def serve(self, now_s: float, behind_s: float | None) -> None:
        """Count a request, and how long ago the answer had changed that it got; None where it had not."""
        day = self.days.setdefault(int(now_s // DAY_S), [0, 0])
        self.asked += 1
        day[0] += 1
        if behind_s is not None:
            self.stale += 1
            self.behind_s += behind_s
            day[1] += 1

    def add(self, other: Counts) -> None:
        """Add those of another kind."""
        self.asked, self.calls = self.asked + other.asked, self.calls + other.calls
        self.stale, self.behind_s = self.stale + other.stale, self.behind_s + other.behind_s
        for day, (asked, stale) in other.days.items():
            its = self.days.setdefault(day, [0, 0])
            its[0] += asked
            its[1] += stale


@dataclass(frozen=True, slots=True)
class Question:
    """A question, when its answer changes, and how it looks to a policy."""

    kind: Volatility
    changes_s: Sequence[float]
    request: Request
    facts: RequestFacts

    def version(self, now_s: float) -> int:
        """Return how often its answer has changed."""
        return bisect_right(self.changes_s, now_s)


@dataclass(frozen=True)
class World:
    """Questions, and when each is asked.

    Attributes:
        asked: times and indexes.
    """

    questions: Sequence[Question]
    asked: Sequence[tuple[float, int]] = field(repr=False)


def world(seed: int, days: float, per_s: float) -> World:
    """Make a world."""
    source = random.Random(seed)
    questions: list[Question] = []
    for kind, every_s in CHANGES_EVERY_S.items():
        for at in range(QUESTIONS):
            changes: list[float] = []
            while every_s:
                changes.append((changes[-1] if changes else 0.0) + source.expovariate(1 / every_s))
                if changes[-1] > days * DAY_S:
                    break
            request = Request(f"{kind}-{at}", "m", ({"role": "user", "content": f"{kind} {at}"},))
            facts = RequestFacts(5, 1, "question", True, True, staleness=Staleness(kind, "made up"))
            questions.append(Question(kind, changes, request, facts))
    source.shuffle(questions)
    weights = list(accumulate(1 / (rank + 1) ** ZIPF for rank in range(len(questions))))
    now_s, asked = 0.0, list[tuple[float, int]]()
    while (now_s := now_s + source.expovariate(per_s)) < days * DAY_S:
        asked.append((now_s, source.choices(range(len(questions)), cum_weights=weights)[0]))
    return World(questions, asked)


def played(world: World, expiry: Expiry) -> dict[Volatility, Counts]:
    """Serve all requests."""
    kept: dict[int, Kept] = {}
    counts = {kind: Counts() for kind in CHANGES_EVERY_S}
    for now_s, at in world.asked:
        question = world.questions[at]
        its, entry, version = counts[question.kind], kept.get(at), question.version(now_s)
        served = entry is not None and now_s < entry.made_s + entry.fresh_s + entry.grace_s
        old = entry is not None and served and entry.version != version
        its.serve(now_s, now_s - question.changes_s[entry.version] if entry is not None and old else None)
        if entry is not None and now_s < entry.made_s + entry.fresh_s:
            continue
        its.calls += 1
        if entry is not None and isinstance(expiry, Revised):
            expiry.learn(Revision(question.kind.value, now_s - entry.made_s, changed=entry.version != version))
        life = expiry.lifetime(question.request, question.facts, ANSWER)
        kept[at] = Kept(now_s, version, life.fresh_s, life.grace_s)
    return counts


def calls_of(counts: dict[Volatility, Counts]) -> int:
    """Return all upstream calls."""
    return sum(each.calls for each in counts.values())


def one_for_all(seconds: float) -> Expiry:
    """Return one lifetime for every kind, with the grace that learned ones have."""
    grace_s = min(GRACE_SHARE * seconds, HOUR_S)
    return FixedExpiry(ttl_s=seconds, slow_s=seconds, daily_s=seconds, personal_s=seconds, grace_s=grace_s)


def shipped_times(factor: float) -> Expiry:
    """Return the fixed lifetimes that ship, each times a factor."""
    day_s, hour_s = factor * DAY_S, factor * HOUR_S
    grace_s = min(GRACE_SHARE * hour_s, HOUR_S)
    return FixedExpiry(ttl_s=day_s, slow_s=day_s, daily_s=hour_s, personal_s=hour_s, grace_s=grace_s)


def as_many_calls(
    world: World, make: Callable[[float], Expiry], calls: int, low: float, high: float
) -> dict[Volatility, Counts]:
    """Return what comes of the setting at which the upstream is called as often, within 1% where there is such a one."""
    found = played(world, make(high))
    for _ in range(24):
        middle = (low * high) ** 0.5
        found = played(world, make(middle))
        if abs(calls_of(found) - calls) <= 0.01 * calls:
            break
        low, high = (middle, high) if calls_of(found) > calls else (low, middle)
    return found


def rows_of(seed: int, policy: str, counts: dict[Volatility, Counts]) -> list[dict[str, Any]]:
    """Return a row a kind, and one for all."""
    whole = Counts()
    for each in counts.values():
        whole.add(each)
    named = [*((kind.value, each) for kind, each in counts.items()), ("all", whole)]
    return [
        {
            "seed": seed,
            "policy": policy,
            "kind": name,
            "asked": each.asked,
            "calls": each.calls,
            "stale_share": each.stale / max(1, each.asked),
            "behind_s": each.behind_s / max(1, each.asked),
            "stale_by_day": [stale / asked for _, (asked, stale) in sorted(each.days.items())],
        }
        for name, each in named
    ]


def measured(seed: int, days: float, per_s: float) -> list[dict[str, Any]]:
    """Return the rows of one world."""
    made = world(seed, days, per_s)
    learned = played(made, VolatilityExpiry())
    calls = calls_of(learned)
    return [
        *rows_of(seed, LEARNED, learned),
        *rows_of(seed, "fixed, one for all", as_many_calls(made, one_for_all, calls, 60.0, 100 * DAY_S)),
        *rows_of(seed, "fixed, by kind", as_many_calls(made, shipped_times, calls, 0.01, 100.0)),
    ]


def show(console: Console, rows: Sequence[dict[str, Any]]) -> None:
    """Print means and spreads over the seeds."""
    table = Table(title="Answers that had changed when they were served")
    for name in ("policy", "kind", "requests", "upstream calls", "stale, %", "first day", "last day", "s behind, mean"):
        table.add_column(name, justify="left" if name in ("policy", "kind") else "right")
    for policy, kind in dict.fromkeys((row["policy"], row["kind"]) for row in rows):
        mine = [row for row in rows if (row["policy"], row["kind"]) == (policy, kind)]
        shares = [100 * row["stale_share"] for row in mine]
        spread = f" ± {stdev(shares):.2f}" if len(shares) > 1 else ""
        table.add_row(
            policy,
            kind,
            f"{fmean(row['asked'] for row in mine):,.0f}",
            f"{fmean(row['calls'] for row in mine):,.0f}",
            f"{fmean(shares):.2f}{spread}",
            *(f"{100 * fmean(row['stale_by_day'][day] for row in mine):.1f}" for day in (0, -1)),
            f"{fmean(row['behind_s'] for row in mine):,.0f}",
        )
    console.print(table)


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--days", type=float, default=14.0)
    parser.add_argument("--rate", type=float, default=0.1, help="requests a second")
    args = parser.parse_args()
    rows = [row for seed in range(args.seeds) for row in measured(seed, args.days, args.rate)]
    show(Console(), rows)
    if args.json:
        write_json(args.json, as_json("benchmarks/freshness.py", rows))


if __name__ == "__main__":
    main()
