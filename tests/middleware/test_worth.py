"""What an entry is worth to the eviction policy: its cost, less where a kept neighbour would answer the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

from forebay.policies.eviction.lru import LRU
from forebay.testing import ScriptedEngine, started
from tests.middleware.asking import QUESTION, SIMILAR, ask
from tests.middleware.parts import Given

if TYPE_CHECKING:
    from collections.abc import Sequence


class Costs(LRU):
    """Keeps the costs that it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[float] = []

    def added(self, entry_id: str, size_bytes: int, cost: float, now_s: float) -> Sequence[str]:
        self.told.append(cost)
        return super().added(entry_id, size_bytes, cost, now_s)


async def test_an_answer_that_a_neighbour_would_give_is_worth_less() -> None:
    policy = Costs()
    given = Given(eviction=policy)
    settings = {
        "cache": {"semantic": "shadow"},
        "acceptance": {"type": "threshold", "threshold": 0.5},
        **given.settings,
    }
    async with started(settings, given) as runtime:
        for text in (QUESTION, "Who wrote Middlemarch, and when?", SIMILAR):
            await ask(runtime, text, engine=ScriptedEngine(["an answer"]))
    first, other, similar = policy.told
    assert first == other == 10.0  # tokens of the prompt and the answer
    assert 0.0 <= similar < 5.0
