"""Log probabilities: vLLM's two forms of them, and the one in which they are kept.

Kept, a position is ``[[token id, log probability, rank, token], …]``, the token that was sampled first, or null where it has
none. JSON has no infinity, which a token that was forbidden has: it is kept as text.
"""

from __future__ import annotations

import math
from itertools import accumulate
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from .names import Names

Position: TypeAlias = list[list[Any]] | None


def is_flat(logprobs: Any) -> bool:
    """Return whether they are in columns (``FlatLogprobs``), and not one object a token."""
    return hasattr(logprobs, "start_indices")


def written(logprobs: Any) -> list[Position]:
    """Return the positions of vLLM's list or columns, as JSON.

    Columns are read as such: where the sampled token is among the likeliest, it is in them twice.
    """
    if not is_flat(logprobs):
        return [None if one is None else _rows(one) for one in logprobs]
    columns = (logprobs.token_ids, map(number, logprobs.logprobs), logprobs.ranks, logprobs.decoded_tokens)
    rows = [list(row) for row in zip(*columns, strict=True)]
    return [rows[start:end] for start, end in zip(logprobs.start_indices, logprobs.end_indices, strict=True)]


def read(names: Names, positions: Iterable[Position], *, flat: bool) -> Any:
    """Return positions as vLLM has them: new objects, since callers merge into them."""
    if not flat:
        return [None if rows is None else _tokens(names, rows) for rows in positions]
    columns = names.flat_logprobs()
    for rows in positions:
        columns.start_indices.append(len(columns.logprobs))
        for token_id, logprob, rank, token in rows or ():
            columns.token_ids.append(token_id)
            columns.logprobs.append(float(logprob))
            columns.ranks.append(rank)
            columns.decoded_tokens.append(token)
        columns.end_indices.append(len(columns.logprobs))
    return columns


def sums(positions: Sequence[Position]) -> list[float] | None:
    """Return the cumulative log probability after each number of tokens, None where a position has none.

    In vLLM's order of summing, so that each is bit for bit what it was.
    """
    if not all(positions):
        return None
    return list(accumulate((float(rows[0][1]) for rows in positions if rows), initial=0.0))


def number(value: float) -> float | str:
    """Return a float that JSON gives back unchanged; `float` reads either."""
    return value if math.isfinite(value) else str(float(value))


def _rows(position: Any) -> list[list[Any]]:
    return [[token_id, number(one.logprob), one.rank, one.decoded_token] for token_id, one in position.items()]


def _tokens(names: Names, rows: list[list[Any]]) -> dict[int, Any]:
    return {token_id: names.logprob(float(logprob), rank, token) for token_id, logprob, rank, token in rows}
