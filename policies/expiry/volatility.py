"""Lifetimes by how soon answers of a kind go stale, learned from what became of them."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from ...middleware.analysis.facts import Volatility
from ...middleware.keys import text_of
from ...middleware.narrow import is_object
from .rate import ChangeRate, changes_within
from .rules import DAY_S, HOUR_S, NOTHING, check_seconds, kind_of, lifetime_of, says_nothing

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ...middleware.analysis.facts import RequestFacts
    from ...middleware.lifetimes import Lifetime, Revision
    from ...middleware.records import Answer, JsonObject, Request

SCHEMA: Final = 1
_SHORTEST_S: Final = 1.0
"""What a rate is bounded by where `min_s` is 0."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """Lifetimes of one kind of answer, in seconds.

    Attributes:
        start_s: while nothing is known.
        min_s, max_s: whatever is learned; a `max_s` of 0 keeps nothing.

    Raises:
        ValueError: they are not finite, or not in order.
    """

    start_s: float
    min_s: float
    max_s: float

    def __post_init__(self) -> None:
        check_seconds(start_s=self.start_s, min_s=self.min_s, max_s=self.max_s)
        if not self.min_s <= self.start_s <= self.max_s or (self.max_s and not self.start_s):
            raise ValueError("start_s must be above 0 and lie between min_s and max_s")


BOUNDS: Final[Mapping[Volatility, Bounds]] = MappingProxyType(
    {
        # the classifier overlooks a third of what goes stale, and calls that timeless, too
        Volatility.TIMELESS: Bounds(DAY_S, HOUR_S, 30 * DAY_S),
        Volatility.SLOW: Bounds(DAY_S, 600.0, 7 * DAY_S),
        Volatility.DAILY: Bounds(HOUR_S, 60.0, DAY_S),
        Volatility.LIVE: Bounds(0.0, 0.0, 0.0),
        Volatility.PERSONAL: Bounds(HOUR_S, 60.0, DAY_S),
    }
)


class VolatilityExpiry:
    """Keep answers of each kind for so long that they are seldom stale, by how often such answers were found changed.

    Each kind has a rate of change (`ChangeRate`), and the lifetime is the one of which `stale_share` is stale on average, if
    the kind's answers change at that rate. Rates are of kinds, not of single questions: a question is computed anew too
    seldom to have one. A kind that keeps nothing learns nothing. Embeddings are kept for the longest time of what is
    timeless.

    Lifetimes are moved by up to ± `jitter`, by a digest of what was asked, so that what was kept together does not expire
    together; they stay within their bounds.

    Args:
        bounds: of every kind.
        stale_share: in (0, 1).
        noise: the share of answers that are called changed though they say the same, in [0, 1).
        memory: how many revisions of a kind are remembered, above 1.
        jitter: in [0, 1).
        grace_share: of its lifetime that an answer may be served stale afterwards, while it is computed anew, for at most
            `grace_max_s`.
        error_grace_s: the same where computing it anew fails; never longer than the kind's `max_s`.
        negative_s: the most for an answer that declines or says nothing; 0 does not keep it.

    Raises:
        ValueError: a setting is out of its range, or a kind has no bounds.
    """

    def __init__(
        self,
        bounds: Mapping[Volatility, Bounds] = BOUNDS,
        *,
        stale_share: float = 0.05,
        noise: float = 0.02,
        memory: float = 500.0,
        jitter: float = 0.1,
        grace_share: float = 0.5,
        grace_max_s: float = HOUR_S,
        error_grace_s: float = DAY_S,
        negative_s: float = 0.0,
    ) -> None:
        check_seconds(grace_max_s=grace_max_s, error_grace_s=error_grace_s, negative_s=negative_s)
        if not (0 < stale_share < 1 and 0 <= noise < 1 and 0 <= jitter < 1):
            raise ValueError("stale_share must lie in (0, 1), noise and jitter in [0, 1)")
        if not memory > 1 or not grace_share >= 0:
            raise ValueError("memory must be above 1 and grace_share at least 0")
        if set(bounds) != set(Volatility):
            raise ValueError("every kind of answer must have bounds")
        self._bounds = dict(bounds)
        self._jitter = jitter
        self._grace_share, self._grace_max_s, self._error_grace_s = grace_share, grace_max_s, error_grace_s
        self._negative_s = negative_s
        self._noise, self._memory = noise, memory
        self._changes = changes_within(stale_share)
        self._rates = self._new_rates()

    def lifetime(self, request: Request, facts: RequestFacts, answer: Answer) -> Lifetime:
        """Return the lifetime of an answer, as far as its kind is known."""
        kind = kind_of(request, facts)
        its = self._bounds[kind]
        if not its.max_s:
            return NOTHING
        middle_s = its.max_s if request.endpoint == "embeddings" else self._middle_s(kind)
        # a lifetime at a bound is moved away from it, so that those do not expire together either
        middle_s = min(max(middle_s, its.min_s / (1 - self._jitter)), its.max_s / (1 + self._jitter))
        moved = middle_s * (1 + self._jitter * (2 * _place_of(request) - 1)) if self._jitter else middle_s
        fresh_s = min(max(moved, its.min_s), its.max_s)
        if says_nothing(request, answer):
            return lifetime_of(request, kind, min(fresh_s, self._negative_s))
        asked = lifetime_of(request, kind, fresh_s)
        grace_s = min(self._grace_share * asked.fresh_s, self._grace_max_s)
        return lifetime_of(request, kind, fresh_s, grace_s, min(self._error_grace_s, its.max_s))

    def learn(self, revision: Revision) -> None:
        """Let a revision shorten or lengthen its kind's lifetime; one of no kind is of what is taken to be timeless."""
        kind = _KINDS.get(revision.kind)
        rate = None if kind is None else self._rates.get(kind)
        if rate is not None:
            rate.add(revision.age_s, changed=revision.changed)

    def report(self) -> Sequence[JsonObject]:
        """Return lifetime, rate and what they rest on, a row a kind; of revisions, what is remembered."""
        return [
            {
                "kind": kind.value,
                "lifetime_s": self._middle_s(kind),
                "start_s": self._bounds[kind].start_s,
                "changes_per_day": rate.rate * DAY_S,
                "revisions": rate.revisions,
                "changed": rate.changed,
            }
            for kind, rate in self._rates.items()
        ]

    def snapshot(self) -> JsonObject:
        """Return the state as JSON: some kilobytes at most."""
        rates = {kind.value: dict(rate.snapshot()) for kind, rate in self._rates.items()}
        return {"policy": "volatility", "schema": SCHEMA, "rates": rates}

    def restore(self, state: JsonObject) -> None:
        """Take over a snapshot, also one of other settings: what was seen remains true.

        Raises:
            ValueError, KeyError, TypeError: it is another policy's; nothing changed.
        """
        if state["policy"] != "volatility" or state["schema"] != SCHEMA:
            raise ValueError("not a snapshot of the expiry policy 'volatility'")
        kept: Any = state["rates"]
        if not is_object(kept):
            raise TypeError("not a snapshot of the expiry policy 'volatility'")
        rates = self._new_rates()
        for kind, rate in rates.items():
            if kind.value in kept:
                rate.restore(kept[kind.value])
        self._rates = rates

    def _new_rates(self) -> dict[Volatility, ChangeRate]:
        changes = self._changes
        return {
            kind: ChangeRate(
                changes / its.start_s,
                changes / its.max_s,
                changes / max(its.min_s, min(_SHORTEST_S, its.start_s)),
                noise=self._noise,
                memory=self._memory,
            )
            for kind, its in self._bounds.items()
            if its.max_s
        }

    def _middle_s(self, kind: Volatility) -> float:
        its = self._bounds[kind]
        return min(max(self._changes / self._rates[kind].rate, its.min_s), its.max_s)


_KINDS: Final = {"": Volatility.TIMELESS} | {kind.value: kind for kind in Volatility}


def _place_of(request: Request) -> float:
    """Return a number in [0, 1) that is the same for the same texts and model, whatever process asks."""
    digest = zlib.crc32(request.model.encode("utf-8", "surrogatepass"))
    for message in request.messages:
        digest = zlib.crc32(text_of(message.get("content"))[0].encode("utf-8", "surrogatepass"), digest)
    return digest / 2**32
