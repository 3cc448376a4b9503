"""Audits: how often the semantic tier would be wrong, found out beside the traffic.

A decision is drawn with the probability that the acceptance policy asks for. Where the engine computed an answer anyway
(a hit that was not proven yet, a shadow, a hit held out), that one is compared; for a hit that was served the background
caller fetches one, and where there is none, such hits are held out: computed although they could have been served. Two
questions keep the judge honest: how often the engine's answers to one request differ, and how often answers to different
questions pass for the same.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from dataclasses import replace
from random import Random
from time import monotonic
from typing import TYPE_CHECKING, Final

from . import semconv
from .answer_values import text_of_answer
from .errors import ForebayError
from .protocols import Audited
from .records import Answer, AnswerPair, Audit, Mode, Tier

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from .background import BackgroundCaller
    from .config import AuditConfig
    from .flight import Flight
    from .keeper import Keeper
    from .protocols import Acceptance, AnswerCheck, Judge
    from .records import Key
    from .refused import RefusedPairs
    from .similar import Considered
    from .state import StateStore
    from .telemetry import Telemetry

log = logging.getLogger(__name__)
SNAPSHOT: Final = "acceptance"
CONTROLS: Final = 0.1
FIRST_CONTROLS: Final = 150
"""Share of audits that are followed by one of answers that must differ, after the first ones, which all are: nothing is proven
before it is known what the judge overlooks."""
REPEATS: Final = 0.25
"""Share of audits that are followed by one of two answers to the same request, where the background caller allows it."""
RECENT: Final = 64
UNLIKE: Final = 0.3
"""Questions below this cosine have different answers, for a control."""
CALLED: Final = frozenset({"chat"})
"""Endpoints whose requests the background caller can make."""
JUDGE_DEADLINE_S: Final = 60.0
MOST_WAITING: Final = 64
SAVED_EVERY: Final = 20
"""Audits after which the policy's snapshot is written; a crash costs fewer than these."""


class Auditor:
    """Draws audits, has them judged, and tells the acceptance policy.

    Args:
        acceptance: audited where it is `Audited`; else nothing happens here.
        judge: None where audits are off.
        made_with: what a proof depends on beside the policy: the ids of the ``embedder`` and of the ``judge``.
        caller: returns the background caller, None while there is none.
        checks: what an answer from behind must pass to be compared.
        seed: of the draws.
    """

    def __init__(
        self,
        *,
        acceptance: Acceptance,
        judge: Judge | None,
        caller: Callable[[], BackgroundCaller | None],
        keeper: Keeper,
        refused: RefusedPairs,
        state: StateStore,
        config: AuditConfig,
        telemetry: Telemetry,
        made_with: Mapping[str, str],
        checks: Sequence[AnswerCheck] = (),
        seed: int | None = None,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._policy = acceptance if judge is not None and isinstance(acceptance, Audited) else None
        self._judge = judge
        self._caller = caller
        self._keeper = keeper
        self._refused = refused
        self._state = state
        self._config = config
        self._telemetry = telemetry
        self._made_with = dict(made_with)
        self._checks = checks
        self._random = Random(seed)  # noqa: S311  (a sample, not a secret)
        self._clock = clock
        self._begun: deque[float] = deque()
        self._recent: deque[tuple[Key, tuple[float, ...], str]] = deque(maxlen=RECENT)
        self._tasks: set[asyncio.Task[None]] = set()
        self._unsaved = 0
        self._controls = 0
        self._restore()

    def hold_out(self, flight: Flight, found: Considered) -> bool:
        """Return whether a proven hit is to be computed all the same: the only audit of it where nobody calls behind."""
        behind = self._caller() is not None and flight.request.endpoint in CALLED
        if self._policy is None or behind or not self._has_room():
            return False
        share = self._share(self._policy, flight, found)
        if share <= 0.0:
            return False
        flight.audit_share = share
        return self._random.random() < share

    def consider(self, flight: Flight, fresh: Answer | None) -> None:
        """A flight has been settled: audit its decision, perhaps, in a task of its own.

        Args:
            fresh: what the engine answered, where that may be kept; None for a hit and for all else.
        """
        found, policy = flight.considered, self._policy
        if policy is None or found is None or flight.mode is Mode.OFF:
            return
        text = text_of_answer(fresh) if fresh is not None else ""
        if text and flight.vector is not None:
            self._recent.append((found.asked.key, tuple(flight.vector), text))
        # an equal request in flight may have answered: then the candidate was put aside
        hit = flight.hit
        served = (
            hit is not None and hit.tier in (Tier.SEMANTIC, Tier.INFLIGHT) and hit.entry.id == found.candidate.entry.id
        )
        if not served and (hit is not None or not text):
            return
        if flight.audit_share is not None:  # drawn in the lookup
            if not served:
                self._start(flight, found, fresh, flight.audit_share, served=False)
            return
        caller = self._caller()
        if not self._has_room() or (served and (caller is None or caller.refusal() is not None)):
            return  # before the draw: what cannot be audited must not have been chosen
        share = self._share(policy, flight, found)
        if self._random.random() < share:
            self._start(flight, found, fresh, share, served=served)

    @staticmethod
    def _share(policy: Audited, flight: Flight, found: Considered) -> float:
        """Return with which probability to audit: the policy's, times the strategy's."""
        times = flight.choice.strategy.audits if flight.choice is not None else 1.0
        return min(1.0, policy.share(found.asked, found.verdict) * times)

    async def drain(self, timeout_s: float) -> None:
        """Let running audits end, at most this long, and keep what was learned."""
        if self._tasks:
            _, late = await asyncio.wait(set(self._tasks), timeout=timeout_s)
            for task in late:
                task.cancel()
        self.save()

    def save(self) -> None:
        """Keep what was learned for the next start."""
        if self._policy is not None:
            self._unsaved = 0
            self._state.save(SNAPSHOT, {"made_with": self._made_with, "policy": dict(self._policy.snapshot())})

    def _restore(self) -> None:
        saved = self._state.load(SNAPSHOT) if self._policy is not None else None
        if self._policy is None or saved is None:
            return
        if saved.get("made_with") != self._made_with:
            log.info("the acceptance policy starts unproven: its proof was made with another embedder or judge")
            return
        try:
            self._policy.restore(saved["policy"])
        except (ValueError, KeyError, TypeError):
            log.info("the acceptance policy starts unproven: its snapshot is another policy's")

    def _has_room(self) -> bool:
        now = self._clock()
        while self._begun and now - self._begun[0] >= 3600.0:  # noqa: PLR2004  (seconds in an hour)
            self._begun.popleft()
        return len(self._begun) < self._config.per_hour and len(self._tasks) < MOST_WAITING

    def _start(self, flight: Flight, found: Considered, fresh: Answer | None, share: float, *, served: bool) -> None:
        self._begun.append(self._clock())
        task = asyncio.get_running_loop().create_task(self._audit(flight, found, fresh, share, served=served))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _audit(
        self, flight: Flight, found: Considered, fresh: Answer | None, share: float, *, served: bool
    ) -> None:
        policy, asked, kept = self._policy, found.asked, found.candidate.entry
        assert policy is not None  # `consider` looked
        text = text_of_answer(fresh if fresh is not None else await self._computed(flight))
        if not text:  # the engine failed: that says nothing about the kept answer
            self._telemetry.count(semconv.METRIC_AUDITS, kind="candidate", outcome="skipped")
            return
        same = await self._compare(AnswerPair(_whole(asked.key), kept.question, text_of_answer(kept.answer), text))
        self._learn(policy, Audit(asked, found.verdict, same, share, served=served))
        if same is False:
            self._refused.add(asked.key.exact, kept.id)
        if same and served and found.verdict.accepted:
            await self._promote(flight, found)
        if self._controls < FIRST_CONTROLS or self._random.random() < CONTROLS:
            other = self._unlike(flight, asked.key)
            if other is not None:
                self._controls += 1
                different = AnswerPair(_whole(asked.key), other[0], other[1], text)
                self._learn(policy, Audit(asked, found.verdict, await self._compare(different), kind="control"))
        if self._random.random() < REPEATS:
            again = text_of_answer(await self._computed(flight))
            if again:
                repeated = AnswerPair(_whole(asked.key), asked.key.text, again, text)
                self._learn(policy, Audit(asked, found.verdict, await self._compare(repeated), kind="repeat"))

    def _unlike(self, flight: Flight, key: Key) -> tuple[str, str] | None:
        """Return question and answer of a recent request in the same scope that asked something else."""
        vector = flight.vector
        if vector is None:
            return None
        others = [
            (other.text, text)
            for other, its, text in self._recent
            if other.scope == key.scope and sum(a * b for a, b in zip(vector, its, strict=True)) < UNLIKE
        ]
        return self._random.choice(others) if others else None

    async def _compare(self, pair: AnswerPair) -> bool | None:
        assert self._judge is not None  # there is a policy only where there is a judge
        try:
            async with asyncio.timeout(JUDGE_DEADLINE_S):
                return (await self._judge.compare(pair)).same
        except Exception as error:  # a judge that fails cannot tell
            self._telemetry.dependency_error("judge", type(error).__name__)
            return None

    async def _computed(self, flight: Flight) -> Answer | None:
        """Let the engine answer a request anew; None where there is no caller, no budget, or the engine failed."""
        caller = self._caller()
        if caller is None or caller.refusal() is not None:
            return None
        try:
            answer = Answer(await caller.call(flight.request))
            refused = any(check.refuse(flight.request, answer) for check in self._checks)
        except Exception as error:  # nobody waits for it
            self._telemetry.dependency_error("audit", type(error).__name__)
            return None
        return None if refused else answer  # one that broke off says nothing about the kept one

    def _learn(self, policy: Audited, audit: Audit) -> None:
        outcome = {True: "same", False: "different", None: "unknown"}[audit.same]
        self._telemetry.count(semconv.METRIC_AUDITS, kind=audit.kind, outcome=outcome)
        policy.learn(audit)
        self._unsaved += 1
        if self._unsaved >= SAVED_EVERY:
            self.save()

    async def _promote(self, flight: Flight, found: Considered) -> None:
        """Make an exact hit of a pair that was found right; a request that was computed has an entry of its own."""
        key = found.asked.key
        own = replace(
            found.candidate.entry,
            id=key.exact,
            context=key.context,
            question=key.text,
            reading=key.reading,
            vector=flight.vector,
            context_vector=flight.context_vector,
            embedder=self._made_with["embedder"] if flight.vector is not None else "",
        )
        try:
            await self._keeper.put(own, flight.started_s)
        except (ForebayError, TimeoutError) as error:
            log.info("a proven pair could not be promoted: %s", type(error).__name__)
        else:
            self._telemetry.count(semconv.METRIC_PROMOTIONS)


def _whole(key: Key) -> str:
    return f"{key.reading}\n\n{key.text}" if key.reading else key.text
