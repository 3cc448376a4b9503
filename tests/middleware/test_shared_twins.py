"""Equal requests of several workers: every doubt ends in computing."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from forebay.middleware import shared_twins
from forebay.middleware.coordination import Claimed, Roster, Told
from forebay.middleware.errors import CoordinationError
from forebay.middleware.forgotten import Forgotten
from forebay.middleware.keys import Keyring
from forebay.middleware.payload import encode_entry
from forebay.middleware.records import Entry, Selector
from forebay.middleware.shared_twins import SharedTwins
from forebay.middleware.twins import Turn
from tests.contract.entries import make_answer, make_entry
from tests.middleware.parts import until

if TYPE_CHECKING:
    from forebay.middleware.coordination import Listener
    from forebay.middleware.twins import Live

KEYS = Keyring({"k": b"x" * 32}, "k")
ENTRY = make_entry(question="q", vector=None, embedder="", created_s=0.0, expires_s=4e9)
KEY = ENTRY.id
FOREVER = 60.0


class Wire:
    """A coordination whose answers the test gives."""

    def __init__(self, *, shared: bool = True) -> None:
        self.shared = shared
        self.claims: list[str] = []
        self.released: list[tuple[str, str | None]] = []
        self.answer: asyncio.Future[Claimed] = asyncio.get_running_loop().create_future()

    def roster(self) -> Roster:
        return Roster(shareable=True, shared=self.shared)

    def hear(self, listener: Listener) -> None: ...

    async def tell(self, selector: Selector, wait_s: float) -> Told:
        return Told()

    async def claim(self, name: str, member: str, places: int, wait_s: float) -> Claimed:
        assert (places, name) == (1, f"twin:{KEY}")
        self.claims.append(member)
        return await asyncio.shield(self.answer)

    async def release(self, name: str, member: str, left: str | None = None) -> None:
        self.released.append((member, left))


def made(**options: Any) -> tuple[SharedTwins, Wire, Forgotten]:
    wire, forgotten = Wire(**options), Forgotten()
    return SharedTwins(wire, KEYS, forgotten), wire, forgotten


def join(twins: SharedTwins, *names: str) -> list[asyncio.Task[Entry | Turn | Live]]:
    return [asyncio.create_task(twins.join(KEY, name, FOREVER)) for name in names]


async def test_the_leader_of_all_leaves_its_answer_for_the_others() -> None:
    twins, wire, _ = made()
    wire.answer.set_result(Claimed(granted=True))
    leader, follower = join(twins, "a", "b")
    assert await leader is Turn.LEAD
    assert await twins.join(KEY, "a", FOREVER) is Turn.LEAD  # another attempt
    assert len(wire.claims) == 1
    assert twins.answered(KEY, "a", ENTRY) == 1
    assert await follower is ENTRY
    await until(lambda: wire.released)
    assert wire.released == [(wire.claims[0], encode_entry(ENTRY, KEYS))]


async def test_a_group_here_gets_the_answer_of_another_worker() -> None:
    twins, wire, _ = made()
    tasks = join(twins, "a", "b", "c")
    await until(lambda: wire.claims)
    wire.answer.set_result(Claimed(granted=False, left=encode_entry(ENTRY, KEYS)))
    found = await asyncio.gather(*tasks)
    assert [replace(each, size_bytes=0) for each in found if isinstance(each, Entry)] == [
        replace(ENTRY, size_bytes=0)
    ] * 3
    assert len(wire.claims) == 1
    assert len(twins) == 0


def signed_by_another() -> str:
    return encode_entry(ENTRY, Keyring({"k": b"y" * 32}, "k"))


@pytest.mark.parametrize(
    "left",
    [
        "",
        "nonsense",
        signed_by_another(),
        encode_entry(replace(ENTRY, id="of another key"), KEYS),
        encode_entry(replace(ENTRY, expires_s=1.0), KEYS),
    ],
    ids=["failed", "nonsense", "forged", "another", "expired"],
)
async def test_an_answer_in_doubt_lets_all_compute_for_themselves(left: str) -> None:
    twins, wire, _ = made()
    wire.answer.set_result(Claimed(granted=False, left=left))
    assert await asyncio.gather(*join(twins, "a", "b")) == [Turn.ALONE, Turn.ALONE]
    assert len(twins) == 0


async def test_an_answer_like_one_that_was_forgotten_is_not_taken() -> None:
    twins, wire, forgotten = made()
    forgotten.note(Selector(model=ENTRY.model))
    wire.answer.set_result(Claimed(granted=False, left=encode_entry(ENTRY, KEYS)))
    assert await twins.join(KEY, "a", FOREVER) is Turn.ALONE


async def test_who_waited_long_enough_computes_and_leads_those_here() -> None:
    twins, wire, _ = made()
    leader, follower = join(twins, "a", "b")
    await until(lambda: wire.claims)
    wire.answer.set_result(Claimed(granted=False))
    assert await leader is Turn.LEAD
    assert twins.answered(KEY, "a", ENTRY) == 1
    assert await follower is ENTRY
    assert wire.released == []


async def test_workers_that_cannot_agree_have_twins_of_their_own() -> None:
    twins, wire, _ = made()
    wire.answer.set_exception(CoordinationError("down"))
    leader, follower = join(twins, "a", "b")
    assert await leader is Turn.LEAD
    twins.answered(KEY, "a", ENTRY)
    assert await follower is ENTRY
    apart, silent, _ = made(shared=False)
    assert await apart.join(KEY, "a", FOREVER) is Turn.LEAD
    assert silent.claims == []


async def test_a_leader_that_leaves_hands_over_here_first_and_then_to_all() -> None:
    twins, wire, _ = made()
    wire.answer.set_result(Claimed(granted=True))
    leader, follower = join(twins, "a", "b")
    await leader
    twins.hand_over(KEY, "a")
    assert await follower is Turn.LEAD
    assert (len(wire.claims), wire.released) == (1, [])  # this worker leads on
    twins.hand_over(KEY, "b")
    await until(lambda: wire.released)
    assert wire.released == [(wire.claims[0], None)]


async def test_a_leader_that_leaves_while_it_waits_for_another_worker_hands_over() -> None:
    twins, wire, _ = made()
    leader, follower = join(twins, "a", "b")
    await until(lambda: wire.claims)
    leader.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leader
    await until(lambda: len(wire.claims) == 2)
    wire.answer.set_result(Claimed(granted=True))
    assert await follower is Turn.LEAD


async def test_a_claim_for_a_flight_that_has_ended_is_given_back() -> None:
    twins, wire, _ = made()
    (leader,) = join(twins, "a")
    await until(lambda: wire.claims)
    twins.hand_over(KEY, "a")  # its deadline ended it
    wire.answer.set_result(Claimed(granted=True))
    await leader
    await until(lambda: wire.released)
    assert wire.released == [(wire.claims[0], None)]


async def test_an_answer_that_is_too_large_is_kept_from_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_twins, "MOST_BYTES", 1000)
    twins, wire, _ = made()
    wire.answer.set_result(Claimed(granted=True))
    await twins.join(KEY, "a", FOREVER)
    twins.answered(KEY, "a", replace(ENTRY, answer=make_answer("x" * 2000)))
    await until(lambda: wire.released)
    assert wire.released == [(wire.claims[0], "")]
