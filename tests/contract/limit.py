"""What every limit must do: subclass `LimitContract` and give it a fixture `limit`."""

from __future__ import annotations

from forebay.middleware.admission.protocols import Divisible, Limit, Steered
from forebay.middleware.admission.tickets import Load, Served, Ticket
from tests.contract.ordering import ticket


class LimitContract:
    def test_it_is_a_limit(self, limit: Limit) -> None:
        assert isinstance(limit, Limit)

    def test_an_idle_engine_takes_anything(self, limit: Limit) -> None:
        """Otherwise the queue would never move again."""
        assert limit.admits(ticket("a"), Load(inflight=0, queued=1000)) is True

    def test_asking_changes_nothing(self, limit: Limit) -> None:
        load = Load(inflight=3, queued=2)
        assert len({limit.admits(ticket("a"), load) for _ in range(10)}) == 1

    def test_more_load_never_admits_more(self, limit: Limit) -> None:
        admitted = [limit.admits(ticket("a"), Load(inflight=inside, queued=0)) for inside in range(200)]
        assert admitted == sorted(admitted, reverse=True)

    def test_an_idle_engine_takes_anything_whatever_was_served(self, limit: Limit) -> None:
        if isinstance(limit, Steered):
            for number in range(200):
                one = Ticket(str(number), "t", float(number), 10)
                limit.entered(one, Load(2, 1, now_s=float(number)))
                limit.first_token(one, Load(2, 1, now_s=float(number)))
                served = Served(one, number, float(number), number + 0.9, 10, 2, complete=number % 3 > 0)
                limit.ended(served, Load(1, 1, now_s=number + 0.9))
        assert limit.admits(ticket("a"), Load(inflight=0, queued=1000)) is True
        if isinstance(limit, Divisible):
            assert limit.places >= 1
