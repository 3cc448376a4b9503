"""What was seen of a template, a tenant or a model: by how much its answers are longer than predicted, and how far they scatter."""

from __future__ import annotations

import math
from collections import OrderedDict
from dataclasses import dataclass, replace
from functools import lru_cache
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final, Generic, Protocol, TypeVar

from .state import numbers_of, rows_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from ...middleware.records import JsonObject

MODELS: Final = 64
TENANTS: Final = 256
"""Pairs of a tenant and a model."""
TEMPLATES: Final = 512
NORMAL_Q90: Final = 1.2816
_MEMORY: Final = {"all": 2_000, "fair": 200, "models": 300, "tenants": 300, "templates": 50}
_SPREAD_DOUBT: Final = 10.0
_STEP: Final = 0.03
_SLOW: Final = 0.01
_MAX_STEP: Final = 0.5
_WIDEST: Final = 6.0
_FAR: Final = 6.0
_LARGEST: Final = 1_000.0
_HALF: Final = 0.5
_TENTH: Final = 0.1


class Row(Protocol):
    """What can be kept as a row of numbers."""

    def row(self) -> list[float]:
        """Return its numbers."""
        ...


T = TypeVar("T", bound=Row)


@dataclass(slots=True)
class Shift:
    """Mean of residuals and mean square of what remained of them, of about the last `memory`."""

    memory: int
    count: float = 0.0
    mean: float = 0.0
    square: float = 0.0

    def learn(self, residual: float, size: float) -> None:
        """Take in a residual, and the size of what remained of it once the mean was allowed for."""
        self.count = min(self.count + 1.0, float(self.memory))
        self.mean += (residual - self.mean) / self.count
        self.square += (size * size - self.square) / self.count

    def shrunk(self, doubt: float) -> float:
        """Return the mean, drawn towards 0 as though `doubt` residuals of 0 had been seen, too."""
        return self.mean * self.count / (self.count + doubt)

    def spread(self, common: float) -> float:
        """Return the mean square, drawn towards that of all."""
        return (self.square * self.count + common * _SPREAD_DOUBT) / (self.count + _SPREAD_DOUBT)

    def row(self) -> list[float]:
        """Return its numbers."""
        return [self.count, self.mean, self.square]

    @classmethod
    def of(cls, memory: int, numbers: Sequence[float]) -> Shift:
        """Return the one that `row` was taken of.

        Raises:
            ValueError: a number is out of its range.
        """
        count, mean, square = numbers
        if not (0 <= count <= memory and abs(mean) <= _LARGEST and 0 <= square <= _LARGEST):
            raise ValueError("not a mean")
        return cls(memory, count, mean, square)


@dataclass(slots=True)
class Margin:
    """Where the median and the 90% quantile lie, in units of the spread: adapted to how often answers were longer.

    Each step moves a quantile so that in the long run the right share lies above it, whatever the distribution is (adaptive
    conformal inference, Gibbs and Candes 2021).

    Attributes:
        middle, upper: the two quantiles over the spread.
    """

    count: float = 0.0
    middle: float = 0.0
    upper: float = NORMAL_Q90

    def learn(self, rest: float, spread: float, least: float | None) -> None:
        """Take in a residual.

        Args:
            rest: actual less predicted logarithm of the length; of a truncated answer what is expected of it.
            spread: what was expected of its size.
            least: of a truncated answer the residual at its limit: it would have been greater.
        """
        self.count += 1.0
        step = min(_MAX_STEP, max(_STEP, 2.0 / self.count))
        below = None if least is None else least / spread
        self.middle += min(step, max(_SLOW, 2.0 / self.count)) * (
            _share_above(self.middle, rest / spread, below) - _HALF
        )
        self.upper += step * (_share_above(self.upper, rest / spread, below) - _TENTH)
        self.middle = min(_WIDEST, max(-_WIDEST, self.middle))
        self.upper = min(_WIDEST, max(self.middle, self.upper))

    def row(self) -> list[float]:
        """Return its numbers."""
        return [self.count, self.middle, self.upper]

    @classmethod
    def of(cls, numbers: Sequence[float]) -> Margin:
        """Return the one that `row` was taken of.

        Raises:
            ValueError: a number is out of its range.
        """
        count, middle, upper = numbers
        if not (count >= 0 and -_WIDEST <= middle <= upper <= _WIDEST):
            raise ValueError("not a margin")
        return cls(count, middle, upper)


class Records(Generic[T]):
    """A record a name, of the names that were used last.

    Names are kept as digests: tenants and templates are nobody's business.
    """

    def __init__(self, make: Callable[[], T], most: int) -> None:
        self._make = make
        self._most = most
        self._records: OrderedDict[str, T] = OrderedDict()

    def find(self, *names: str) -> T | None:
        """Return the record of a name, None where there is none."""
        return self._records.get(_digest(names))

    def take(self, *names: str) -> T:
        """Return the record of a name, making one where there is none: the one not used for longest goes."""
        name = _digest(names)
        record = self._records.get(name)
        if record is None:
            record = self._records[name] = self._make()
            if len(self._records) > self._most:
                self._records.popitem(last=False)
        else:
            self._records.move_to_end(name)
        return record

    def rows(self) -> list[list[str | float]]:
        """Return all records as rows: digest, then numbers."""
        return [[name, *record.row()] for name, record in self._records.items()]

    def fill(self, rows: Iterable[tuple[str, T]]) -> None:
        """Take over records by digest, the one used last at the end."""
        self._records = OrderedDict(list(rows)[-self._most :])


class History:
    """Offsets and margins: of all, and of each model, tenant and template that was used of late.

    Args:
        typical: logarithm of the length of an answer before anything was learned.

    Attributes:
        shift, models, tenants, templates: how much longer answers are than the prompt says; a tenant's and a template's
            offset is what the ones before leave over.
        fair: how far answers were from what was predicted before they were known.
        margin, margins: quantiles of all, and of each model.
    """

    def __init__(self, typical: float) -> None:
        self.shift = Shift(_MEMORY["all"], mean=typical)
        self.fair = Shift(_MEMORY["fair"], count=_SPREAD_DOUBT, square=1.0)
        self.margin = Margin()
        self.models: Records[Shift] = Records(lambda: Shift(_MEMORY["models"]), MODELS)
        self.margins: Records[Margin] = Records(self._margin, MODELS)
        self.tenants: Records[Shift] = Records(lambda: Shift(_MEMORY["tenants"]), TENANTS)
        self.templates: Records[Shift] = Records(lambda: Shift(_MEMORY["templates"]), TEMPLATES)

    def _margin(self) -> Margin:
        return replace(self.margin, count=0.0)

    def dump(self) -> JsonObject:
        """Return the state as JSON."""
        return {
            "all": [self.shift.row(), self.fair.row(), self.margin.row()],
            "models": self.models.rows(),
            "margins": self.margins.rows(),
            "tenants": self.tenants.rows(),
            "templates": self.templates.rows(),
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """Take over what `dump` returned.

        Raises:
            ValueError, KeyError, TypeError: it is something else; then this is of no use any more.
        """
        shift, fair, margin = state["all"]
        self.shift = Shift.of(_MEMORY["all"], numbers_of(shift, 3))
        self.fair = Shift.of(_MEMORY["fair"], numbers_of(fair, 3))
        self.margin = Margin.of(numbers_of(margin, 3))
        self.margins.fill((name, Margin.of(row)) for name, row in rows_of(state["margins"], MODELS, 3))
        for name, records, most in (
            ("models", self.models, MODELS),
            ("tenants", self.tenants, TENANTS),
            ("templates", self.templates, TEMPLATES),
        ):
            rows = rows_of(state[name], most, 3)
            records.fill([(digest, Shift.of(_MEMORY[name], numbers)) for digest, numbers in rows])


def beyond(least: float) -> tuple[float, float]:
    """Return mean and root mean square of a standard normal variable that is known to be greater than `least`.

    By which a truncated answer is replaced (the Tobit model by imputation, as in Buckley and James 1979).
    """
    if least > _FAR:
        return least + 1.0 / least, least + 1.0 / least
    mean = math.exp(-least * least / 2) / (math.sqrt(2 * math.pi) * _tail(least))
    return mean, math.sqrt(max(0.0, 1.0 + least * mean))


def _tail(value: float) -> float:
    return math.erfc(value / math.sqrt(2)) / 2


def _share_above(quantile: float, value: float, least: float | None) -> float:
    """Return whether a value lies above a quantile; of a truncated one with which probability."""
    if least is None or least >= quantile:
        return 1.0 if value > quantile else 0.0
    return _tail(quantile) / _tail(least) if least > -_FAR else _tail(quantile)


@lru_cache(maxsize=MODELS + TENANTS + TEMPLATES)
def _digest(names: tuple[str, ...]) -> str:
    packed = "\0".join(names).encode("utf-8", "replace")
    return blake2b(packed, digest_size=8).hexdigest()
