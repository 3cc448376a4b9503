"""Does the bound hold? A labelled stream in many orders through the verified policy, with the labels as judge.

The nearest kept question is the candidate, what is not served is kept, and a hit is right where both have the same
intent. Reads semcache/banking77/train.csv under FOREBAY_DATA, or the CSV file (text, category) that is named.

A row is one policy over the file's own order, or over all shuffles: there ``hits``, ``wrong_hits`` and ``audits`` are
means and ``first_hit`` is a median. ``held`` counts the orders in which at most delta of the hits served was wrong at
the end, ``held_throughout`` those in which that was so from the hundredth hit on. The file's own order goes through one
intent after the other: what is proven of the first does not hold for the next, so there nothing is promised.

    make bench NAME=verified ARGS='--json verified.json'
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import statistics
import tempfile
from pathlib import Path
from random import Random
from time import perf_counter
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from forebay import __version__
from forebay.adapters.embedders.minilm import MiniLMEmbedder
from forebay.adapters.lab.stream import Labelled, Neighbours, Replay, Stream, read_stream
from forebay.middleware.keys import Keyring
from forebay.middleware.records import Asked, Candidate, Verdict
from forebay.middleware.registry import ACCEPTANCE, Build, Registry
from forebay.middleware.telemetry import Telemetry
from forebay.plugins import acceptance
from forebay.policies.acceptance.verified import VerifiedAcceptance

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from forebay.middleware.protocols import Acceptance

FILE = "semcache/banking77/train.csv"
DELTAS = (0.02, 0.05)
COSINES = (0.99, 0.98, 0.97, 0.96, 0.95, 0.94, 0.92, 0.9, 0.88, 0.86, 0.84, 0.8)
"""Bands of a policy whose confidence is the cosine."""


class Cosine:
    """The cosine is the confidence, and nothing else counts."""

    def __init__(self, cut: float) -> None:
        self._cut = cut

    def judge(self, asked: Asked, candidate: Candidate) -> Verdict:  # noqa: ARG002 - words don't count
        """Return the verdict."""
        sure = candidate.similarity >= self._cut
        return Verdict(sure, min(max(candidate.similarity, 0.0), 1.0), "accepted" if sure else "below_threshold")


class Remembered:
    """Another policy, which is asked once a pair: the orders meet the same pairs again and again."""

    def __init__(self, policy: Acceptance) -> None:
        self._policy = policy
        self._verdicts: dict[tuple[str, str], Verdict] = {}

    def judge(self, asked: Asked, candidate: Candidate) -> Verdict:
        """Return the verdict."""
        pair = asked.key.exact, candidate.entry.id
        verdict = self._verdicts.get(pair)
        if verdict is None:
            verdict = self._verdicts[pair] = self._policy.judge(asked, candidate)
        return verdict


def calibrated() -> Acceptance:
    """Return the policy as shipped."""
    registry = Registry()
    acceptance.register_components(registry.registrar("acceptance"))
    with tempfile.TemporaryDirectory() as folder:
        build = Build(Path(folder), Keyring.from_secret("of a benchmark"), Telemetry(enabled=False))
        return registry.build(ACCEPTANCE, "calibrated", {}, build)


def policies(inner: Acceptance) -> Mapping[str, tuple[float | None, Callable[[], Acceptance]]]:
    """Return for each policy what it promises and how it is made anew."""
    made: dict[str, tuple[float | None, Callable[[], Acceptance]]] = {
        f"cosine {cut}": (None, lambda cut=cut: Cosine(cut)) for cut in (0.9, 0.95)
    }
    made["GPTCache's rule (cosine 0.6)"] = None, lambda: Cosine(0.6)
    made["calibrated"] = None, lambda: inner
    for delta in DELTAS:
        made[f"verified {delta}"] = delta, lambda delta=delta: VerifiedAcceptance(inner, delta=delta, sensitivity=1.0)
        made[f"verified {delta} on cosine"] = (
            delta,
            lambda delta=delta: VerifiedAcceptance(Cosine(0.9), delta=delta, sensitivity=1.0, bands=COSINES),
        )
    return made


async def embedded(texts: Sequence[str]) -> list[Sequence[float]]:
    """Return MiniLM's vectors."""
    embedder = MiniLMEmbedder(memo=0)
    await embedder.start()
    try:
        return [vector for at in range(0, len(texts), 64) for vector in await embedder.embed(texts[at : at + 64])]
    finally:
        await embedder.stop()


def vectors_of(rows: Sequence[Labelled], kept: Path | None) -> Any:
    """Return the vectors, from a file of an earlier run where there is one."""
    import numpy as np

    if kept is not None and kept.exists():
        return np.load(kept)
    vectors = np.asarray(asyncio.run(embedded([row.text for row in rows])), dtype=np.float32)
    if kept is not None:
        np.save(kept, vectors)
    return vectors


def summary(file: str, order: str, policy: str, delta: float | None, replays: Sequence[Replay]) -> dict[str, Any]:
    """Return the row of one policy over some orders."""
    hits, wrong = sum(replay.hits for replay in replays), sum(replay.wrong_hits for replay in replays)
    starts = [replay.first_hit or replay.requests + 1 for replay in replays]
    first = statistics.median(starts)
    held = None if delta is None else sum(replay.held(delta) for replay in replays)
    return {
        "file": file,
        "order": order,
        "policy": policy,
        "delta": delta,
        "orders": len(replays),
        "requests": replays[0].requests,
        "hits": hits / len(replays),
        "wrong_hits": wrong / len(replays),
        "hit_rate": hits / sum(replay.requests for replay in replays),
        "error_rate": wrong / sum(replay.requests for replay in replays),
        "wrong_hit_rate": wrong / hits if hits else 0.0,
        "audits": statistics.mean(replay.audits for replay in replays),
        "served_audits": statistics.mean(replay.served_audits for replay in replays),
        "first_hit": first if first <= replays[0].requests else None,
        "orders_without_hits": sum(replay.first_hit is None for replay in replays),
        "held": held,
        "held_throughout": None if delta is None else sum(replay.worst_share <= delta for replay in replays),
        "bound_held": None if held is None else held >= 0.93 * len(replays),
    }


def show(rows: Sequence[Mapping[str, Any]]) -> None:
    """Print the rows as a table."""
    table = Table("order", "policy", "hits", "wrong/hits", "errors/all", "audits", "of hits", "first hit", "held")
    for row in rows:
        held = "" if row["held"] is None else f"{row['held']}/{row['orders']} ({row['held_throughout']} throughout)"
        table.add_row(
            row["order"],
            row["policy"],
            f"{row['hit_rate']:.3f}",
            f"{row['wrong_hit_rate']:.4f}",
            f"{row['error_rate']:.4f}",
            f"{row['audits']:.0f}",
            f"{row['served_audits']:.0f}",
            "none" if row["first_hit"] is None else f"{row['first_hit']:.0f}",
            held,
        )
    Console(width=140).print(table)


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    data = Path(os.environ.get("FOREBAY_DATA", "."))
    parser.add_argument("file", nargs="?", type=Path, default=data / FILE)
    parser.add_argument("--shuffles", type=int, default=400)
    parser.add_argument("--peer-shuffles", type=int, default=20, help="for policies that promise nothing")
    parser.add_argument("--vectors", type=Path, help="a .npy file to keep the vectors in")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()

    labelled = read_stream(args.file)
    stream = Stream(labelled, Neighbours(vectors_of(labelled, args.vectors)))
    rows: list[dict[str, Any]] = []
    for name, (delta, make) in policies(Remembered(calibrated())).items():
        began = perf_counter()
        rows.append(summary(args.file.name, "as in the file", name, delta, [stream.replay(make())]))
        replays = [
            stream.replay(make(), order=Random(seed).sample(range(len(labelled)), len(labelled)), seed=seed)
            for seed in range(args.shuffles if delta is not None else min(args.shuffles, args.peer_shuffles))
        ]
        rows.append(summary(args.file.name, "shuffled", name, delta, replays))
        Console(stderr=True).print(f"{name}: {perf_counter() - began:.0f} s")
    show(rows)
    if args.json:
        report = {
            "command": "benchmarks/verified.py",
            "version": __version__,
            "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
            "rows": rows,
        }
        args.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
