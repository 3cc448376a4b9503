"""What the sequences have found before: each stays mended."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from forebay.middleware.errors import ForebayError
from forebay.middleware.records import Selector
from tests.safety.machine import Safety
from tests.safety.stack import MAX_ENTRIES

if TYPE_CHECKING:
    from collections.abc import Generator


@pytest.fixture
def safety() -> Generator[Safety]:
    """A machine whose end checks that all recovers and nobody waits."""
    machine = Safety()
    try:
        yield machine
    finally:
        machine.teardown()


def hold(machine: Safety) -> None:
    machine.nothing_unsafe()
    machine.capacity_holds()


def ask_others(machine: Safety, number: int) -> None:
    """Ask so many questions of which none has an answer yet."""
    begun = len(machine.asked)
    for at in range(begun, begun + number):
        machine.clients.ask(replace(machine.asked[0], system=str(at)), "ok")
        machine.asked.append(machine.asked[0])


def test_an_answer_on_its_way_into_the_store_expires_too(safety: Safety) -> None:
    safety.fault("put", "hang")
    safety.ask_changed(0, ("controls", 4), "ok")  # for 5 s
    safety.wait(6.0)  # the write has 10 s
    safety.ask_changed(0, ("controls", 0), "ok")
    hold(safety)
    assert safety.seen["client: inflight"] == 0


def test_an_answer_on_its_way_into_the_store_gets_old_too(safety: Safety) -> None:
    safety.fault("put", "hang")
    safety.ask_again(0, "ok")
    safety.wait(6.0)
    safety.ask_changed(0, ("controls", 6), "ok")  # not older than 3 s
    hold(safety)


def test_a_sweep_that_hangs_holds_no_answer_for_ever(safety: Safety) -> None:
    safety.fault("scan", "hang")
    safety.ask_again(0, "ok")
    safety.loop.pass_by(61.0)
    assert asyncio.all_tasks(safety.loop) == set()


def test_a_forget_ends_although_the_store_cannot_list_its_entries(safety: Safety) -> None:
    safety.fault("scan", "hang")

    async def forget() -> None:
        await safety.stack.workers.forget(Selector(model="m1"))

    with pytest.raises((ForebayError, TimeoutError)):
        safety.loop.run(forget())
    assert safety.loop.time() == pytest.approx(60.0, abs=1.0)


def test_what_could_not_be_evicted_is_evicted_with_the_next(safety: Safety) -> None:
    safety.fault("delete", "raise")
    ask_others(safety, MAX_ENTRIES + 2)
    safety.heal()
    ask_others(safety, 1)
    assert safety.loop.run(safety.stack.store.inner.count()) == MAX_ENTRIES


def test_what_was_written_although_the_write_failed_takes_no_room(safety: Safety) -> None:
    safety.fault("put", "late")
    ask_others(safety, 3)
    safety.wait(20.0)
    safety.heal()
    ask_others(safety, MAX_ENTRIES)
    assert safety.loop.run(safety.stack.store.inner.count()) == MAX_ENTRIES


def test_what_was_forgotten_while_it_was_written_is_not_served_where_it_cannot_be_deleted(safety: Safety) -> None:
    safety.fault("put", "slow")
    safety.ask_again(0, "ok")
    safety.clients.forget("tenant", safety.asked[0])
    safety.fault("delete", "raise")
    safety.wait(6.0)
    safety.ask_again(0, "ok")
    hold(safety)


def test_an_entry_of_another_id_is_not_served(safety: Safety) -> None:
    safety.ask_again(0, "ok")
    safety.fault("get", "own")
    safety.ask_changed(0, ("question", 2), "ok")  # of the same scope and context
    hold(safety)
