"""A made-up upstream whose answers change, and a small model of forebay's cache before it: for freshness.py."""

from __future__ import annotations

import math
from bisect import bisect_right
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from forebay.middleware.analysis.facts import RequestFacts, Staleness, Volatility
from forebay.middleware.lifetimes import Revision
from forebay.middleware.records import Answer, Request
from forebay.policies.expiry.volatility import VolatilityExpiry

if TYPE_CHECKING:
    from collections.abc import Sequence

    from forebay.middleware.protocols import Expiry

HOUR_S: Final = 3_600.0
DAY_S: Final = 86_400.0
NEVER_S: Final = math.inf
KINDS: Final = (Volatility.TIMELESS, Volatility.SLOW, Volatility.DAILY, Volatility.PERSONAL)
QUESTIONS: Final = 200
ASKED: Final = 30_000
ZIPF: Final = 1.0
ANSWER: Final = Answer(
    {"choices": [{"message": {"role": "assistant", "content": "As of now."}, "finish_reason": "stop"}]}
)


@dataclass(frozen=True, slots=True)
class Scene:
    """Mean seconds between the changes of a question's answer, by kind, in the order of KINDS.

    Attributes:
        later: the same from the middle on.
        noise: the share of answers that did not change but are called changed.
    """

    name: str
    between_s: tuple[float, ...]
    later: tuple[float, ...]
    noise: float = 0.0


_OTHERWISE: Final = (NEVER_S, 30 * DAY_S, 3 * DAY_S, HOUR_S)
SCENES: Final = (
    Scene("as guessed", *2 * ((NEVER_S, 9.6 * DAY_S, 9.6 * HOUR_S, 9.6 * HOUR_S),)),
    Scene("otherwise", _OTHERWISE, _OTHERWISE),
    Scene("otherwise, 5% noise", _OTHERWISE, _OTHERWISE, noise=0.05),
    Scene("turns", (NEVER_S, 30 * DAY_S, 3 * DAY_S, HOUR_S), (NEVER_S, 2 * DAY_S, 3 * HOUR_S, 2 * DAY_S)),
)


@dataclass(frozen=True, slots=True)
class World:
    """What is asked and when answers change.

    Attributes:
        asks: time, number of the kind, number of the question; in order.
        changes: times, by kind and question.
    """

    scene: Scene
    kinds: Sequence[Volatility]
    days: int
    asks: Sequence[tuple[float, int, int]]
    changes: Sequence[Sequence[Sequence[float]]]
    requests: Sequence[Sequence[Request]]


def world(scene: Scene, days: int, seed: int, kinds: Sequence[Volatility] = KINDS) -> World:
    draw = np.random.default_rng(seed)
    end_s = days * DAY_S
    weights = 1.0 / np.arange(1, QUESTIONS + 1) ** ZIPF
    asks: list[tuple[float, int, int]] = []
    changes: list[list[list[float]]] = []
    for number in range(len(kinds)):
        times = draw.uniform(0.0, end_s, ASKED)
        which = draw.choice(QUESTIONS, ASKED, p=weights / weights.sum())
        asks += [(float(at), number, int(one)) for at, one in zip(times, which, strict=True)]
        changes.append([])
        for _ in range(QUESTIONS):
            at: list[float] = []
            for start_s, between_s in ((0.0, scene.between_s[number]), (end_s / 2, scene.later[number])):
                count = draw.poisson(end_s / 2 / between_s)
                at += sorted(draw.uniform(start_s, start_s + end_s / 2, count).tolist())
            changes[-1].append(at)
    requests = [
        [Request("r", "m", ({"role": "user", "content": f"{kind} {one}"},)) for one in range(QUESTIONS)]
        for kind in kinds
    ]
    return World(scene, kinds, days, sorted(asks), changes, requests)


@dataclass(slots=True)
class Kept:
    version: int
    created_s: float
    fresh_s: float
    stale_s: float
    until_s: float


class Run:
    """A policy in a world: what was served, and what that cost."""

    def __init__(self, made: World, policy: Expiry, seed: int) -> None:
        self.calls = 0
        self.calls_of = [0] * len(made.kinds)
        self.stale = np.zeros((len(made.kinds), made.days))
        self.asked = np.zeros((len(made.kinds), made.days))
        self.late_s: list[list[float]] = [[] for _ in made.kinds]
        self._world, self._policy = made, policy
        self._noise = np.random.default_rng(seed + 1_000)
        facts = RequestFacts(input_tokens=10, turns=1, task="question", cacheable=True, semantic=True)
        self._facts = [replace(facts, staleness=Staleness(kind, "of the benchmark")) for kind in made.kinds]
        kept: dict[tuple[int, int], Kept] = {}
        for now_s, number, one in made.asks:
            old = kept.get((number, one))
            now = bisect_right(made.changes[number][one], now_s)
            day = int(now_s / DAY_S)
            self.asked[number, day] += 1
            if old is not None and now_s < old.stale_s and old.version != now:
                self.stale[number, day] += 1
                self.late_s[number].append(now_s - made.changes[number][one][old.version])
            if old is None or now_s >= old.fresh_s:
                kept[number, one] = self._computed(number, one, now, now_s, old)

    def _computed(self, number: int, one: int, version: int, now_s: float, old: Kept | None) -> Kept:
        self.calls += 1
        self.calls_of[number] += 1
        if isinstance(self._policy, VolatilityExpiry) and old is not None and now_s < old.until_s:
            changed = old.version != version or self._noise.random() < self._world.scene.noise
            self._policy.learn(Revision(self._world.kinds[number].value, now_s - old.created_s, changed))
        life = self._policy.lifetime(self._world.requests[number][one], self._facts[number], ANSWER)
        fresh_s = now_s + life.fresh_s
        until_s = fresh_s + max(life.grace_s, life.error_grace_s)
        return Kept(version, now_s, fresh_s, fresh_s + life.grace_s, until_s)
