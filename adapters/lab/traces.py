"""Traces of requests, read from files: when each came, or how many a second in windows."""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final, TypeAlias, cast

from ...middleware.errors import AdapterError
from .files import text_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

COLUMNS: Final = (
    "TIMESTAMP",
    "timestamp",
    "timestamp_s",
    "ts_s",
    "created",
    "created_s",
    "created_at",
    "req_time",
    "startTime",
    "start_time",
    "arrival_time",
    "arrived_at",
    "time",
)
UNITS: Final = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}
_RATES: Final = ("client", "ts_s", "rate_rps")
_MOST_RPS: Final = 1e9
_FRACTION: Final = re.compile(r"(\.\d{6})\d+")
# a number of this size or more is a time since 1970 in that unit: 1973 at the earliest
_EPOCHS: Final = ((1e17, "ns"), (1e14, "us"), (1e11, "ms"))

Row: TypeAlias = "Mapping[str, Any]"


class TraceError(AdapterError):
    """A trace cannot be read; names file and line, never what the line says."""


@dataclass(frozen=True, slots=True)
class Trace:
    """What came when.

    Attributes:
        name: of the file, without folders.
        times_s: of each request, sorted, from 0 on; empty for a table of rates.
        window_s: of a table of rates, 0 for times.
        rates: of a table: for each client, requests in each window, those without any client left out.
    """

    name: str
    times_s: Sequence[float] = ()
    window_s: float = 0.0
    rates: Mapping[str, Sequence[float]] | None = None


def read_trace(path: Path, unit: str = "") -> Trace:
    """Read a trace: CSV or JSON lines (or a JSON list of objects), gzipped or not.

    The time is in the first column of `COLUMNS` that is there: ISO 8601, or a number. Numbers since 1970 tell their unit by
    their size; others are seconds, but milliseconds where there are ``hash_ids`` too (Mooncake). A CSV with client, ts_s
    and rate_rps is a table of rates.

    Args:
        unit: of numbers: a key of `UNITS`, "" to tell it as above.

    Raises:
        TraceError: it is something else, or cannot be read.
    """
    rows = read_rows(path)
    if is_rates(rows[0][1]):
        return _rates(path, rows)
    times_s = sorted(times_of(path, rows, unit))
    return Trace(path.name, [time - times_s[0] for time in times_s])


def read_rows(path: Path) -> list[tuple[int, Row]]:
    """Return the lines of a CSV or JSON-lines file, each with its number.

    Raises:
        TraceError: it is something else, holds none, or cannot be read.
    """
    try:
        text = text_of(path)
    except (OSError, UnicodeDecodeError) as error:
        raise TraceError(f"{path} cannot be read ({error.__class__.__name__})") from error
    rows = list(_csv_rows(text) if ".csv" in path.suffixes else _json_rows(path, text))
    if not rows:
        raise TraceError(f"{path} holds no requests")
    return rows


def is_rates(first: Row) -> bool:
    """Return whether a file that begins so is a table of rates."""
    return all(name in first for name in _RATES)


def times_of(path: Path, rows: Sequence[tuple[int, Row]], unit: str = "") -> list[float]:
    """Return when each came, in seconds since some moment.

    Raises:
        TraceError: no column says it, or one of them is no time.
    """
    first = rows[0][1]
    column = next((name for name in COLUMNS if name in first), None)
    if column is None:
        raise TraceError(f"{path}: no column with the time of a request; it must be one of {', '.join(COLUMNS)}")
    numbers = _is_number(first[column])
    found = [_time(path, number, row.get(column), number_expected=numbers) for number, row in rows]
    scale = UNITS[unit or _unit(found, mooncake="hash_ids" in first)] if numbers else 1.0
    return [time * scale for time in found]


def _csv_rows(text: str) -> Iterable[tuple[int, Row]]:
    reader = csv.DictReader(io.StringIO(text, newline=""))
    for row in reader:
        yield reader.line_num, row


def _json_rows(path: Path, text: str) -> Iterable[tuple[int, Row]]:
    whole = text.lstrip().startswith("[")
    lines: Iterable[Any] = [text] if whole else io.StringIO(text)
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            found: Any = json.loads(line)
        except (ValueError, RecursionError):
            found = None
        every = cast("Sequence[Any]", found) if whole and isinstance(found, list) else [found]
        for at, row in enumerate(every, start=number):
            if not isinstance(row, dict):
                raise TraceError(f"{path}, line {at}: not a JSON object; a trace is CSV (*.csv) or JSON lines")
            yield at, cast("Row", row)


def _is_number(value: object) -> bool:
    try:
        float(str(value))
    except ValueError:
        return False
    return True


def _time(path: Path, number: int, value: object, *, number_expected: bool = True) -> float:
    """Return a number as it stands, or a date in seconds since 1970."""
    try:
        if number_expected:
            time = float(str(value))
        else:
            at = datetime.fromisoformat(_FRACTION.sub(r"\1", str(value)))
            time = (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        time = math.nan
    if not math.isfinite(time):
        wanted = "a number" if number_expected else "a date like 2023-11-16T18:15:46.68"
        raise TraceError(f"{path}, line {number}: not a time; it must be {wanted}, as in the first line")
    return time


def _unit(found: Sequence[float], *, mooncake: bool) -> str:
    largest = max(found)
    return next((unit for least, unit in _EPOCHS if largest >= least), "ms" if mooncake else "s")


def _rates(path: Path, rows: Sequence[tuple[int, Row]]) -> Trace:
    table: dict[str, dict[float, float]] = defaultdict(dict)
    for number, row in rows:
        at_s, rate = (_time(path, number, row.get(name)) for name in _RATES[1:])
        if not 0 <= rate <= _MOST_RPS:
            raise TraceError(f"{path}, line {number}: rate_rps must be between 0 and {_MOST_RPS:g}")
        table[str(row["client"])][at_s] = rate
    starts = sorted({at_s for client in table.values() for at_s in client})
    window_s = min((later - sooner for sooner, later in pairwise(starts)), default=0.0)
    if window_s <= 0:
        raise TraceError(f"{path}: a table of rates needs at least two windows")
    counts = {
        name: [client.get(at_s, 0.0) * window_s for at_s in starts]
        for name, client in sorted(table.items(), key=lambda item: -sum(item[1].values()))
    }
    return Trace(path.name, window_s=window_s, rates=counts)
