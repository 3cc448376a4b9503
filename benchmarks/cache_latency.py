"""How long the cache takes: exact hits, searches at 100,000 entries, the verdict, and others in the same run.

The semantic searches are `HotTier.search` with the answers of all five candidates; embedding the question is not in
them. One scope is in front of a Milvus Lite file that holds all entries, the other cases are in front of a store that
makes entries up when they are read. Vectors lie around 2,000 gaussian centres, queries near
stored points; recall is against comparing with every one. On a machine that is busy with other things, p99_cpu_ms says
more than p99_ms.

    make bench NAME=cache_latency ARGS='--json cache_latency.json'

`--peers PYTHON` names a Python that has GPTCache 0.1.44 (or usearch): a peer that is not installed is left out.
`--million` adds 1,000,000 entries of a byte a number.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from _latency_data import DIMENSION, Points, PointsStore
from _latency_report import Report, percentiles
from rich.console import Console
from rich.table import Table

from forebay import __version__
from forebay.adapters.hot.entries import HotEntries
from forebay.adapters.hot.tier import HotTier
from forebay.adapters.milvus.driver import Profile
from forebay.adapters.milvus.rows import to_row
from forebay.adapters.milvus.store import MilvusStore
from forebay.middleware.breaker import Breaker
from forebay.middleware.keeper import Keeper
from forebay.middleware.keys import Keyring
from forebay.middleware.protocols import Audited
from forebay.middleware.records import Answer, Asked, Candidate, Entry, Key, Selector
from forebay.middleware.registry import ACCEPTANCE, Build, Registry
from forebay.middleware.telemetry import Telemetry
from forebay.plugins import acceptance
from forebay.policies.eviction.lru import LRU

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence


QUERIES: Final = 2000
WRITES: Final = 500
MILLION: Final = 1_000_000
TENANT_SHARE: Final = 0.01
SCOPES: Final = 10_000
PEER_SIZES: Final = {"gptcache": 1_000, "milvus-lite": 10_000, "faiss": 100_000, "usearch": 100_000}
KEYRING: Final = Keyring.from_secret("a secret for this benchmark only")
_BATCH: Final = 500


async def timed(calls: Sequence[Callable[[], Awaitable[Any]]]) -> tuple[dict[str, float], list[Any]]:
    """Make calls one after the other; `p99_cpu_ms` is of the calling thread, so other processes do not count."""
    seconds: list[float] = []
    cpu: list[float] = []
    results: list[Any] = []
    before = time.process_time()
    for call in calls:
        began, used = time.perf_counter(), time.thread_time()
        results.append(await call())
        seconds.append(time.perf_counter() - began)
        cpu.append(time.thread_time() - used)
    figures = percentiles(seconds, time.process_time() - before)
    return figures | {"p99_cpu_ms": float(np.percentile(np.asarray(cpu) * 1000, 99))}, results


async def searched(
    report: Report, case: str, tier: HotTier, points: Points, among: Sequence[int], *, number: int = QUERIES
) -> None:
    """Search for the nearest of some entries of one scope each."""
    queries = points.asked(number, among)
    figures, found = await timed([lambda query=query: tier.search(query) for _, query in queries])
    expected = points.nearest(queries, among)
    right = sum(
        bool(candidates) and int(candidates[0].entry.id, 16) == nearest
        for candidates, nearest in zip(found, expected, strict=True)
    )
    recall = round(right / len(queries), 4)
    report.add(case, len(queries), figures, recall_at_1=recall, entries=len(points.vectors))


async def fill(store: MilvusStore, points: Points) -> None:
    """Write all entries, many at once: a benchmark of reading."""
    for start in range(0, len(points.vectors), _BATCH):
        rows = [
            to_row(points.entry(at), KEYRING, DIMENSION, Profile.ONE)
            for at in range(start, min(len(points.vectors), start + _BATCH))
        ]
        await store._call("upsert", data=rows)  # noqa: SLF001  (the store has no call for many)


async def lite(
    report: Report, folder: Path, points: Points, name: str, body: Callable[[HotTier], Awaitable[None]]
) -> None:
    """Fill a Milvus Lite file, open it with a hot tier in front and run something on it."""
    store = MilvusStore(folder / f"{name}.db", KEYRING, dimension=DIMENSION, timeout_s=60.0)
    await store.start()
    await fill(store, points)
    tier = HotTier(store)
    began = time.perf_counter()
    waits = asyncio.create_task(loop_waits(tier))
    await settled(tier)
    waits.cancel()
    report.add(
        f"loop waits while {name} is read into memory",
        len(WAITS),
        percentiles(WAITS, 0.0),
        seconds=round(time.perf_counter() - began, 1),
        entries=len(points.vectors),
    )
    try:
        await body(tier)
    finally:
        await tier.stop()


WAITS: list[float] = []


async def loop_waits(tier: HotTier) -> None:
    """Note how late the event loop comes back to a task that wants a turn."""
    del tier
    WAITS.clear()
    while True:
        began = time.perf_counter()
        await asyncio.sleep(0.001)
        WAITS.append(time.perf_counter() - began - 0.001)


async def exact(report: Report, tier: HotTier, points: Points) -> None:
    """Time exact hits, as the lookup asks for them."""
    keeper = Keeper(tier, LRU(max_entries=10**9, max_bytes=10**15), Breaker("store", Telemetry(enabled=False)))
    for case, size in (("exact hit", 500), ("exact hit, entry in Milvus Lite", len(points.vectors))):
        chosen = np.random.default_rng(3).choice(size, QUERIES, replace=size < QUERIES)
        keys = [Key(points.scope_of(int(at)), "", f"{int(at):064x}", "") for at in chosen]
        if size == 500:
            for key in keys:
                await keeper.get(key)
        figures, found = await timed([lambda key=key: keeper.get(key) for key in keys])
        if not all(found):
            raise SystemExit("an exact hit was a miss")
        report.add(case, len(keys), figures, entries=len(points.vectors))


async def written(report: Report, tier: HotTier, extra: Points, start: int, case: str) -> None:
    """Time writes."""
    entries = [extra.entry(at) for at in range(start, start + WRITES)]
    figures, _ = await timed([lambda entry=entry: tier.put(entry) for entry in entries])
    report.add(case, len(entries), figures)


async def one_scope(report: Report, folder: Path, number: int) -> None:
    """One scope holds everything; then a fifth of it is deleted."""
    points = Points(number + WRITES, scopes=["scope"])
    stored = Points(number, scopes=["scope"])
    points.vectors[:number] = stored.vectors

    async def body(tier: HotTier) -> None:
        await exact(report, tier, stored)
        await searched(report, "search, 1 scope", tier, stored, range(number))
        kept = tier._entries  # noqa: SLF001
        tier._entries = HotEntries(0)  # noqa: SLF001
        await searched(report, "search, 1 scope, entries in Milvus Lite", tier, stored, range(number))
        tier._entries = kept  # noqa: SLF001
        await written(report, tier, points, number, "write, 1 scope")
        waits = asyncio.create_task(loop_waits(tier))
        began = time.perf_counter()
        await tier.delete(Selector(model="old"))
        waits.cancel()
        report.add(
            "loop waits while a fifth is deleted",
            len(WAITS),
            percentiles(WAITS, 0.0),
            seconds=round(time.perf_counter() - began, 1),
        )
        left = [at for at in range(number) if at % 5]
        await searched(report, "search, 1 scope, 20% deleted", tier, points, left)

    await lite(report, folder, stored, "one-scope", body)


async def many_scopes(report: Report, number: int) -> None:
    """As many scopes as 10,000, and one scope that holds 1% of the entries beside one that holds the others."""
    scopes = [f"scope {at}" for at in range(min(SCOPES, number // 10))]
    share = round(1 / TENANT_SHARE)
    for case, points, among in (
        (f"search, {len(scopes):,} scopes", Points(number, scopes=scopes), range(number)),
        (
            "search, a tenant with 1%",
            Points(number, scopes=["a tenant", *["the others"] * (share - 1)]),
            range(0, number, share),
        ),
    ):
        tier = HotTier(PointsStore(points, number))
        await settled(tier)
        await searched(report, case, tier, points, among)
        await tier.stop()


async def settled(tier: HotTier) -> None:
    """Wait until everything is in memory, graphs too."""
    await tier.settled()
    await tier._vectors.settled()  # type: ignore[attr-defined]  # noqa: SLF001


async def million(report: Report, number: int) -> None:
    """Hold very many entries of a byte a number, and say what one takes; a store that costs nothing is behind them."""
    points = Points(number, scopes=["scope"])
    gc.collect()
    before = resident_bytes()
    tier = HotTier(PointsStore(points, number), max_bytes=0, int8=True)
    began, cpu = time.perf_counter(), time.process_time()
    waits = asyncio.create_task(loop_waits(tier))
    await settled(tier)
    waits.cancel()
    taken = time.perf_counter() - began, time.process_time() - cpu
    gc.collect()
    bytes_per_entry = round((resident_bytes() - before) / number)
    report.add(
        f"loop waits while {number:,} entries, int8, are read into memory",
        len(WAITS),
        percentiles(WAITS, 0.0),
        seconds=round(taken[0], 1),
        cpu_seconds=round(taken[1], 1),
        bytes_per_entry=bytes_per_entry,
        entries=number,
    )
    await searched(report, f"search, {number:,} entries, int8", tier, points, range(number), number=400)
    await tier.stop()


def resident_bytes() -> int:
    """Return the memory of this process."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def verdicts(report: Report) -> None:
    """Time every acceptance policy there is, with its account of how often it is wrong where it keeps one.

    The asked question is a new text each time; the kept one has been read before, or is new, too.
    """
    registry = Registry()
    acceptance.register_components(registry.registrar("acceptance"))
    pairs = [
        ("How do I reset my password?", "How can I reset my password?"),
        (
            "What is the fee for a transfer of 500 euros to Spain?",
            "What is the fee for a transfer of 700 euros to Spain?",
        ),
        ("Is the card enabled before the first payment?", "Is the card disabled after the first payment?"),
        ("When does the Berlin office open on Monday?", "When does the office in Berlin open on Mondays?"),
    ]
    with tempfile.TemporaryDirectory() as folder:
        build = Build(Path(folder), KEYRING, Telemetry(enabled=False), DIMENSION)
        for name, fresh in [(name, fresh) for name in registry.names(ACCEPTANCE) for fresh in (False, True)]:
            policy = registry.build(ACCEPTANCE, name, {}, build)
            seconds: list[float] = []
            before = time.process_time()
            for turn in range(QUERIES):
                left, right = pairs[turn % len(pairs)]
                question = f"{right} {turn} {name} {fresh}"
                kept = f"{left} {turn} {name}" if fresh else left
                entry = Entry("id", "s", "", kept, Answer({}), "m", "t", 0.0, 4e9)
                asked = Asked(Key("s", "", "", question), "tenant", "route", "question")
                candidate = Candidate(entry, 0.8 + 0.19 * (turn % 97) / 97)
                began = time.perf_counter()
                verdict = policy.judge(asked, candidate)
                if isinstance(policy, Audited):
                    policy.share(asked, verdict)
                seconds.append(time.perf_counter() - began)
            cpu = time.process_time() - before
            case = f"acceptance + bound: {name}" + (", kept text new" if fresh else "")
            report.add(case, len(seconds), percentiles(seconds, cpu))


def peers(report: Report, pythons: Sequence[str], number: int) -> None:
    """Run the peers that are installed in one of these Pythons."""
    script = Path(__file__).with_name("_latency_peers.py")
    with tempfile.TemporaryDirectory() as folder:
        for name, most in PEER_SIZES.items():
            size = min(most, number)
            points = Points(size, scopes=["scope"])
            asked = np.asarray([query.vector for _, query in points.asked(QUERIES // 4)], dtype=np.float32)
            path = Path(folder) / "points.npz"
            np.savez(path, vectors=points.vectors, asked=asked)
            for python in pythons:
                ran = subprocess.run(
                    [python, str(script), name, str(path)], capture_output=True, text=True, check=False
                )
                if not ran.returncode:
                    figures: dict[str, float] = json.loads(ran.stdout.splitlines()[-1])
                    n, recall = int(figures.pop("n")), figures.pop("recall_at_1")
                    against = "search, 1 scope"
                    report.add(
                        f"{name}, {size:,} entries", n, figures, against=against, recall_at_1=recall, entries=size
                    )
                    break
            else:
                last = (ran.stderr.strip().splitlines() or ["no message"])[-1]
                print(f"{name} is left out: {last}", file=sys.stderr)


async def run(args: argparse.Namespace, report: Report) -> None:
    """Run what was asked for."""
    verdicts(report)
    if args.entries and not args.no_lite:
        with tempfile.TemporaryDirectory() as folder:
            await one_scope(report, Path(folder), args.entries)
    if args.entries:
        await many_scopes(report, args.entries)
    if args.million:
        await million(report, args.million)


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--entries", type=int, default=100_000, help="how many; 0 leaves these rows out")
    parser.add_argument("--no-lite", action="store_true", help="leave out what takes a filled Milvus Lite file")
    parser.add_argument("--million", type=int, nargs="?", const=MILLION, default=0, help="so many of a byte a number")
    parser.add_argument("--peers", action="append", nargs="?", const=sys.executable, metavar="PYTHON")
    args = parser.parse_args()
    report = Report()
    asyncio.run(run(args, report))
    if args.peers:
        peers(report, args.peers, args.entries or max(PEER_SIZES.values()))
    show(report.rows)
    if args.json:
        made = {
            "command": "benchmarks/cache_latency.py",
            "version": __version__,
            "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
            "rows": report.rows,
        }
        args.json.write_text(json.dumps(made, indent=2) + "\n", encoding="utf-8")


def show(rows: Sequence[dict[str, Any]]) -> None:
    """Print the table."""
    columns = (
        "case",
        "n",
        "p50_ms",
        "p99_ms",
        "p99_cpu_ms",
        "cpu_ms_per_request",
        "recall_at_1",
        "ratio",
        "bytes_per_entry",
    )
    table = Table(title=f"the cache's latency, {DIMENSION} dimensions")
    for name in columns:
        table.add_column(name, justify="left" if name == "case" else "right")
    for line in rows:
        table.add_row(*("" if line.get(name) is None else str(line[name]) for name in columns))
    Console().print(table)


if __name__ == "__main__":
    main()
