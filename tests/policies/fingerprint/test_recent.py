from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forebay.policies.fingerprint.recent import RecentBlocks

chains = st.lists(st.integers(0, 9), max_size=6, unique=True)


def test_of_a_prompt_the_end_is_forgotten_first() -> None:
    recent = RecentBlocks(3)
    assert recent.add([1, 2, 3]) == ([1, 2, 3], [])
    assert recent.add([9]) == ([9], [3])
    assert recent.shared([1, 2, 3]) == 2
    assert recent.shared([2, 1]) == 2
    assert recent.shared([8, 1]) == 0


def test_less_room_is_made_at_the_next_prompt() -> None:
    recent = RecentBlocks(4)
    recent.add([1, 2, 3, 4])
    recent.capacity = 2
    assert recent.add([1]) == ([], [4, 3])


def test_nothing_cannot_be_remembered() -> None:
    with pytest.raises(ValueError, match="recent blocks"):
        RecentBlocks(0)


@given(st.lists(chains, max_size=30), st.integers(1, 8))
def test_it_is_an_lru_of_blocks(prompts: list[list[int]], capacity: int) -> None:
    recent, plain = RecentBlocks(capacity), list[int]()
    for prompt in prompts:
        before = list(plain)
        plain = [name for name in plain if name not in prompt] + prompt[::-1]
        gone, plain = plain[: max(0, len(plain) - capacity)], plain[-capacity:]
        assert recent.add(prompt) == ([name for name in prompt if name not in before], gone)
        for name in range(10):
            assert recent.shared([name]) == (name in plain)
