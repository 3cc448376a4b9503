"""Load prediction: how many requests will come within the next seconds, in all and from each of the busiest tenants."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import numpy as np

from ...middleware.analysis.stream import Forecast, StreamFacts
from .bank import Bank
from .snapshots import SCHEMA, dump, flag, items, load, names, numbers
from .track import Track

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ...middleware.analysis.stream import Arrival
    from ...middleware.records import JsonObject
    from .arrays import Floats

HORIZONS_S: Final = (1.0, 10.0, 60.0)
OTHERS: Final = "(others)"
ALL: Final = "all"
_ALL_ROW, _OTHERS_ROW, _FIRST_ROW = 0, 1, 2
_WAITING: Final = 4  # times as many tenants without a row of their own are counted
_BUSIER: Final = 2.0  # so many times as busy must one be to take a row over
_LONGEST_NAME: Final = 200
_BUFFER: Final = 512


class ForecastAnalyzer:
    """Fills `StreamFacts.forecasts` and `.tenants`.

    The windows of each horizon follow one another from the first arrival on; forecasts are measured at their ends, before
    learning. A reading between two ends speaks of the time from the reading on. The busiest tenants have a row each; the
    rest shares one, called ``(others)``. A tenant that is twice as busy for the longest horizon takes a row over.

    Memory: at most 1 kB a row and horizon, names of four times as many tenants, 512 arrivals.

    Args:
        horizons_s: lengths of the windows in seconds, at least one.
        tenants: how many have a row of their own.

    Raises:
        ValueError: a horizon is not above zero, or there are no horizons.
    """

    def __init__(self, *, horizons_s: Sequence[float] = HORIZONS_S, tenants: int = 16) -> None:
        if not horizons_s or not all(0 < each < math.inf for each in horizons_s):
            raise ValueError("horizons_s: at least one, each above zero")
        if tenants < 0:
            raise ValueError("tenants: at least 0")
        self._tenants = tenants
        self._rows: dict[str, int] = {}
        self._waiting: dict[str, int] = {}
        self._others = False
        rows = _FIRST_ROW + tenants
        self._since_s: Floats = np.zeros(rows)
        self._tracks = [Track(Bank(each, rows), rows) for each in sorted(set(horizons_s))]
        self._blank = True
        # its own clock begins at 0 with the first arrival, and goes on where the process before this one stopped
        self._now_s = 0.0
        self._shift_s = math.nan  # the caller's clock less its own; unknown until the caller says a time
        self._next_s = 0.0  # the first end of an open window
        self._held_s: list[float] = []
        self._held_rows: list[int] = []

    def arrived(self, arrival: Arrival) -> None:
        """Count a request; a few microseconds, a window's end once in a while."""
        now_s = arrival.now_s - self._shift_s
        if self._now_s <= now_s < self._next_s:
            self._now_s = now_s
        else:  # the first, one after a window's end, or no time that can be
            self._advance(arrival.now_s)
        self._blank = False
        row = self._rows.get(arrival.tenant)
        self._held_rows.append(self._seat(arrival.tenant) if row is None else row)
        self._held_s.append(self._now_s)
        if len(self._held_s) >= _BUFFER:
            self._flush()

    def read(self, now_s: float, facts: StreamFacts) -> StreamFacts:
        """Return the facts with the forecasts as of now; as they are before the first arrival."""
        if self._blank:
            return facts
        self._advance(now_s)
        self._flush()
        rows = [(tenant, row) for tenant, row in self._rows.items()]
        if self._others:
            rows.append((OTHERS, _OTHERS_ROW))
        forecasts: dict[float, Forecast] = {}
        tenants: dict[str, dict[float, Forecast]] = {tenant: {} for tenant, _ in rows}
        for track in self._tracks:
            horizon_s, members = track.bank.window_s, track.bank.members
            rates = (track.read(self._now_s, self._since_s) / horizon_s).tolist()
            best: list[int] = track.bank.best().tolist()
            rate, low, high = rates[_ALL_ROW]
            forecasts[horizon_s] = Forecast(horizon_s, rate, low, high, members[best[_ALL_ROW]])
            for tenant, row in rows:
                rate, low, high = rates[row]
                tenants[tenant][horizon_s] = Forecast(horizon_s, rate, low, high, members[best[row]])
        return replace(facts, forecasts=forecasts, tenants=tenants)

    def report(self) -> Sequence[JsonObject]:
        """Return a row for each series and horizon: windows measured, errors in requests a window, share in the interval.

        ``best_…`` is the share of windows before which that member had been the best of late.
        """
        names = {ALL: _ALL_ROW, **self._rows, **({OTHERS: _OTHERS_ROW} if self._others else {})}
        return [
            row
            for name, at in names.items()
            for track in self._tracks
            if (row := _row(name, at, track.bank)) is not None
        ]

    def snapshot(self) -> JsonObject:
        """Return what was learned: arrays as flat lists, times by its own clock."""
        self._flush()
        used = _FIRST_ROW + len(self._rows)
        return {
            "schema": SCHEMA,
            "now_s": self._now_s,
            "since_s": self._since_s[:used].tolist(),
            "tenants": [*self._rows],
            "others": self._others,
            "banks": [dump(track.bank, used) for track in self._tracks],
        }

    def restore(self, state: JsonObject) -> None:
        """Take over a state that `snapshot` returned; the open windows begin anew with the next arrival or reading.

        Raises:
            ValueError, KeyError, TypeError: it is another one's, or of other horizons; nothing changed.
        """
        if state["schema"] != SCHEMA:
            raise ValueError("forecast: a state of another schema")
        tenants, others = names(state["tenants"], most=self._tenants), flag(state["others"])
        used, rows = _FIRST_ROW + len(tenants), len(self._since_s)
        now_s = float(numbers([state["now_s"]], (1,))[0])
        since_s = numbers(state["since_s"], (used,))
        if now_s < 0 or since_s.min() < 0 or since_s.max() > now_s:
            raise ValueError("forecast: times that cannot be")
        dumped = items(state["banks"])
        if len(dumped) != len(self._tracks):
            raise ValueError("forecast: a state of other horizons")
        tracks = [
            Track(load(each, Bank(track.bank.window_s, rows), used), rows)
            for each, track in zip(dumped, self._tracks, strict=True)
        ]
        self._rows = {tenant: at for at, tenant in enumerate(tenants, start=_FIRST_ROW)}
        self._others, self._tracks, self._blank = others, tracks, False
        self._waiting.clear()
        self._held_s.clear()
        self._held_rows.clear()
        self._since_s[:] = 0.0
        self._since_s[:used] = since_s
        self._now_s = self._next_s = now_s
        self._shift_s = math.nan
        for track in tracks:
            track.start(now_s)

    def _advance(self, now_s: float) -> None:
        """Let time pass until the caller's now; a time that cannot be is the last one."""
        if math.isnan(self._shift_s):
            self._shift_s = now_s - self._now_s if math.isfinite(now_s) else 0.0
            for track in self._tracks:
                track.start(self._now_s)
        own_s = now_s - self._shift_s
        if self._now_s < own_s < math.inf:
            self._flush()
            self._now_s = own_s
            # not any(): each of them has to
            over = [track.advance(own_s, self._since_s) for track in self._tracks]
            if over[-1]:
                self._reseat()
        self._next_s = min(track.end_s for track in self._tracks)

    def _flush(self) -> None:
        """Tell the banks what was held back for them."""
        rows = np.array(self._held_rows, dtype=np.intp)
        rows = np.concatenate((np.zeros_like(rows), rows))
        times_s = np.array(self._held_s * 2, dtype=np.float64)
        for track in self._tracks:
            track.take(rows, times_s, self._now_s)
        self._held_s.clear()
        self._held_rows.clear()

    def _seat(self, tenant: str) -> int:
        """Return the row for a tenant that has none: a free one, else the others'."""
        if len(tenant) <= _LONGEST_NAME:
            if len(self._rows) < self._tenants:
                row = self._rows[tenant] = _FIRST_ROW + len(self._rows)
                self._since_s[row] = self._now_s
                return row
            if tenant in self._waiting or len(self._waiting) < _WAITING * self._tenants:
                self._waiting[tenant] = self._waiting.get(tenant, 0) + 1
        if not self._others:
            self._others = True
            self._since_s[_OTHERS_ROW] = self._now_s
        return _OTHERS_ROW

    def _reseat(self) -> None:
        """Give the rows of the quietest tenants to busier ones among those that wait, as of the longest window."""
        counts = self._tracks[-1].bank.state["lags"][:, 0]
        quiet = sorted(self._rows, key=lambda tenant: counts[self._rows[tenant]])
        busy = sorted(self._waiting, key=lambda tenant: -self._waiting[tenant])
        self._waiting, waiting = {}, self._waiting
        for leaves, comes in zip(quiet, busy, strict=False):
            if waiting[comes] <= _BUSIER * counts[self._rows[leaves]]:
                return
            row = self._rows[comes] = self._rows.pop(leaves)
            self._since_s[row] = self._now_s
            for track in self._tracks:
                track.begin(row)


def _row(name: str, row: int, bank: Bank) -> JsonObject | None:
    windows, square, naive, covered = bank.state["measured"][row].tolist()
    if not windows:
        return None
    best = bank.state["best"][row].tolist()
    return {
        "series": name,
        "horizon_s": bank.window_s,
        "n": int(windows),
        "rmse": math.sqrt(square / windows),
        "rmse_over_naive": math.sqrt(square / naive) if naive else None,
        "coverage": covered / windows,
        **{
            f"best_{member.replace(' ', '_')}": count / windows
            for member, count in zip(bank.members, best, strict=True)
        },
    }
