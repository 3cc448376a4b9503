"""Where a prompt is read the soonest: by what is before it there, and by what the engine's prefix cache has of it.

The measure is prompt tokens, so no engine's speed has to be known: those of the request that must be read, half as much again
because whoever comes next waits for that, too; those that the engine has still to read for others; and for each of these a
share of a usual prompt, since what decodes slows reading down. Others weigh prefix, queue and KV use against each other (llm-d's scorers), or follow the prefix until the load differs by so
many requests (SGLang's router): ``benchmarks/replicas.py`` has both. What is left of theirs is a bound: no prefix, however
many ask for it, brings an engine more than its part of the load and a half.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING, Final

from ...middleware.admission.tickets import Placed
from ..fingerprint.prefix import BLOCK_BYTES
from ..fingerprint.recent import RecentBlocks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ...middleware.admission.tickets import Replica, Ticket

BLOCK_TOKENS: Final = BLOCK_BYTES // 4
UNKNOWN_TOKENS: Final = 512 * 1024
"""Of a prefix cache whose size nobody knows."""
LOAD: Final = 0.2
SPREAD: Final = 1.5
_READING: Final = 1.5
_PACE: Final = 0.01
_DENSE: Final = 2
_SPARE: Final = 16


class PrefixPlacement:
    """Chooses among the engines of one model.

    Equals are told apart by a digest of the prompt's first block, so that several processes, of which each sees only its own
    requests, send what begins alike to the same engine from the start.

    Bound: an engine is chosen only if it then has at most ``spread`` times the mean of all, and one more (consistent hashing
    with bounded loads, Mirrokni et al. 2018).

    Args:
        load: what each request inside weighs, in usual prompts; at least 0.
        spread: of the bound, at least 1.
        block_tokens: of the blocks that `Ticket.prefix` names, as they are where a prompt does not tell.

    Raises:
        ValueError: a setting is out of its range.
    """

    def __init__(self, *, load: float = LOAD, spread: float = SPREAD, block_tokens: int = BLOCK_TOKENS) -> None:
        if not (load >= 0 and spread >= 1 and block_tokens >= 1):
            raise ValueError("placement: load must be at least 0, spread and block_tokens at least 1")
        self._load = load
        self._spread = spread
        self._block_tokens = block_tokens
        self._seen: dict[str, tuple[float, RecentBlocks]] = {}  # by engine, with when that was started
        self._usual = 0.0
        self._count = 0

    def place(self, ticket: Ticket, replicas: Sequence[Replica]) -> Placed:
        """Choose the engine with the fewest tokens before the first one of the answer, within the bound.

        Raises:
            ValueError: none was given.
        """
        if not replicas:
            raise ValueError("placement: there is no engine to choose from")
        self._count += 1
        self._usual += (ticket.input_tokens - self._usual) * max(_PACE, 1 / self._count)
        bound = self._spread * (1 + sum(one.inside for one in replicas)) / len(replicas) + 1
        each = self._load * self._usual
        best: tuple[float, bytes, str] | None = None
        chosen, tokens = replicas[0], 0.0
        for one in replicas:
            if one.inside + 1 > bound:
                continue
            to_read = self._to_read(ticket, one)
            rank = (_READING * to_read + one.ahead + each * one.inside, _lot(ticket, one.id), one.id)
            if best is None or rank < best:
                best, chosen, tokens = rank, one, to_read
        self._remember(ticket, chosen, replicas)
        return Placed(chosen.id, tokens)

    def _to_read(self, ticket: Ticket, replica: Replica) -> float:
        """Return how many of the prompt's tokens are not in an engine's prefix cache; of the last token always something is."""
        started_s, recent = self._seen.get(replica.id, (0.0, None))
        if recent is None or not ticket.prefix or started_s != replica.started_s or replica.kv_tokens == 0:
            return float(ticket.input_tokens)
        # long prompts are named only at their beginning: then their tokens say nothing of a block's
        block = min(ticket.input_tokens / len(ticket.prefix), _DENSE * self._block_tokens)
        return max(ticket.input_tokens - recent.shared(ticket.prefix) * block, 1.0)

    def _remember(self, ticket: Ticket, replica: Replica, replicas: Sequence[Replica]) -> None:
        size = UNKNOWN_TOKENS if replica.kv_tokens is None else replica.kv_tokens
        capacity = max(1, size // self._block_tokens)
        started_s, recent = self._seen.get(replica.id, (replica.started_s, None))
        if recent is None or started_s != replica.started_s:
            recent = RecentBlocks(capacity)
            self._seen[replica.id] = replica.started_s, recent
            if len(self._seen) > 2 * len(replicas) + _SPARE:  # engines come and go
                known = {one.id for one in replicas}
                self._seen = {name: seen for name, seen in self._seen.items() if name in known}
        recent.capacity = capacity
        recent.add(ticket.prefix)


def _lot(ticket: Ticket, replica: str) -> bytes:
    name = f"{ticket.prefix[0]}" if ticket.prefix else ticket.id
    return blake2b(f"{name}\x1f{replica}".encode(), digest_size=8).digest()
