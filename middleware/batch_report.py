"""What became of a batch of requests."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from . import semconv
from .records import Tier

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .analysis.stream import Savings
    from .flight import Flight
    from .pipeline import Reply


@dataclass(frozen=True, slots=True)
class BatchReport:
    """What became of a batch.

    Attributes:
        computed: members whose answer the engine made.
        exact, inflight, semantic: members that were answered by the cache, by tier.
        failed: members that got an error.
        tokens_saved: prompt and output tokens of the answers that were not made again.
        not_kept: why computed answers were not kept (an answer check, a caller's wish, …), and how many each.
        expected: what was expected to be saved; None where nobody was asked.
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

    @property
    def saved(self) -> int:
        """Members that were not computed and have an answer."""
        return self.exact + self.inflight + self.semantic


@dataclass(frozen=True, slots=True)
class Batch:
    """The members' replies, or what they failed with, in the caller's order; and the report."""

    replies: Sequence[Reply | Exception]
    report: BatchReport


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


def report_of(replies: Sequence[Reply | Exception], flights: Sequence[Flight], expected: Savings | None) -> BatchReport:
    """Count what became of the members of a batch whose flights have settled."""
    hits = [flight.hit for flight in flights if flight.hit is not None and flight.complete]
    tiers = Counter(hit.tier for hit in hits)
    failed = sum(isinstance(reply, Exception) for reply in replies)
    return BatchReport(
        members=len(replies),
        computed=len(replies) - failed - len(hits),
        exact=tiers[Tier.EXACT],
        inflight=tiers[Tier.INFLIGHT],
        semantic=tiers[Tier.SEMANTIC],
        failed=failed,
        tokens_saved=sum(hit.entry.answer.input_tokens + hit.entry.answer.output_tokens for hit in hits),
        not_kept=Counter(filter(None, map(_not_kept, flights))),
        expected=expected,
    )


def _not_kept(flight: Flight) -> str:
    """Return why a computed answer was not kept, "" where it was or none was computed."""
    if flight.hit is not None or not flight.complete:
        return ""
    return next((one.reason for one in flight.decisions if (one.stop, one.choice) == ("settle", "skipped")), "")
