"""The policies beside LRU: each held against a slow model of itself, and what each is for."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forebay.policies.eviction.adaptive import CANDIDATES, Adaptive
from forebay.policies.eviction.gdsf import FIRST, GDSF
from forebay.policies.eviction.lru import LRU
from forebay.policies.eviction.s3fifo import S3FIFO
from forebay.policies.eviction.wtinylfu import WTinyLFU
from tests.contract.eviction import EvictionContract

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from forebay.middleware.protocols import Eviction

ROOM = 1 << 40
COSTS = {name: 1.0 + at for at, name in enumerate("abcdefgh")}
ASKED = st.lists(st.sampled_from("abcdefgh"), max_size=120)


class TestGDSF(EvictionContract):
    def make(self, max_entries: int, max_bytes: int) -> GDSF:
        return GDSF(max_entries=max_entries, max_bytes=max_bytes)


class TestGDSFAsPublished(EvictionContract):
    def make(self, max_entries: int, max_bytes: int) -> GDSF:
        return GDSF(max_entries=max_entries, max_bytes=max_bytes, remembered=0, first=0)


class TestS3FIFO(EvictionContract):
    def make(self, max_entries: int, max_bytes: int) -> S3FIFO:
        return S3FIFO(max_entries=max_entries, max_bytes=max_bytes)


class TestWTinyLFU(EvictionContract):
    def make(self, max_entries: int, max_bytes: int) -> WTinyLFU:
        return WTinyLFU(max_entries=max_entries, max_bytes=max_bytes)


class TestWTinyLFUByCost(EvictionContract):
    def make(self, max_entries: int, max_bytes: int) -> WTinyLFU:
        return WTinyLFU(max_entries=max_entries, max_bytes=max_bytes, by_cost=True)


class TestAdaptive(EvictionContract):
    def make(self, max_entries: int, max_bytes: int) -> Adaptive:
        return Adaptive(max_entries=max_entries, max_bytes=max_bytes)


def played(policy: Eviction, asked: Iterable[str], cost_of: Callable[[str], float] = COSTS.__getitem__) -> list[str]:
    """Ask for ids, computing what is not there; return what was dropped, in order."""
    there: set[str] = set()
    dropped: list[str] = []
    for name in asked:
        if name in there:
            policy.touched(name, 0.0)
            continue
        there.add(name)
        gone = policy.added(name, 1, cost_of(name), 0.0)
        there.difference_update(gone)
        dropped += gone
    return dropped


def saved(policy: Eviction, asked: Iterable[str], cost_of: Callable[[str], float]) -> float:
    """Return which share of the cost hits save."""
    there: set[str] = set()
    hits = whole = 0.0
    for name in asked:
        whole += cost_of(name)
        if name in there:
            hits += cost_of(name)
            policy.touched(name, 0.0)
        else:
            there.add(name)
            there.difference_update(policy.added(name, 1, cost_of(name), 0.0))
    return hits / whole


@given(asked=ASKED, capacity=st.integers(1, 5), remembered=st.sampled_from([0, 1, 4]))
def test_gdsf_drops_what_its_formula_says(asked: list[str], capacity: int, remembered: int) -> None:
    age = 0.0
    worth: dict[str, float] = {}
    requests: dict[str, float] = {}
    gone: dict[str, float] = {}
    expected: list[str] = []
    for name in asked:
        if name in worth:
            requests[name] += 1
        else:
            requests[name] = gone.pop(name, 0.0) + 1
        worth[name] = age + (requests[name] - FIRST) * COSTS[name]
        if len(worth) > capacity:
            least, victim = min((value, each) for each, value in worth.items())
            age = max(age, least)
            del worth[victim]
            gone[victim] = requests[victim]
            while len(gone) > remembered * capacity:
                del gone[next(iter(gone))]
            expected.append(victim)
    assert played(GDSF(max_entries=capacity, max_bytes=ROOM, remembered=remembered), asked) == expected


@given(asked=ASKED, capacity=st.integers(2, 30))
def test_s3fifo_drops_what_its_queues_say(asked: list[str], capacity: int) -> None:
    small: list[str] = []
    main: list[str] = []
    ghosts: list[str] = []
    times: dict[str, int] = {}
    expected: list[str] = []
    for name in asked:
        if name in times:
            times[name] = min(3, times[name] + 1)
            continue
        while len(small) + len(main) >= capacity:
            if small and (len(small) >= max(1, capacity // 10) or not main):
                victim = small.pop(0)
                if times[victim] >= 2:
                    times[victim] = 0
                    main.append(victim)
                    continue
                ghosts = [*ghosts, victim][-max(1, int(0.9 * capacity)) :]
            else:
                victim = main.pop(0)
                if times[victim]:
                    times[victim] -= 1
                    main.append(victim)
                    continue
            del times[victim]
            expected.append(victim)
        if name in ghosts:
            ghosts.remove(name)
            main.append(name)
        elif not expected and len(small) >= max(1, capacity // 10):
            main.append(name)
        else:
            small.append(name)
        times[name] = 0
    assert played(S3FIFO(max_entries=capacity, max_bytes=ROOM), asked) == expected


@given(asked=ASKED, capacity=st.integers(2, 6))
def test_wtinylfu_drops_the_one_that_was_asked_for_less(asked: list[str], capacity: int) -> None:
    window: list[str] = []
    probation: list[str] = []
    protected: list[str] = []
    counts: dict[str, int] = {}
    seen = 0
    expected: list[str] = []
    for name in asked:
        counts[name] = min(15, counts.get(name, 0) + 1)
        seen += 1
        if seen >= 10 * capacity:
            seen //= 2
            counts = {each: count // 2 for each, count in counts.items() if count // 2}
        if name in protected:
            protected.append(protected.pop(protected.index(name)))
        elif name in probation:
            probation.remove(name)
            protected.append(name)
            if len(protected) > int(0.8 * (capacity - 1)):
                probation.append(protected.pop(0))
        elif name not in window:
            window.append(name)
            if len(window) > 1:
                newest = window.pop(0)
                probation.append(newest)
                if len(window) + len(probation) + len(protected) > capacity:
                    victim = probation[0] if probation[0] != newest else protected[0] if protected else newest
                    loser = victim if counts.get(newest, 0) > counts.get(victim, 0) else newest
                    (probation if loser in probation else protected).remove(loser)
                    expected.append(loser)
    assert played(WTinyLFU(max_entries=capacity, max_bytes=ROOM), asked) == expected


def _zipf(seed: int, count: int, ids: int, drift: int = 0) -> list[str]:
    source = random.Random(seed)
    weights = [1 / (rank + 1) for rank in range(ids)]
    drawn = source.choices(range(ids), weights, k=count)
    return [f"{each + (at // drift * ids // 4 if drift else 0)}" for at, each in enumerate(drawn)]


def _cost(name: str) -> float:
    return float(1 + int(name) * 7919 % 400)


def test_gdsf_saves_more_cost_than_who_does_not_look_at_it() -> None:
    asked = _zipf(1, 20_000, 3_000)
    assert saved(GDSF(max_entries=150), asked, _cost) > saved(LRU(max_entries=150), asked, _cost) + 0.05


def test_its_memory_is_worth_something() -> None:
    asked = _zipf(2, 30_000, 3_000)
    forgetful = GDSF(max_entries=100, remembered=0, first=0)
    assert saved(GDSF(max_entries=100), asked, _cost) > saved(forgetful, asked, _cost)


@pytest.mark.parametrize("capacity", [60, 300])
@pytest.mark.parametrize("traffic", ["zipf", "drift", "loop"])
def test_adaptive_is_near_the_best_of_its_candidates(traffic: str, capacity: int) -> None:
    asked = {
        "zipf": _zipf(3, 40_000, 3_000),
        "drift": _zipf(4, 40_000, 3_000, drift=2_000),
        "loop": [f"{at % (2 * capacity)}" for at in range(40_000)],
    }[traffic]
    best = max(saved(make(max_entries=capacity, max_bytes=ROOM), asked, lambda _: 1.0) for make in CANDIDATES.values())
    assert saved(Adaptive(max_entries=capacity, max_bytes=ROOM), asked, lambda _: 1.0) > best - 0.05


def test_adaptive_changes_its_mind_and_says_why() -> None:
    # who asks once and never again, with a few that are asked for now and then: frequencies are what matters
    source = random.Random(5)
    asked = [f"{source.randrange(40)}" if source.random() < 0.3 else f"{1_000 + at}" for at in range(60_000)]
    policy = Adaptive(max_entries=45, max_bytes=ROOM)
    played(policy, asked, lambda _: 1.0)
    rows = {str(row["policy"]): row for row in policy.report()}
    (live,) = [name for name, row in rows.items() if row["live"]]
    assert rows[live]["saved"] >= 0.9 * max(row["saved"] for row in rows.values())
    assert rows["lru"]["saved"] < rows[live]["saved"]
    assert rows[live]["why"]
    assert sum(1 for row in rows.values() if row["why"]) == 1


def test_nothing_is_lost_when_another_policy_takes_over() -> None:
    policy, kept = Adaptive(max_entries=30, max_bytes=ROOM), set[str]()
    asked = [*_zipf(6, 8_000, 400), *(f"{at % 45}" for at in range(20_000)), *_zipf(7, 8_000, 400)]
    for name in asked:
        if name in kept:
            policy.touched(name, 0.0)
            continue
        kept.add(name)
        gone = policy.added(name, 1, 1.0, 0.0)
        assert kept.issuperset(gone)
        kept.difference_update(gone)
        assert len(kept) <= 30
    assert len(kept) == 30
    assert sum(int(row["changes"]) for row in policy.report()) > 0


def test_of_a_large_cache_a_sample_is_looked_at() -> None:
    assert Adaptive(max_entries=200).rate == 1.0
    assert Adaptive(max_entries=10_000).rate == 1 / 64
    (row, *_) = Adaptive(max_entries=10_000).report()
    assert (row["sample_rate"], row["shadow_entries"]) == (1 / 64, 156)


def test_the_same_ids_make_the_same_decisions() -> None:
    asked = _zipf(8, 20_000, 4_000, drift=3_000)
    one, other = (played(Adaptive(max_entries=600, max_bytes=ROOM), asked, _cost) for _ in range(2))
    assert one == other


@pytest.mark.parametrize("make", [GDSF, S3FIFO, WTinyLFU, Adaptive])
def test_no_room_at_all_is_refused(make: Callable[..., object]) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        make(max_entries=0)
