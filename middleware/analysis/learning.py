"""What predictors and the stream's analyzers have learned, kept for the next start."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..state import StateStore
    from .protocols import Learned

log = logging.getLogger(__name__)
SAVED_EVERY: Final = 200
"""Outcomes between two snapshots: a crash loses at most so many."""


class Memory:
    """Snapshots of learning parts in the state store.

    Args:
        parts: by their place in the configuration, for example ``predictors.length``.
    """

    def __init__(self, parts: Mapping[str, Learned], state: StateStore) -> None:
        self._parts = parts
        self._state = state
        self._unsaved = 0

    def restore(self) -> list[str]:
        """Take the last snapshots over; return the places that start anew although there was one."""
        refused: list[str] = []
        for place, part in self._parts.items():
            try:
                saved = self._state.load(name_of(place))
                if saved is not None:
                    part.restore(saved)
            except Exception as error:  # another version's, or damaged: it learns again
                refused.append(place)
                log.info("%s starts anew: its snapshot cannot be read (%s)", place, type(error).__name__)
        return refused

    def learned(self) -> None:
        """An outcome was learned; now and then everything is saved."""
        self._unsaved += 1
        if self._unsaved >= SAVED_EVERY:
            self.save()

    def save(self) -> None:
        """Save everything; a part that fails to is left out."""
        self._unsaved = 0
        for place, part in self._parts.items():
            try:
                snapshot = part.snapshot()
                if snapshot:
                    self._state.save(name_of(place), snapshot)
            except Exception as error:  # nobody waits for it
                log.info("%s was not saved: %s", place, type(error).__name__)


def name_of(place: str) -> str:
    """Return the name of a part's snapshot."""
    return f"learned:{place}"
