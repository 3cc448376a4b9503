"""What became of a batch's lines so far, those of earlier runs included."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .journal import Done


@dataclass(slots=True)
class Totals:
    """Counts of lines.

    Attributes:
        lines: of the input.
        done: of these, those that need no more work; `before`: those of them that were done when this run began.
        statuses: of the cache, of the lines that were answered.
        failures, warnings: labels; `first` is the first line in the file of each.
        tokens_saved: of answers that were not computed.
        retries: of this run.
    """

    lines: int
    done: int = 0
    before: int = 0
    tokens_saved: int = 0
    retries: int = 0
    statuses: Counter[str] = field(default_factory=Counter[str])
    failures: Counter[str] = field(default_factory=Counter[str])
    warnings: Counter[str] = field(default_factory=Counter[str])
    first: dict[str, int] = field(default_factory=dict[str, int])

    @property
    def hits(self) -> int:
        """Lines that the cache answered."""
        return sum(self.statuses[name] for name in ("exact", "inflight", "semantic"))

    @property
    def answered(self) -> int:
        """Lines with an answer."""
        return self.statuses.total()

    @property
    def computed(self) -> int:
        """Lines that the engine answered."""
        return self.answered - self.hits

    @property
    def failed(self) -> int:
        """Lines of the error file."""
        return self.failures.total()

    def add(self, done: Done) -> None:
        """Count a line."""
        self.done += 1
        self.tokens_saved += done.tokens_saved
        if done.ok:
            self.statuses[done.status] += 1
        if done.reason:
            (self.warnings if done.ok else self.failures)[done.reason] += 1
            self.first[done.reason] = min(self.first.get(done.reason, done.number), done.number)
