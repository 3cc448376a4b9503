"""How much CPU request analysis takes: each part that ships, and all together, at 50, 500 and 5,000 prompt tokens.

The parts are those of the default configuration, built by name. They have learned from prompts before, have the question's
vector (which the lookup had made) and no tokenizer. Times are CPU of the calling thread, so other processes do not count.
`all` is what a request waits for: analyzer, classifiers, strategy and predictors; `learn` comes after its answer.

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
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

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
KEYRING: Final = Keyring.from_secret("a secret for this benchmark only")
TOPICS: Final = 50
_SOURCE: Final = np.random.default_rng(7)
_COMMON: Final = _SOURCE.normal(size=DIMENSION)
_TOPICS: Final = _SOURCE.normal(size=(TOPICS, DIMENSION))


@dataclass(frozen=True)
class Parts:
    """What analyzes a request, by name, in the order in which it runs."""

    analyzer: Analyzer
    classifiers: dict[str, Classifier]
    strategist: Strategist
    predictors: dict[str, Predictor]


class Clock:
    """The CPU seconds of each part in one request."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def run(self, name: str, call: Callable[[], Any]) -> Any:
        """Call something and note what it took."""
        began = time.thread_time()
        result = call()
        self.seconds[name] = time.thread_time() - began
        return result


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


def analyzed(parts: Parts, request: Request, now_s: float, clock: Clock) -> None:
    """Run all parts for a request, as the analyze stop does, and let them learn from its answer."""
    facts: RequestFacts = clock.run("analyzer", lambda: parts.analyzer.analyze(request))
    for name, classifier in parts.classifiers.items():
        facts = clock.run(name, lambda classifier=classifier, facts=facts: classifier.classify(request, facts))
    load = Load(inflight=12, queued=3, inflight_tokens=9_000)
    situation = Situation(request, facts, load, StreamFacts(), places=16)
    clock.run("strategy", lambda: parts.strategist.choose(situation))
    key, vector = make_key(request, KEYRING), made_vector()
    subject = clock.run("vector", lambda: Subject(request, facts, key, packed(vector), now_s, load))
    for name, predictor in parts.predictors.items():
        found: RequestFacts = clock.run(name, lambda predictor=predictor, subject=subject: predictor.predict(subject))
        subject = replace(subject, facts=found)
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
    clock.run("learn", lambda: [predictor.learn(outcome) for predictor in parts.predictors.values()])


def measured(parts: Parts, requests: Sequence[Request], tokens: int, report: Report) -> float:
    """Add the rows of one size; return the median of all parts together, in ms."""
    clocks: list[Clock] = []
    for at, request in enumerate(requests):
        clock = Clock()
        analyzed(parts, request, 1_000.0 + at / 10, clock)
        clocks.append(clock)
    totals = [sum(clock.seconds.values()) - clock.seconds["learn"] for clock in clocks]
    whole = percentiles(totals, sum(totals))
    case = f"all, {tokens:,} tokens"
    report.add(case, len(requests), whole)
    for name in clocks[0].seconds:
        seconds = [clock.seconds[name] for clock in clocks]
        report.add(f"{name}, {tokens:,} tokens", len(requests), percentiles(seconds, sum(seconds)), against=case)
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
    parser.add_argument("--requests", type=int, default=REQUESTS, help="of each size")
    parser.add_argument("--without", action="append", default=[], metavar="NAME", help="leave out a part")
    args = parser.parse_args()
    report = Report()
    texts, what = prompts()
    with tempfile.TemporaryDirectory() as folder:
        parts = built(Path(folder), args.without)
        for at, request in enumerate(of_size(texts, 200, parts.analyzer, TAUGHT)):
            analyzed(parts, request, at / 10, Clock())
        medians = {
            size: measured(parts, of_size(texts, size, parts.analyzer, args.requests), size, report) for size in SIZES
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
