"""What batch pattern analysis expects a batch to save, beside what handle_many then saves.

Before a batch is run its savings are reckoned from the questions, their vectors and the predicted lengths alone. Then it goes through a
runtime with an empty memory store, the MiniLM embedder and the acceptance policy "calibrated". Lengths are predicted by the length predictor after
three earlier batches of the same mix, without the questions of this one. Three ways of reckoning: `judged` asks the acceptance policy (what handle_many's report holds), `learned` goes
by what the earlier batches' near-duplicates came to, `same` counts equal requests alone. With FOREBAY_DATA two more mixes.

    make bench NAME=pattern ARGS='--seeds 5 --json pattern.json'
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from _mixes import Speaking, mixes
from rich.console import Console
from rich.table import Table

from forebay.adapters.lab.report import as_json, write_json
from forebay.middleware.analysis.facts import Outcome, Subject
from forebay.middleware.batch import handle_many
from forebay.middleware.pipeline import Reply
from forebay.middleware.survey import Survey
from forebay.policies.analysis.basic import BasicAnalyzer
from forebay.policies.length.predictor import LengthPredictor
from forebay.policies.pattern.savings import expected_savings, judged
from forebay.policies.pattern.window import StreamPattern
from forebay.testing import started

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from forebay.middleware.analysis.protocols import Predictor
    from forebay.middleware.analysis.stream import Arrival, Savings
    from forebay.middleware.batch_report import Batch
    from forebay.middleware.protocols import Embedder
    from forebay.middleware.records import Request
    from forebay.middleware.runtime import Runtime

SETTINGS: Final[dict[str, Any]] = {
    "embedder": {"type": "minilm"},
    "acceptance": {"type": "calibrated"},
    "audits": {"enabled": False},
    "cache": {"lookup_deadline_ms": 5000},
    "classifiers": [],
    "predictors": [],
    "stream": [],
}
"""The deadline is long so that a busy machine does not cost a hit; nothing is analyzed beside what is measured."""
APART_S: Final = 60.0
EARLIER: Final = 3
COLUMNS: Final = (
    "mix",
    "seed",
    "reckoned",
    "n",
    "expected_requests",
    "saved_requests",
    "relative_error",
    "expected_tokens",
    "saved_tokens",
    "relative_error_tokens",
)


async def measure(
    name: str, before: Sequence[Request], batch: Sequence[Request], max_parallel: int
) -> list[dict[str, Any]]:
    """Return the rows of one batch; `before` are earlier requests of the same mix."""
    engine = Speaking()
    async with started(SETTINGS) as runtime:
        lengths = LengthPredictor()
        pattern, scale = await learned_from(before, runtime, engine, lengths, max_parallel)
    async with started(SETTINGS) as runtime:
        survey = replace(_survey(runtime, [lengths]), prompt_scale=scale)
        arrivals = await survey.arrivals(batch)
        expected = {
            "judged": survey.savings(arrivals),
            "learned": pattern.expected(arrivals),
            "same": expected_savings([replace(arrival, vector=None) for arrival in arrivals], _nobody),
        }
        done = await handle_many(runtime.pipeline, batch, engine, max_parallel=max_parallel, expect=survey)
    check(batch, done, expected["judged"])
    return [row_of(name, how, savings, done) for how, savings in expected.items()]


async def learned_from(
    before: Sequence[Request], runtime: Runtime, engine: Speaking, lengths: Predictor, max_parallel: int
) -> tuple[StreamPattern, float]:
    """Run a batch; teach the length predictor its lengths, and an analyzer what became of its members.

    Returns:
        The analyzer, and the engine's count of prompt tokens over the estimate.
    """
    pattern = StreamPattern(window_s=86_400.0, most=20_000, vectors=4096)
    arrivals = await _survey(runtime, []).arrivals(before)
    done = await handle_many(runtime.pipeline, before, engine, max_parallel=max_parallel)
    analyzer = BasicAnalyzer()
    counted = estimated = 0
    for at, (request, arrival, reply) in enumerate(zip(before, arrivals, done.replies, strict=True)):
        assert isinstance(reply, Reply)
        hit = reply.status != "miss"
        pattern.arrived(replace(arrival, now_s=at * APART_S, hit=hit))
        if not hit:
            subject = Subject(request, analyzer.analyze(request), vector=arrival.vector, now_s=at * APART_S)
            subject = replace(subject, facts=lengths.predict(subject))
            prompt, length = engine.lengths(request)
            lengths.learn(Outcome(subject, input_tokens=prompt, output_tokens=length))
            counted, estimated = counted + prompt, estimated + subject.facts.prompt_tokens
    return pattern, counted / estimated


def others(requests: Sequence[Request], batch: Sequence[Request]) -> list[Request]:
    """Return the requests that ask nothing the batch asks."""
    asked = {request.messages[-1]["content"] for request in batch}
    return [request for request in requests if request.messages[-1]["content"] not in asked]


def check(batch: Sequence[Request], done: Batch, expected: Savings) -> None:
    """Fail loudly where the run was not what the table claims."""
    assert [reply.request_id for reply in done.replies if isinstance(reply, Reply)] == [one.id for one in batch]
    assert done.report.expected == expected
    assert done.report.computed + done.report.saved == len(batch)


def row_of(mix: str, how: str, expected: Savings, done: Batch) -> dict[str, Any]:
    """Return one row of the report."""
    saved, tokens = done.report.saved, done.report.tokens_saved
    return {
        "mix": mix,
        "reckoned": how,
        "n": done.report.members,
        "expected_requests": round(expected.requests, 2),
        "saved_requests": saved,
        "relative_error": round(abs(expected.requests - saved) / max(saved, 1), 4),
        "expected_tokens": round(expected.tokens),
        "saved_tokens": tokens,
        "relative_error_tokens": round(abs(expected.tokens - tokens) / max(tokens, 1), 4),
    }


def _survey(runtime: Runtime, predictors: Sequence[Predictor]) -> Survey:
    embedder: Embedder | None = runtime.embedder
    shares = judged(runtime.acceptance.judge)
    return Survey(
        BasicAnalyzer(),
        runtime.pipeline.key_of,
        lambda arrivals: expected_savings(arrivals, shares),
        embedder,
        predictors,
    )


def _nobody(arrival: Arrival, near: object) -> float:  # noqa: ARG001
    return 0.0


def show(console: Console, rows: Sequence[Mapping[str, Any]]) -> None:
    """Print the rows."""
    table = Table(title="expected savings of a batch, and what handle_many saved")
    for column in COLUMNS:
        table.add_column(column.replace("_", " "), justify="right" if column not in ("mix", "reckoned") else "left")
    for row in rows:
        table.add_row(*(str(row[column]) for column in COLUMNS))
    console.print(table)


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=360, help="requests in each batch")
    parser.add_argument("--seed", type=int, default=0, help="the first")
    parser.add_argument("--seeds", type=int, default=1, help="how many")
    parser.add_argument("--mix", action="append", help="only this one")
    parser.add_argument("--max-parallel", type=int, default=16)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    data = os.environ.get("FOREBAY_DATA")
    rows: list[dict[str, Any]] = []
    for name, make in mixes(Path(data) if data else None).items():
        if args.mix and name not in args.mix:
            continue
        for seed in range(args.seed, args.seed + args.seeds):
            batch = make(random.Random(f"batch/{seed}"), args.size)
            before = [one for at in range(EARLIER) for one in make(random.Random(f"before/{seed}/{at}"), args.size)]
            made = asyncio.run(measure(name, others(before, batch), batch, args.max_parallel))
            rows += [{"mix": name, "seed": seed, **row} for row in made]
    show(Console(), rows)
    if args.json:
        write_json(args.json, as_json("benchmarks/pattern.py", rows))


if __name__ == "__main__":
    main()
