"""The measured vLLM runs that the cost model is judged with."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from forebay.policies.simulation.simulator import Course, Job
from forebay.policies.work.fit import LawFit
from forebay.policies.work.law import BLOCK, Law, Shape
from forebay.policies.work.ledger import Ledger, Stay

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

METRICS = ("ttft", "tpot", "e2e")


@dataclass(frozen=True, slots=True)
class Run:
    """One run: what came and what became of it, in the order of arrival; seconds since the first arrival.

    Attributes:
        shape: what is known of the engine beforehand.
        noted: coefficients that were calibrated on the whole run with another simulator.
        prefixes: of each prompt, names of its full blocks; empty where the prompts are not known.
    """

    name: str
    shape: Shape
    noted: Law
    stays: Sequence[Stay]
    prefixes: Sequence[tuple[int, ...]] = ()

    @property
    def jobs(self) -> list[Job]:
        """The requests as the simulator takes them."""
        return [Job(stay.entered_s, stay.prompt, stay.output) for stay in self.stays]

    @property
    def jobs_with_prefixes(self) -> list[Job]:
        """The same, with what their prompts have in common."""
        return [replace(job, prefix=prefix) for job, prefix in zip(self.jobs, self.prefixes, strict=True)]

    @property
    def half(self) -> int:
        """How many requests are the first half."""
        return len(self.stays) // 2


# max_num_seqs, the KV cache, that prefixes are cached and scheduling asynchronous are in the runs' meta.json (the last two
# in the 4090's alone, of the same vLLM). Of the 4090's 2,588 blocks vLLM keeps one empty. The PRO 6000's does not say its KV
# cache: .9 of 96 GB less 16 GB of weights is 500,000 tokens, which 128 sequences do not fill.
KNOWN = {
    "RTX4090": (
        Shape(256, 2_587 * BLOCK, prefix_cache=True, scheduled_ahead=True),
        Law(0.021083, 7.672e-5, 7.340e-5, 2.167e-8),
    ),
    "RTXPRO6000": (Shape(128, scheduled_ahead=True), Law(0.012203, 4.145e-5, 4.535e-5, 7.173e-8)),
}


def read(folder: Path, name: str, workload: Path | None = None) -> Run:
    """Read a run, with the prompts' prefixes where the workload is known.

    `arrival_time` there is of another clock than the rest; `queued_ts` is the arrival on theirs. Request "bench-7" is line 7
    of the workload.
    """
    lines = (folder / f"{name}_Llama-3.1-8B__requests.jsonl").read_text().splitlines()
    rows: list[dict[str, Any]] = sorted(map(json.loads, lines), key=lambda row: row["queued_ts"])
    start = rows[0]["queued_ts"]
    stays = [
        Stay(
            row["queued_ts"] - start,
            row["first_token_ts"] - start,
            row["last_token_ts"] - start,
            row["input_toks"],
            row["output_toks"],
        )
        for row in rows
    ]
    shape, noted = KNOWN[name]
    prefixes = list[tuple[int, ...]]()
    if workload is not None:
        chains = chained(workload)
        prefixes = [chains[int(row["request_id"].removeprefix("bench-"))] for row in rows]
    return Run(name, shape, noted, stays, prefixes)


def chained(workload: Path) -> list[tuple[int, ...]]:
    """Read prompts (`input_tok_ids`, JSON lines) and number their blocks: each by what it and all before it hold."""
    numbers: dict[tuple[int, tuple[int, ...]], int] = {}
    chains = list[tuple[int, ...]]()
    for line in workload.read_text().splitlines():
        tokens: list[int] = json.loads(line)["input_tok_ids"]
        chain = [0]
        for at in range(BLOCK, len(tokens) + 1, BLOCK):
            chain.append(numbers.setdefault((chain[-1], tuple(tokens[at - BLOCK : at])), len(numbers) + 1))
        chains.append(tuple(chain[1:]))
    return chains


def online(run: Run) -> tuple[Law, int]:
    """Fit the law that ships, on nothing but the first half; return it and the number of equations.

    Of the first half, only requests that ended before the second half had a first token can be used: after that the engine
    did work that the first half alone does not show.
    """
    first, second = run.stays[: run.half], run.stays[run.half :]
    ledger, fit, count = Ledger(), LawFit(), 0
    for stay in sorted(first, key=lambda one: one.ended_s):
        ledger.add(stay)
    until_s = min(stay.first_s for stay in second if stay.first_s is not None)
    while (rows := ledger.work_out(until_s)) is not None:
        fit.add(rows)
        count += len(rows.seconds)
    fit.refit()
    if fit.law is None:
        raise SystemExit(f"{run.name}: too few requests for a fit")
    return fit.law, count


def first_s(stay: Stay) -> float:
    """Return the measured time to the first token."""
    return (stay.entered_s if stay.first_s is None else stay.first_s) - stay.entered_s


def relative(run: Run, courses: Sequence[Course], since: int, until: int) -> dict[str, np.ndarray[Any, Any]]:
    """Return the relative errors of each metric, of the requests from one place to another."""
    errors: dict[str, list[float]] = {metric: [] for metric in METRICS}
    for course, stay in zip(courses[since:until], run.stays[since:until], strict=True):
        pairs = {
            "ttft": (course.ttft_s, first_s(stay)),
            "tpot": (course.tpot_s, (stay.ended_s - stay.entered_s - first_s(stay)) / max(stay.output - 1, 1)),
            "e2e": (course.e2e_s, stay.ended_s - stay.entered_s),
        }
        for metric, (said, was) in pairs.items():
            if said is not None:
                errors[metric].append(abs(said - was) / was)
    return {metric: np.array(values) for metric, values in errors.items()}
