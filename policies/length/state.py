"""Numbers as JSON and back, checked."""

from __future__ import annotations

import base64
import math
from typing import TYPE_CHECKING, Any, TypeGuard

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]
    Single = NDArray[np.float32]

_LARGEST = 1e6


def pack(values: Array | Single) -> str:
    """Return numbers as base64 of little-endian float32."""
    return base64.b64encode(values.astype("<f4").tobytes()).decode("ascii")


def unpack(text: Any, count: int) -> Array:
    """Return `count` numbers that `pack` wrote.

    Raises:
        ValueError, TypeError: it is something else, or too large to be a weight.
    """
    if not isinstance(text, str):
        raise TypeError("not packed numbers")
    values = np.frombuffer(base64.b64decode(text, validate=True), "<f4").astype(np.float64)
    if len(values) != count or not bool(np.all(np.abs(values) < _LARGEST)):
        raise ValueError("not that many finite numbers")
    return values


def pack_symmetric(matrix: Single) -> str:
    """Return the lower half of a symmetric matrix."""
    return pack(matrix[np.tril_indices(len(matrix))])


def unpack_symmetric(text: Any, size: int) -> Single:
    """Return a covariance that `pack_symmetric` wrote.

    Raises:
        ValueError, TypeError: it is something else, or cannot be a covariance.
    """
    lower = unpack(text, size * (size + 1) // 2)
    matrix = np.empty((size, size), np.float32)
    at = np.tril_indices(size)
    matrix[at] = lower
    matrix.T[at] = lower
    variances = matrix.diagonal()
    if not bool(np.all(variances >= 0)) or not bool(
        np.all(matrix**2 <= 1.001 * np.outer(variances, variances) + 1e-12)
    ):
        raise ValueError("not a covariance")
    return matrix


def rows_of(value: Any, most: int, count: int) -> list[tuple[str, list[float]]]:
    """Return at most so many rows of a name and `count` finite numbers.

    Raises:
        ValueError, TypeError: it is something else.
    """
    if not _is_list(value) or len(value) > most:
        raise ValueError("not that many rows")
    return [_row(row, count) for row in value]


def numbers_of(value: Any, count: int) -> list[float]:
    """Return `count` finite numbers.

    Raises:
        ValueError, TypeError: it is something else.
    """
    if not _is_list(value) or len(value) != count:
        raise ValueError("not that many numbers")
    return [number_of(each) for each in value]


def number_of(value: Any) -> float:
    """Return a finite number.

    Raises:
        ValueError, TypeError: it is something else.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError("not a number")
    if not abs(value) < math.inf:
        raise ValueError("not finite")
    return float(value)


def _row(value: Any, count: int) -> tuple[str, list[float]]:
    if not _is_list(value) or not value or not isinstance(value[0], str):
        raise TypeError("not a row")
    return value[0], numbers_of(value[1:], count)


def _is_list(value: Any) -> TypeGuard[list[Any]]:
    return isinstance(value, list)
