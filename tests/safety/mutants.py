"""Seeded faults: what forebay would be if one of its safeguards were missing, and how the suite must notice.

Each replaces real functions for the length of a test.
"""

# pyright: reportPrivateUsage=false

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from forebay.adapters.memory.store import MemoryStore
from forebay.middleware import analyze as analyze_module
from forebay.middleware.chat import Assembler
from forebay.middleware.epochs import Epochs
from forebay.middleware.flight import Flight
from forebay.middleware.forgotten import Forgotten
from forebay.middleware.freshness import Freshness, freshness
from forebay.middleware.housekeeping import House
from forebay.middleware.keeper import Keeper
from forebay.middleware.keys import Keyring, make_key
from forebay.middleware.modes import Modes
from forebay.middleware.owed import Owed
from forebay.middleware.pipeline import Pipeline
from forebay.middleware.records import Controls, Ending, Mode, Reading
from forebay.middleware.refresh import Refresher
from forebay.middleware.settle import SettleStop
from forebay.middleware.similar import SemanticTier
from forebay.middleware.twins import Twins
from forebay.policies.answer_checks.clean_end import CleanEnd
from forebay.policies.eviction.lru import LRU

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    import pytest

    from forebay.middleware.records import Entry, Key, Request


@dataclass(frozen=True, slots=True)
class Mutant:
    """One missing safeguard.

    Attributes:
        seed: takes the safeguard away.
        noticed: what the suite must say of it; one of these.
    """

    name: str
    seed: Callable[[pytest.MonkeyPatch], None]
    noticed: tuple[str, ...]


def _returning(value: object) -> Callable[..., object]:
    def careless(*_: Any, **__: Any) -> object:
        return value

    return careless


def _keyed_without(change: Callable[[Request], Request]) -> Callable[[pytest.MonkeyPatch], None]:
    """Return what lets keys be made of a request that lacks something."""

    def careless(request: Request, keyring: Keyring, *reading: Any, **more: Any) -> Key:
        return make_key(change(request), keyring, *reading, **more)

    return lambda patch: patch.setattr(analyze_module, "make_key", careless)


def _without_params(*names: str) -> Callable[[pytest.MonkeyPatch], None]:
    return _keyed_without(
        lambda request: replace(
            request, params={name: value for name, value in request.params.items() if name not in names}
        )
    )


def _context_ignored(patch: pytest.MonkeyPatch) -> None:
    def careless(request: Request, keyring: Keyring, *_: Any, **more: Any) -> Key:
        return make_key(request, keyring, Reading(), **more)

    patch.setattr(analyze_module, "make_key", careless)


def _digest_cut(patch: pytest.MonkeyPatch) -> None:
    whole = Keyring.digest

    def careless(self: Keyring, *fields: str | bytes) -> str:
        return whole(self, *fields)[:1]

    patch.setattr(Keyring, "digest", careless)


def _finish_reason_unchecked(patch: pytest.MonkeyPatch) -> None:
    check = CleanEnd.refuse

    def careless(self: CleanEnd, request: Any, answer: Any) -> str | None:
        refused = check(self, request, answer)
        return None if refused is not None and refused.startswith("finish_reason") else refused

    patch.setattr(CleanEnd, "refuse", careless)


def _cancelled_kept(patch: pytest.MonkeyPatch) -> None:
    """A stream that its client left is handed in as far as it came, and counts as complete."""
    live, ended = Pipeline._chunks, Flight.ended

    async def careless(self: Pipeline, flight: Flight, *more: Any) -> AsyncGenerator[Any, None]:
        assembler, chunks = Assembler(), live(self, flight, *more)
        try:
            async for chunk in chunks:
                assembler.add(chunk)
                yield chunk
        finally:
            flight.answered(assembler.answer())
            await chunks.aclose()

    def complete(self: Flight, ending: Ending) -> bool:
        return ended(self, Ending.COMPLETE if ending is Ending.CANCELLED else ending)

    patch.setattr(Pipeline, "_chunks", careless)
    patch.setattr(Flight, "ended", complete)


def _foreign_accepted(patch: pytest.MonkeyPatch) -> None:
    async def careless(self: Keeper, query: Any, *, stale: bool = False) -> Any:
        found = await self._breaker.call(lambda: self.store.search(query), self._read_s)
        return [candidate for candidate in found if self._usable(candidate.entry, stale=stale)]

    patch.setattr(Keeper, "search", careless)


def _verdict_ignored(patch: pytest.MonkeyPatch) -> None:
    best = SemanticTier._best

    def careless(self: SemanticTier, *args: Any) -> Any:
        found = best(self, *args)
        return found and replace(found, verdict=replace(found.verdict, accepted=True, proven=True))

    patch.setattr(SemanticTier, "_best", careless)


def _proof_ignored(patch: pytest.MonkeyPatch) -> None:
    best = SemanticTier._best

    def careless(self: SemanticTier, *args: Any) -> Any:
        found = best(self, *args)
        return found and replace(found, verdict=replace(found.verdict, proven=True))

    patch.setattr(SemanticTier, "_best", careless)


def _overwrite_lost(patch: pytest.MonkeyPatch) -> None:
    put = MemoryStore.put

    async def careless(self: MemoryStore, entry: Any) -> None:
        if await self.get(entry.id) is None:
            await put(self, entry)

    patch.setattr(MemoryStore, "put", careless)


def _forgotten_kept(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Forgotten, "since", _returning(value=False))


def _skips(*reasons: str) -> Callable[[pytest.MonkeyPatch], None]:
    """Return what lets settling overlook reasons not to keep an answer."""
    skip = SettleStop._skip

    def careless(flight: Flight) -> str | None:
        found = skip(flight)
        return None if found in reasons else found

    return lambda patch: patch.setattr(SettleStop, "_skip", staticmethod(careless))


def _shadow_served(patch: pytest.MonkeyPatch) -> None:
    of = Modes.of

    def careless(self: Modes, request: Any) -> Mode:
        found = of(self, request)
        return Mode.SERVE if found is Mode.SHADOW else found

    patch.setattr(Modes, "of", careless)


def _twins_mixed(patch: pytest.MonkeyPatch) -> None:
    """All requests in flight are taken for twins."""
    join, answered = Twins.join, Twins.answered

    async def join_any(self: Twins, key: str, name: str, *more: Any) -> Any:
        return await join(self, key and "one", name, *more)

    def answered_any(self: Twins, key: str, name: str, entry: Entry | None) -> int:
        return answered(self, key and "one", name, entry)

    patch.setattr(Twins, "join", join_any)
    patch.setattr(Twins, "answered", answered_any)


def _worth(patch: pytest.MonkeyPatch, judged: Callable[[Entry, Controls, float], Freshness]) -> None:
    for module in ("lookup", "similar"):
        patch.setattr(f"forebay.middleware.{module}.freshness", judged)


def _expiry_unchecked(patch: pytest.MonkeyPatch) -> None:
    def careless(entry: Entry, controls: Controls, now_s: float) -> Freshness:
        return freshness(replace(entry, expires_s=now_s + 1.0), controls, now_s)

    def timeless(self: Keeper, entry: Entry, *, stale: bool) -> bool:
        return entry.id not in self.house.owed and self.epochs.holds(entry)

    patch.setattr(Keeper, "_usable", timeless)
    _worth(patch, careless)


def _age_unchecked(patch: pytest.MonkeyPatch) -> None:
    def careless(entry: Entry, controls: Controls, now_s: float) -> Freshness:
        return freshness(entry, replace(controls, max_age_s=None), now_s)

    _worth(patch, careless)


def _staleness_unchecked(patch: pytest.MonkeyPatch) -> None:
    """What the caller says of stale answers is overlooked."""

    def careless(entry: Entry, controls: Controls, now_s: float) -> Freshness:
        return freshness(entry, Controls(max_age_s=controls.max_age_s), now_s)

    _worth(patch, careless)


def _refreshed_twice(patch: pytest.MonkeyPatch) -> None:
    """What is computed anew is not remembered as such."""
    consider = Refresher.consider

    def careless(self: Refresher, flight: Flight) -> None:
        self._running.clear()
        consider(self, flight)

    patch.setattr(Refresher, "consider", careless)


def _epochs_ignored(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Epochs, "holds", _returning(value=True))


def _time_stands_still(patch: pytest.MonkeyPatch) -> None:
    """Where it is asked whether an answer on its way into the store may still be handed out."""

    def clock(_: Twins) -> Callable[[], float]:
        return lambda: 0.0

    def unset(_: Twins, __: object) -> None:
        """Ignore what it is made with."""

    patch.setattr(Twins, "clock", property(clock, unset), raising=False)


def _any_id_taken(patch: pytest.MonkeyPatch) -> None:
    get = Keeper.get

    async def careless(self: Keeper, key: Key, *, stale: bool = False) -> Entry | None:
        entry = await get(self, key, stale=stale) or await self.store.get(key.exact)
        return entry if entry is not None and self._usable(entry, stale=stale) else None

    patch.setattr(Keeper, "get", careless)


def _owing_nothing(patch: pytest.MonkeyPatch) -> None:
    """What could not be deleted is let be."""
    pay = Owed.pay

    async def careless(self: Owed, most: int, time_s: float) -> None:
        try:
            await pay(self, most, time_s)
        finally:
            self._owed.clear()

    patch.setattr(Owed, "pay", careless)
    patch.setattr(House, "owe", _returning(None))


def _owed_served(patch: pytest.MonkeyPatch) -> None:
    """What could not be deleted is served until it is."""

    def careless(self: Keeper, entry: Entry, *, stale: bool) -> bool:
        return (entry.until_s if stale else entry.expires_s) > self._clock() and self.epochs.holds(entry)

    patch.setattr(Keeper, "_usable", careless)


def _capacity_not_held(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(LRU, "_shrunk", _returning([]))


def _signature_unchecked(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Keyring, "verify", _returning(value=True))


def _without_system(request: Request) -> Request:
    return replace(request, messages=[message for message in request.messages if message["role"] != "system"])


SCOPE, QUESTION, CONTEXT = (f"an answer to another {what}" for what in ("scope", "question", "context"))
MUTANTS: Final = (
    Mutant("tenant out of the key", _keyed_without(lambda request: replace(request, tenant="")), (SCOPE,)),
    Mutant("model out of the key", _keyed_without(lambda request: replace(request, model="")), (SCOPE,)),
    Mutant("system prompt out of the key", _keyed_without(_without_system), (SCOPE,)),
    Mutant("tools out of the key", _without_params("tools"), (SCOPE,)),
    Mutant("temperature out of the key", _without_params("temperature"), (SCOPE,)),
    Mutant("response format out of the key", _without_params("response_format"), (SCOPE,)),
    Mutant("context out of the key", _context_ignored, (QUESTION, CONTEXT)),
    Mutant("digest cut short", _digest_cut, (SCOPE, QUESTION, CONTEXT)),
    Mutant("finish reason unchecked", _finish_reason_unchecked, ("kept what ended as",)),
    Mutant("cancelled stream kept", _cancelled_kept, ("kept what ended as", "kept what its client left")),
    Mutant("no-store ignored", _skips("no_store"), ("kept what must not be stored",)),
    Mutant("expiry unchecked", _expiry_unchecked, ("an answer that has expired",)),
    Mutant("age unchecked", _age_unchecked, ("an answer that is too old",)),
    Mutant(
        "staleness unchecked",
        _staleness_unchecked,
        ("an answer that is staler than the caller wants", "a stale answer to one", "where none is wanted"),
    ),
    Mutant("refreshed twice", _refreshed_twice, ("two calls compute the same stale answer anew",)),
    Mutant("epochs ignored", _epochs_ignored, ("an answer that was forgotten",)),
    Mutant(
        "time stands still for held answers",
        _time_stands_still,
        ("an answer that has expired", "an answer that is too old"),
    ),
    Mutant("any id taken", _any_id_taken, (SCOPE, QUESTION, CONTEXT)),
    Mutant("failed deletions let be", _owing_nothing, ("entries kept", "an answer that was forgotten")),
    Mutant("failed deletions served", _owed_served, ("an answer that was forgotten",)),
    Mutant("capacity not held", _capacity_not_held, ("entries kept",)),
    Mutant("candidates' scope and context unchecked", _foreign_accepted, (SCOPE, CONTEXT)),
    Mutant("verdict ignored", _verdict_ignored, (QUESTION, CONTEXT)),
    Mutant("proof ignored", _proof_ignored, ("an answer to what is not proven",)),
    Mutant("signature unchecked", _signature_unchecked, ("an answer that the engine never gave", QUESTION, CONTEXT)),
    Mutant(
        "overwrite lost",
        _overwrite_lost,
        ("an answer that is not the last one written", "an answer that was forgotten"),
    ),
    Mutant("flight outlives a forget", _forgotten_kept, ("an answer that was forgotten",)),
    Mutant("shadow served", _shadow_served, ("an answer from the cache where none is wanted",)),
    Mutant("twins mixed up", _twins_mixed, (SCOPE, QUESTION, CONTEXT, "an answer to what is not proven")),
)
