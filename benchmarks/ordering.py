"""How much CPU an ordering takes for a decision: push, peek and remove of one ticket while 1,000 or 100,000 others wait.

Who is let in is noted and ends, too, as the queue does it. Tickets are of 100 tenants and all classes, with objectives and prompts
of 12 blocks; time goes on, so some get late and some lose patience. `ratio` is to fcfs of the same queue in the same run. Times are
CPU of the calling thread, so other processes do not count.

    make bench NAME=ordering ARGS='--json ordering.json'
"""

from __future__ import annotations

import argparse
import gc
import random
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from _latency_report import Report, percentiles

from forebay.adapters.lab.report import as_json, write_json
from forebay.middleware.admission.protocols import Accounting
from forebay.middleware.admission.tickets import Objective, Served, Ticket
from forebay.middleware.analysis.facts import Priority
from forebay.policies.ordering.composed import Composed
from forebay.policies.ordering.fair import Fair
from forebay.policies.ordering.fcfs import FCFS
from forebay.policies.ordering.prefix import Prefix
from forebay.policies.ordering.shortest_first import ShortestFirst

if TYPE_CHECKING:
    from collections.abc import Callable

    from forebay.middleware.admission.protocols import Ordering

BUDGETS_US: Final = {1_000: 50.0, 100_000: 200.0}
DECISIONS: Final = 20_000
RATE: Final = 50.0
"""Arrivals a second."""
TENANTS: Final = 100
ORDERINGS: Final[dict[str, Callable[[], Ordering]]] = {
    "fcfs": FCFS,
    "shortest_first": ShortestFirst,
    "fair": Fair,
    "prefix": Prefix,
    "composed": Composed,
}


def made(count: int) -> list[Ticket]:
    """Return tickets in the order of arrival."""
    draw = random.Random(3)
    classes = list(Priority)
    return [
        Ticket(
            f"request-{number}",
            f"tenant-{min(TENANTS, int(draw.paretovariate(0.7)))}",
            number / RATE,
            draw.randint(10, 4_000),
            draw.lognormvariate(5, 1),
            priority=draw.choices(classes, (5, 3, 1, 1))[0],
            stream=True,
            objective=Objective(ttft_s=draw.choice((2.0, 30.0, 3_000.0))),
            prefix=tuple(hash((draw.randint(0, 40), at)) for at in range(12)),
        )
        for number in range(count)
    ]


def decisions(make: Callable[[], Ordering], tickets: list[Ticket], waiting: int) -> list[float]:
    """Return the CPU seconds of each decision."""
    ordering = make()
    for ticket in tickets[:waiting]:
        ordering.push(ticket)
    accounts = ordering if isinstance(ordering, Accounting) else None
    taken = list[float]()
    gc.collect()
    for ticket in tickets[waiting:]:
        now_s = ticket.enqueued_s
        began = time.thread_time()
        ordering.push(ticket)
        head = ordering.peek(now_s)
        assert head is not None
        ordering.remove(head.id)
        if accounts is not None:
            accounts.entered(head, now_s)
            accounts.ended(Served(head, now_s, None, now_s + 1.0, head.input_tokens, 200))
        taken.append(time.thread_time() - began)
    return taken


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--decisions", type=int, default=DECISIONS)
    args = parser.parse_args()
    report = Report()
    for waiting, budget_us in BUDGETS_US.items():
        tickets = made(waiting + args.decisions)
        for name, make in ORDERINGS.items():
            taken = decisions(make, tickets, waiting)
            figures = percentiles(taken, sum(taken))
            report.add(
                f"{name} at {waiting}",
                len(taken),
                figures,
                against=f"fcfs at {waiting}",
                max_ms=round(1_000 * max(taken), 3),
                within_budget=1_000 * figures["cpu_ms_per_request"] <= budget_us,
            )
    if args.json:
        write_json(args.json, as_json("benchmarks/ordering.py", report.rows))


if __name__ == "__main__":
    main()
