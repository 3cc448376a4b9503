"""The rows of benchmarks that measure latency."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence


class Report:
    """The rows so far."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []

    def add(self, case: str, n: int, figures: dict[str, float], *, against: str = "", **more: Any) -> None:
        """Add a row; `against` names the case its median is compared with."""
        other = next((row for row in self.rows if row["case"] == against), None)
        row: dict[str, Any] = {"case": case, "concurrency": 1, "n": n}
        row |= {name: round(value, 4) for name, value in figures.items()}
        row |= {"ratio_to": against if other else "", "ratio": None}
        if other and other["p50_ms"]:
            row["ratio"] = round(figures["p50_ms"] / other["p50_ms"], 2)
        row |= more
        self.rows.append(row)
        shown = ", ".join(f"{name} {value}" for name, value in row.items() if value not in ("", None))
        print(shown, flush=True)


def at_share(values: Sequence[float], share: float) -> float | None:
    """Return the value below which such a share of sorted values lies, to three digits; None of none."""
    return round(values[min(len(values) - 1, int(share * len(values)))], 3) if values else None


def percentiles(seconds: Sequence[float], cpu_s: float) -> dict[str, float]:
    """Return what a row says about times."""
    p50, p99 = np.percentile(np.asarray(seconds) * 1000, [50, 99])
    return {"p50_ms": float(p50), "p99_ms": float(p99), "cpu_ms_per_request": 1000 * cpu_s / len(seconds)}
