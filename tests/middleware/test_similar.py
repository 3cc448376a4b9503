"""The semantic tier: what is found, what is judged, and similar requests in flight."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forebay.middleware.records import Answer, Candidate, Controls
from forebay.middleware.similar import JUDGED, rescored
from forebay.testing import ScriptedEngine, chat, started
from tests.contract.entries import key_of, make_entry
from tests.middleware.asking import ask, text_of
from tests.middleware.parts import Spy, errors_of, followers_of, settled, twins_of, until
from tests.middleware.similar_rig import Rig

if TYPE_CHECKING:
    from forebay.middleware.pipeline import Reply
    from forebay.middleware.runtime import Runtime

CAT, KITTEN, TOMCAT, DOG = "a cat", "a kitten", "a tomcat", "a dog"


async def test_a_proven_candidate_is_served() -> None:
    rig = Rig()
    async with started(rig.settings(), rig.plugin) as runtime:
        first = await ask(runtime, CAT)
        second = await ask(runtime, KITTEN, engine=ScriptedEngine(["another"]))
        assert (first.status, second.status) == ("miss", "semantic")
        assert second.body == first.body


async def test_an_unproven_candidate_is_shadowed_and_the_answer_computed() -> None:
    spy = Spy()
    rig = Rig(proven=False)
    async with started(rig.settings(), rig.plugin, spy) as runtime:
        await ask(runtime, CAT)
        reply = await ask(runtime, KITTEN, engine=ScriptedEngine(["computed"]))
        assert (reply.status, text_of(reply)) == ("shadow", "computed")
    verify, lookup = (
        next(decision for decision in spy.finished[1].decisions if decision.stop == stop)
        for stop in ("verify", "lookup")
    )
    assert (verify.choice, verify.detail["stratum"], verify.detail["confidence"]) == ("unproven", "all", 0.96)
    assert (lookup.choice, lookup.reason) == ("shadow_hit", "unproven")
    assert verify.detail["entry"] == lookup.detail["entry"]


async def test_of_the_accepted_the_surest_is_taken_and_a_proven_one_before_an_unproven_one() -> None:
    rig = Rig(cut=0.5)
    async with started(rig.settings(), rig.plugin) as runtime:
        await ask(runtime, TOMCAT, engine=ScriptedEngine(["of a tomcat"]))
        await ask(runtime, DOG, engine=ScriptedEngine(["of a dog"]))
        await ask(runtime, KITTEN, engine=ScriptedEngine(["of a kitten"]), controls=Controls(no_cache=True))
        assert text_of(await ask(runtime, CAT)) == "of a kitten"


async def test_a_pair_that_was_proven_wrong_never_matches_again() -> None:
    rig = Rig()
    async with started(rig.settings(), rig.plugin) as runtime:
        await ask(runtime, CAT)
        pipeline = runtime.pipeline
        runtime.refused.add(pipeline.key_of(chat(KITTEN)).exact, pipeline.key_of(chat(CAT)).exact)
        assert (await ask(runtime, KITTEN)).status == "miss"


async def test_a_question_that_leans_on_nothing_is_the_same_in_every_conversation() -> None:
    rig = Rig()
    async with started(rig.settings(), rig.plugin) as runtime:
        await ask(runtime, DOG, "Nice.", CAT)
        assert (await ask(runtime, "hello", "Hi.", CAT)).status == "exact"
        assert (await ask(runtime, CAT)).status == "exact"


async def test_a_question_that_leans_is_compared_with_its_reading() -> None:
    rig = Rig()
    async with started(rig.settings(), rig.plugin) as runtime:
        await ask(runtime, CAT, "Nice.", "feed it")
        assert rig.embedder.texts == ["feed it", CAT]  # by the settle stop: there was nothing to compare with
        assert (await ask(runtime, CAT, "Well.", "feed it")).status == "exact"
        assert (await ask(runtime, KITTEN, "Nice.", "feed it")).status == "semantic"
        assert (await ask(runtime, DOG, "Nice.", "feed it")).status == "miss"
        assert (await ask(runtime, "feed it")).status == "miss"  # alone it leans on nothing
        asked, candidate = rig.acceptance.judged[-1]
        assert (asked.key.reading, candidate.entry.reading, candidate.similarity) == (DOG, CAT, 1.0)
        assert candidate.context_similarity == 0.0


async def test_what_leans_on_turns_that_cannot_be_read_is_for_that_conversation_alone() -> None:
    rig = Rig()
    async with started(rig.settings(), rig.plugin) as runtime:
        await ask(runtime, CAT, "Nice.", "feed that")
        assert (await ask(runtime, CAT, "Nice.", "feed that")).status == "exact"
        assert (await ask(runtime, KITTEN, "Nice.", "feed that")).status == "miss"


async def test_a_reader_that_fails_makes_everything_before_the_context() -> None:
    class Broken:
        def read(self, messages: Any) -> Any:
            raise RuntimeError("odd")

    rig = Rig(reader=Broken())
    async with started(rig.settings(), rig.plugin) as runtime:
        await ask(runtime, DOG, "Nice.", CAT)
        assert (await ask(runtime, DOG, "Nice.", CAT)).status == "exact"
        assert (await ask(runtime, "hello", "Hi.", CAT)).status == "miss"
        assert errors_of(runtime)["context"] == 3


@given(st.lists(st.floats(-1, 1), max_size=6))
def test_candidates_keep_their_order_where_words_say_nothing(cosines: list[float]) -> None:
    key = key_of(make_entry(question="asked"))
    made = [Candidate(make_entry(question=f"q{at}"), cosine) for at, cosine in enumerate(sorted(cosines, reverse=True))]
    assert rescored(key, made) == made


def test_of_two_that_are_as_near_the_one_with_the_same_words_is_judged_first() -> None:
    key = key_of(make_entry(question="How tall is K2?"))
    near = [Candidate(make_entry(question=text), 0.97) for text in ("Height of Everest", "how tall is k2")]
    assert rescored(key, near)[0] is near[1]


async def test_only_the_best_few_are_judged() -> None:
    rig = Rig(cut=2.0)
    async with started(rig.settings(cache={"neighbours": 20}), rig.plugin) as runtime:
        for at in range(8):
            await ask(runtime, f"{at} {CAT}", controls=Controls(no_cache=True))
        rig.acceptance.judged.clear()
        await ask(runtime, KITTEN)
        assert len(rig.acceptance.judged) == JUDGED


class Flights:
    """Requests that are held in the engine."""

    def __init__(self, runtime: Runtime, script: tuple[Any, ...] = ("one", "two", "three")) -> None:
        self.runtime = runtime
        self.gate = asyncio.Event()
        self.engine = ScriptedEngine(script, gate=self.gate)
        self.tasks: list[asyncio.Task[Reply]] = []

    async def send(self, text: str, *, follows: bool = False, **params: Any) -> asyncio.Task[Reply]:
        inside, behind = self.engine.running, len(followers_of(self.runtime))
        task = asyncio.create_task(self.runtime.pipeline.handle(chat(text, **params), self.engine))
        await until(lambda: (len(followers_of(self.runtime)) > behind) if follows else (self.engine.running > inside))
        self.tasks.append(task)
        return task

    async def land(self) -> list[tuple[str, str]]:
        self.gate.set()
        replies = await asyncio.gather(*self.tasks)
        await settled(self.runtime)
        return [(str(reply.status), text_of(reply)) for reply in replies]


async def test_similar_requests_in_flight_share_one_computation() -> None:
    rig = Rig()
    async with started(rig.settings(), rig.plugin) as runtime:
        flights = Flights(runtime)
        await flights.send(CAT)
        await flights.send(KITTEN, follows=True)
        await flights.send(KITTEN, follows=True)
        await flights.send(DOG)
        assert await flights.land() == [("miss", "one"), ("inflight", "one"), ("inflight", "one"), ("miss", "two")]
        assert len(flights.engine.calls) == 2


@pytest.mark.parametrize(
    ("acceptance", "cache", "other"),
    [
        ({"proven": False}, {}, {}),
        ({}, {"semantic": "shadow"}, {}),
        ({}, {"twins": False}, {}),
        ({}, {}, {"tenant": "other"}),
        ({}, {}, {"controls": Controls(no_store=True)}),
    ],
    ids=["unproven", "shadow", "no twins", "another tenant", "no store"],
)
async def test_what_would_not_be_served_is_not_shared_in_flight(
    acceptance: dict[str, Any], cache: dict[str, Any], other: dict[str, Any]
) -> None:
    rig = Rig(**acceptance)
    async with started(rig.settings(cache=cache), rig.plugin) as runtime:
        flights = Flights(runtime)
        await flights.send(CAT)
        await flights.send(KITTEN, **other)
        assert await flights.land() == [("miss", "one"), ("miss", "two")]


async def test_who_followed_a_similar_request_that_failed_computes_for_itself() -> None:
    rig = Rig()
    async with started(rig.settings(), rig.plugin) as runtime:
        flights = Flights(runtime, (RuntimeError("down"), "two"))
        leader = await flights.send(CAT)
        await flights.send(KITTEN, follows=True)
        flights.gate.set()
        with pytest.raises(RuntimeError):
            await leader
        assert text_of(await flights.tasks[1]) == "two"


async def test_who_followed_a_similar_request_that_left_computes_and_frees_the_others() -> None:
    rig = Rig()
    async with started(rig.settings(), rig.plugin) as runtime:
        flights = Flights(runtime)
        leader = await flights.send(CAT)
        await flights.send(KITTEN, follows=True)
        await flights.send(CAT, follows=True)
        leader.cancel()
        await until(lambda: flights.engine.running == 2)  # the kitten's own, and the cat's new leader
        del flights.tasks[0]
        assert sorted(status for status, _ in await flights.land()) == ["miss", "miss"]
        assert len(twins_of(runtime)) == 0


async def test_a_landed_request_is_no_longer_flown_with() -> None:
    rig = Rig()
    async with started(rig.settings(), rig.plugin) as runtime:
        await ask(runtime, CAT)
        assert (await ask(runtime, KITTEN, engine=ScriptedEngine([Exception("none")]))).status == "semantic"
        assert len(runtime.similar.flying) == 0


async def test_an_entry_with_an_odd_answer_is_no_trouble() -> None:
    rig = Rig()
    async with started(rig.settings(), rig.plugin) as runtime:
        await ask(runtime, CAT)
        entry = await runtime.keeper.get(runtime.pipeline.key_of(chat(CAT)))
        assert entry is not None
        assert isinstance(entry.answer, Answer)
        assert entry.vector == (1.0, 0.0, 0.0, 0.0)
        assert entry.context_vector is None
