"""How much CPU request analysis takes: each part that ships, and all together, at 50, 500 and 5,000 prompt tokens.

The parts are those of the default configuration, built by name. They have learned from prompts before, have the question's
vector (which the lookup had made) and no tokenizer. Times are CPU of the calling thread, so other processes do not count.
`all` is what a request waits for: analyzer, classifiers, strategy and predictors; `learn` comes after its answer. Reading the
clock takes .4 us and more, so half of the requests are timed as a whole: one clock around what runs before the lookup, one around
what runs after it. The parts are timed in the other half.

    make bench NAME=analysis ARGS='--json analysis.json'

Prompts are those of Arena-Hard where FOREBAY_DATA names a folder that has them, else made-up ones.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import platform
import random
import tempfile
import time
from array import array
from collections import defaultdict
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

import numpy as np
from _latency_report import Report, percentiles
from rich.console import Console
from rich.table import Table

from forebay import __version__
from forebay.middleware import registry as kinds
from forebay.middleware.admission.tickets import Load
from forebay.middleware.analysis.facts import Outcome, RequestFacts, Subject, packed
from forebay.middleware.analysis.strategies import Situation
from forebay.middleware.analysis.stream import StreamFacts
from forebay.middleware.config import Config
from forebay.middleware.keys import Keyring, make_key
from forebay.middleware.plugin_manager import PluginManager
from forebay.middleware.records import Request
from forebay.middleware.registry import Build
from forebay.middleware.telemetry import Telemetry

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from forebay.middleware.analysis.protocols import Classifier, Predictor, Strategist
    from forebay.middleware.config import Spec
    from forebay.middleware.protocols import Analyzer
    from forebay.middleware.records import Vector

SIZES: Final = (50, 500, 5_000)
BUDGET_MS: Final = 0.5
"""For all together at 500 tokens."""
REQUESTS: Final = 400
TAUGHT: Final = 600
DIMENSION: Final = 384
ARENA_HARD: Final = "traces/lengths/arena_hard_prompts_lengths.jsonl.gz"
ALL: Final = "all"
LEARN: Final = "learn"
STREAM: Final = StreamFacts()
KEYRING: Final = Keyring.from_secret("a secret for this benchmark only")
TOPICS: Final = 50
_SOURCE: Final = np.random.default_rng(7)
_COMMON: Final = _SOURCE.normal(size=DIMENSION)
_TOPICS: Final = _SOURCE.normal(size=(TOPICS, DIMENSION))


T = TypeVar("T")


class Run(Protocol):
    """Calls something that has a name."""

    def __call__(self, name: str, call: Callable[..., T], /, *args: Any) -> T: ...


@dataclass(frozen=True)
class Parts:
    """What analyzes a request, by name, in the order in which it runs."""

    analyzer: Analyzer
    classifiers: dict[str, Classifier]
    strategist: Strategist
    predictors: dict[str, Predictor]


class Clock:
    """The CPU seconds of what ran in one request, by name."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def run(self, name: str, call: Callable[..., T], *args: Any) -> T:
        """Call something and note what it took, added to what it took before."""
        began = time.thread_time()
        result = call(*args)
        self.seconds[name] = self.seconds.get(name, 0.0) + time.thread_time() - began
        return result


def untimed(_: str, call: Callable[..., T], *args: Any) -> T:
    """Call something."""
    return call(*args)


def built(folder: Path, without: Sequence[str]) -> Parts:
    """Return the parts of the default configuration, but for some."""
    config = Config()
    registry = PluginManager.from_entry_points().registry
    build = Build(folder, KEYRING, Telemetry(enabled=False), DIMENSION)

    def make(kind: kinds.Kind[Any], spec: Spec) -> Any:
        return registry.build(kind, spec.type, spec.settings, build)

    return Parts(
        make(kinds.ANALYZER, config.analyzer),
        {spec.type: make(kinds.CLASSIFIER, spec) for spec in config.classifiers if spec.type not in without},
        make(kinds.STRATEGY, config.strategy),
        {spec.type: make(kinds.PREDICTOR, spec) for spec in config.predictors if spec.type not in without},
    )


def prompts() -> tuple[list[str], str]:
    """Return prompts and what they are."""
    path = Path(os.environ.get("FOREBAY_DATA", "")) / ARENA_HARD
    if path.is_file():
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            return [str(json.loads(line)["prompt"]) for line in lines], "Arena-Hard"
    source = random.Random(7)
    syllables = [first + second for first in "bdfgklmnprstv" for second in "aeiou"]
    words = ["".join(source.choices(syllables, k=source.randint(1, 4))) for _ in range(3_000)]
    weights = [1 / (rank + 1) for rank in range(len(words))]
    ends = [". ", ".\n", "? ", ", "]
    made = [
        "".join(" ".join(source.choices(words, weights, k=12)) + source.choice(ends) for _ in range(8))
        for _ in range(500)
    ]
    return made, "made-up"


def of_size(texts: Sequence[str], tokens: int, analyzer: Analyzer, count: int) -> list[Request]:
    """Return requests of so many tokens, as the analyzer estimates them, each of other texts than the one before."""
    requests: list[Request] = []
    for at in range(count):
        # from another place for each size: prompts that begin alike would be taken for one template
        text = texts[at * 7 % len(texts)][tokens % 97 :]
        following = at * 7 + 1
        while (estimate := _tokens(analyzer, text)) < tokens:
            text += "\n\n" + texts[following % len(texts)]
            following += 1
        cut = text[: max(1, len(text) * tokens // estimate)]
        requests.append(Request(f"r{at}", "small", ({"role": "user", "content": cut},), {"temperature": 0.2}))
    return requests


def _tokens(analyzer: Analyzer, text: str) -> int:
    return max(1, analyzer.analyze(Request("r", "small", ({"role": "user", "content": text},))).input_tokens)


def made_vector() -> Vector:
    """Return a question's vector as an embedder gives it: of two on the same topic the cosine is about .65, of others .2."""
    vector = _COMMON + 1.5 * _TOPICS[_SOURCE.integers(TOPICS)] + 1.4 * _SOURCE.normal(size=DIMENSION)
    return array("f", (vector / np.linalg.norm(vector)).astype(np.float32).tobytes())


def classified(parts: Parts, request: Request, load: Load, run: Run) -> RequestFacts:
    """Run what runs before the lookup, as the analyze stop does."""
    facts: RequestFacts = run("analyzer", parts.analyzer.analyze, request)
    for name, classifier in parts.classifiers.items():
        facts = run(name, classifier.classify, request, facts)
    run("strategy", parts.strategist.choose, Situation(request, facts, load, STREAM, places=16))
    return facts


def predicted(parts: Parts, made: Callable[[], Subject], run: Run) -> Subject:
    """Run what runs after it."""
    subject = run("vector", made)
    for name, predictor in parts.predictors.items():
        subject = subject.having(run(name, predictor.predict, subject))
    return subject


def analyzed(parts: Parts, request: Request, now_s: float, *, apart: bool) -> dict[str, float]:
    """Run all parts for a request, and let them learn from its answer; return the CPU seconds of each, or of all of them.

    Args:
        apart: each part is timed, and not all together.
    """
    clock = Clock()
    whole, each = (untimed, clock.run) if apart else (clock.run, untimed)
    load = Load(inflight=12, queued=3, inflight_tokens=9_000)
    facts = whole(ALL, classified, parts, request, load, each)
    key, vector = make_key(request, KEYRING), made_vector()
    subject = whole(ALL, predicted, parts, lambda: Subject(request, facts, key, packed(vector), now_s, load), each)
    tokens = int(_SOURCE.lognormal(5.0, 1.0)) + 1
    outcome = Outcome(
        subject,
        input_tokens=facts.input_tokens,
        output_tokens=tokens,
        lane="lane",
        entered_s=now_s,
        first_token_s=now_s + 0.2,
        ended_s=now_s + 0.2 + 0.02 * tokens,
    )
    clock.run(LEARN, learned, parts, outcome)
    return clock.seconds


def learned(parts: Parts, outcome: Outcome) -> None:
    """Let the predictors learn from an answer."""
    for predictor in parts.predictors.values():
        predictor.learn(outcome)


def measured(parts: Parts, requests: Sequence[Request], tokens: int, report: Report) -> float:
    """Add the rows of one size; return the median of all parts together, in ms."""
    seconds: defaultdict[str, list[float]] = defaultdict(list)
    # in no order: some parts learn at every fourth or sixteenth answer, and what follows that takes longer
    apart = [at % 2 == 1 for at in range(len(requests))]
    random.Random(7).shuffle(apart)
    bodies = [json.dumps(request.messages) for request in requests]
    for at, request in enumerate(requests):
        # read from its body just before, as in a server; else each prompt would lie in main memory since all were made
        read = replace(request, messages=json.loads(bodies[at]))
        for name, each in analyzed(parts, read, 1_000.0 + at / 10, apart=apart[at]).items():
            seconds[name].append(each)
    case = f"all, {tokens:,} tokens"
    whole = percentiles(seconds[ALL], sum(seconds[ALL]))
    report.add(case, len(seconds[ALL]), whole)
    for name in [name for name in seconds if name != ALL]:
        figures = percentiles(seconds[name], sum(seconds[name]))
        report.add(f"{name}, {tokens:,} tokens", len(seconds[name]), figures, against=case)
    return whole["p50_ms"]


def show(rows: Sequence[dict[str, Any]], what: str) -> None:
    """Print the table."""
    columns = ("case", "n", "p50_ms", "p99_ms", "cpu_ms_per_request", "ratio")
    table = Table(title=f"CPU of request analysis, {what} prompts")
    for name in columns:
        table.add_column(name, justify="left" if name == "case" else "right")
    for line in rows:
        table.add_row(*("" if line.get(name) is None else str(line[name]) for name in columns))
    Console().print(table)


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path)
    parser.add_argument(
        "--requests", type=int, default=REQUESTS, help="of each size, timed as a whole; as many again for the parts"
    )
    parser.add_argument("--without", action="append", default=[], metavar="NAME", help="leave out a part")
    args = parser.parse_args()
    report = Report()
    texts, what = prompts()
    with tempfile.TemporaryDirectory() as folder:
        parts = built(Path(folder), args.without)
        for at, request in enumerate(of_size(texts, 200, parts.analyzer, TAUGHT)):
            analyzed(parts, request, at / 10, apart=False)
        medians = {
            size: measured(parts, of_size(texts, size, parts.analyzer, 2 * args.requests), size, report)
            for size in SIZES
        }
    show(report.rows, what)
    print(f"all together at 500 tokens: {medians[500]:.3f} ms, the budget is {BUDGET_MS} ms")
    if args.json:
        made = {
            "command": "benchmarks/analysis.py",
            "version": __version__,
            "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
            "rows": report.rows,
        }
        args.json.write_text(json.dumps(made, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
