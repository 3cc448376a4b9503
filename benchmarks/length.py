"""What each part of the length predictor is good for: all of it against all but one, on real prompts and a synthetic stream.

Real: arena_hard and alpaca_eval_dev of the folder that FOREBAY_DATA names (lab use only), MiniLM vectors, 5-fold by prompt and
prequential after 300 prompts, means over the answering models. Templates and tenants are in no public data, so they are shown on
a stream made from the real lengths: each template stands for one prompt, its requests differ in a few words that say nothing, and
each tenant's answers are longer or shorter by a factor.
"""

from __future__ import annotations

import argparse
import math
import os
import random
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from forebay.adapters.embedders.minilm import MiniLMEmbedder
from forebay.adapters.lab.length import LengthTools, exchanges_of
from forebay.adapters.lab.length_measure import Exchange, folded, prequential, rows_of
from forebay.adapters.lab.length_rows import read_lengths
from forebay.adapters.lab.report import as_json, write_json
from forebay.middleware.analysis.facts import Fingerprint, Outcome, RequestFacts, Subject
from forebay.middleware.records import Request
from forebay.policies.analysis.basic import BasicAnalyzer
from forebay.policies.length.predictor import LengthPredictor

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from forebay.middleware.analysis.protocols import Predictor
    from forebay.middleware.records import JsonObject

FILES = ("arena_hard_prompts_lengths.jsonl.gz", "alpaca_eval_dev.jsonl.gz")
TOOLS = LengthTools(LengthPredictor, lambda: MiniLMEmbedder(threads=1, memo=0), BasicAnalyzer)
SKIP = 300
SEEDS = (11, 12)


class Apart:
    """A predictor for each answering model that learns of no other."""

    def __init__(self) -> None:
        self._of: dict[str, LengthPredictor] = {}

    def _one(self, subject: Subject) -> LengthPredictor:
        return self._of.setdefault(subject.request.model, LengthPredictor())

    def predict(self, subject: Subject) -> RequestFacts:
        return self._one(subject).predict(subject)

    def learn(self, outcome: Outcome) -> None:
        self._one(outcome.subject).learn(outcome)

    def report(self) -> Sequence[JsonObject]:
        return ()

    def snapshot(self) -> JsonObject:
        return {}

    def restore(self, state: JsonObject) -> None:
        raise ValueError(f"nothing is kept here, {len(state)} fields were given")


def without(*parts: str) -> Callable[[], Predictor]:
    return lambda: LengthPredictor(leave_out=parts)


REAL: Mapping[str, Callable[[], Predictor]] = {
    "all": LengthPredictor,
    "without vector": without("vector"),
    "without words": without("words"),
    "without lexical": without("lexical"),
    "no vector, without words": without("vector", "words"),
    "no vector, without lexical": without("vector", "lexical"),
    "without shared weights": Apart,
}
SYNTHETIC: Mapping[str, Callable[[], Predictor]] = {"all": LengthPredictor, "without history": without("history")}


def real_rows(path: Path) -> list[dict[str, Any]]:
    exchanges = exchanges_of(TOOLS, read_lengths(path), TOOLS.embedder and TOOLS.embedder())
    rows: list[dict[str, Any]] = []
    for name, make in REAL.items():
        runs = [folded(name, make, exchanges, 5, seed) for seed in SEEDS]
        means = [rows_of(path.name, one)[0] for one in runs]
        rows.append({**means[0], **{key: mean_of(means, key) for key in ("kendall_tau", "coverage_q90", "mae_log")}})
        rows.append(rows_of(path.name, prequential(name, make, exchanges, SKIP))[0])
    return rows


def mean_of(rows: Sequence[Mapping[str, Any]], key: str) -> float:
    return round(fmean(row[key] for row in rows), 4)


def synthetic(path: Path, *, tenants: bool, templates: int = 60, requests: int = 3_000) -> list[Exchange]:
    """Return a stream of templates whose constant part is not in the question, or of tenants that want more or less."""
    chance = random.Random(7)
    asked = read_lengths(path)
    lengths = [tokens for each in asked for tokens in each.tokens.values()]
    typical = [chance.choice(lengths) for _ in range(templates)]
    factors = [math.exp(chance.gauss(0, 0.4)) for _ in range(8)]
    made: list[Exchange] = []
    for at in range(requests):
        template, tenant = chance.randrange(templates), chance.randrange(len(factors))
        tokens = max(
            1, round((factors[tenant] * 300 if tenants else typical[template]) * chance.lognormvariate(0, 0.35))
        )
        request = Request(f"{at}", "m", ({"role": "user", "content": f"Case {at}"},), tenant=f"t{tenant}")
        facts = TOOLS.analyzer().analyze(request)
        if not tenants:
            facts = replace(facts, fingerprint=Fingerprint(f"template {template}", 0.8))
        made.append(Exchange({"m": Subject(request, facts)}, {"m": tokens}))
    return made


def synthetic_rows(path: Path) -> list[dict[str, Any]]:
    return [
        row
        for kind in ("templates", "tenants")
        for name, make in SYNTHETIC.items()
        for row in rows_of(
            f"synthetic {kind}", prequential(name, make, synthetic(path, tenants=kind == "tenants"), SKIP)
        )
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, metavar="FILE", dest="json_file")
    options = parser.parse_args()
    if not os.environ.get("FOREBAY_DATA"):
        parser.error("set FOREBAY_DATA to the folder that holds traces/lengths")
    folder = Path(os.environ["FOREBAY_DATA"]) / "traces" / "lengths"
    rows = [row for name in FILES for row in real_rows(folder / name)] + synthetic_rows(folder / FILES[0])
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("file", "mode", "predictor"):
        table.add_column(column, no_wrap=True)
    for column in ("tau", "q90", "error", "us", "us learn"):
        table.add_column(column, justify="right", no_wrap=True)
    for row in rows:
        numbers = (row[key] for key in ("kendall_tau", "coverage_q90", "mae_log", "us_per_request", "us_per_outcome"))
        table.add_row(
            row["file"].split(".")[0], row["mode"], row["predictor"], *(f"{number:.3f}" for number in numbers)
        )
    Console(width=110).print(table)
    if options.json_file is not None:
        write_json(options.json_file, as_json("length", rows))


if __name__ == "__main__":
    main()
