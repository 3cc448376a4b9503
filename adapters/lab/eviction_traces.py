"""Reading traces of caches: what was asked for, in order, and what each answer would cost to compute again."""

from __future__ import annotations

import csv
import io
import json
import random
import struct
import sys
from array import array
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from ...middleware.narrow import is_array, is_object
from .files import content_of
from .scheduling_traces import HASHED, OUTPUTS
from .traces import TraceError, read_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

ORACLE: Final = struct.Struct("<IQIq")
"""libCacheSim's oracleGeneral: time in seconds, id, size in bytes, when it comes again."""
_SAMPLE: Final = 4096
_NEVER: Final = (-1, 2**63 - 1)
_LATEST: Final = 10**12
_PAIRS: Final = 1 << 19  # bytes
_UPPER: Final = 4
"""Upper halves that a sample of small 64-bit numbers has at most; a sample of 32-bit ones has more."""
_TEXT: Final = frozenset(b"\t\n\r") | frozenset(range(32, 127))


@dataclass(frozen=True, slots=True)
class Requests:
    """A trace.

    Attributes:
        keys: a number a request; equal for the same key, from 0 on in the order in which keys first came.
        costs: what a hit of each request saves.
        names: the keys by their numbers.
        unit: what the costs are.
    """

    name: str
    keys: Sequence[int]
    costs: Sequence[float]
    names: Sequence[str]
    unit: str = "requests"


def read_requests(path: Path, form: str = "", limit: int | None = None) -> Requests:
    """Read a trace.

    Args:
        form: one of `FORMS`, "" for what it looks like.
        limit: so many requests at most.

    Raises:
        TraceError: it cannot be read; says what would help.
    """
    data = _bytes_of(path)
    form = form or _form_of(path, data)
    try:
        keys, costs, unit = FORMS[form](data)
    except (ValueError, KeyError, IndexError, struct.error):
        raise TraceError(
            f"{path} cannot be read as {form!r}; name its format with --format ({', '.join(FORMS)})"
        ) from None
    numbers: dict[object, int] = {}
    dense = [numbers.setdefault(key, len(numbers)) for key in keys[:limit]]
    if not dense:
        raise TraceError(f"{path} holds no requests")
    return Requests(path.name, dense, costs[:limit] or [1.0] * len(dense), [str(key) for key in numbers], unit)


def with_lengths(of: Requests, path: Path, seed: int) -> Requests:
    """Give each key the length of one answer of a log, drawn with a seed.

    Raises:
        TraceError: the log has no column of lengths.
    """
    lengths, draw = _lengths(path), random.Random(seed)  # noqa: S311 - lengths, not secrets
    drawn = [draw.choice(lengths) for _ in of.names]
    unit = f"output tokens, a length of {path.name} a key, seed {seed}"
    return replace(of, costs=[drawn[key] for key in of.keys], unit=unit)


def with_costs(of: Requests, path: Path) -> Requests:
    """Give each key its cost in a file: CSV ``key,cost``, with or without a header.

    Raises:
        TraceError: a key has none, or a row is no key and cost.
    """
    costs: dict[str, float] = {}
    try:
        text = _bytes_of(path).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise TraceError(f"{path} is not UTF-8 text") from None
    for number, row in enumerate((row for row in csv.reader(io.StringIO(text)) if row), 1):
        try:
            costs[row[0].strip()] = _amount(row[1])
        except (ValueError, IndexError):
            if number > 1:  # the first may be the header
                raise TraceError(f"{path}, row {number}, is no key and cost") from None
    missing = sum(name not in costs for name in of.names)
    if missing:
        raise TraceError(f"{path} has no cost for {missing} of the {len(of.names)} keys of {of.name}")
    amounts = [costs[name] for name in of.names]
    return replace(of, costs=[amounts[key] for key in of.keys], unit=f"costs of {path.name}")


_Read: TypeAlias = "tuple[Sequence[object], Sequence[float], str]"


def _oracle(data: bytes) -> _Read:
    return [row[1] for row in ORACLE.iter_unpack(data)], [], "requests"


def _big_endian(kind: str) -> Callable[[bytes], _Read]:
    def read(data: bytes) -> _Read:
        keys: array[int] = array(kind)
        keys.frombytes(data)
        if sys.byteorder == "little":
            keys.byteswap()
        return keys, [], "requests"

    return read


def _lines(data: bytes) -> _Read:
    words = data.decode().split()
    return [word for word in words if word.isdigit()], [], "requests"


def _sizes(data: bytes) -> _Read:
    rows = [line.split() for line in data.decode().splitlines() if line.strip()]
    return [row[1] for row in rows], [_amount(row[2]) for row in rows], "bytes"


def _mooncake(data: bytes) -> _Read:
    keys: list[object] = []
    for line in data.decode().splitlines():
        row: Any = json.loads(line) if line.strip() else {"hash_ids": []}
        if not is_object(row) or not is_array(row["hash_ids"]):
            raise ValueError("a line without hash_ids")
        keys += row["hash_ids"]
    return keys, [float(HASHED)] * len(keys), "tokens of prefix blocks"


def _csv(data: bytes) -> _Read:
    rows = [row for row in csv.reader(io.StringIO(data.decode("utf-8-sig"))) if row]
    if rows and rows[0][0].strip().lower() in ("key", "id", "obj_id"):
        rows = rows[1:]
    costs = [_amount(row[1]) for row in rows] if rows and len(rows[0]) > 1 else []
    return [row[0].strip() for row in rows], costs, "costs of the trace" if costs else "requests"


FORMS: Final[Mapping[str, Callable[[bytes], _Read]]] = {
    "oracle": _oracle,
    "int32": _big_endian("i"),
    "int64": _big_endian("q"),
    "lines": _lines,
    "sizes": _sizes,
    "mooncake": _mooncake,
    "csv": _csv,
}


def _form_of(path: Path, data: bytes) -> str:
    """Return what a file looks like."""
    if "oracleGeneral" in path.name:
        return "oracle"
    start = data[:_SAMPLE]
    if all(byte in _TEXT for byte in start):
        first = next((line for line in start.decode().splitlines() if line.strip()), "")
        if first.lstrip().startswith("{"):
            return "mooncake"
        words = first.split()
        if "," not in first and len(words) == len(("time", "id", "size")) and words[-1].isdigit():
            return "sizes"
        if not first.strip().isdigit():
            return "csv"
        return "lines"
    if len(data) % ORACLE.size == 0 and _is_oracle(data[: 100 * ORACLE.size]):
        return "oracle"
    if len(data) % 8 == 0 and _is_wide(data[:_PAIRS]):
        return "int64"
    if len(data) % 4 == 0:
        return "int32"
    raise TraceError(f"{path} is in no format that is known; name it with --format ({', '.join(FORMS)})")


def _is_wide(data: bytes) -> bool:
    """Return whether these are numbers of 64 bits: their upper halves are the same, or where one comes again the lower one does, too."""
    uppers = [data[at : at + 4] for at in range(0, len(data), 8)]
    pairs = {data[at : at + 8] for at in range(0, len(data), 8)}
    distinct = len(set(uppers))
    return distinct <= _UPPER or 0.99 * len(pairs) <= distinct < 0.99 * len(uppers)


def _is_oracle(data: bytes) -> bool:
    """Return whether times rise, and each request says that its key comes again later, or never."""
    rows = list(ORACLE.iter_unpack(data))
    times = [row[0] for row in rows]
    return (
        bool(rows)
        and times == sorted(times)
        and all(row[3] in _NEVER or at < row[3] < _LATEST for at, row in enumerate(rows))
    )


def _bytes_of(path: Path) -> bytes:
    if path.suffix in (".zst", ".zstd", ".bz2", ".zip"):
        raise TraceError(f"{path}: unpack it first; .gz and .xz are read as they are")
    try:
        return content_of(path)
    except OSError as error:
        raise TraceError(f"{path} cannot be read ({error.__class__.__name__})") from None


def _lengths(path: Path) -> list[float]:
    rows = read_rows(path)
    column = next((name for name in OUTPUTS if name in rows[0][1]), None)
    if column is None:
        raise TraceError(f"{path} has no lengths of answers; a column is called one of {', '.join(OUTPUTS)}")
    lengths: list[float] = []
    for number, row in rows:
        try:
            lengths.append(_amount(row.get(column)))
        except (ValueError, TypeError):
            raise TraceError(f"{path}, line {number}: no length of an answer") from None
    return lengths


def _amount(value: Any) -> float:
    amount = float(value)
    if not 0 <= amount < float("inf"):
        raise ValueError("not an amount")
    return amount
