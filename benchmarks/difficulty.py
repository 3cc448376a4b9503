"""How well it is told beforehand which questions a small model fails at.

The labels in data/difficulty.jsonl say of 487 questions of 18 kinds with checkable answers (copying, capitals, arithmetic, sorting,
spelling backwards, …) whether SmolLM2-135M failed (greedy, 48 tokens): what an escalation would have learned. `--ask`
asks it again, which takes minutes, and writes the labels anew. The questions come in one random order and the
predictor is told each outcome after its prediction. AUC: how often a question that was failed scored above one that
was not.

    make bench NAME=difficulty ARGS='--json difficulty.json'
"""

from __future__ import annotations

import argparse
import importlib
import json
import time
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, Final
from urllib.request import Request as Call
from urllib.request import urlopen

from _difficulty_questions import Question, read, right, write
from rich.console import Console
from rich.table import Table

from forebay.adapters.demo.model_server import find_model
from forebay.adapters.lab.report import as_json, write_json
from forebay.middleware.analysis.facts import Outcome, Subject
from forebay.middleware.records import Request
from forebay.policies.analysis.basic import BasicAnalyzer
from forebay.policies.difficulty import features as table
from forebay.policies.difficulty import logistic
from forebay.policies.difficulty.logistic import LogisticDifficulty, auc

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

LABELS: Final = Path(__file__).parent / "data/difficulty.jsonl"
ORDERS: Final = 5
PARTS: Final = (("all", 0), ("after 50", 50), ("after 150", 150), ("after 300", 300))
PORT: Final = 18771


def ask(asked: Sequence[Question]) -> list[Question]:
    """Ask the model all questions and return them with what became of them."""
    xllamacpp: Any = importlib.import_module("xllamacpp")
    params = xllamacpp.CommonParams()
    params.model.path = str(find_model())
    params.hostnames, params.port = ["127.0.0.1"], PORT
    params.n_parallel, params.n_ctx, params.cpuparams.n_threads, params.use_jinja = 1, 2048, 2, False
    server = xllamacpp.Server(params)
    labelled = []
    for question in asked:
        turns = [{"role": "user", "content": question.text}]
        body = {"model": "small", "messages": turns, "temperature": 0, "max_tokens": 48}
        call = Call(
            f"{server.listening_address}/v1/chat/completions",
            json.dumps(body).encode(),
            {"content-type": "application/json"},
        )
        with urlopen(call, timeout=120) as reply:
            given = json.load(reply)["choices"][0]["message"]["content"]
        labelled.append(replace(question, failed=not right(question, given)))
    return labelled


def subjects(labels: Sequence[Question]) -> list[Subject]:
    analyzer = BasicAnalyzer()
    found = []
    for label in labels:
        request = Request("r", "small", ({"role": "user", "content": label.text},))
        found.append(Subject(request, analyzer.analyze(request)))
    return found


def online(asked: Sequence[Subject], failed: Sequence[bool]) -> list[float]:
    """Return each score before its outcome was learned."""
    predictor = LogisticDifficulty()
    scores = []
    for subject, label in zip(asked, failed, strict=True):
        facts = predictor.predict(subject)
        assert facts.difficulty is not None
        scores.append(facts.difficulty.score)
        predictor.learn(Outcome(replace(subject, facts=facts), escalated=label))
    return scores


def cold(asked: Sequence[Subject], _: Sequence[bool]) -> list[float]:
    predictor = LogisticDifficulty()
    return [found.score for subject in asked if (found := predictor.predict(subject).difficulty) is not None]


def by_length(asked: Sequence[Subject], _: Sequence[bool]) -> list[float]:
    return [subject.facts.input_tokens / 10_000 for subject in asked]


def by_mean(groups: Sequence[str], failed: Sequence[bool]) -> list[float]:
    """Return the share of earlier questions of a group that were failed, drawn towards that of all."""
    seen: dict[str, list[bool]] = defaultdict(list)
    every: list[bool] = []
    scores = []
    for group, label in zip(groups, failed, strict=True):
        rate = (sum(every) + 1) / (len(every) + 2)
        scores.append((sum(seen[group]) + rate) / (len(seen[group]) + 1))
        seen[group].append(label)
        every.append(label)
    return scores


def measure(case: str, runs: Sequence[tuple[Sequence[float], Sequence[bool]]]) -> list[dict[str, Any]]:
    """Return a row for each part of the stream, the mean over orders."""
    rows = []
    for part, start in PARTS:
        ranked = [auc(list(zip(scores[start:], failed[start:], strict=True))) or 0.0 for scores, failed in runs]
        wrong = [
            (score - label) ** 2
            for scores, failed in runs
            for score, label in zip(scores[start:], failed[start:], strict=True)
        ]
        rows.append(
            {
                "case": case,
                "part": part,
                "n": len(runs[0][0]) - start,
                "auc": sum(ranked) / len(ranked),
                "brier": sum(wrong) / len(wrong),
            }
        )
    return rows


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--ask", action="store_true", help="ask the model anew")
    args = parser.parse_args()
    if args.ask:
        write(LABELS, ask(read(LABELS)))
    labels = read(LABELS)
    asked = subjects(labels)
    orders = [Random(seed).sample(range(len(labels)), len(labels)) for seed in range(ORDERS)]

    def runs(decide: Callable[[Sequence[Subject], Sequence[bool]], list[float]]) -> Any:
        return [
            (decide([asked[at] for at in order], failed), failed)
            for order in orders
            for failed in [[labels[at].failed for at in order]]
        ]

    def groups(name: Callable[[int], str]) -> Any:
        failed = [[labels[at].failed for at in order] for order in orders]
        return [(by_mean([name(at) for at in order], told), told) for order, told in zip(orders, failed, strict=True)]

    rows = measure("difficulty, online", runs(online))
    rows += measure("rule of thumb alone", runs(cold))
    rows += measure("prompt length", runs(by_length))
    rows += measure("mean of the analyzer's task", groups(lambda at: asked[at].facts.task))
    rows += measure("mean of the true kind (not known in use)", groups(lambda at: labels[at].family))

    # what a feature is worth: without it, after 150
    for name, drop in ablations():
        original = logistic.features
        logistic.features = lambda subject, drop=drop, original=original, **kind: {  # type: ignore[assignment]
            at: value for at, value in original(subject, **kind).items() if not drop(at)
        }
        try:
            rows += measure(f"without {name}", runs(online))
            rows += measure(f"thumb without {name}", runs(cold))
        finally:
            logistic.features = original
    show(Console(), rows)
    failed_share = sum(label.failed for label in labels) / len(labels)
    rows.append({"case": "failed", "n": len(labels), "share": failed_share})
    rows.append({"case": "time of a prediction", "us_p50": timed(asked)})
    print(f"{failed_share:.3f} of {len(labels)} failed; a prediction takes {rows[-1]['us_p50']:.1f} us (p50)")
    if args.json:
        write_json(args.json, as_json("benchmarks/difficulty.py", rows))


def ablations() -> list[tuple[str, Callable[[int], bool]]]:
    names = list(table.PRIOR)
    each: list[tuple[str, Callable[[int], bool]]] = [
        (name, lambda at, place=place: at == place) for place, name in enumerate(names) if name != "bias"
    ]
    return [
        ("words", lambda at: at >= table.NAMED),
        ("named features", lambda at: 0 < at < table.NAMED),
        *each,
    ]


def show(console: Console, rows: Sequence[dict[str, Any]]) -> None:
    shown = Table(
        "", *(f"AUC {part}" for part, _ in PARTS), "Brier after 150", title="which questions SmolLM2-135M fails at"
    )
    cases = list(dict.fromkeys(row["case"] for row in rows))
    whole = {row["case"]: row["auc"] for row in rows if row["part"] == "after 150"}
    for case in cases:
        parts = {row["part"]: row for row in rows if row["case"] == case}
        against = {"without": "difficulty, online", "thumb": "rule of thumb alone"}.get(case.split()[0])
        note = f" ({parts['after 150']['auc'] - whole[against]:+.4f})" if against else ""
        shown.add_row(
            case,
            *(f"{parts[part]['auc']:.3f}{note if part == 'after 150' else ''}" for part, _ in PARTS),
            f"{parts['after 150']['brier']:.3f}",
        )
    console.print(shown)


def timed(asked: Sequence[Subject]) -> float:
    predictor = LogisticDifficulty()
    spent = []
    for subject in asked:
        started = time.perf_counter()
        predictor.predict(subject)
        spent.append(time.perf_counter() - started)
    return 1e6 * sorted(spent)[len(spent) // 2]


if __name__ == "__main__":
    main()
