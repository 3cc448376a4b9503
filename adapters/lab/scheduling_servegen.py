"""Draws requests from ServeGen's tables: each client's rate and burstiness in windows, and quantiles of its lengths.

Arrivals of a client in a window are a renewal process with gaps of the Gamma or Weibull shape that was fitted to it. The fits
miss the rate (Weibull by up to a factor of two), so as many are drawn as the rate says, and the gaps are stretched to fill the
window. Input and output lengths are drawn from the client's own quantiles, each by itself, with straight lines between them;
clients of which none are published take those of others, in turn.
"""

from __future__ import annotations

import random
from bisect import bisect_right
from collections import defaultdict
from itertools import accumulate
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from ...middleware.narrow import is_array
from .scheduling_tools import Requests, Row
from .traces import TraceError, read_rows

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

MOST: Final = 20_000
"""Requests that are drawn where nobody says how many."""
_TABLE: Final = "client_windows.csv"
_LENGTHS: Final = "top_clients_lengths.jsonl"
_WINDOW_S: Final = 600.0

# of each client: since when, and the quantiles of input and output tokens
Grids: TypeAlias = "Mapping[str, Sequence[tuple[float, Sequence[float], Sequence[float]]]]"


def draw_requests(
    path: Path,
    told: Sequence[tuple[int, Mapping[str, Any]]],
    rows: tuple[int, int | None],
    lengths: Path | None,
    seed: int,
) -> Requests:
    """Draw requests in the order of arrival, from the first window on, each client being a tenant.

    Args:
        told: the table's lines.
        rows: from one to before another; None for `MOST` from the first.
        lengths: the quantiles' file; None for the one that belongs to the table by its name.

    Raises:
        TraceError: the table or the quantiles cannot be read, or rows that there are not.
    """
    first, last = rows[0], rows[0] + MOST if rows[1] is None else rows[1]
    grids = _grids(lengths or _beside(path))
    draw = random.Random(f"{seed} {path.name}")  # noqa: S311 - not a secret
    windows = _windows(path, told)
    drawn: list[tuple[float, str]] = []
    for start_s in sorted(windows):
        here = [
            (start_s + at_s, client)
            for client, rate, shape, weibull in sorted(windows[start_s])
            for at_s in _arrivals(draw, rate, shape, weibull=weibull)
        ]
        drawn += sorted(here)
        if len(drawn) >= last:
            break
    chosen = drawn[first:last]
    if not chosen:
        raise TraceError(f"{path}: {len(drawn)} requests can be drawn; --rows leaves none of them")
    names = sorted(grids)
    known = {
        client: client if client in grids else names[at % len(names)]
        for at, client in enumerate(sorted({who for _, who in chosen}))
    }
    start_s = chosen[0][0]
    return Requests(path.name, [_row(draw, grids[known[client]], client, at_s, start_s) for at_s, client in chosen])


def _windows(
    path: Path, told: Sequence[tuple[int, Mapping[str, Any]]]
) -> dict[float, list[tuple[str, float, float, bool]]]:
    windows: dict[float, list[tuple[str, float, float, bool]]] = defaultdict(list)
    for number, line in told:
        try:
            rate, shape = float(line["rate_rps"]), float(line["p1"])
            start_s, kind = float(line["ts_s"]), str(line["dist"])
        except (KeyError, TypeError, ValueError):
            raise TraceError(
                f"{path}, line {number}: a table to draw from needs client, ts_s, rate_rps, dist (Gamma or Weibull) and p1 (the shape)"
            ) from None
        if not (0 <= rate < 1e6 and 0 < shape < 1e6 and kind in ("Gamma", "Weibull")):  # noqa: PLR2004
            raise TraceError(f"{path}, line {number}: rate_rps, p1 or dist cannot be")
        windows[start_s].append((str(line["client"]), rate, shape, kind == "Weibull"))
    return windows


def _arrivals(draw: random.Random, rate: float, shape: float, *, weibull: bool) -> Sequence[float]:
    expected = rate * _WINDOW_S
    count = int(expected) + (draw.random() < expected % 1)
    gaps = [draw.weibullvariate(1.0, shape) if weibull else draw.gammavariate(shape, 1.0) for _ in range(count + 1)]
    total = sum(gaps) or 1.0
    return [_WINDOW_S * at / total for at in accumulate(gaps[:-1])]


def _beside(path: Path) -> Path:
    for suffix in (".gz", ""):
        beside = path.with_name(path.name.replace(".gz", "").replace(_TABLE, _LENGTHS) + suffix)
        if beside.name != path.name and beside.is_file():
            return beside
    raise TraceError(
        f"{path} says when requests come, not how long they are; name the file of quantiles with --lengths"
    )


def _grids(path: Path) -> Grids:
    found: dict[str, list[tuple[float, Sequence[float], Sequence[float]]]] = defaultdict(list)
    for number, line in read_rows(path):
        since_s, grids = line.get("window_s"), [line.get("input_tokens"), line.get("output_tokens")]
        if not (isinstance(since_s, int | float) and all(map(_rises, grids)) and "client" in line):
            raise TraceError(
                f"{path}, line {number}: quantiles of lengths need client, window_s, input_tokens and output_tokens (rising numbers)"
            )
        found[str(line["client"])].append((float(since_s), grids[0] or (), grids[1] or ()))
    return {client: sorted(grids) for client, grids in found.items()}


def _rises(grid: object) -> bool:
    return (
        is_array(grid)
        and len(grid) > 1
        and all(isinstance(value, int | float) and value >= 0 for value in grid)
        and list(grid) == sorted(grid)
    )


def _row(
    draw: random.Random,
    grids: Sequence[tuple[float, Sequence[float], Sequence[float]]],
    client: str,
    at_s: float,
    start_s: float,
) -> Row:
    _, prompts, outputs = grids[max(0, bisect_right([since_s for since_s, _, _ in grids], at_s) - 1)]
    return Row(at_s - start_s, _quantile(draw, prompts), _quantile(draw, outputs), client)


def _quantile(draw: random.Random, grid: Sequence[float]) -> int:
    at = draw.random() * (len(grid) - 1)
    low = int(at)
    return max(1, round(grid[low] + (at - low) * (grid[min(low + 1, len(grid) - 1)] - grid[low])))
