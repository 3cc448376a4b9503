"""What every shedding policy must do: subclass `SheddingContract` and give it a fixture `shedding`."""

from __future__ import annotations

import math

from forebay.middleware.admission.protocols import Shedding
from forebay.middleware.admission.tickets import Load, Waiting
from forebay.middleware.analysis.facts import Priority
from tests.contract.ordering import ticket


def waiting(
    queued: int = 0, *, inside: int = 1, now_s: float = 0.0, tokens: float = 0.0, priority: Priority = Priority.STANDARD
) -> Waiting:
    """Return what a ticket finds where so many of one class wait."""
    return Waiting(Load(inside, queued, now_s=now_s), {priority: queued}, {priority: tokens})


class SheddingContract:
    def test_it_is_a_shedding_policy(self, shedding: Shedding) -> None:
        assert isinstance(shedding, Shedding)

    def test_an_empty_queue_refuses_nobody(self, shedding: Shedding) -> None:
        assert shedding.refuse(ticket("a"), waiting()) is None

    def test_asking_changes_nothing(self, shedding: Shedding) -> None:
        assert len({shedding.refuse(ticket("a"), waiting(100_000)) for _ in range(10)}) == 1

    def test_patience_is_a_time(self, shedding: Shedding) -> None:
        assert shedding.patience_s(ticket("a", 5.0)) >= 0.0

    def test_a_refusal_says_when_to_come_again(self, shedding: Shedding) -> None:
        for refusal in (shedding.late(ticket("a"), waiting(5)), shedding.refuse(ticket("a"), waiting(10**9))):
            if refusal is not None:
                assert refusal.status in (429, 503)
                assert 1.0 <= refusal.retry_after_s < math.inf

    def test_the_most_urgent_class_puts_others_out_and_the_least_urgent_nobody(self, shedding: Shedding) -> None:
        full = waiting(10**9, priority=Priority.BACKGROUND)
        assert shedding.gives_way(ticket("a"), full) in (None, Priority.BACKGROUND)
        mine = waiting(10**9, priority=Priority.STANDARD)
        assert shedding.gives_way(ticket("a"), mine) is None
