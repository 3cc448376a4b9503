"""Several simulated engines, each with its own prefix cache, and who chooses among them: for replicas.py."""

from __future__ import annotations

import csv
import heapq
import json
import random
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from _scheduling import PRO6000

from forebay.middleware.admission.tickets import Replica, Ticket
from forebay.policies.fingerprint.recent import RecentBlocks
from forebay.policies.placement.prefix import PrefixPlacement
from forebay.policies.simulation.engine import ENDLESS, SECOND
from forebay.policies.simulation.engine import Replica as Engine
from forebay.policies.simulation.simulator import Job
from forebay.policies.work.law import Shape

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

ENGINES: Final = 4
LOADS: Final = (0.5, 0.7, 0.9)
UNSEEN: Final = 0.2
_LONGEST_BLOCKS: Final = 300
_FINE: Final = 64


@dataclass(frozen=True, slots=True)
class Scene:
    """What comes, and to which engines.

    Attributes:
        made: its requests were made up.
        block: tokens of a block that prompts share.
        kv_tokens, places: of each engine.
    """

    name: str
    jobs: Sequence[Job]
    block: int
    kv_tokens: int
    places: int = 128
    made: bool = True


@dataclass(slots=True)
class Seen:
    """An engine as a router sees it: what it was sent and has not ended, and what it read of late.

    Attributes:
        inside: prompt tokens of those inside, by job; `unread`: of those without a first token, what must be read.
    """

    name: str
    recent: RecentBlocks
    kv_tokens: int
    inside: dict[int, int] = field(default_factory=dict[int, int])
    unread: dict[int, float] = field(default_factory=dict[int, float])

    def shared(self, job: Job) -> float:
        """Return what share of a prompt's blocks it has read of late."""
        return self.recent.shared(job.prefix) / max(1, len(job.prefix))


class Shuffle:
    """LiteLLM's default: at random."""

    def __init__(self, _: Scene) -> None:
        self._draw = random.Random(0)

    def choose(self, number: int, job: Job, seen: Sequence[Seen]) -> int:
        """Return the number of an engine."""
        del number, job
        return self._draw.randrange(len(seen))


class RoundRobin:
    """In turn."""

    def __init__(self, _: Scene) -> None:
        pass

    def choose(self, number: int, job: Job, seen: Sequence[Seen]) -> int:
        """Return the number of an engine."""
        del job
        return number % len(seen)


class LeastBusy:
    """LiteLLM's least-busy: the fewest requests, the first of several."""

    def __init__(self, _: Scene) -> None:
        pass

    def choose(self, number: int, job: Job, seen: Sequence[Seen]) -> int:
        """Return the number of an engine."""
        del number, job
        return min(range(len(seen)), key=lambda at: len(seen[at].inside))


class CacheAware:
    """After SGLang's router (cache_threshold .3, balance_abs_threshold 64, balance_rel_threshold 1.5).

    The longest prefix, unless the load differs by more than both thresholds.
    """

    def __init__(self, _: Scene) -> None:
        pass

    def choose(self, number: int, job: Job, seen: Sequence[Seen]) -> int:
        """Return the number of an engine."""
        del number
        load = [len(one.inside) for one in seen]
        if max(load) - min(load) > 64 and max(load) > 1.5 * min(load):
            return load.index(min(load))
        shared = [one.shared(job) for one in seen]
        return shared.index(max(shared)) if max(shared) > 0.3 else load.index(min(load))


class Weighted:
    """After llm-d's default profile: 3 for the share of the prompt that is cached, 2 for the shortest queue."""

    def __init__(self, _: Scene) -> None:
        pass

    def choose(self, number: int, job: Job, seen: Sequence[Seen]) -> int:
        """Return the number of an engine."""
        del number
        load = [len(one.inside) for one in seen]
        low, wide = min(load), max(load) - min(load)
        scores = [
            2 * (1 - (inside - low) / wide if wide else 1.0) + 3 * one.shared(job)
            for inside, one in zip(load, seen, strict=True)
        ]
        return scores.index(max(scores))


class Ours:
    """What ships.

    Args:
        prefixes: False: as if no prompt shared anything.
        streams: False: no first token is seen.
    """

    def __init__(self, scene: Scene, *, prefixes: bool = True, streams: bool = True, spread: float = 1.5) -> None:
        self._prefixes = prefixes
        self._streams = streams
        self._policy = PrefixPlacement(block_tokens=scene.block, spread=spread)
        self._to_read: dict[int, float] = {}

    def choose(self, number: int, job: Job, seen: Sequence[Seen]) -> int:
        """Return the number of an engine."""
        prefix = job.prefix if self._prefixes else ()
        ticket = Ticket(str(number), "t", job.arrival_s, job.prompt, stream=self._streams, prefix=prefix)
        found = [Replica(one.name, len(one.inside), self._ahead(one), one.kv_tokens) for one in seen]
        placed = self._policy.place(ticket, found)
        self._to_read[number] = placed.tokens
        return next(at for at, one in enumerate(seen) if one.name == placed.replica)

    def _ahead(self, one: Seen) -> float:
        if self._streams:
            return sum(self._to_read[job] for job in one.unread)
        return UNSEEN * sum(self._to_read[job] for job in one.inside)


POLICIES: Final[dict[str, Callable[[Scene], Any]]] = {
    "simple-shuffle": Shuffle,
    "round robin": RoundRobin,
    "least-busy": LeastBusy,
    "cache-aware": CacheAware,
    "weighted": Weighted,
    "forebay": Ours,
    "forebay, no streams": lambda scene: Ours(scene, streams=False),
    "forebay, no prefixes": lambda scene: Ours(scene, prefixes=False),
    "forebay, no bound": lambda scene: Ours(scene, spread=1e9),
}


def scenes(traces: Path) -> list[Scene]:
    """Return them; those of a trace where the folder has it."""
    kv = PRO6000.shape.kv_tokens or 0
    made = [
        Scene("24 prompts", _groups(3_000, 24, 2_048, seed=1), _FINE, 40_000),
        Scene("one hot prompt", _groups(3_000, 24, 2_048, hot=0.7, seed=1), _FINE, 40_000),
        Scene("a long hot prompt", _long(3_000, 0.1, 32_768, seed=1), _FINE, 165_000, places=16),
        Scene("8 places", _groups(3_000, 24, 1_024, seed=1), _FINE, 100_000, places=8),
    ]
    mooncake, azure = traces / "mooncake/conversation_dev.jsonl", traces / "azure2023/conv_dev.csv"
    if mooncake.exists():
        jobs = _mooncake(mooncake)
        made.insert(0, Scene("Mooncake", jobs, 512, 4 * kv, made=False))
        made.insert(1, Scene("Mooncake, small KV", jobs, 512, kv, made=False))
    if azure.exists():
        made.append(Scene("nothing shared", _azure(azure), _FINE, kv, made=False))
    return made


def measure(scene: Scene, name: str, rho: float | None, saturation: float = 0.0) -> dict[str, Any]:
    """Run a scene behind a policy.

    Args:
        rho: load over what the engines do round robin when all come at once; None: they do.
        saturation: that, in requests a second.
    """
    shape = Shape(max_num_seqs=scene.places, kv_tokens=scene.kv_tokens, block=scene.block, prefix_cache=True)
    router = POLICIES[name](scene)
    run = _Run(scene, [Engine(PRO6000.law, shape) for _ in range(ENGINES)], router)
    stretch = 0.0 if rho is None else len(scene.jobs) / (rho * saturation) / scene.jobs[-1].arrival_s
    arrivals = [round(job.arrival_s * stretch * SECOND) for job in scene.jobs]
    for number, at in enumerate(arrivals):
        run.arrive(number, at)
    run.finish()
    ttft = np.array([(run.first[number] - at) / SECOND for number, at in enumerate(arrivals)])
    e2e = np.array([(run.ended[number] - at) / SECOND for number, at in enumerate(arrivals)])
    counts = np.bincount(list(run.where.values()), minlength=ENGINES)
    return {
        "scene": scene.name,
        "constructed": scene.made,
        "engines": ENGINES,
        "kv_tokens": scene.kv_tokens,
        "places": scene.places,
        "rho": rho,
        "policy": name,
        "n": len(arrivals),
        "prefix_hit": round(run.cached() / sum(job.prompt for job in scene.jobs), 4),
        "mean_ttft_s": round(float(ttft.mean()), 4),
        "p50_ttft_s": round(float(np.median(ttft)), 4),
        "p99_ttft_s": round(float(np.percentile(ttft, 99)), 4),
        "mean_e2e_s": round(float(e2e.mean()), 4),
        "most_over_mean": round(float(counts.max() / counts.mean()), 3),
        "served_s": max(run.ended.values()) / SECOND,
    }


class _Run:
    """Engines that run side by side; what happens in one is known outside when its time has come."""

    def __init__(self, scene: Scene, engines: Sequence[Engine], router: Any) -> None:
        self._jobs = scene.jobs
        self._engines = engines
        self._router = router
        blocks = max(1, scene.kv_tokens // scene.block)
        self._seen = [Seen(f"engine {at}", RecentBlocks(blocks), scene.kv_tokens) for at in range(len(engines))]
        self._coming: list[tuple[int, int, int]] = []
        self.where: dict[int, int] = {}
        self.first: dict[int, int] = {}
        self.ended: dict[int, int] = {}

    def arrive(self, number: int, at: int) -> None:
        """A request comes."""
        self._until(at)
        job = self._jobs[number]
        chosen = self._router.choose(number, job, self._seen)
        seen = self._seen[chosen]
        self.where[number] = chosen
        seen.inside[number] = job.prompt
        seen.unread[number] = job.prompt
        seen.recent.add(job.prefix)
        self._engines[chosen].submit(number, job.prompt, job.output, job.prefix)

    def finish(self) -> None:
        """Let all end."""
        self._until(ENDLESS)

    def cached(self) -> int:
        """Return the prompt tokens that were found in the prefix caches."""
        return sum(engine.cached for engine in self._engines)

    def _until(self, at: int) -> None:
        for engine in self._engines:
            while not engine.idle and engine.now < at:
                first, ended = engine.advance(at)
                for number in first:
                    heapq.heappush(self._coming, (engine.now, 0, number))
                for number in ended:
                    heapq.heappush(self._coming, (engine.now, 1, number))
            if engine.idle and at < ENDLESS:
                engine.now = max(engine.now, at)
        while self._coming and self._coming[0][0] <= at:
            now, ends, number = heapq.heappop(self._coming)
            seen = self._seen[self.where[number]]
            seen.unread.pop(number, None)
            if ends:
                self.ended[number] = now
                del seen.inside[number]
            else:
                self.first.setdefault(number, now)


def _mooncake(path: Path) -> list[Job]:
    """Return rows 2,000 to the end; those before were looked at while the policy was made."""
    with path.open(encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines][2_000:]
    start = rows[0]["timestamp"]
    return [
        Job(
            (row["timestamp"] - start) / 1_000,
            row["input_length"],
            max(1, row["output_length"]),
            tuple(row["hash_ids"][: row["input_length"] // 512]),
        )
        for row in rows
        if len(row["hash_ids"]) + row["output_length"] // 512 < _LONGEST_BLOCKS
    ]


def _azure(path: Path) -> list[Job]:
    """Return rows 3,000 to 6,000."""
    with path.open(encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file))[3_000:6_000]
    # seven fractional digits are one more than a datetime has
    times = [datetime.fromisoformat(line["TIMESTAMP"][:26]) for line in lines]
    return [
        Job(
            (at - times[0]).total_seconds(),
            max(1, int(line["ContextTokens"])),
            max(1, int(line["GeneratedTokens"])),
            tuple(range(1_000 * number, 1_000 * number + int(line["ContextTokens"]) // _FINE)),
        )
        for number, (line, at) in enumerate(zip(lines, times, strict=True))
    ]


def _groups(count: int, groups: int, shared: int, *, seed: int, hot: float = 0.0) -> list[Job]:
    """Return requests that begin with one of some system prompts, drawn by Zipf's law or with one hot one.

    Own parts and answers have 200 tokens in the mean, exponentially; arrivals are Poisson's.
    """
    draw = random.Random(seed)
    weights = [1 / (at + 1) for at in range(groups)]
    if hot:
        weights = [hot, *([(1 - hot) / (groups - 1)] * (groups - 1))]
    jobs: list[Job] = []
    at_s, fresh = 0.0, 1 << 40
    for _ in range(count):
        at_s += draw.expovariate(1.0)
        group = draw.choices(range(groups), weights)[0]
        prompt = shared + 1 + int(draw.expovariate(1 / 200))
        own = prompt // _FINE - shared // _FINE
        names = [*range(group << 20, (group << 20) + shared // _FINE), *range(fresh, fresh + own)]
        fresh += own
        jobs.append(Job(at_s, prompt, 1 + int(draw.expovariate(1 / 200)), tuple(names)))
    return jobs


def _long(count: int, share: float, shared: int, *, seed: int) -> list[Job]:
    """Return short requests that share nothing, and among them a share that begin with one long prompt and have long answers."""
    draw = random.Random(seed)
    jobs: list[Job] = []
    at_s, fresh = 0.0, 1 << 40
    for _ in range(count):
        at_s += draw.expovariate(1.0)
        own = 1 + int(draw.expovariate(1 / 200))
        begins = shared if draw.random() < share else 0
        names = [*range(begins // _FINE), *range(fresh, fresh + (begins + own) // _FINE - begins // _FINE)]
        fresh += len(names)
        output = 1 + int(draw.expovariate(1 / (400 if begins else 200)))
        jobs.append(Job(at_s, begins + own, output, tuple(names)))
    return jobs
