"""The real pipeline, keeper and store under a sequence of requests, faults and time; and what must hold in each."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import replace
from typing import Any, ClassVar, Final

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from forebay.middleware.records import Controls
from tests.safety.clients import Clients
from tests.safety.loop import StillLoop
from tests.safety.stack import MAX_ENTRIES, Stack, Tier
from tests.safety.world import CHANGES, HISTORIES, QUESTIONS, SLOW_S, Ask

STEPS: Final = 40
"""Longest sequence."""
LAST: Final = "Be last."
"""A system prompt that no other request has."""

RECENT: Final = st.integers(0, 5)
ENDS: Final = st.sampled_from(["", "ok", "ok", "ok"])
ENDINGS: Final = st.sampled_from(["ok", "ok", "ok", "ok", "length", "filtered", "null", "empty", "error", "cut"])
CHANGED: Final = st.tuples(st.sampled_from(sorted(CHANGES)), st.integers(0, 7))
FORGETS: Final = st.sampled_from(["tenant", "model", "all", "epoch of tenant", "epoch"])
SELDOM: Final = (
    *("forget tenant", "forget model", "forget all", "forget epoch of tenant", "forget epoch"),
    *("damage cut", "damage edited", "damage edited", "damage moved", "damage moved"),
    *("wait 101", "wait 101", "wait 150", "wait 400", "wait 700"),
)


class UnsafeError(AssertionError):
    """Something happened that must never happen."""


class Safety(RuleBasedStateMachine):
    """Sequences of requests, ends of computations, faults and time.

    Attributes:
        seen: what happened, over all sequences of a run.
        tier: what stands in front of the store.
    """

    seen: ClassVar[Counter[str]] = Counter()
    tier: ClassVar[Tier] = Tier.NONE

    def __init__(self) -> None:
        super().__init__()
        self.loop = StillLoop()
        self.stack = Stack(self.loop, self.tier, self.seen)
        self.clients = Clients(self.loop, self.stack, self.seen)
        self.asked = [Ask()]
        self.loop.run(self.stack.keeper.start())
        self.seen["sequences"] += 1

    def teardown(self) -> None:
        try:
            self._recovers()
        finally:
            self.clients.close()

    def _recovers(self) -> None:
        """Once all works again the next answer is kept, and no more than may be."""
        self._mend()
        self.loop.pass_by(20.0)  # what hangs has its deadline
        self.end_all("ok")
        self.loop.pass_by(6.0)
        name = self._ask(Ask(system=LAST), "ok")
        self.nothing_unsafe()
        made = self.stack.engine.of_request.get(name)
        if made is None or not self.stack.store.allowed(made.number):
            raise UnsafeError("an answer is not kept although all works again")
        kept = self._kept()
        if kept > MAX_ENTRIES:
            raise UnsafeError(f"{kept} entries kept after all works again, {MAX_ENTRIES} allowed")

    # --- what happens -------------------------------------------------------------------------------------------------

    @rule(before=RECENT, ends=ENDS)
    def ask_again(self, before: int, ends: str) -> None:
        """Ask what was asked lately."""
        self._ask(self._lately(before), ends)

    @rule(before=RECENT, change=CHANGED, ends=ENDS)
    def ask_changed(self, before: int, change: tuple[str, int], ends: str) -> None:
        """Ask what was asked lately with one thing changed."""
        self._ask(replace(self._lately(before), **_change(*change)), ends)

    @rule(before=RECENT, change=CHANGED)
    def ask_with_and_without(self, before: int, change: tuple[str, int]) -> None:
        """Ask twice, with one thing changed between, and be patient."""
        ask = replace(self._lately(before), controls=Controls())
        self._ask(ask, "ok")
        self._ask(replace(ask, **_change(*change)), "ok")
        self._ask(ask, "ok")

    @rule(before=RECENT, value=st.integers(0, 2), topic=st.sampled_from(["", "", "leaning", "unproven"]), ends=ENDS)
    def ask_in_other_words(self, before: int, value: int, topic: str, ends: str) -> None:
        """Ask what looks like what was asked lately, or like what others ask: the same in other words, or something else."""
        ask = self._lately(before)
        if topic == "leaning":
            ask = replace(ask, question=3, history=list(HISTORIES)[1 + value])
        elif topic == "unproven":
            ask = _alike(replace(ask, question=6), value)
        else:
            ask = _alike(ask, value)
        self._ask(ask, ends)

    @rule(before=RECENT, value=st.integers(0, 2), one=st.integers(0, 4), other=st.integers(0, 4))
    def ask_after_other_turns(self, before: int, value: int, one: int, other: int) -> None:
        """Ask what leans on earlier turns, and something like it after others."""
        ask, histories = replace(self._lately(before), question=3, controls=Controls()), list(HISTORIES)[1:]
        self._ask(replace(ask, history=histories[one]), "ok")
        self._ask(_alike(replace(ask, history=histories[other]), value), "ok")

    @rule(before=RECENT, value=st.integers(0, 2), change=CHANGED)
    def ask_astray(self, before: int, value: int, change: tuple[str, int]) -> None:
        """Ask something like it twice, while the store finds entries of anybody."""
        ask = self._lately(before)
        self._ask(replace(ask, **_change(*change)), "ok")
        faults = self.stack.store.faults
        faults["search"] = "foreign"
        self._ask(_alike(self._lately(0), value), "ok")
        self._ask(_alike(ask, value), "ok")
        faults.pop("search", None)

    @rule(before=RECENT, value=st.integers(0, 2), change=CHANGED, apart=st.booleans(), ending=ENDINGS)
    def ask_together(self, before: int, value: int, change: tuple[str, int], apart: bool, ending: str) -> None:
        """Ask while something like it is in flight: the same, in other words, or with one thing changed."""
        ask, changed = self._lately(before), _change(*change)
        leader = self._ask(ask if apart else replace(ask, **changed))
        self._ask(_alike(replace(ask, **changed), value))
        self._ask(replace(ask, **changed))
        self.clients.end(leader, ending)

    @rule(before=RECENT, by=FORGETS, ending=ENDINGS)
    def forget_meanwhile(self, before: int, by: str, ending: str) -> None:
        """An operator forgets while something is computed; then it is asked again."""
        ask = self._lately(before)
        leader = self._ask(ask)
        self.clients.forget(by, ask)
        self.clients.end(leader, ending)
        self._ask(ask, "ok")

    @rule(before=RECENT, by=FORGETS, broken=st.booleans())
    def forget_while_it_is_written(self, before: int, by: str, broken: bool) -> None:
        """An operator forgets while a slow store writes an answer, which may then refuse to delete it; then it is asked again."""
        ask, faults = replace(self._lately(before), controls=Controls()), self.stack.store.faults
        faults["put"] = "slow"
        self._ask(ask, "ok")
        self.clients.forget(by, ask)
        faults.pop("put", None)
        if broken:
            faults["delete"] = "raise"
        self.loop.pass_by(SLOW_S)
        self._ask(ask, "ok")

    @rule(
        before=RECENT,
        between=st.sampled_from(["anew", "wait 2", "wait 6", "wait 101", "wait 101", "wait 150"]),
        young=st.booleans(),
    )
    def ask_before_and_after(self, before: int, between: str, young: bool) -> None:
        """Ask, let the answer be computed anew or get old, and ask again."""
        ask = replace(self._lately(before), controls=Controls())
        self._ask(ask, "ok")
        kind, _, seconds = between.partition(" ")
        if kind == "anew":
            self._ask(replace(ask, controls=Controls(no_cache=True)), "ok")
        else:
            self.loop.pass_by(float(seconds))
        self._ask(replace(ask, controls=Controls(max_age_s=3.0)) if young else ask, "ok")

    def _lately(self, before: int) -> Ask:
        return self.asked[-1 - before % len(self.asked)]

    def _ask(self, ask: Ask, ending: str = "") -> str:
        self.asked.append(ask)
        return self.clients.ask(ask, ending)

    @rule(at=st.integers(0, 7), ending=ENDINGS)
    def end(self, at: int, ending: str) -> None:
        """One of the calls in the engine goes on: to its end, or, of a stream, first to all but its end."""
        calls = self.stack.engine.calls
        ended = self.stack.engine.let_go(calls[at % len(calls)], ending) if calls else "idle"
        self.seen[f"engine: {ended}"] += 1
        self.loop.settle()

    @rule(ending=ENDINGS)
    def end_all(self, ending: str) -> None:
        """All calls in the engine end, those that get in meanwhile, too."""
        while self.stack.engine.calls:
            self.end(0, ending)

    @rule(at=st.integers(0, 7))
    def leave(self, at: int) -> None:
        """A client leaves."""
        self.clients.leave(at)

    @rule(before=RECENT, ending=ENDINGS)
    def read_and_leave(self, before: int, ending: str) -> None:
        """Ask for a stream, and leave when all of it is there but its end."""
        name = self._ask(replace(self._lately(before), stream=True))
        call = self.stack.engine.call_of(name)
        if call is not None:
            self.stack.engine.let_go(call, ending)
            self.loop.settle()
            self.clients.tasks[-1].cancel()
            self.loop.settle()
            self.seen["streams left before their end"] += 1

    @rule(seconds=st.sampled_from([0.1, 0.4, 2.0, 6.0, 20.0, 50.0]))
    def wait(self, seconds: float) -> None:
        """Time passes."""
        self.loop.pass_by(seconds)

    @rule(
        operation=st.sampled_from(["get", "search", "put", "put", "delete", "delete", "count", "scan", "embed"]),
        how=st.sampled_from(["raise", "hang", "timeout", "slow", "own", "own"]),
    )
    def fault(self, operation: str, how: str) -> None:
        """From now on something fails; `own` is what only this operation can do, if any."""
        if how == "own":
            how = {"put": "late", "search": "foreign", "get": "foreign"}.get(operation, "raise")
        if operation == "embed":
            self.stack.embedder.fault = how
            self.seen[f"fault: embed {how}"] += 1
        else:
            self.stack.store.faults[operation] = how

    @rule()
    def heal(self) -> None:
        """All works again, and the breakers may notice."""
        self._mend()
        self.loop.pass_by(6.0)

    def _mend(self) -> None:
        self.stack.store.faults.clear()
        self.stack.embedder.fault = ""

    @rule(what=st.sampled_from(SELDOM), at=RECENT)
    def seldom(self, what: str, at: int) -> None:
        """An operator forgets, an entry is damaged where it lies, or it gets late."""
        kind, _, how = what.partition(" ")
        if kind == "forget":
            self.clients.forget(how, self._lately(at))
        elif kind == "damage":
            self.loop.run(self.stack.store.damage(at, how))
        else:
            self.loop.pass_by(float(how))

    # --- what must hold -----------------------------------------------------------------------------------------------

    @invariant()
    def nothing_unsafe(self) -> None:
        for found in (*self.stack.store.violations, *self.clients.violations):
            raise UnsafeError(found)

    @invariant()
    def one_refresh_at_a_time(self) -> None:
        """What is stale is computed anew by one call, however many are served it meanwhile."""
        behind = Counter(call.computation.ask for call in self.stack.engine.calls if call.computation.behind)
        if any(number > 1 for number in behind.values()):
            raise UnsafeError("two calls compute the same stale answer anew")
        self.seen["calls behind"] += len(behind)

    @invariant()
    def capacity_holds(self) -> None:
        """A write or deletion that failed, or is under way, may leave an entry too many, until the next write that works."""
        store, kept = self.stack.store, self._kept()
        if store.tidy and not store.changing:
            store.unruly = 0
        if kept > MAX_ENTRIES + store.unruly + store.changing:
            raise UnsafeError(f"{kept} entries kept, {MAX_ENTRIES} allowed")
        if kept >= MAX_ENTRIES:
            self.seen["full"] += 1

    def _kept(self) -> int:
        return self.loop.run_until_complete(self.stack.store.inner.count())


def _change(field: str, value: int) -> dict[str, Any]:
    return {field: CHANGES[field][value % len(CHANGES[field])]}


def _alike(ask: Ask, value: int) -> Ask:
    """Return the same request with a question that looks like its own."""
    axis = QUESTIONS[ask.question].axis
    alike = [at for at, question in enumerate(QUESTIONS) if question.axis == axis]
    return replace(ask, question=alike[value % len(alike)])


def explore(*, sequences: int, part: int = 0, steps: int = STEPS, tier: Tier = Tier.NONE) -> Counter[str]:
    """Run sequences, the same ones for the same part; return what happened in them.

    Args:
        sequences: how many.
        part: seeds them.
        steps: of one sequence at most.
        tier: what stands in front of the store.

    Raises:
        UnsafeError: something happened that must never happen.
    """

    @seed(part)
    class Part(Safety):
        pass

    Part.seen, Part.tier = Counter(), tier
    log = logging.getLogger("forebay")
    level = log.level
    log.setLevel(logging.ERROR)  # a breaker that opens is no news here
    try:
        run_state_machine_as_test(
            Part,
            settings=settings(
                max_examples=sequences,
                stateful_step_count=steps,
                deadline=None,
                database=None,
                phases=(Phase.generate,),
                suppress_health_check=(HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much),
                print_blob=False,
            ),
        )
    finally:
        log.setLevel(level)
    return Part.seen
