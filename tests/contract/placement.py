"""What every placement must do: subclass `PlacementContract` and give it a fixture `placement`.

`loads` is for a property test of each: engines as requests may find them.
"""

from __future__ import annotations

from hypothesis import strategies as st

from forebay.middleware.admission.protocols import Placement
from forebay.middleware.admission.tickets import Replica
from tests.contract.ordering import ticket


def replicas(*inside: int) -> list[Replica]:
    """Return engines with so many requests inside."""
    return [Replica(f"engine-{at}", count) for at, count in enumerate(inside)]


replica = st.builds(
    Replica,
    st.sampled_from("abcdefgh"),
    st.integers(0, 50),
    st.floats(0, 1e6),
    st.one_of(st.none(), st.integers(0, 10_000)),
    st.sampled_from([0.0, 1.0, 2.0]),
)
loads = st.lists(replica, min_size=1, max_size=8, unique_by=lambda one: one.id)
prefixes = st.lists(st.integers(0, 3), max_size=6).map(tuple)


class PlacementContract:
    def test_it_is_a_placement(self, placement: Placement) -> None:
        assert isinstance(placement, Placement)

    def test_it_takes_the_only_one(self, placement: Placement) -> None:
        assert placement.place(ticket("a"), replicas(10_000)).replica == "engine-0"

    def test_it_chooses_one_of_those_given(self, placement: Placement) -> None:
        given = replicas(3, 0, 7)
        for number in range(20):
            assert placement.place(ticket(str(number)), given).replica in {one.id for one in given}
        fewer = given[1:]
        for number in range(20):
            assert placement.place(ticket(str(number)), fewer).replica in {one.id for one in fewer}

    def test_no_more_is_to_be_read_than_the_prompt_has(self, placement: Placement) -> None:
        for number in range(5):
            placed = placement.place(ticket(str(number), input_tokens=500, prefix=(1, 2, 3)), replicas(0, 0))
            assert 0 < placed.tokens <= 500

    def test_one_that_is_crowded_is_not_chosen_by_a_prompt_that_nobody_knows(self, placement: Placement) -> None:
        for number in range(20):
            assert placement.place(ticket(str(number)), replicas(500, 0)).replica == "engine-1"
