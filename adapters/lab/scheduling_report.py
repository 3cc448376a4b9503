"""What came of replaying a trace: rows, a table, a picture."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from rich.markup import escape
from rich.table import Table

from .figure import COLOURS, INCHES, new_figure, plain, save
from .report import ALL
from .scheduling_policies import DIRECT

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from rich.console import Console

    from ...middleware.admission.tickets import Objective
    from ...middleware.analysis.facts import Priority
    from .scheduling_tools import Course, Played, Row

_GROUPS: Final = 12
_NAME: Final = 21
_POINTS: Final = 200
_P99: Final = 0.99
_TENS_S: Final = (9.995, 99.95)  # three figures are enough
_LEGEND: Final = (
    "good: share of all requests inside their objective; one that was refused (shed) is not. Of those served: E2E (mean) and TTFT "
    "from arrival in s, TPOT in ms, s/tok E2E over tokens (mean). tok/s: output. Means over time: seqs, sequences in the engine over "
    "its places; KV, share of its cache in use. idle: seconds that an engine stood idle while somebody waited."
)


@dataclass(frozen=True, slots=True)
class Scene:
    """What was replayed: one trace at one load.

    Attributes:
        chosen: the rows of the trace, as ``first:last``.
        rate: requests a second; `rho`: that over what the engines can do.
        predictor: where predicted lengths came from.
        objectives: by priority class.
    """

    trace: str
    chosen: str
    rows: Sequence[Row]
    profile: str
    rho: float
    rate: float
    predictor: str
    objectives: Mapping[Priority, Objective]
    kv_tokens: int | None = None
    engines: int = 1
    processes: int = 1


@dataclass
class Drawn:
    """What the picture shows of one trace.

    Attributes:
        goodput: of each policy, by load.
        waits: of each policy at the last load: times to the first token, rising, and the share of all requests that had theirs
            by then.
    """

    title: str
    goodput: dict[str, list[tuple[float, float]]] = field(default_factory=dict[str, "list[tuple[float, float]]"])
    waits: dict[str, tuple[list[float], list[float]]] = field(
        default_factory=dict[str, "tuple[list[float], list[float]]"]
    )
    rho: float = 0.0
    ttft_s: float | None = None


def rows_of(scene: Scene, policy: str, played: Played, by: str = "") -> list[dict[str, Any]]:
    """Return the report's rows: all requests, then those of each tenant or class, the largest first."""
    groups: dict[str, list[int]] = {ALL: list(range(len(scene.rows)))}
    if by:
        found: dict[str, list[int]] = defaultdict(list)
        for at, row in enumerate(scene.rows):
            found[row.tenant if by == "tenant" else row.priority.value].append(at)
        if found.keys() != {""}:
            groups.update(sorted(found.items(), key=lambda item: (-len(item[1]), item[0])))
    return [_row(scene, policy, played, name, numbers) for name, numbers in groups.items()]


def _row(scene: Scene, policy: str, played: Played, group: str, numbers: Sequence[int]) -> dict[str, Any]:
    courses = played.courses
    served = [at for at in numbers if courses[at].ended_s is not None]
    ttfts = [value for at in served if (value := courses[at].ttft_s) is not None]
    tpots = [value for at in served if (value := courses[at].tpot_s) is not None]
    ends = [value for at in served if (value := courses[at].e2e_s) is not None]
    tokens = [courses[at].output for at in served]
    good = sum(_met(scene, courses[at], scene.rows[at].priority) for at in served)
    row: dict[str, Any] = {
        "trace": scene.trace,
        "rows": scene.chosen,
        "profile": scene.profile,
        "rho": round(scene.rho, 4),
        "policy": policy,
        "tenant": group,
        "n": len(numbers),
        "goodput": round(good / max(1, len(numbers)), 4),
        "rejected": len(numbers) - len(served),
        "mean_e2e_s": _rounded(_mean(ends)),
        "p99_ttft_s": _rounded(_p99(ttfts)),
        "max_ttft_s": _rounded(max(ttfts, default=None)),
        "p99_tpot_s": _rounded(_p99(tpots)),
        "tokens_per_s": round(sum(tokens) / played.seconds, 1) if played.seconds else None,
        "seconds_per_token": _rounded(_mean([end / count for end, count in zip(ends, tokens, strict=True)])),
        "requests_per_s": round(scene.rate * len(numbers) / max(1, len(scene.rows)), 4),
        "predictor": scene.predictor,
        "engines": scene.engines,
        "processes": scene.processes,
    }
    if group == ALL:
        row |= {
            "tokens_in_flight": _in_flight(scene, played, served),
            "running": round(played.running, 4),
            "kv_use": _rounded(played.kv_use),
            "idle_with_work_s": round(played.starved_s, 4),
            "prefix_hit": round(played.prefix_hit, 4),
            "preemptions": sum(course.preempted for course in courses),
        }
    return row


def _in_flight(scene: Scene, played: Played, served: Sequence[int]) -> float | None:
    """Return tokens of those let in and not ended yet, over what the KV caches hold, on average over time."""
    if scene.kv_tokens is None or not played.seconds:
        return None
    held = math.fsum(
        (scene.rows[at].prompt + scene.rows[at].output) * ((one.ended_s or 0.0) - (one.entered_s or 0.0))
        for at in served
        for one in (played.courses[at],)
    )
    return round(held / played.seconds / scene.engines / scene.kv_tokens, 4)


def _met(scene: Scene, course: Course, priority: Priority) -> bool:
    objective = scene.objectives[priority]
    return objective.met(ttft_s=course.ttft_s, tpot_s=course.tpot_s, total_s=course.e2e_s or 0.0)


def _mean(values: Sequence[float]) -> float | None:
    return math.fsum(values) / len(values) if values else None


def _p99(values: Sequence[float]) -> float | None:
    return float(np.quantile(values, _P99)) if values else None


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def collect(drawn: Drawn, scene: Scene, policy: str, played: Played, goodput: float) -> None:
    """Note what the picture shows of one policy at one load; the last load noted is shown in detail."""
    drawn.goodput.setdefault(policy, []).append((scene.rho, goodput))
    ttfts = sorted(value for course in played.courses if (value := course.ttft_s) is not None)
    shares = [at / _POINTS for at in range(_POINTS + 1)]
    found: list[float] = np.quantile(ttfts, shares).tolist() if ttfts else []
    part = len(ttfts) / max(1, len(played.courses))
    drawn.waits[policy] = found, [share * part for share in shares[: len(found)]]
    drawn.rho = scene.rho
    drawn.ttft_s = next((one.ttft_s for one in scene.objectives.values() if one.ttft_s is not None), None)


def show(console: Console, scene: Scene, rows: Sequence[Mapping[str, Any]]) -> None:
    """Print what came of one trace at one load: a line a policy, the groups below each."""
    title = f"{scene.trace}, rows {scene.chosen}, rho {scene.rho:.3g} ({scene.rate:.3g} requests/s), {scene.profile}"
    if scene.engines > 1 or scene.processes > 1:
        title += f", {scene.engines} engines behind {scene.processes} processes"
    table = Table(title=escape(title), title_justify="left", header_style="bold", box=None, padding=(0, 1, 0, 0))
    table.add_column("policy", overflow="fold", min_width=_NAME)
    for head in ("good", "shed", "E2E", "TTFT p99", "TTFT max", "TPOT p99", "tok/s", "s/tok", "seqs", "KV", "idle"):
        table.add_column(head.replace(" ", "\n"), justify="right", no_wrap=True)
    shown: dict[str, int] = defaultdict(int)
    for row in rows:
        whole = row["tenant"] == ALL
        shown[row["policy"]] += 1
        if shown[row["policy"]] > _GROUPS + 1:
            continue
        table.add_row(
            escape(_folded(row["policy"]) if whole else f"  {row['tenant'] or '(no tenant)'} ({row['n']})"),
            _plain(row["goodput"], 3),
            str(row["rejected"]),
            _seconds(row["mean_e2e_s"]),
            _seconds(row["p99_ttft_s"]),
            _seconds(row["max_ttft_s"]),
            "-" if row["p99_tpot_s"] is None else f"{1000 * row['p99_tpot_s']:.0f}",
            _plain(row["tokens_per_s"], 0),
            _plain(row["seconds_per_token"], 3),
            *(
                (_plain(row["running"], 2), _plain(row["kv_use"], 2), _plain(row["idle_with_work_s"], 1))
                if whole
                else ("", "", "")
            ),
            style=None if whole else "dim",
        )
    console.print(table)
    more = max(shown.values(), default=0) - _GROUPS - 1
    if more > 0:
        console.print(f"and {more} smaller ones of each; --json has them all", style="dim")
    console.print()


def _folded(policy: str) -> str:
    """Break a long name where its parts meet."""
    return policy if len(policy) <= _NAME else policy.replace("+", "+\n")


def show_legend(console: Console, scene: Scene) -> None:
    """Say what the columns mean, and what was taken for granted."""
    said = ", ".join(
        f"{priority.value} {_objective(objective)}"
        for priority, objective in scene.objectives.items()
        if any(row.priority is priority for row in scene.rows)
    )
    console.print(f"{_LEGEND} Objective: {said}. Lengths: {scene.predictor}.", style="dim", markup=False)


def _objective(objective: Objective) -> str:
    pairs = (("TTFT", objective.ttft_s), ("TPOT", objective.tpot_s), ("total", objective.total_s))
    return " and ".join(f"{name} {value:g} s" for name, value in pairs if value is not None) or "none"


def _plain(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.{2 if value < _TENS_S[0] else 1 if value < _TENS_S[1] else 0}f}"


def draw(path: Path, every: Sequence[Drawn]) -> None:
    """Draw goodput by load, and who had the first token by when at the highest load; a line of pictures a trace.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    figure = new_figure((INCHES[0], 0.8 + 3.6 * len(every)))
    axes: Any = figure.subplots(len(every), 2, squeeze=False)
    for one, (left, right) in zip(every, axes, strict=True):
        colours = _colours(one)
        for policy, points in one.goodput.items():
            loads, shares = zip(*sorted(points), strict=True)
            left.plot(
                loads, shares, "o-", color=colours[policy], linewidth=1.8, markersize=5, clip_on=False, label=policy
            )
        left.set_xticks(sorted({load for points in one.goodput.values() for load, _ in points}))
        left.xaxis.set_major_formatter("{x:.3g}")
        left.set_ylim(0, 1)
        left.set_xlabel("load over saturation (rho)")
        left.set_ylabel("goodput")
        left.set_title(one.title, fontsize=10)
        left.legend(loc="lower left", fontsize=8, frameon=False)
        for policy, (ttfts, parts) in one.waits.items():
            right.plot(np.maximum(ttfts, 1e-2), parts, color=colours[policy], linewidth=1.8)
        if one.ttft_s is not None:
            right.axvline(one.ttft_s, color="#aaaaaa", linewidth=1, linestyle="--")
        right.set_xscale("log")
        right.xaxis.set_major_formatter("{x:g}")
        right.set_ylim(0, 1.02)
        right.set_xlabel("seconds from arrival" + ("" if one.ttft_s is None else "; dashed: objective"))
        right.set_ylabel("share of all requests")
        right.set_title(f"first token by then, at rho {one.rho:.3g}", fontsize=10)
    plain(axes.ravel())
    save(figure, path)


def _colours(drawn: Drawn) -> dict[str, str]:
    others = [policy for policy in drawn.goodput if policy != DIRECT]
    more = (COLOURS[0], COLOURS[1], COLOURS[3], "#3a7d44", "#7b4b94", "#c06c2b", "#2a9d8f", "#8d5524")
    return {DIRECT: COLOURS[2], **{policy: more[at % len(more)] for at, policy in enumerate(others)}}
