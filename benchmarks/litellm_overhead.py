"""What forebay costs inside the LiteLLM proxy: CPU a request and latency, against LiteLLM alone.

All proxies run at once and take turns in short blocks, so that a busy machine slows every case alike. Ratios are
medians over rounds, each against the other case of the same round. The engine, the span receiver and the clients
are in other processes than the proxies; CPU is that of the proxy's process, with all of its threads, from the
first request of a block until it is idle again. Every answer is checked to be what its case claims.

    make bench NAME=litellm_overhead ARGS='--json overhead.json'
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import signal
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median, quantiles
from typing import TYPE_CHECKING, Any, Final

from _overhead_proxies import (
    NOOP,
    SAMPLING,
    Answered,
    Clients,
    Served,
    plans,
    process,
    run_receiver,
    run_upstream,
    warm,
)
from _overhead_questions import Prompts
from rich.console import Console
from rich.table import Table

from forebay import __version__
from forebay.adapters.embedders.minilm import MiniLMEmbedder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

TOKENS: Final = (24, 128, 512)
CONCURRENCIES: Final = (1, 32)
LONGEST_EMBEDDED: Final = 215
"""Tokens of a question beyond which forebay does not embed it (docs/concepts.md): no semantic hit there."""


@dataclass(frozen=True, slots=True)
class Case:
    """One line of the report.

    Attributes:
        proxy: the proxy that is asked.
        kind: miss (a new question each time), exact (a known one) or semantic (a known one in other words).
        against: the case that the ratio is to, "" for none.
    """

    name: str
    proxy: str
    kind: str
    against: str = ""

    def holds_for(self, tokens: int) -> bool:
        """Return whether the case exists at a prompt length."""
        return self.kind != "semantic" or tokens <= LONGEST_EMBEDDED


CASES: Final = (
    Case("no callback", "alone", "miss"),
    Case("no-op callback", "noop", "miss", "no callback"),
    Case("LiteLLM local cache hit", "local", "exact", "no callback"),
    Case("forebay exact-only miss", "lite", "miss", "no callback"),
    Case("forebay exact-only hit", "lite", "exact", "LiteLLM local cache hit"),
    Case("forebay exact-only miss, memory store", "memory", "miss", "no callback"),
    Case("forebay exact-only hit, memory store", "memory", "exact", "LiteLLM local cache hit"),
    Case("forebay semantic miss", "semantic", "miss", "forebay exact-only miss"),
    Case("forebay semantic hit", "semantic", "semantic", "forebay exact-only hit"),
)


@dataclass(slots=True)
class Bench:
    """A run.

    Attributes:
        blocks: (case, tokens, concurrency) → CPU milliseconds a request, round by round.
        seconds: the same → latency of every request.
        wrong: the same → what was not as the case claims.
    """

    proxies: Mapping[str, Served]
    calls: Callable[[], int]
    blocks: dict[tuple[str, int, int], list[float]] = field(default_factory=dict[tuple[str, int, int], list[float]])
    seconds: dict[tuple[str, int, int], list[float]] = field(default_factory=dict[tuple[str, int, int], list[float]])
    wrong: dict[tuple[str, int, int], dict[str, int]] = field(
        default_factory=dict[tuple[str, int, int], dict[str, int]]
    )

    async def block(self, case: Case, prompts: Prompts, at: tuple[str, int, int], requests: int) -> None:
        """Run one block and check it."""
        proxy = self.proxies[case.proxy]
        clients = Clients(proxy)
        asked = prompts.of(case.kind, requests)
        before = await proxy.idle_cpu_s()
        self.calls()
        answered = await clients.ask(asked, at[2])
        after = await proxy.idle_cpu_s()
        await clients.close()
        self.blocks.setdefault(at, []).append((after - before) * 1000 / requests)
        self.seconds.setdefault(at, []).extend(one.seconds for one in answered)
        for problem in self._problems(case, proxy, answered):
            found = self.wrong.setdefault(at, {})
            found[problem] = found.get(problem, 0) + 1

    def _problems(self, case: Case, proxy: Served, answered: Sequence[Answered]) -> Iterator[str]:
        calls, due = self.calls(), len(answered) if case.kind == "miss" else 0
        if calls != due:
            yield f"{calls} upstream calls in place of {due}"
        for one in answered:
            if one.status != 200:
                yield f"HTTP {one.status}"
            elif case.name.startswith("forebay") and one.cache != case.kind:
                yield f"{one.cache or 'passed through'} in place of {case.kind}"
        if case.name.startswith("forebay"):
            reasons = proxy.reasons([one.request_id for one in answered if one.cache == "miss"])
            yield from (reason for reason in reasons if reason in FAILED)


FAILED: Final = frozenset({"timeout", "breaker_open", "store_error", "embedder_error", "no_embedder", "error"})
"""Reasons of a miss that is none: the lookup itself failed."""


async def embedding_ms(lengths: Mapping[int, Prompts], rounds: int) -> dict[int, list[float]]:
    """Return CPU milliseconds of embedding one new question, by prompt length."""
    embedder = MiniLMEmbedder()
    await embedder.start()
    found: dict[int, list[float]] = {tokens: [] for tokens in lengths if tokens <= LONGEST_EMBEDDED}
    try:
        for _ in range(rounds):
            for tokens, costs in found.items():
                texts = lengths[tokens].of("miss", 10)
                before = time.process_time()
                for text in texts:
                    await embedder.embed([text])
                costs.append((time.process_time() - before) * 1000 / len(texts))
    finally:
        await embedder.stop()
    return found


async def measure(bench: Bench, lengths: Mapping[int, Prompts], args: argparse.Namespace) -> list[dict[str, Any]]:
    """Run the rounds and return the rows."""
    chosen = [case for case in CASES if not args.case or case.name in args.case]
    for number in range(args.rounds):
        for concurrency in CONCURRENCIES:
            for tokens, prompts in lengths.items():
                # a rotating start, so that no case always follows the same neighbour
                for case in chosen[number % len(chosen) :] + chosen[: number % len(chosen)]:
                    if case.holds_for(tokens):
                        requests = args.requests * (1 if concurrency == 1 else 4)
                        await bench.block(case, prompts, (case.name, tokens, concurrency), requests)
        print(f"round {number + 1} of {args.rounds}", file=sys.stderr, flush=True)
    rows = [
        row(bench, case, tokens, concurrency)
        for tokens in lengths
        for case in chosen
        for concurrency in CONCURRENCIES
        if case.holds_for(tokens)
    ]
    for tokens, costs in (await embedding_ms(lengths, args.rounds)).items():
        rows.append(
            {
                "case": "one embedding",
                "prompt_tokens": tokens,
                "concurrency": 1,
                "n": 10 * len(costs),
                "cpu_ms_per_request": round(median(costs), 3),
            }
        )
    return rows


def row(bench: Bench, case: Case, tokens: int, concurrency: int) -> dict[str, Any]:
    """Return one line of the report."""
    at = (case.name, tokens, concurrency)
    mine, other = bench.blocks[at], bench.blocks.get((case.against, tokens, concurrency))
    cuts = quantiles(bench.seconds[at], n=100, method="inclusive")
    pairs = list(zip(mine, other, strict=True)) if other else []
    return {
        "case": case.name,
        "prompt_tokens": tokens,
        "concurrency": concurrency,
        "n": len(bench.seconds[at]),
        "p50_ms": round(cuts[49] * 1000, 2),
        "p99_ms": round(cuts[98] * 1000, 2),
        "cpu_ms_per_request": round(median(mine), 3),
        "ratio_to": case.against or None,
        "ratio": round(median(a / b for a, b in pairs), 3) if pairs else None,
        "more_ms": round(median(a - b for a, b in pairs), 3) if pairs else None,
        "wrong": "; ".join(f"{times} times {what}" for what, times in sorted(bench.wrong.get(at, {}).items())) or None,
    }


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument(
        "--requests", type=int, default=16, help="of a block at concurrency 1; four times as many at 32"
    )
    parser.add_argument("--tokens", type=int, nargs="+", default=TOKENS, help="prompt lengths")
    parser.add_argument("--case", action="append", help="only this case and others so named")
    parser.add_argument("--quick", action="store_true", help="one small round: does it run?")
    args = parser.parse_args()
    if args.quick:
        args.rounds, args.requests = 1, 8
    needed = {case.proxy for case in CASES if not args.case or case.name in args.case}
    lengths = {tokens: Prompts(tokens) for tokens in args.tokens}
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the proxies end with this process
    with ExitStack() as stack:
        engine = stack.enter_context(process(run_upstream))
        spans = stack.enter_context(process(run_receiver))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="forebay-bench-")))
        proxies: dict[str, Served] = {}
        started = {name: plan for name, plan in plans(engine.recv(), spans.recv()).items() if name in needed}
        for name, plan in started.items():
            (folder / name).mkdir()
            (folder / name / "noop.py").write_text(NOOP, encoding="utf-8")
            proxies[name] = stack.enter_context(Served(folder / name, plan))

        def calls() -> int:
            engine.send("calls")
            return int(engine.recv())

        async def run() -> list[dict[str, Any]]:
            for name, plan in started.items():
                await warm(proxies[name], plan, lengths)
            return await measure(Bench(proxies, calls), lengths, args)

        rows = asyncio.run(run())
    show(rows)
    if args.json:
        report = {
            "command": "benchmarks/litellm_overhead.py",
            "version": __version__,
            "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
            "rows": rows,
        }
        args.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    if any(line.get("wrong") for line in rows):
        raise SystemExit("some answers were not what their case claims; see the column 'wrong'")


def show(rows: Sequence[Mapping[str, Any]]) -> None:
    """Print the table."""
    table = Table(title=f"LiteLLM proxy, spans of {SAMPLING:.0%} of the requests")
    names = (
        "prompt_tokens",
        "case",
        "concurrency",
        "n",
        "p50_ms",
        "p99_ms",
        "cpu_ms_per_request",
        "ratio",
        "more_ms",
        "wrong",
    )
    for name in names:
        table.add_column(name, justify="left" if name in ("case", "wrong") else "right")
    for line in rows:
        table.add_row(*("" if line.get(name) is None else str(line[name]) for name in names))
    Console().print(table)


if __name__ == "__main__":
    main()
