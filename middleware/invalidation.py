"""Invalidation: what drops kept answers that are not to be served any more, in this process and in all the others.

By what entries are (`Selector`), by what they are about (`near`), by which request one answered (`wrong_hit`), and all at once
(`epochs`).
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from operator import mul
from typing import TYPE_CHECKING, Final

from .coordination import Told
from .keys import canonical_text
from .records import Selector

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from .epochs import Epochs
    from .flight import Flight
    from .keys import Keyring
    from .protocols import Embedder, Scannable
    from .records import Entry, JsonObject
    from .refused import RefusedPairs
    from .state import StateStore
    from .workers import Workers

AT_ONCE: Final = 32
"""Entries that are forgotten at the same time: telling the other workers takes a fraction of a second each."""
WAIT_S: Final = 5.0
"""How long the other workers may take to forget."""
DISOWN_S: Final = 1.0
"""How long they may while the caller of a wrong answer waits for another."""
FLUSH_S: Final = 1.0
_SERVED: Final = frozenset(
    {
        ("lookup", "hit"),
        ("admit", "twin"),
        ("admit", "live_twin"),
        ("admit", "similar_twin"),
        ("run", "stale_if_error"),
    }
)
"""Stops and choices of decisions that name the entry a request was served; those of a refused candidate name one, too."""
_A_BREATH: Final = 64
"""Entries that are compared before others may run: about a millisecond."""


@dataclass(frozen=True, slots=True)
class Near:
    """A kept entry whose question is near to another.

    Attributes:
        question: keyed digest of its question: it may be somebody else's, so it is not shown.
        similarity: cosine of the questions' vectors.
    """

    id: str
    question: str
    similarity: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of an invalidation.

    Attributes:
        dropped: entries deleted, by this process and by those that answered.
        told: the other workers.
    """

    dropped: int
    told: Told


@dataclass(frozen=True, slots=True)
class WrongHit:
    """The kept answer that a request was served.

    Attributes:
        entry: its id.
        asked: `Key.exact` of the request, where the entry was another question's: the two must not match again; else "".
    """

    entry: str
    asked: str = ""


class Invalidation:
    """Drops kept answers here and in every worker."""

    def __init__(self, workers: Workers, epochs: Epochs) -> None:
        self._workers = workers
        self._epochs = epochs

    async def forget(self, selectors: Collection[Selector], wait_s: float = WAIT_S) -> Outcome:
        """Forget what matches one of the selectors.

        Raises:
            CoordinationError: the others could not be told; here it is forgotten all the same.
            ForebayError: the store failed.
        """
        outcomes: list[Outcome] = []
        for some in chunks(list(selectors), AT_ONCE):
            made = await asyncio.gather(*(self._workers.forget_everywhere(selector, wait_s) for selector in some))
            outcomes += [Outcome(dropped + told.dropped, told) for dropped, told in made]
        return Outcome(sum(each.dropped for each in outcomes), together(each.told for each in outcomes))

    async def bump(self, tenant: str | None = None, wait_s: float = WAIT_S) -> Told:
        """Invalidate all that a tenant has, or everything, without looking at it.

        Args:
            tenant: keyed digest of the tenant, None for everything.

        Raises:
            AdapterError: it could not be kept; the others were not told.
            CoordinationError: the others could not be told; here, and after a restart, it holds all the same.
        """
        self._workers.refuse(Selector(tenant=tenant))  # first: until the bump is on the disk, requests end in its epoch
        selector = await asyncio.to_thread(self._epochs.bump, tenant)
        _, told = await self._workers.forget_everywhere(selector, wait_s)
        return told


class Disowning:
    """Forgets, everywhere, the kept answer of which a caller says that it was wrong: one of its own tenant's."""

    def __init__(
        self, workers: Workers, epochs: Epochs, state: StateStore, keyring: Keyring, refused: RefusedPairs
    ) -> None:
        self._invalidation = Invalidation(workers, epochs)
        self._state = state
        self._keyring = keyring
        self._refused = refused

    async def __call__(self, flight: Flight) -> None:
        """Forget what the flight's caller names; does nothing where that is none of its own.

        Raises:
            CoordinationError: the others could not be told; here it is forgotten all the same.
            ForebayError: the store failed.
        """
        request = flight.request
        tenant = self._keyring.digest("tenant", request.tenant)
        wrong = await asyncio.to_thread(wrong_hit, self._state, str(request.controls.wrong), tenant)
        flight.decide("lookup", "disowned" if wrong is not None else "nothing_to_disown")
        if wrong is None:
            return
        if wrong.asked:
            self._refused.add(wrong.asked, wrong.entry)
        await self._invalidation.forget([Selector(id=wrong.entry)], DISOWN_S)


def chunks(items: Sequence[Selector], size: int) -> Iterable[Sequence[Selector]]:
    """Yield items so many at a time."""
    return (items[start : start + size] for start in range(0, len(items), size))


def together(told: Iterable[Told]) -> Told:
    """Return what came of telling the workers several things: one that has not answered to each has not answered."""
    each = list(told)
    most = max((one.workers for one in each), default=0)
    missing = max((one.workers - one.answered for one in each), default=0)
    return Told(most, most - missing, sum(one.dropped for one in each))


async def near(
    entries: Scannable,
    embedder: Embedder,
    text: str,
    *,
    within: float,
    keyring: Keyring,
    selector: Selector | None = None,
) -> list[Near]:
    """Return the kept entries whose questions are near to a text, the nearest first.

    Only vectors of the same embedder are compared; of the others, those that ask the very same are found.

    Args:
        embedder: started.
        within: the least cosine, in [-1, 1].
        selector: only these are compared; None for all.

    Raises:
        StoreError, EmbedderError: one of them failed.
    """
    asked = canonical_text(text)
    vector = (await embedder.embed([asked]))[0]
    found: list[Near] = []
    looked = 0
    async for entry in entries.scan(selector or Selector()):
        similarity = _similarity(entry, asked, vector, embedder.model_id)
        if similarity is not None and similarity >= within:
            found.append(Near(entry.id, keyring.digest("question", entry.question), min(1.0, similarity)))
        looked += 1
        if looked % _A_BREATH == 0:
            await asyncio.sleep(0)
    return sorted(found, key=lambda one: -one.similarity)


def _similarity(entry: Entry, asked: str, vector: Sequence[float], embedder: str) -> float | None:
    if entry.question == asked:
        return 1.0
    if entry.vector is None or entry.embedder != embedder or len(entry.vector) != len(vector):
        return None
    return float(sum(map(mul, entry.vector, vector)))


def wrong_hit(state: StateStore, request_id: str, tenant: str) -> WrongHit | None:
    """Return the kept answer that had to do with an earlier request of the same tenant, None where none had.

    It is what the request was served, or what was kept of its own answer. Waits for the disk: call it in a thread.

    Args:
        tenant: keyed digest of the tenant who asks: nobody may drop the answers of another.
    """
    state.flush(FLUSH_S)
    explained = state.explanation(request_id)
    if explained is None or not tenant or explained.get("tenant") != tenant:
        return None
    return wrong_of(explained)


def wrong_of(explained: JsonObject) -> WrongHit | None:
    """Return the kept answer that an explained request was served, or that was made of its own; None where there is none.

    A candidate that was refused is none.
    """
    decisions: list[JsonObject] = [one for one in explained.get("decisions", ()) if one.get("entry")]
    # the last counts: a request that was edited after its lookup was computed, and its own answer kept
    mine = [one for one in decisions if _serves(one) or one.get("choice") == "stored"]
    if not mine:
        return None
    entry = str(mine[-1]["entry"])
    judged = [str(one.get("asked", "")) for one in decisions if one.get("stop") == "verify" and one["entry"] == entry]
    return WrongHit(entry, judged[-1] if _serves(mine[-1]) and judged and judged[-1] != entry else "")


def _serves(decision: JsonObject) -> bool:
    return (decision.get("stop"), decision.get("choice")) in _SERVED
