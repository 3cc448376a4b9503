from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from forebay.policies.ordering.prefix import Prefix
from tests.contract.ordering import drained, let_in, ticket


def test_who_shares_the_most_is_next() -> None:
    ordering = Prefix()
    for name, prefix in (("first", (1, 2, 3)), ("other", (9,)), ("some", (1, 2, 7)), ("most", (1, 2, 3, 4))):
        ordering.push(ticket(name, prefix=prefix))
    assert drained(ordering) == ["first", "most", "some", "other"]


def test_blocks_that_were_forgotten_count_no_more() -> None:
    ordering = Prefix(blocks=2)
    for name, prefix in (("far", (9,)), ("near", (1, 2))):
        ordering.push(ticket(name, prefix=prefix))
    ordering.entered(ticket("x", prefix=(1, 2)), 0.0)
    head = ordering.peek(0.0)
    assert head is not None
    assert head.id == "near"
    ordering.entered(ticket("y", prefix=(5, 6)), 0.0)
    assert drained(ordering) == ["far", "near"]


def test_only_the_window_is_looked_at() -> None:
    ordering = Prefix(window=2)
    ordering.entered(ticket("x", prefix=(1,)), 0.0)
    for name, prefix in (("a", ()), ("b", ()), ("c", (1,))):
        ordering.push(ticket(name, prefix=prefix))
    assert drained(ordering) == ["a", "c", "b"]


chains = st.lists(st.integers(0, 2), max_size=5)


@given(st.lists(chains, max_size=40), st.integers(1, 12), st.integers(1, 9), st.lists(st.booleans(), max_size=80))
def test_it_is_what_looking_at_all_of_the_window_finds(
    prompts: list[list[int]], capacity: int, window: int, lets: list[bool]
) -> None:
    """Against the plain rule: names made of all that lies before, as tickets have them; the oldest of those that share the most."""
    ordering = Prefix(blocks=capacity, window=window, skips=10**6)
    recent = list[int]()
    waiting = list[tuple[str, tuple[int, ...]]]()
    coming = iter(enumerate(prompts))

    def shared(prefix: tuple[int, ...]) -> int:
        return next((at for at, name in enumerate(prefix) if name not in recent), len(prefix))

    for enters in lets:
        if enters:
            head = let_in(ordering, 0.0)
            best = max(waiting[:window], key=lambda one: shared(one[1]), default=None)
            assert (head.id if head else None) == (best[0] if best else None)
            if best is not None:
                waiting.remove(best)
                recent = [name for name in recent if name not in best[1]] + list(reversed(best[1]))
                recent = recent[-capacity:]
        elif (following := next(coming, None)) is not None:
            number, turns = following
            prefix = tuple(hash(tuple(turns[: at + 1])) for at in range(len(turns)))
            ordering.push(ticket(str(number), prefix=prefix))
            waiting.append((str(number), prefix))
