"""What every batch former must do: subclass `BatchFormerContract` and give it a fixture `former`, empty."""

from __future__ import annotations

import math

from forebay.middleware.admission.protocols import BatchFormer
from forebay.middleware.admission.tickets import Ticket


def member(name: str, enqueued_s: float = 0.0, *, tokens: int = 10, output: float = 0.0) -> Ticket:
    return Ticket(id=name, tenant="t", enqueued_s=enqueued_s, input_tokens=tokens, output_tokens=output)


def drained(former: BatchFormer, now_s: float = 0.0, seconds: float = 0.1) -> list[tuple[Ticket, ...]]:
    """Run batches until nobody waits, waiting where the former wants to."""
    batches: list[tuple[Ticket, ...]] = []
    while len(former):
        formed = former.form(now_s)
        if formed.members:
            batches.append(formed.members)
            former.measured(formed.members, seconds)
            now_s += seconds
        else:
            assert now_s < formed.ask_again_s < math.inf
            now_s = formed.ask_again_s
    return batches


class BatchFormerContract:
    def test_it_is_a_batch_former(self, former: BatchFormer) -> None:
        assert isinstance(former, BatchFormer)

    def test_empty(self, former: BatchFormer) -> None:
        assert len(former) == 0
        assert former.form(0.0).members == ()
        assert not former.remove("nobody")

    def test_everybody_is_in_one_batch(self, former: BatchFormer) -> None:
        names = [f"t{place}" for place in range(100)]
        for place, name in enumerate(names):
            former.push(member(name, place / 100, tokens=1 + place * 37 % 90))
        batches = drained(former, 1.0)
        assert sorted(each.id for batch in batches for each in batch) == sorted(names)
        assert len(former) == 0

    def test_who_left_is_in_no_batch(self, former: BatchFormer) -> None:
        for name in "abc":
            former.push(member(name))
        assert former.remove("b")
        assert not former.remove("b")
        assert len(former) == 2
        assert sorted(each.id for batch in drained(former) for each in batch) == ["a", "c"]

    def test_a_member_waits_once(self, former: BatchFormer) -> None:
        former.push(member("a"))
        former.push(member("a"))
        assert len(former) == 1

    def test_a_member_may_come_back(self, former: BatchFormer) -> None:
        for _ in range(2):
            former.push(member("a"))
            assert [each.id for batch in drained(former) for each in batch] == ["a"]

    def test_it_does_not_wait_for_ever(self, former: BatchFormer) -> None:
        for place in range(60):
            former.push(member(f"t{place}", 10.0 * place))
            assert drained(former, 10.0 * place)
