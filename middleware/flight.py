"""One request on its way: a small state machine that many tasks may drive.

Its events are idempotent and may come from different tasks, twice, out of order or never: a host re-enters
its hooks on retries, stores twice and ends in several ways. Each event takes effect once and tells whether it
did; a deadline in the pipeline closes a flight that nobody closed.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Any

from opentelemetry.trace import INVALID_SPAN

from .events import Decision
from .records import CacheStatus, Ending, Hit, Miss, Mode
from .telemetry import end_span

if TYPE_CHECKING:
    from opentelemetry.trace import Span

    from .admission.gate import Lease
    from .analysis.facts import RequestFacts, Subject
    from .analysis.strategies import Choice
    from .records import Answer, Entry, Key, Lookup, Request, Vector
    from .similar import Considered
    from .twins import Live


@dataclass(slots=True)
class Part:
    """One message of a batch: its key, the entry that was found for it, and the answer that was computed."""

    key: Key
    entry: Entry | None = None
    answer: Answer | None = None


class Flight:
    """The state of one request.

    Attributes:
        mode: off, shadow or serve; fixed when the flight begins.
        facts, key, lookup: set by the stops; None until then.
        choice: the strategy for it, None where none was chosen.
        subject: what was predicted, None where nothing was; `told`: the stream's analyzers know of it.
        vector: the question's vector, once somebody had it made; `context_vector` is its reading's.
        considered: what the semantic tier decided, where it judged a candidate.
        outdated: the kept answer to this very request, where it may not be served any more as it is: computing it anew tells
            whether it still says the same, and where that fails it may be served all the same.
        follows: a request in flight that asks the same in other words, and the verdict on it.
        live: the call of an equal request that this one reads along, None where it does not.
        audit_share: the probability with which this hit was held out to be computed all the same; None where it was not.
        parts: of a batch, one a message; empty for all other requests.
        lane: the deployment whose queue it was last let through; `used`: the lease of the last attempt, given back or not.
        alone: a twin failed, or the request was edited; this flight computes for itself.
        saved_usd: what a hit would have cost, where the host knows prices.
        status: what the response header says.
        answer: the candidate for keeping, set by `answered`.
        ending: how it ended, None while it goes on.
    """

    def __init__(self, request: Request, mode: Mode, span: Span, *, now_s: float) -> None:
        self.request = request
        self.mode = mode
        self.span = span
        self.started_s = now_s
        self.facts: RequestFacts | None = None
        self.key: Key | None = None
        self.lookup: Lookup | None = None
        self.choice: Choice | None = None
        self.subject: Subject | None = None
        self.told = False
        self.vector: Vector | None = None
        self.context_vector: Vector | None = None
        self.considered: Considered | None = None
        self.outdated: Entry | None = None
        self.follows: Considered | None = None
        self.live: Live | None = None
        self.audit_share: float | None = None
        self.parts: list[Part] = []
        self.saved_usd = 0.0
        self.status = CacheStatus.BYPASS if mode is Mode.OFF else CacheStatus.MISS
        self.answer: Answer | None = None
        self.ending: Ending | None = None
        self.lease: Lease | None = None
        self.used: Lease | None = None
        self.lane = ""
        self.alone = False
        self.engine_span: Span = INVALID_SPAN
        self.entered_s: float | None = None
        self.first_token_s: float | None = None
        self.ended_s: float | None = None
        self.decisions: list[Decision] = []
        self.settled = asyncio.Event()
        self.candidate = asyncio.Event()
        self.timer: asyncio.TimerHandle | None = None

    @property
    def hit(self) -> Hit | None:
        """The hit to serve, None for a miss."""
        return self.lookup if isinstance(self.lookup, Hit) else None

    @property
    def refused(self) -> bool:
        """Whether it was shed."""
        return self.status is CacheStatus.SHED

    @property
    def complete(self) -> bool:
        """Whether it came to a clean end."""
        return self.ending is Ending.COMPLETE

    def begins_anew(self) -> None:
        """What was forgotten up to now says nothing of the answer that will be computed for it."""
        self.started_s = monotonic()

    def decide(self, stop: str, choice: str, reason: str = "", **detail: Any) -> None:
        """Note a decision for observers and `explain`."""
        self.decisions.append(Decision(self.request.id, stop, choice, reason, detail))

    def analyzed(self, facts: RequestFacts, key: Key | None) -> bool:
        """The analyzer is done."""
        if self.facts is not None:
            return False
        self.facts, self.key = facts, key
        return True

    def predicted(self, subject: Subject) -> None:
        """The predictors are done."""
        self.subject, self.facts = subject, subject.facts

    def found(self, lookup: Lookup) -> bool:
        """The lookup is done."""
        if self.lookup is not None:
            return False
        self._take(lookup)
        return True

    def served_by(self, hit: Hit) -> None:
        """An answer was found after the lookup had missed: a twin's, or an old one where computing it anew failed."""
        self._take(hit)

    def reads(self, live: Live) -> None:
        """It reads along what an equal request computes."""
        self.live = live
        self.status = CacheStatus.INFLIGHT

    def reads_no_more(self) -> None:
        """What it read along failed before there was anything to read: it computes for itself."""
        self.live = None
        self.alone = True
        self.status = CacheStatus.MISS

    def takes_over(self, other: Flight) -> None:
        """What it read along is its own from now on: the other one has left."""
        self.release()
        self.lease, other.lease = other.lease, None
        self.used, other.used = other.used, None
        self.engine_span, other.engine_span = other.engine_span, INVALID_SPAN
        self.entered_s, self.first_token_s = other.entered_s, other.first_token_s
        self.status = CacheStatus.MISS

    def withdrawn(self, reason: str) -> None:
        """The request was edited since it was looked up: no hit and no twin's answer is for it."""
        self.alone = True
        if self.hit is not None:
            self._take(Miss(reason))

    def leased(self, lease: Lease) -> None:
        """The request may enter the engine; an earlier attempt's lease is given back."""
        self.release()
        if self.ending is not None:
            lease.release()
            return
        self.lease = self.used = lease
        if self.refused:  # by another deployment, before this one
            self.status = CacheStatus.MISS

    def release(self) -> None:
        """This attempt is over: give the lease back; the flight goes on."""
        lease, self.lease = self.lease, None
        if lease is not None:
            lease.release()

    def entered(self, span: Span) -> None:
        """An attempt enters the engine; the span of an earlier attempt ends as failed."""
        end_span(self.engine_span, error="retried")
        self.engine_span = span
        self.entered_s, self.first_token_s = monotonic(), None

    def first_token(self) -> bool:
        """The first piece of a stream arrived."""
        if self.first_token_s is not None:
            return False
        self.first_token_s = monotonic()
        if self.lease is not None:
            self.lease.first_token()
        return True

    def answered(self, answer: Answer) -> bool:
        """A whole answer is there: the candidate for keeping. The last one counts; a retry replaces a failed try."""
        if self.ending not in (None, Ending.COMPLETE) or self.settled.is_set():
            return False
        self.answer = answer
        self.candidate.set()
        return True

    def dropped(self) -> None:
        """The attempt whose answer this was failed after all."""
        self.answer = None
        self.candidate.clear()

    def shed(self) -> None:
        """The request was refused."""
        self.status = CacheStatus.SHED

    def ended(self, ending: Ending) -> bool:
        """The call is over. The first ending counts; the lease is given back in any case."""
        self.release()
        if self.ending is not None:
            return False
        self.ending, self.ended_s = ending, monotonic()
        if self.timer is not None:
            self.timer.cancel()
        return True

    def _take(self, lookup: Lookup) -> None:
        self.lookup = lookup
        if isinstance(lookup, Hit):
            self.status = CacheStatus.STALE if lookup.stale else CacheStatus(lookup.tier.value)
        elif lookup.shadow is not None:
            self.status = CacheStatus.SHADOW
        elif self.status is not CacheStatus.BYPASS:
            self.status = CacheStatus.MISS
