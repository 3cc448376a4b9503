"""What a bank knows as JSON, and back, with every number checked."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final, cast

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ...middleware.records import JsonObject
    from .arrays import Floats
    from .bank import Bank

SCHEMA: Final = 1
_LARGEST: Final = 1e15
_STEEPEST: Final = 1e6
_ROUNDING: Final = 1e-9
_SIGNED: Final = {"slopes": _STEEPEST, "inverse": 1e3, "products": _LARGEST}


def dump(bank: Bank, rows: int) -> JsonObject:
    """Return what the bank knows of its first rows."""
    arrays = {name: array[:rows].ravel().tolist() for name, array in bank.state.items()}
    return {"window_s": bank.window_s, "members": list(bank.members), "arrays": arrays}


def load(state: Any, bank: Bank, rows: int) -> Bank:
    """Return the bank, which is a new one, with what was dumped in its first rows.

    Raises:
        ValueError, KeyError, TypeError: it is of another bank, or damaged.
    """
    if state["window_s"] != bank.window_s or state["members"] != list(bank.members):
        raise ValueError("forecast: a state of another bank")
    arrays = state["arrays"]
    if not isinstance(arrays, dict) or set(cast("dict[str, Any]", arrays)) != set(bank.state):
        raise ValueError("forecast: a state with other arrays")
    for name, array in bank.state.items():
        found = numbers(arrays[name], (rows, *array.shape[1:]))
        most = _SIGNED.get(name)
        if np.abs(found).max(initial=0.0) > (most or _LARGEST) or (most is None and found.min(initial=0.0) < 0):
            raise ValueError(f"forecast: {name} is out of range")
        array[:rows] = found
    if not np.allclose(bank.state["weights"].sum(axis=1), 1.0):
        raise ValueError("forecast: weights do not add up")
    inverse = bank.state["inverse"]
    if not (np.allclose(inverse, inverse.swapaxes(1, 2)) and np.linalg.eigvalsh(inverse).min() >= -_ROUNDING):
        raise ValueError("forecast: a covariance that cannot be")
    low = bank.state["range"]
    if not ((low[:, 1] <= low[:, 0]) & (low[:, 0] <= low[:, 2])).all():
        raise ValueError("forecast: an interval does not hold its forecast")
    return bank


def items(values: Any) -> list[Any]:
    """Return a list.

    Raises:
        TypeError: it is something else.
    """
    if not isinstance(values, list):
        raise TypeError("forecast: not a list")
    return [*cast("Iterable[Any]", values)]


def numbers(values: Any, shape: tuple[int, ...]) -> Floats:
    """Return a flat list of finite numbers as an array.

    Raises:
        ValueError, TypeError: it is something else, or of another length.
    """
    flat = items(values)
    if not all(isinstance(each, int | float) and not isinstance(each, bool) and math.isfinite(each) for each in flat):
        raise TypeError("forecast: not finite numbers")
    return np.array(flat, dtype=np.float64).reshape(shape)


def names(values: Any, *, most: int) -> list[str]:
    """Return a list of different names.

    Raises:
        ValueError, TypeError: it is something else, or too long.
    """
    every = items(values)
    found = [each for each in every if isinstance(each, str)]
    if len(found) != len(every) or len(set(found)) != len(found) or len(found) > most:
        raise ValueError("forecast: not a list of different tenants, or too many")
    return found


def flag(value: Any) -> bool:
    """Return a truth value.

    Raises:
        TypeError: it is something else.
    """
    if not isinstance(value, bool):
        raise TypeError("forecast: not true or false")
    return value
