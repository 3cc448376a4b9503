from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forebay.middleware.admission.tickets import Placed, Replica
from forebay.policies.placement.prefix import UNKNOWN_TOKENS, PrefixPlacement
from tests.contract.ordering import ticket
from tests.contract.placement import PlacementContract, loads, prefixes, replicas


class TestContract(PlacementContract):
    @pytest.fixture
    def placement(self) -> PrefixPlacement:
        return PrefixPlacement()


IDLE = replicas(0, 0)
PROMPT = tuple(range(100, 110))


def place(
    placement: PrefixPlacement, name: str, prefix: Sequence[int], given: Sequence[Replica] = IDLE, tokens: int = 640
) -> Placed:
    return placement.place(ticket(name, input_tokens=tokens, prefix=tuple(prefix)), given)


def other(name: str) -> str:
    return next(one.id for one in IDLE if one.id != name)


def test_a_prompt_goes_where_its_beginning_was_read() -> None:
    placement = PrefixPlacement()
    first = place(placement, "first", PROMPT)
    assert first.tokens == 640
    for number in range(10):
        again = place(placement, str(number), (*PROMPT[:8], 1_000 + number, 2_000 + number))
        assert again.replica == first.replica
        assert again.tokens == pytest.approx(640 * 0.2)


def test_prompts_that_nobody_knows_are_spread_evenly() -> None:
    placement = PrefixPlacement()
    counts = Counter(
        place(placement, str(number), [10 * number + at for at in range(10)]).replica for number in range(400)
    )
    assert min(counts.values()) > 150


def test_of_equals_every_process_takes_the_same() -> None:
    def chosen(given: Sequence[Replica]) -> list[str]:
        return [place(PrefixPlacement(), "x", [number, number + 1], given).replica for number in range(50)]

    assert chosen(IDLE) == chosen(list(reversed(IDLE)))
    assert len(set(chosen(IDLE))) == 2


def test_what_is_still_to_be_read_there_counts() -> None:
    placement = PrefixPlacement()
    first = place(placement, "first", PROMPT)
    busy = [Replica(one.id, 1, 900.0 if one.id == first.replica else 0.0) for one in IDLE]
    assert place(placement, "same", PROMPT, busy).replica == first.replica
    busier = [Replica(one.id, 1, 1_000.0 if one.id == first.replica else 0.0) for one in IDLE]
    assert place(placement, "late", PROMPT, busier).replica == other(first.replica)


def test_what_decodes_counts_by_a_share_of_a_usual_prompt() -> None:
    placement = PrefixPlacement(load=0.25, spread=100)
    first = place(placement, "first", PROMPT)
    for name, inside, expected in (("few", 5, first.replica), ("many", 7, other(first.replica))):
        busy = [Replica(one.id, inside if one.id == first.replica else 0) for one in IDLE]
        assert place(placement, name, PROMPT[:], busy).replica == expected


def test_a_hot_prompt_does_not_drown_an_engine() -> None:
    placement = PrefixPlacement()
    inside = Counter[str]()
    for number in range(400):
        busy = [Replica(f"engine-{at}", inside[f"engine-{at}"]) for at in range(4)]
        prompt = (*range(500), 1_000 + number)
        inside[place(placement, str(number), prompt, busy, tokens=32_000).replica] += 1
        assert max(inside.values()) <= 1.5 * (number + 1) / 4 + 1
    assert len(inside) == 4


def test_a_cache_holds_no_more_than_it_can() -> None:
    small = [Replica(one.id, kv_tokens=10 * 64) for one in IDLE]
    placement = PrefixPlacement()
    first = place(placement, "first", PROMPT, small)
    for number in range(20):  # fills both caches
        place(placement, str(number), [10 * number + at for at in range(10)], small)
    assert place(placement, "again", PROMPT, small).tokens == 640
    assert first.tokens == 640


def test_an_engine_that_was_started_anew_or_has_no_cache_knows_nothing() -> None:
    placement = PrefixPlacement()
    up = [Replica(one.id, started_s=1.0) for one in IDLE]
    first = place(placement, "first", PROMPT, up)
    assert place(placement, "known", PROMPT, up).tokens < 640
    anew = [Replica(one.id, started_s=2.0 if one.id == first.replica else 1.0) for one in IDLE]
    assert place(placement, "anew", PROMPT, anew).tokens == 640
    without = [Replica("one", kv_tokens=0), Replica("two", kv_tokens=0)]
    for name in "abc":
        assert place(placement, name, PROMPT, without).tokens == 640


def test_a_long_prompt_of_which_only_the_beginning_has_names() -> None:
    placement = PrefixPlacement()
    chain = range(512)
    place(placement, "first", chain, tokens=200_000)
    assert place(placement, "again", chain, tokens=200_000).tokens >= 200_000 - 512 * 128


def test_what_is_remembered_is_bounded() -> None:
    placement = PrefixPlacement()
    for number in range(300):
        place(placement, str(number), PROMPT, [Replica(f"gone-{number}"), Replica("stays")])
    seen: dict[str, Any] = vars(placement)["_seen"]
    assert len(seen) <= 21
    for number in range(40):
        place(placement, str(number), range(512 * number, 512 * (number + 1)), [Replica("stays")])
    seen = vars(placement)["_seen"]
    assert len(seen["stays"][1]._blocks) <= UNKNOWN_TOKENS // 64


@pytest.mark.parametrize("wrong", [{"load": -1}, {"spread": 0.5}, {"block_tokens": 0}])
def test_what_cannot_be_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="placement"):
        PrefixPlacement(**wrong)  # type: ignore[arg-type]  # as a config may have it


def test_without_engines_there_is_nothing_to_choose() -> None:
    with pytest.raises(ValueError, match="no engine"):
        PrefixPlacement().place(ticket("a"), [])


@given(st.lists(st.tuples(loads, prefixes, st.integers(0, 5_000)), max_size=20), st.floats(1, 3), st.floats(0, 2))
def test_it_is_of_those_given_within_the_bound_and_always_the_same(
    asked: list[tuple[list[Replica], tuple[int, ...], int]], spread: float, load: float
) -> None:
    one, two = (PrefixPlacement(spread=spread, load=load, block_tokens=1) for _ in range(2))
    for number, (given_, prefix, tokens) in enumerate(asked):
        asks = ticket(str(number), input_tokens=tokens, prefix=prefix)
        placed = one.place(asks, given_)
        chosen = next(each for each in given_ if each.id == placed.replica)
        mean = (1 + sum(each.inside for each in given_)) / len(given_)
        assert chosen.inside + 1 <= spread * mean + 1 + 1e-9
        assert 0 <= placed.tokens <= max(tokens, 1)
        assert two.place(asks, given_[::-1]) == placed
