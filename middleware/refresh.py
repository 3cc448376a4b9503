"""Refreshes: a stale answer is served at once, and computed anew behind it, once.

What is computed anew also tells how soon such answers go stale: the expiry policy learns whether it still says the same.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from time import monotonic, time
from typing import TYPE_CHECKING, Final

from . import semconv
from .answer_values import text_of_answer
from .errors import CoordinationError, ForebayError
from .lifetimes import Revision
from .protocols import Revised
from .records import Answer, AnswerPair, Selector

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from .analysis.facts import RequestFacts
    from .background import BackgroundCaller
    from .flight import Flight
    from .keeper import Keeper
    from .protocols import Coordination, Expiry, Judge
    from .records import Entry, Request
    from .state import StateStore
    from .telemetry import Telemetry
    from .twins import Twins

log = logging.getLogger(__name__)
SNAPSHOT: Final = "expiry"
CALLED: Final = frozenset({"chat"})
"""Endpoints whose requests the background caller can make."""
MOST: Final = 64
"""Refreshes at a time; the background caller's budget is usually smaller."""
RETRY_S: Final = 5.0
"""After a refresh that failed, the next one of the same entry comes no sooner."""
REMEMBERED: Final = 1_024
JUDGE_DEADLINE_S: Final = 60.0
SAVED_EVERY: Final = 50
"""Revisions after which the policy's snapshot is written."""


class Refresher:
    """Computes stale answers anew, and lets the expiry policy learn from what becomes of answers.

    Args:
        caller: returns the background caller, None while there is none.
        remember: keeps an answer that was computed for a request in so many seconds (`Pipeline.remember`).
        coordination: what lets one process at a time refresh an entry.
        clock, timer: Unix time, and monotonic.
        judge: says whether two answers say the same; without one only equal texts do, and others count as changed.
    """

    def __init__(
        self,
        *,
        caller: Callable[[], BackgroundCaller | None],
        remember: Callable[[Request, Answer, float], Awaitable[str]],
        keeper: Keeper,
        coordination: Coordination,
        expiry: Expiry,
        twins: Twins,
        telemetry: Telemetry,
        judge: Judge | None = None,
        state: StateStore | None = None,
        clock: Callable[[], float] = time,
        timer: Callable[[], float] = monotonic,
    ) -> None:
        self._caller = caller
        self._remember = remember
        self._keeper = keeper
        self._coordination = coordination
        self._expiry = expiry
        self._twins = twins
        self._telemetry = telemetry
        self._judge = judge
        self._state = state
        self._clock = clock
        self._timer = timer
        self._running: dict[str, asyncio.Task[None]] = {}
        self._failed: OrderedDict[str, float] = OrderedDict()
        self._judging: set[asyncio.Task[None]] = set()
        self._unsaved = 0
        self._restore()

    def covers(self, flight: Flight, entry: Entry) -> bool:
        """Return whether a stale entry is or will be computed anew while it is served to this flight.

        Where nobody calls behind, the first to find it stale computes it, and it is served to the others meanwhile.
        """
        if entry.id in self._running or self._twins.busy(entry.id):
            return True
        if flight.key is not None and self._twins.busy(flight.key.exact):
            return True
        return self._caller() is not None and flight.request.endpoint in CALLED

    def consider(self, flight: Flight) -> None:
        """A flight has been served: compute the answer anew where that was stale and nobody does."""
        hit = flight.hit
        if hit is None or not hit.stale or flight.key is None or flight.request.endpoint not in CALLED:
            return
        entry, caller, own = hit.entry, self._caller(), flight.key.exact
        # by the question, too: its own stale entry may have gone, and another's be served in its place
        if caller is None or self._twins.busy(own) or not self._running.keys().isdisjoint((entry.id, own)):
            return
        if len(self._running) >= MOST:
            return
        if self._timer() - self._failed.get(entry.id, float("-inf")) < RETRY_S or caller.refusal() is not None:
            return
        task = asyncio.get_running_loop().create_task(self._refresh(flight, entry, caller))
        self._running[entry.id] = self._running[own] = task
        task.add_done_callback(lambda _: self._over(entry.id, own))

    def revise(self, facts: RequestFacts | None, question: str, kept: Entry, fresh: Answer) -> None:
        """An answer was computed anew: let the expiry policy learn, in a task of its own."""
        if not isinstance(self._expiry, Revised) or len(self._judging) >= MOST:
            return
        kind = facts.staleness.volatility.value if facts is not None and facts.staleness is not None else ""
        age_s = max(0.0, self._clock() - kept.created_s)
        task = asyncio.get_running_loop().create_task(self._learn(kind, age_s, question, kept, fresh))
        self._judging.add(task)
        task.add_done_callback(self._judging.discard)

    def _over(self, *names: str) -> None:
        for name in names:
            self._running.pop(name, None)

    async def drain(self, timeout_s: float) -> None:
        """Let what runs end, at most this long, and keep what was learned."""
        pending = {*self._running.values(), *self._judging}
        if pending:
            _, late = await asyncio.wait(pending, timeout=timeout_s)
            for task in late:
                task.cancel()
        self.save()

    def save(self) -> None:
        """Keep what was learned for the next start."""
        if self._state is not None and isinstance(self._expiry, Revised) and self._unsaved:
            self._unsaved = 0
            self._state.save(SNAPSHOT, dict(self._expiry.snapshot()))

    def _restore(self) -> None:
        saved = self._state.load(SNAPSHOT) if self._state is not None and isinstance(self._expiry, Revised) else None
        if saved is None or not isinstance(self._expiry, Revised):
            return
        try:
            self._expiry.restore(saved)
        except (ValueError, KeyError, TypeError):
            log.info("the expiry policy starts without its snapshot: it is another policy's")

    async def _refresh(self, flight: Flight, entry: Entry, caller: BackgroundCaller) -> None:
        claim, outcome = f"refresh:{entry.id}", "failed"
        try:
            if not (await self._coordination.claim(claim, flight.request.id, 1, 0.0)).granted:
                outcome = "elsewhere"
                return
            try:
                outcome = await self._renew(flight, entry, caller)
            finally:
                await self._coordination.release(claim, flight.request.id)
        except (ForebayError, CoordinationError, TimeoutError) as error:
            log.info("a stale answer could not be computed anew: %s", type(error).__name__)
        except Exception as error:  # nobody waits for it
            self._telemetry.dependency_error("refresh", type(error).__name__)
        finally:
            if outcome not in ("stored", "elsewhere"):
                self._failed[entry.id] = self._timer()
                if len(self._failed) > REMEMBERED:
                    self._failed.popitem(last=False)
            self._telemetry.count(semconv.METRIC_REFRESHES, outcome=outcome)

    async def _renew(self, flight: Flight, entry: Entry, caller: BackgroundCaller) -> str:
        began_s = self._timer()
        answer = await caller.answer(flight.request)
        refused = await self._remember(flight.request, answer, self._timer() - began_s)
        if refused:
            return "refused"
        self.revise(flight.facts, flight.key.text if flight.key is not None else "", entry, answer)
        if flight.key is not None and entry.id != flight.key.exact:
            # a similar question's: the fresh answer is found in its place
            await self._keeper.forget(Selector(id=entry.id))
        return "stored"

    async def _learn(self, kind: str, age_s: float, question: str, kept: Entry, fresh: Answer) -> None:
        policy = self._expiry
        assert isinstance(policy, Revised)  # `revise` looked
        same = await self._says_the_same(question, kept, fresh)
        if same is None:
            return
        policy.learn(Revision(kind, age_s, changed=not same))
        self._telemetry.count(semconv.METRIC_REVISIONS, kind=kind, outcome="same" if same else "changed")
        self._unsaved += 1
        if self._unsaved >= SAVED_EVERY:
            self.save()

    async def _says_the_same(self, question: str, kept: Entry, fresh: Answer) -> bool | None:
        """Return whether two answers to a question say the same, None where that cannot be told."""
        old, new = text_of_answer(kept.answer), text_of_answer(fresh)
        if old.split() == new.split():
            return True
        if self._judge is None:
            return False
        try:
            async with asyncio.timeout(JUDGE_DEADLINE_S):
                return (await self._judge.compare(AnswerPair(question, kept.question, old, new))).same
        except Exception as error:  # a judge that fails cannot tell
            self._telemetry.dependency_error("judge", type(error).__name__)
            return None
