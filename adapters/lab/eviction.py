"""``forebay lab eviction``: replay traces and say what each eviction policy would have saved."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ...middleware.errors import ConfigError
from .eviction_replay import FORGETTING, optimum, peers, replay
from .eviction_traces import FORMS, read_requests, with_costs, with_lengths
from .report import as_json, write_json

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from ...middleware.protocols import Eviction
    from .eviction_replay import Replayed
    from .eviction_traces import Requests

COMMAND: Final = "lab eviction"
OWN: Final = "forebay"
OPTIMUM: Final = "optimum"
_CAPACITIES: Final = "1%,5%,10%"
_LEGEND: Final = (
    "Share of the cost of all requests that hits saved, and in brackets share of requests that were hits, in percent. Each miss is kept; room is for so "
    "many entries. Bold: most cost saved of ours. The optimum is so in hits, not in cost."
)


class MakeEviction(Protocol):
    """Makes a policy with room for so much."""

    def __call__(self, *, max_entries: int, max_bytes: int) -> Eviction:
        """Return a new one."""
        ...


@dataclass(frozen=True, slots=True)
class EvictionTools:
    """What the lab of eviction uses.

    Attributes:
        policies: our own, by name.
    """

    policies: Mapping[str, MakeEviction]


def parser() -> argparse.ArgumentParser:
    """Return the parser of the words after ``forebay lab eviction``."""
    made = argparse.ArgumentParser(
        prog="forebay lab eviction",
        description="Replay what a cache was asked for, and say what each eviction policy would have saved.",
        epilog="A trace is libCacheSim's oracleGeneral, one of Caffeine's (big-endian int32 or int64, a number a line, 'time id size'), "
        "Mooncake's JSON lines with hash_ids, or CSV key[,cost]; .gz and .xz are unpacked. libcachesim, theine and "
        "cachetools are run beside ours where they are installed.",
    )
    made.add_argument("traces", nargs="+", type=Path, metavar="TRACE")
    made.add_argument(
        "--capacity",
        default=_CAPACITIES,
        metavar="N,N",
        help=f"entries, or %% of the keys ({_CAPACITIES.replace('%', '%%')})",
    )
    made.add_argument("--format", choices=sorted(FORMS), default="", help="of the traces; else what they look like")
    made.add_argument("--limit", type=int, default=None, metavar="N", help="the first N requests of each trace")
    made.add_argument("--cost", type=Path, metavar="FILE", help="CSV key,cost: what computing each answer costs")
    made.add_argument(
        "--lengths", type=Path, metavar="FILE", help="a log; each key costs the length of one of its answers"
    )
    made.add_argument("--seed", type=int, default=7, help="of the draw from --lengths (7)")
    made.add_argument("--no-peers", action="store_true", help="ours and the optimum only")
    made.add_argument("--json", type=Path, metavar="FILE", dest="json_file", help="write the report as JSON")
    return made


def run(tools: EvictionTools, args: Sequence[str], console: Console | None = None) -> int:
    """Run the command and return its exit status.

    Raises:
        ForebayError: a trace or a file of costs cannot be read, or a capacity is none.
    """
    try:
        options = parser().parse_args(list(args))
    except SystemExit as end:
        return int(end.code or 0)
    out = console or Console()
    capacities = [word.strip() for word in options.capacity.split(",")]
    for capacity in capacities:
        entries_in(capacity, 1)  # before a trace is read
    if options.cost is not None and options.lengths is not None:
        raise ConfigError("give --cost or --lengths, not both")
    if options.limit is not None and options.limit < 1:
        raise ConfigError("--limit must be at least 1")
    rows: list[dict[str, Any]] = []
    for path in options.traces:
        requests = _priced(read_requests(path, options.format, options.limit), options)
        made = list(rows_of(tools, requests, capacities, beside=not options.no_peers))
        show(out, requests, made)
        rows += made
    out.print(_LEGEND, style="dim")
    if options.json_file is not None:
        write_json(options.json_file, as_json(COMMAND, rows))
    return 0


def _priced(requests: Requests, options: Any) -> Requests:
    """Attach costs, but to a trace that has its own where they are only drawn."""
    if options.cost is not None:
        return with_costs(requests, options.cost)
    if options.lengths is not None and requests.unit == "requests":
        return with_lengths(requests, options.lengths, options.seed)
    return requests


def entries_in(capacity: str, keys: int) -> int:
    """Return how many entries a capacity is: that many, or for a word such as ``5%`` that share of the distinct keys, at least 1.

    Raises:
        ConfigError: it is neither.
    """
    share = capacity.endswith("%")
    try:
        amount = float(capacity.removesuffix("%")) / 100 if share else int(capacity)
    except ValueError:
        amount = 0.0
    if not (0 < amount <= 1 if share else amount >= 1):
        raise ConfigError(
            "--capacity must be entries or shares of the keys with commas between them, such as 500,5%,10%"
        )
    return max(1, int(amount * keys)) if share else int(amount)


def rows_of(
    tools: EvictionTools, requests: Requests, capacities: Sequence[str], *, beside: bool
) -> Iterator[dict[str, Any]]:
    """Yield the report's rows.

    Args:
        capacities: as `entries_in` reads them.
        beside: also other libraries' caches.
    """
    for capacity in capacities:
        entries = entries_in(capacity, len(requests.names))
        for policy, source, of in _played(tools, requests, entries, beside=beside):
            yield {
                "trace": requests.name,
                "capacity": capacity,
                "capacity_entries": entries,
                "policy": policy,
                "source": source,
                "hit_ratio": round(of.hit_ratio, 5),
                "cost_saved": round(of.cost_saved, 5),
                "cost": requests.unit,
            }


def _played(
    tools: EvictionTools, requests: Requests, entries: int, *, beside: bool
) -> Iterator[tuple[str, str, Replayed]]:
    for name, make in tools.policies.items():
        yield name, OWN, replay(requests, make(max_entries=entries, max_bytes=FORGETTING))
    for library, policies in peers(entries).items() if beside else ():
        for name, play in policies.items():
            yield name, library, play(requests, entries)
    yield "Belady", OPTIMUM, optimum(requests, entries)


def show(console: Console, requests: Requests, rows: Sequence[Mapping[str, Any]]) -> None:
    """Print a table a trace: a line a policy, a column a capacity."""
    columns = list(dict.fromkeys((row["capacity"], row["capacity_entries"]) for row in rows))
    lines: dict[tuple[str, str], dict[str, Mapping[str, Any]]] = {}
    for row in rows:
        lines.setdefault((row["source"], row["policy"]), {})[row["capacity"]] = row
    best = {
        capacity: max(row["cost_saved"] for row in rows if row["source"] == OWN and row["capacity"] == capacity)
        for capacity, _ in columns
    }
    title = f"{requests.name}: {len(requests.keys):,} requests, {len(requests.names):,} keys; cost: {requests.unit}"
    table = Table(title=escape(title), title_justify="left", header_style="bold", pad_edge=False, box=None)
    table.add_column("policy", no_wrap=True)
    table.add_column("of", no_wrap=True)
    for capacity, entries in columns:
        head = f"{capacity}\n{entries:,}" if capacity.endswith("%") else f"{entries:,}"
        table.add_column(head, justify="right", no_wrap=True)
    for (source, policy), found in lines.items():
        cells = [_cell(found.get(capacity), best[capacity] if source == OWN else None) for capacity, _ in columns]
        table.add_row(escape(policy), escape(source), *cells)
    console.print(table)
    console.print()


def _cell(row: Mapping[str, Any] | None, best: float | None) -> str:
    if row is None:
        return "-"
    saved = f"{100 * row['cost_saved']:.1f}"
    return f"{f'[bold]{saved}[/bold]' if row['cost_saved'] == best else saved} ({100 * row['hit_ratio']:.1f})"
