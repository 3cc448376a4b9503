"""A bank of forecasters of how many requests come in the next window, for many series at once.

Members, the first being the yardstick:

* ``naive``: as many as in the last window;
* ``decay X``: the average with exponentially falling weights, of time constant X windows. It counts each arrival at its own
  time, so a short one knows whether a burst within the window is still going on. (An average of whole windows with
  alpha 0.4 is a decay of 2 windows.)
* ``ar``: recursive least squares with forgetting on the last six windows, around the slowest decay.

They are mixed by `weights`; naive alone is followed while the mixture, followed or not, has erred more than it of late. The
interval is the forecast plus and minus a multiple of its recent error; the multiple is steered so that 80% of what comes
lies inside (Gibbs and Candes, "Adaptive conformal inference", 2021).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from . import weights as mixing
from .regression import Regression

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .arrays import Floats, Rows

REACH: Final = (0.3, 2.0, 5.0, 20.0)  # time constants in windows
LAGS: Final = 6
MEMBERS: Final = ("naive", *(f"decay {reach:g}" for reach in REACH), "ar")
COVERED: Final = 0.8
_NORMAL: Final = 1.2816  # 80% of a normal distribution lie within so many standard deviations
_WIDTHS: Final = (0.3, 6.0)
_STEER: Final = 0.05
_RECENT: Final = 0.05
_FADE: Final = 0.99
_RISK: Final = 1.02  # squared errors over naive's beyond which naive is followed
_LEAST: Final = 1e-3  # of a bin, for a series without any evidence
_EARLIEST: Final = 0.25  # windows: a series that has been watched for less is no surer of its rate


class Bank:
    """Forecasts of counts in windows of one length; arrays have the shape (series, …).

    Args:
        window_s: length of a window in seconds.
        series: how many series there is room for.
        without: members to leave out, to see what they are good for; not ``naive``.

    Attributes:
        window_s: as given.
        members: their names.
        state: all that it knows: arrays by name.
    """

    def __init__(self, window_s: float, series: int = 1, without: Sequence[str] = ()) -> None:
        self.window_s = window_s
        self._kept = [at for at, name in enumerate(MEMBERS) if name not in without]
        self.members = tuple(MEMBERS[at] for at in self._kept)
        self._taus_s: Floats = window_s * np.asarray(REACH)
        self._belief = mixing.belief(len(self._kept))
        self._weights = mixing.believed_weights(len(self._kept))
        self._line = Regression(series, LAGS)
        count = len(self._kept)
        self.state: dict[str, Floats] = {
            "closed": np.zeros(series),  # windows that ended
            "lags": np.zeros((series, LAGS)),  # their counts, the last first
            "rates": np.zeros((series, len(REACH))),  # sums of exp(-age / tau) over the arrivals
            "top": np.zeros(series),  # the highest count, slowly forgotten
            "centre": np.zeros(series),  # what the regression's forecast of the open window is measured from
            "said": np.zeros((series, count)),  # the members' forecasts of the open window
            "weights": np.tile(self._weights, (series, 1)),
            "products": np.zeros((series, count, count)),  # of the members' errors, discounted
            "bins": np.zeros(series),  # how many, discounted
            "fourth": np.zeros(series),  # fourth powers of the first member's errors, discounted
            "range": np.zeros((series, 3)),  # the mixture's forecast of the open window, its lower and upper end
            "duel": np.zeros((series, 2)),  # squared errors of the mixture, followed or not, and of naive; discounted
            "square": np.zeros(series),  # mean square of the mixture's recent errors
            "width": np.full(series, _NORMAL),
            "measured": np.zeros((series, 4)),  # windows, squared errors of the mixture and of naive, windows covered
            "best": np.zeros((series, count)),  # windows before which each member was the best of late
            **self._line.state,
        }

    def begin(self, row: int) -> None:
        """Forget a series: its row is another's from now on."""
        for array in self.state.values():
            array[row] = 0.0
        self.state["weights"][row] = self._weights
        self.state["width"][row] = _NORMAL
        self._line.begin(row)

    def pass_time(self, seconds: float) -> None:
        """Let what was counted age."""
        self.state["rates"] *= np.exp(-seconds / self._taus_s)

    def count(self, rows: Rows, ages_s: Floats) -> None:
        """Count arrivals in the series `rows` that came so many seconds before now; both have the shape (arrivals,)."""
        np.add.at(self.state["rates"], rows, np.exp(-ages_s[:, None] / self._taus_s))

    def spread(self, row: int, count: float) -> None:
        """Count arrivals that are known to lie in the window that ends now, and no closer."""
        self.state["rates"][row] += count * self._taus_s / self.window_s * -np.expm1(-self.window_s / self._taus_s)

    def expect(self, passed: float, counted: Floats, watched_s: Floats) -> Floats:
        """Return the forecast of the window that would begin now, its lower and its upper end, shape (series, 3).

        Args:
            passed: share of the open window that has passed.
            counted: arrivals in it so far, shape (series,).
            watched_s: how long each series has been watched.
        """
        if passed <= 0.0:
            return self.state["range"]
        averages = self._averages(watched_s)
        lags = np.where(self.state["closed"][:, None] > 0, self.state["lags"], averages[:, -1:])
        # counts in windows that end now; of one that a boundary cuts, by the share that lies inside
        newer = np.column_stack((counted, passed * lags[:, :-1]))
        return self._mix(self._say(newer + (1.0 - passed) * lags, averages))

    def close(self, counts: Floats, watched_s: Floats) -> None:
        """End a window: measure what was said of it, learn from it, and say what comes next; arguments as in `expect`."""
        state = self.state
        known = (state["closed"] > 0).astype(np.float64)
        self._measure(counts, known)
        self._learn(counts, known)
        averages = self._averages(watched_s)
        # a series that began within the window was not seen for all of it
        counts = np.where(known + (watched_s >= self.window_s) > 0, counts, averages[:, -1])
        older = np.where(known[:, None] > 0, state["lags"][:, :-1], counts[:, None])
        state["lags"][:] = np.column_stack((counts, older))
        state["top"][:] = np.maximum(_FADE * state["top"], counts)
        state["closed"] += 1.0
        state["centre"][:] = averages[:, -1]
        state["said"][:] = self._say(state["lags"], averages)
        state["range"][:] = self._mix(state["said"])

    def best(self) -> Rows:
        """Return which member erred least of late, shape (series,)."""
        own: Floats = np.einsum("smm->sm", self.state["products"])
        least: Rows = np.argmin(own, axis=1)
        return least

    def _averages(self, watched_s: Floats) -> Floats:
        """Return the decayed averages in requests a window, as far as the time watched tells them."""
        seen = -np.expm1(-np.maximum(watched_s, _EARLIEST * self.window_s)[:, None] / self._taus_s)
        return self.state["rates"] / seen * (self.window_s / self._taus_s)

    def _say(self, lags: Floats, averages: Floats) -> Floats:
        """Return each member's forecast, shape (series, members)."""
        centre = averages[:, -1]
        limit = 2.0 * np.maximum(self.state["top"], lags[:, 0])
        line = np.minimum(np.maximum(centre + self._line.predict(lags - centre[:, None]), 0.0), limit)
        said = np.column_stack((lags[:, 0], averages, line))
        return said if len(self._kept) == len(MEMBERS) else said[:, self._kept]

    def _mix(self, said: Floats) -> Floats:
        state = self.state
        middle = np.einsum("sm,sm->s", said, state["weights"])
        mixed, naive = state["duel"].T
        middle = np.where(mixed <= _RISK * naive, middle, said[:, 0])
        # not surer than a Poisson count can be
        reach = state["width"] * np.sqrt(np.maximum(state["square"], middle + 1.0))
        return np.column_stack((middle, np.maximum(0.0, middle - reach), middle + reach))

    def _measure(self, counts: Floats, known: Floats) -> None:
        state = self.state
        middle, low, high = state["range"].T
        inside = ((low <= counts) & (counts <= high)).astype(np.float64)
        square = (middle - counts) ** 2
        found = (known, square, (state["said"][:, 0] - counts) ** 2, inside)
        state["measured"] += np.column_stack(found) * known[:, None]
        rows = np.arange(len(counts))
        state["best"][rows, self.best()] += known
        state["width"] *= np.exp(known * _STEER * (COVERED - inside))
        np.clip(state["width"], *_WIDTHS, out=state["width"])
        gain = np.maximum(_RECENT, 1.0 / np.maximum(state["measured"][:, 0], 1.0))
        state["square"] += known * gain * (square - state["square"])

    def _learn(self, counts: Floats, known: Floats) -> None:
        state = self.state
        centre = state["centre"]
        self._line.learn(state["lags"] - centre[:, None], counts - centre, known)
        mixed = np.einsum("sm,sm->s", state["said"], state["weights"])
        off = np.column_stack((mixed, state["said"][:, 0])) - counts[:, None]
        state["duel"][:] = np.where(known[:, None] > 0, mixing.MEMORY * state["duel"] + off**2, state["duel"])
        products, bins, fourth = state["products"], state["bins"], state["fourth"]
        usual = np.where(bins > 0, np.sqrt(products[:, 0, 0] / np.maximum(bins, 1.0)), np.inf)
        errors = mixing.soften(state["said"] - counts[:, None], usual) * known[:, None]
        keep = np.where(known > 0, mixing.MEMORY, 1.0)
        products *= keep[:, None, None]
        products += errors[:, :, None] * errors[:, None, :]
        bins[:] = bins * keep + known
        fourth[:] = fourth * keep + errors[:, 0] ** 4
        state["weights"][:] = mixing.improve(self._blame(), state["weights"])

    def _blame(self) -> Floats:
        """Return the products of errors, seen and believed, in units of the first member's square."""
        products, fourth = self.state["products"], self.state["fourth"]
        first = products[:, 0, 0]
        effective = np.maximum(first**2 / np.maximum(fourth, 1.0), _LEAST)
        return products / np.maximum(first, 1.0)[:, None, None] + self._belief / effective[:, None, None]
