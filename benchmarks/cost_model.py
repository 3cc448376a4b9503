"""The cost model of engines: laws fitted on one half of measured vLLM runs, used through the simulator on the other.

Reads the runs of vllm_measured under FOREBAY_DATA (300 requests each at 10 a second, overloaded, Llama-3.1-8B). The whole run
is simulated with true lengths; the requests of the second half (by arrival) are scored. Laws: `online`, the one that ships,
fitted from the first half's times alone (ablations say what each part of the fit is worth); `calibrated`, what ``forebay lab
scheduling --calibrate`` makes, through the simulator, of the first half's times (where the KV cache fills, its size is fitted,
too, since prompts that begin alike share it); `calibrated, back`, the same fitted on the second half and scored on the first;
`noted`, calibrated on the whole run before (in sample). With `--workload`, the
prompts that the runs were made with (LLMServingSim's sharegpt-llama-3.1-8b-300-sps10.jsonl, not among the runs' files),
`online, prefixes` is the online law with what the prompts have in common. Then how far off the online predictor is as requests go by, on a simulated
engine with a known law and Poisson arrivals below its capacity, true lengths given, and what it costs.

    make bench NAME=cost_model ARGS='--json cost_model.json --plot cost_model.png'
"""

from __future__ import annotations

import argparse
import os
import random
import time
from contextlib import nullcontext
from dataclasses import astuple, replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias
from unittest.mock import patch

import numpy as np
from _cost_runs import KNOWN, METRICS, Run, first_s, online, read, relative
from rich.console import Console
from rich.table import Table

from forebay.adapters.lab.report import as_json, write_json
from forebay.middleware.analysis.facts import Length, Outcome, RequestFacts, Subject
from forebay.middleware.records import Request
from forebay.policies.simulation.calibration import calibrate
from forebay.policies.simulation.simulator import Course, Job, simulate
from forebay.policies.work import fit, ledger
from forebay.policies.work.law import Law, Shape
from forebay.policies.work.predictor import WorkPredictor

if TYPE_CHECKING:
    from collections.abc import Sequence

# which request, how many had ended before, relative errors of TTFT, TPOT and E2E
Score: TypeAlias = "tuple[float, float, float, float, float]"
COEFFICIENTS = ("step_s", "prefill_s", "decode_s", "kv_s")
PARTS: dict[str, tuple[Any, str, float]] = {
    "as shipped": (None, "", 0),
    "preempted not told apart": (ledger, "_STALLED", 0.0),
    "without first tokens": (ledger, "_READING", 0.0),
    "outliers in full": (fit, "_ROUNDS", 1),
    "newest of any batch size": (fit, "_KINDS", 1),
}
STAGES = (25, 50, 100, 200, 400, 800)
RATES = (0.5, 2.0, 6.0)


def halves(run: Run) -> tuple[list[dict[str, Any]], list[Course]]:
    """Score the laws on a run; return the rows and what the calibrated law's simulation says."""
    fitted, equations = online(run)
    rows: list[dict[str, Any]] = []
    shown: list[Course] = []
    first, second = range(run.half), range(run.half, len(run.stays))
    there, back = calibrate(run.stays, run.shape, first), calibrate(run.stays, run.shape, second)
    trials = [
        ("online", fitted, run.shape, run.jobs, second),
        ("calibrated", there.law, there.shape, run.jobs, second),
        ("calibrated, back", back.law, back.shape, run.jobs, first),
        ("noted", run.noted, run.shape, run.jobs, second),
    ]
    if run.prefixes and run.shape.prefix_cache:
        trials.insert(1, ("online, prefixes", fitted, run.shape, run.jobs_with_prefixes, second))
    for name, law, shape, jobs, scored in trials:
        courses = simulate(jobs, law, shape)
        if name == "calibrated":
            shown = courses
        errors = relative(run, courses, scored.start, scored.stop)
        for metric in METRICS:
            said = [getattr(course, f"{metric}_s") for course in courses[scored.start : scored.stop]]
            mean = np.mean([value for value in said if value is not None])
            rows.append(
                {
                    "part": "halves",
                    "run": run.name,
                    "law": name,
                    "metric": metric,
                    "n": len(errors[metric]),
                    "median_rel_error": round(float(np.median(errors[metric])), 4),
                    "p90_rel_error": round(float(np.quantile(errors[metric], 0.9)), 4),
                    "mean_rel_error": round(float(mean / measured_mean(run, metric, scored) - 1), 4),
                    "equations": equations if name.startswith("online") else None,
                    "kv_tokens": shape.kv_tokens,
                    "preemptions": sum(course.preempted for course in courses),
                    **dict(zip(COEFFICIENTS, astuple(law), strict=True)),
                }
            )
    return rows, shown


def measured_mean(run: Run, metric: str, scored: range) -> float:
    """Return the measured mean of a metric over some requests."""
    second = run.stays[scored.start : scored.stop]
    values = {
        "ttft": [first_s(stay) for stay in second],
        "tpot": [
            (stay.ended_s - stay.entered_s - first_s(stay)) / (stay.output - 1) for stay in second if stay.output > 1
        ],
        "e2e": [stay.ended_s - stay.entered_s for stay in second],
    }
    return float(np.mean(values[metric]))


def poisson(parts: Sequence[tuple[float, int]]) -> list[Job]:
    """Return random requests, so many at each rate."""
    draw = random.Random(7)
    at, jobs = 0.0, list[Job]()
    for rate, count in parts:
        for _ in range(count):
            at += draw.expovariate(rate)
            jobs.append(Job(at, draw.randint(20, 1500), draw.randint(5, 500)))
    return jobs


def play(jobs: Sequence[Job], law: Law) -> tuple[list[Score], dict[str, float]]:
    """Predict each request as it enters, learn each as it ends.

    Returns:
        A score of each request for which there was a prediction, and microseconds a call.
    """
    courses = simulate(jobs, law, Shape(128))
    events = sorted(
        [(course.arrival_s, 1, at) for at, course in enumerate(courses)]
        + [(course.ended_s or 0.0, 0, at) for at, course in enumerate(courses)]
    )
    predictor = WorkPredictor(shapes={"*": Shape(128)})
    subjects: dict[int, Subject] = {}
    scores: list[Score] = []
    learned, spent = 0, {"predict_us": 0.0, "learn_us": 0.0}
    for now_s, entering, at in events:
        job, course = jobs[at], courses[at]
        if entering:
            facts = RequestFacts(job.prompt, 1, "other", False, False, length=Length(job.output, job.output))
            subject = Subject(Request(str(at), "m", ()), facts, now_s=now_s)
            began = time.thread_time()
            facts = predictor.predict(subject)
            spent["predict_us"] += 1e6 * (time.thread_time() - began) / len(jobs)
            subjects[at] = replace(subject, facts=facts)
            work = facts.work
            if (
                work
                and work.seconds
                and work.ttft_s
                and work.tpot_s
                and course.ttft_s
                and course.tpot_s
                and course.e2e_s
            ):
                ttft, tpot = abs(work.ttft_s / course.ttft_s - 1), abs(work.tpot_s / course.tpot_s - 1)
                scores.append((at, learned, ttft, tpot, abs(work.seconds / course.e2e_s - 1)))
            continue
        outcome = Outcome(subjects.pop(at), job.prompt, job.output, lane="one")
        outcome = replace(outcome, entered_s=course.entered_s, first_token_s=course.first_s, ended_s=course.ended_s)
        began = time.thread_time()
        predictor.learn(outcome)
        spent["learn_us"] += 1e6 * (time.thread_time() - began) / len(jobs)
        learned += 1
    return scores, {name: round(value, 1) for name, value in spent.items()}


def rows_of(part: str, run: str, law: str, scores: Sequence[Score], **more: Any) -> list[dict[str, Any]]:
    """Return a row a metric."""
    rows: list[dict[str, Any]] = []
    for at, metric in enumerate(METRICS, start=2):
        values = [score[at] for score in scores]
        median, p90 = np.quantile(values, [0.5, 0.9]).round(4).tolist() if values else (None, None)
        row = {"part": part, "run": run, "law": law, "metric": metric, "n": len(values)}
        rows.append({**row, "median_rel_error": median, "p90_rel_error": p90, **more})
    return rows


def prequential(rate: float, law: Law) -> list[dict[str, Any]]:
    """Return the errors of the online predictor by how many requests had ended before."""
    scores, spent = play(poisson([(rate, STAGES[-1])]), law)
    rows: list[dict[str, Any]] = []
    for low, high in pairwise((0, *STAGES)):
        some = [score for score in scores if low <= score[1] < high]
        seen = {"requests_seen": f"{low}-{high}"}
        rows += rows_of("prequential", f"simulated, {rate} requests/s", "online", some, **seen, **spent)
    return rows


def ablations(runs: Sequence[Run], law: Law) -> list[dict[str, Any]]:
    """Return what is lost without each part of the fit."""
    rows: list[dict[str, Any]] = []
    alone, changing = [(0.005, 200)], [(0.5, 150), (12.0, 1500), (0.5, 100)]
    for name, (module, constant, value) in PARTS.items():
        with patch.object(module, constant, value) if module else nullcontext():
            for run in runs:
                fitted, _ = online(run)
                errors = relative(run, simulate(run.jobs, fitted, run.shape), run.half, len(run.stays))
                scores = list(
                    zip(*[[0.0] * len(errors["ttft"])] * 2, *(errors[metric] for metric in METRICS), strict=True)
                )
                rows += rows_of("ablation", run.name, name, scores)
            scores, _ = play(poisson(alone), law)
            rows += rows_of("ablation", "one at a time", name, scores)
            scores, _ = play(poisson(changing), law)
            late = [score for score in scores if score[0] >= 1650]
            rows += rows_of("ablation", "quiet after busy", name, late)
    return rows


def show(console: Console, rows: list[dict[str, Any]]) -> None:
    """Print the rows as two tables."""
    for part, column in (("halves", "law"), ("ablation", "law"), ("prequential", "requests_seen")):
        table = Table(title=part, title_justify="left", box=None, pad_edge=False)
        for head in ("run", column, "metric", "n", "median", "p90", "mean"):
            table.add_column(head, justify="left" if head in ("run", column, "metric") else "right")
        for row in rows:
            if row["part"] == part:
                figures = [
                    "-" if row.get(key) is None else f"{row[key]:.1%}"
                    for key in ("median_rel_error", "p90_rel_error", "mean_rel_error")
                ]
                table.add_row(row["run"], row[column], row["metric"], str(row["n"]), *figures)
        console.print(table)


def draw(path: Path, shown: dict[str, tuple[Run, list[Course]]]) -> None:
    """Draw measured against simulated times of both halves."""
    from matplotlib.figure import Figure

    figure: Any = Figure(figsize=(9, 8), layout="constrained")
    for line, (name, (run, courses)) in enumerate(shown.items()):
        for column, metric in enumerate(("ttft", "e2e")):
            axes = figure.add_subplot(len(shown), 2, 2 * line + column + 1)
            for label, part in (("first half (fitted)", slice(0, run.half)), ("second half", slice(run.half, None))):
                was = [first_s(stay) if metric == "ttft" else stay.ended_s - stay.entered_s for stay in run.stays[part]]
                axes.scatter(was, [getattr(one, f"{metric}_s") for one in courses[part]], s=8, label=label)
            limits = axes.get_xlim()
            axes.plot(limits, limits, color="grey", linewidth=0.8)
            axes.set(title=f"{name} {metric}", xlabel="measured, s", ylabel="simulated, s")
            axes.legend()
    figure.savefig(path, dpi=120)


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--workload", type=Path, help="prompts of the measured runs: JSON lines with input_tok_ids")
    args = parser.parse_args()
    rows: list[dict[str, Any]] = []
    shown: dict[str, tuple[Run, list[Course]]] = {}
    data = os.environ.get("FOREBAY_DATA")
    for name in KNOWN if data else ():
        run = read(Path(data or "") / "traces/vllm_measured", name, args.workload)
        made, courses = halves(run)
        rows += made
        shown[name] = run, courses
    rows += ablations([run for run, _ in shown.values()], KNOWN["RTXPRO6000"][1])
    for rate in RATES:
        rows += prequential(rate, KNOWN["RTXPRO6000"][1])
    show(Console(), rows)
    if args.plot and shown:
        draw(args.plot, shown)
    if args.json:
        write_json(args.json, as_json("benchmarks/cost_model.py", rows))


if __name__ == "__main__":
    main()
