"""Pairs of question and kept answer that a judge found to be wrong: they never match again."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Collection

    from .state import StateStore

SNAPSHOT: Final = "refused_pairs"
MOST: Final = 10_000


class RefusedPairs:
    """The pairs, as digests, oldest out first.

    Args:
        state: where they outlive a restart.
        most: how many are remembered.
    """

    def __init__(self, state: StateStore | None = None, *, most: int = MOST) -> None:
        self._state = state
        self._most = most
        self._pairs: OrderedDict[tuple[str, str], None] = OrderedDict()
        saved = state.load(SNAPSHOT) if state is not None else None
        for pair in saved.get("pairs", ()) if saved is not None else ():
            self._pairs[str(pair[0]), str(pair[1])] = None

    def __len__(self) -> int:
        return len(self._pairs)

    def holds(self, asked: str, entry_id: str) -> bool:
        """Return whether this entry must not answer this question.

        Args:
            asked: `Key.exact` of the question.
        """
        return (asked, entry_id) in self._pairs

    def add(self, asked: str, entry_id: str) -> None:
        """Note a pair."""
        self._pairs[asked, entry_id] = None
        while len(self._pairs) > self._most:
            self._pairs.popitem(last=False)
        self._save()

    def drop(self, entry_ids: Collection[str]) -> int:
        """Forget the pairs of entries that are gone for good; return how many those were."""
        gone = [pair for pair in self._pairs if pair[1] in entry_ids or pair[0] in entry_ids]
        for pair in gone:
            del self._pairs[pair]
        if gone:
            self._save()
        return len(gone)

    def _save(self) -> None:
        if self._state is not None:
            self._state.save(SNAPSHOT, {"pairs": [list(pair) for pair in self._pairs]})
