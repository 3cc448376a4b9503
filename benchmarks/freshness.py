"""How stale served answers are with learned lifetimes, and with fixed ones that cost as many upstream calls.

A made-up upstream: every question of a kind has answers that change at known times (Poisson, the kind's own rate, which no
policy is told; some never change). Questions are asked by Zipf's law for some weeks of a virtual clock. The policies are the
real ones; the cache is a small model of forebay's: fresh answers are served, stale ones within their grace, too, and are
computed anew behind; what is computed anew while the old answer is still kept is told to the policy. The fixed policies
have their lifetimes scaled, by bisection, until they make as many calls as the learned one, within 1%:

    one ttl         for all kinds
    ttl by kind     the defaults of "fixed" (a day, a day, an hour, an hour), scaled
    known rates     in proportion to the true time between changes (not the best there is: J. Cho and H. Garcia-Molina,
                    "Effective page refresh policies for Web crawlers", ACM TODS 28(4), 2003)

"untaught" is "volatility" as it starts, for as long as it runs; its calls are its own. Answers of the kind "personal" have no
grace, so that nothing is left to compare with when they are computed anew: of them nothing is learned.

Not modelled: kinds that are told wrongly, calls that take time or fail, and similar questions. Constructed traffic; the
rates of the scenes were chosen before the first run.

    make bench NAME=freshness ARGS='--json freshness.json --plot freshness.png'
"""

from __future__ import annotations

import argparse
import math
import statistics
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from _freshness_world import DAY_S, HOUR_S, KINDS, SCENES, Run, Scene, World, world
from rich.console import Console
from rich.table import Table

from forebay.adapters.lab.figure import COLOURS, new_figure, plain, save
from forebay.adapters.lab.report import as_json, write_json
from forebay.policies.expiry.fixed import FixedExpiry
from forebay.policies.expiry.volatility import VolatilityExpiry

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from forebay.middleware.analysis.facts import Volatility
    from forebay.middleware.protocols import Expiry

BASE: Final = "volatility"
WITHIN: Final = 0.01
"""Two runs whose calls differ by less cost the same."""


def one_ttl(_: Scene, scale: float) -> Expiry:
    ttl_s = scale * DAY_S
    return FixedExpiry(ttl_s=ttl_s, slow_s=ttl_s, daily_s=ttl_s, personal_s=ttl_s, **_graces(ttl_s))


def by_kind(_: Scene, scale: float) -> Expiry:
    day_s, hour_s = scale * DAY_S, scale * HOUR_S
    return FixedExpiry(ttl_s=day_s, slow_s=day_s, daily_s=hour_s, personal_s=hour_s, **_graces(hour_s))


def known(scene: Scene, scale: float) -> Expiry:
    _, slow_s, daily_s, personal_s = (scale * between_s for between_s in scene.between_s)
    shortest_s = min(slow_s, daily_s, personal_s)
    return FixedExpiry(ttl_s=1e9, slow_s=slow_s, daily_s=daily_s, personal_s=personal_s, **_graces(shortest_s))


def _graces(shortest_s: float) -> dict[str, float]:
    """Return graces by the rule of "volatility", of the kind that is kept shortest."""
    return {"grace_s": min(0.5 * shortest_s, HOUR_S), "error_grace_s": DAY_S}


FIXED: Final[dict[str, Callable[[Scene, float], Expiry]]] = {
    "one ttl": one_ttl,
    "ttl by kind": by_kind,
    "known rates": known,
}


def with_calls(made: World, make: Callable[[Scene, float], Expiry], calls: int, seed: int) -> tuple[Run, float]:
    """Return the run, of lifetimes scaled so that it makes as many calls, and the scale.

    Raises:
        ValueError: no scale does.
    """
    low, high = 1e-4, 1e4
    for _ in range(40):
        scale = math.sqrt(low * high)
        run = Run(made, make(made.scene, scale), seed)
        if abs(run.calls - calls) <= WITHIN * calls:
            return run, scale
        low, high = (scale, high) if run.calls > calls else (low, scale)
    raise ValueError(f"no lifetimes make {calls} calls")


def rows_of(made: World, name: str, run: Run, seed: int, scale: float) -> list[dict[str, Any]]:
    """Return a row a kind, and one of all."""
    rows: list[dict[str, Any]] = []
    for number, kind in [*enumerate(map(str, made.kinds)), (None, "all")]:
        part = slice(None) if number is None else slice(number, number + 1)
        stale, asked = run.stale[part].sum(axis=0), run.asked[part].sum(axis=0)
        late = [each for one in run.late_s[part] for each in one]
        rows.append(
            {
                "scene": made.scene.name,
                "policy": name,
                "kind": kind,
                "seed": seed,
                "scale": scale,
                "asked": int(asked.sum()),
                "calls": run.calls if number is None else run.calls_of[number],
                "stale_share": float(stale.sum() / asked.sum()),
                "stale_share_2nd_half": float(stale[made.days // 2 :].sum() / asked[made.days // 2 :].sum()),
                "mean_s_since_change": statistics.fmean(late) if late else 0.0,
                "stale_by_day": [round(float(each), 4) for each in stale / np.maximum(1, asked)],
            }
        )
    return rows


def measure(scene: Scene, days: int, seed: int, kinds: Sequence[Volatility]) -> list[dict[str, Any]]:
    """Run every policy in a world of this seed."""
    made = world(scene, days, seed, kinds)
    learned = Run(made, VolatilityExpiry(), seed)
    rows = rows_of(made, BASE, learned, seed, 1.0)
    rows += rows_of(made, "volatility, untaught", Run(made, _untaught(), seed), seed, 1.0)
    for name, make in FIXED.items():
        if make is not known or scene.between_s == scene.later:
            rows += rows_of(made, name, *_flat(with_calls(made, make, learned.calls, seed), seed))
    return rows


def _flat(found: tuple[Run, float], seed: int) -> tuple[Run, int, float]:
    return found[0], seed, found[1]


def _untaught() -> Expiry:
    """Return the policy as it starts, for as long as it runs: its calls are its own."""
    policy = VolatilityExpiry()

    class Untaught:
        lifetime = staticmethod(policy.lifetime)

    return Untaught()


def _spread(values: Sequence[float]) -> str:
    return f"{statistics.fmean(values):.3f} ±{statistics.stdev(values) if len(values) > 1 else 0.0:.3f}"


def show(console: Console, scene: str, rows: Sequence[dict[str, Any]]) -> None:
    kinds = list(dict.fromkeys(row["kind"] for row in rows))
    table = Table(
        title=f"{scene}: share of served answers that were stale (± between seeds)", title_justify="left", box=None
    )
    for name in ("policy", "calls", *kinds, "2nd half", "hours since change"):
        table.add_column(name, justify="left" if name == "policy" else "right", no_wrap=True)
    found: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        found[row["policy"], row["kind"]].append(row)
    for policy in dict.fromkeys(row["policy"] for row in rows):
        whole = found[policy, "all"]
        shares = [_spread([row["stale_share"] for row in found[policy, kind]]) for kind in kinds]
        calls = f"{statistics.fmean(row['calls'] for row in whole):.0f}"
        half = _spread([row["stale_share_2nd_half"] for row in whole])
        late = f"{statistics.fmean(row['mean_s_since_change'] for row in whole) / HOUR_S:.2f}"
        table.add_row(policy, calls, *shares, half, late)
    console.print(table)


def draw(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Draw the share of stale answers over the days and by kind, a column a scene."""
    scenes = list(dict.fromkeys(row["scene"] for row in rows))
    policies = [name for name in dict.fromkeys(row["policy"] for row in rows) if name != "volatility, untaught"]
    kinds = list(dict.fromkeys(row["kind"] for row in rows))
    figure = new_figure((4.6 * len(scenes), 7.0))
    axes = figure.subplots(2, len(scenes), squeeze=False)
    for column, scene in enumerate(scenes):
        over, by = axes[0][column], axes[1][column]
        for number, (policy, colour) in enumerate(zip(policies, COLOURS, strict=False)):
            mine = [row for row in rows if (row["scene"], row["policy"]) == (scene, policy)]
            if not mine:
                continue
            days = np.mean([row["stale_by_day"] for row in mine if row["kind"] == "all"], axis=0)
            over.plot(np.arange(1, len(days) + 1), days, color=colour, label=policy, linewidth=1.6)
            shares = [[row["stale_share"] for row in mine if row["kind"] == kind] for kind in kinds]
            at = np.arange(len(kinds)) + 0.2 * (number - 1.5)
            by.bar(at, np.mean(shares, axis=1), 0.2, yerr=np.std(shares, axis=1), color=colour, label=policy)
        over.set_title(scene, fontsize=10)
        over.set_xlabel("day")
        by.set_xticks(range(len(kinds)), kinds, fontsize=8)
        by.axhline(0.05, color="#999999", linewidth=1, linestyle="--")
        plain((over, by))
    axes[0][0].set_ylabel("share of served answers that are stale")
    axes[1][0].set_ylabel("the same by kind; dashed: stale_share")
    axes[0][0].legend(fontsize=8, frameon=False)
    save(figure, path)


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--days", type=int, default=28)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--without-personal", action="store_true", help="only kinds of which something is learned")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--plot", type=Path)
    args = parser.parse_args()
    kinds = KINDS[:-1] if args.without_personal else KINDS
    console = Console(width=160)
    rows: list[dict[str, Any]] = []
    for scene in SCENES:
        mine = [row for seed in range(args.seeds) for row in measure(scene, args.days, seed, kinds)]
        show(console, scene.name, mine)
        rows += mine
    if args.json:
        write_json(args.json, as_json("benchmarks/freshness.py", rows))
    if args.plot:
        draw(args.plot, rows)


if __name__ == "__main__":
    main()
