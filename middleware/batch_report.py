"""What became of a batch of requests."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from . import semconv
from .batch_checks import reason_of
from .records import Tier

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from .analysis.stream import Savings
    from .flight import Flight
    from .pipeline import Reply


@dataclass(frozen=True, slots=True)
class BatchReport:
    """What became of a batch.

    Attributes:
        computed: members whose answer the engine made.
        exact, inflight, semantic: members that were answered by the cache, by tier.
        failed: members that got an error; `failures`: why, and how many each.
        tokens_saved: prompt and output tokens of the answers that were not made again.
        retries: calls of the engine that were made again.
        warnings: what answer checks found about answers that were taken all the same, and how many each.
        not_kept: why computed answers were not kept (an answer check, a caller's wish, …), and how many each.
        expected: what was expected to be saved; None where nobody was asked.
        seconds: from the first member to the last.
    """

    members: int
    computed: int = 0
    exact: int = 0
    inflight: int = 0
    semantic: int = 0
    failed: int = 0
    tokens_saved: int = 0
    not_kept: Mapping[str, int] = field(default_factory=dict[str, int])
    expected: Savings | None = None
    retries: int = 0
    failures: Mapping[str, int] = field(default_factory=dict[str, int])
    warnings: Mapping[str, int] = field(default_factory=dict[str, int])
    seconds: float = 0.0

    @property
    def saved(self) -> int:
        """Members that were not computed and have an answer."""
        return self.exact + self.inflight + self.semantic

    @property
    def rate(self) -> float:
        """Members a second."""
        return self.members / self.seconds if self.seconds > 0 else 0.0


@dataclass(frozen=True, slots=True)
class Batch:
    """The members' replies, or what they failed with, in the caller's order; and the report."""

    replies: Sequence[Reply | Exception]
    report: BatchReport


class Tally:
    """Counts what becomes of the members of a batch, one by one.

    Attributes:
        retries: calls of the engine that were made again.
        expected: what is expected to be saved.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._began_s = self._ended_s = clock()
        self._members = 0
        self._tiers: Counter[Tier] = Counter()
        self._tokens = 0
        self._failures: Counter[str] = Counter()
        self._warnings: Counter[str] = Counter()
        self._not_kept: Counter[str] = Counter()
        self.retries = 0
        self.expected: Savings | None = None

    def add(self, outcome: Reply | Exception, warning: str) -> None:
        """Count a member that is done."""
        self._members += 1
        self._ended_s = self._clock()
        if isinstance(outcome, Exception):
            self._failures[reason_of(outcome)] += 1
        elif warning:
            self._warnings[warning] += 1

    def settled(self, flight: Flight) -> None:
        """Count a flight that has settled: what it saved, or why its answer was not kept."""
        if not flight.complete:
            return
        if flight.hit is not None:
            answer = flight.hit.entry.answer
            self._tiers[flight.hit.tier] += 1
            self._tokens += answer.input_tokens + answer.output_tokens
            return
        why = next((one.reason for one in flight.decisions if (one.stop, one.choice) == ("settle", "skipped")), "")
        if why:
            self._not_kept[why] += 1

    def report(self) -> BatchReport:
        """Return the report on what was counted so far."""
        failed = self._failures.total()
        return BatchReport(
            members=self._members,
            computed=self._members - failed - self._tiers.total(),
            exact=self._tiers[Tier.EXACT],
            inflight=self._tiers[Tier.INFLIGHT],
            semantic=self._tiers[Tier.SEMANTIC],
            failed=failed,
            tokens_saved=self._tokens,
            not_kept=self._not_kept,
            expected=self.expected,
            retries=self.retries,
            failures=self._failures,
            warnings=self._warnings,
            seconds=self._ended_s - self._began_s,
        )


def shown(report: BatchReport) -> dict[str, object]:
    """Return what the batch's span shows of the report."""
    return {
        semconv.BATCH_MEMBERS: report.members,
        semconv.BATCH_COMPUTED: report.computed,
        semconv.BATCH_EXACT: report.exact,
        semconv.BATCH_INFLIGHT: report.inflight,
        semconv.BATCH_SEMANTIC: report.semantic,
        semconv.BATCH_FAILED: report.failed,
        semconv.BATCH_TOKENS_SAVED: report.tokens_saved,
    }
