from __future__ import annotations

import pytest

from forebay.middleware.admission.tickets import Load, Served, Ticket
from forebay.policies.limit.fixed import FixedLimit
from forebay.policies.limit.pace import Pace
from forebay.policies.limit.proof import Proof
from forebay.policies.limit.tokens import TokenLimit
from tests.contract.limit import LimitContract
from tests.policies.limit.engines import CROWDED, run


class TestTokenLimit(LimitContract):
    @pytest.fixture
    def limit(self) -> TokenLimit:
        return TokenLimit(kv_tokens=1_000, max_inflight=150)

    def test_prompt_and_predicted_output_must_fit(self, limit: TokenLimit) -> None:
        one = Ticket("a", "t", 0.0, 100, 50.0)
        assert limit.admits(one, Load(3, 0, reserved_tokens=800.0))
        assert not limit.admits(one, Load(3, 0, reserved_tokens=800.5))

    def test_one_that_is_too_large_is_let_in_alone(self, limit: TokenLimit) -> None:
        assert limit.admits(Ticket("a", "t", 0.0, 5_000), Load(0, 9))
        assert not limit.admits(Ticket("a", "t", 0.0, 5_000), Load(1, 9))

    @pytest.mark.parametrize(("kv", "share", "most"), [(0, 0.9, None), (10, 0.0, None), (10, 1.1, None), (10, 0.9, 0)])
    def test_a_setting_out_of_range_is_refused(self, kv: int, share: float, most: int | None) -> None:
        with pytest.raises(ValueError, match="at"):
            TokenLimit(kv_tokens=kv, share=share, max_inflight=most)


class _Watched(FixedLimit):
    """Learns the pace as the steered limit does, and steers nothing."""

    def __init__(self, places: int) -> None:
        super().__init__(max_inflight=places)
        self.pace = Pace()

    def entered(self, ticket: Ticket, load: Load) -> None:
        self.pace.seen(load)

    def first_token(self, ticket: Ticket, load: Load) -> None:
        self.pace.first_token(ticket, load)

    def ended(self, served: Served, load: Load) -> None:
        self.pace.ended(served, load)
        self.pace.refit()


class TestPace:
    def test_it_finds_the_engines_law(self) -> None:
        watched = _Watched(64)
        run(watched, CROWDED, rate=5.0)
        law = watched.pace.law
        assert law is not None
        assert law.step_s == pytest.approx(CROWDED.step_s, rel=0.05)
        assert law.prefill_s == pytest.approx(CROWDED.prefill_s, rel=0.05)
        assert law.seconds(0, 40, 40 * 400) == pytest.approx(CROWDED.seconds(0, 40, 40 * 400), rel=0.03)

    def test_nothing_is_said_before_enough_was_seen(self) -> None:
        assert Pace().tpot() is None

    def test_who_failed_says_nothing(self) -> None:
        pace = Pace()
        one = Ticket("a", "t", 0.0, 10)
        pace.first_token(one, Load(1, 0, now_s=1.0))
        assert pace.ended(Served(one, 0.0, 1.0, 2.0, 10, 20, complete=False), Load(0, 0, now_s=2.0)) is None

    def test_it_counts_who_decoded_beside_it(self) -> None:
        pace = Pace()
        one, other = Ticket("a", "t", 0.0, 10), Ticket("b", "t", 0.0, 10)
        pace.first_token(one, Load(1, 0, 10, now_s=0.0))
        pace.first_token(other, Load(2, 0, 20, now_s=1.0))
        pace.ended(Served(other, 0.0, 1.0, 2.0, 10, 20), Load(1, 0, 10, now_s=2.0))
        assert pace.ended(Served(one, 0.0, 0.0, 4.0, 10, 20), Load(0, 0, now_s=4.0)) == pytest.approx(1.25)


def _ends(proof: Proof, since_s: float, gap_s: float, *, met: bool) -> float:
    for number in range(60):
        at_s = since_s + gap_s * number
        proof.note(Served(Ticket("a", "t", 0.0), since_s, since_s, at_s, 1, 5), met=met, full=True)
    return since_s + gap_s * 60


class TestProof:
    def test_small_cuts_need_none(self) -> None:
        assert Proof(100.0).allowed(60.0, 0.0) == 60.0

    def test_deep_cuts_are_made_in_halves(self) -> None:
        proof = Proof(100.0)
        now = _ends(proof, 0.0, 0.1, met=True)
        assert proof.allowed(10.0, now) == 50.0
        now = _ends(proof, now, 0.1, met=True)
        assert proof.allowed(10.0, now) == 25.0

    def test_what_lost_is_taken_back_for_a_while(self) -> None:
        proof = Proof(100.0)
        now = _ends(proof, 0.0, 0.1, met=True)
        assert proof.allowed(10.0, now) == 50.0
        now = _ends(proof, now, 0.2, met=True)
        assert proof.allowed(10.0, now) == 100.0
        assert proof.allowed(10.0, now + 59.0) == 100.0
        assert proof.allowed(10.0, now + 61.0) == 50.0
        now = _ends(proof, now + 61.0, 0.4, met=True)
        assert proof.allowed(10.0, now) == 100.0
        assert proof.allowed(10.0, now + 61.0) == 100.0, "the second time it takes two minutes"

    def test_nothing_is_judged_while_nobody_waits(self) -> None:
        proof = Proof(100.0)
        proof.allowed(10.0, 0.0)
        for number in range(100):
            proof.note(Served(Ticket("a", "t", 0.0), 1.0, 1.0, 2.0 + number, 1, 5), met=True, full=False)
        assert proof.allowed(10.0, 200.0) == 50.0

    def test_opening_needs_none(self) -> None:
        proof = Proof(100.0)
        proof.allowed(10.0, 0.0)
        assert proof.allowed(300.0, 1.0) == 300.0
