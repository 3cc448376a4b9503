"""Equal requests read one engine call while it goes on, and whoever leaves takes nothing from the others."""

from __future__ import annotations

import asyncio
import random
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import pytest

from forebay.middleware.records import Answer, Ending
from forebay.testing import chat, started
from tests.middleware.asking import QUESTION, stored
from tests.middleware.parts import Spy, settled

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping

    from forebay.middleware.runtime import Runtime

LIMITED: dict[str, Any] = {"limit": {"type": "fixed", "max_inflight": 1}}


class Voice:
    """An engine whose words come one at a time, each when it is let."""

    def __init__(self, words: str = "one two three", *, whole: bool = False, fails_at: int | None = None) -> None:
        self.words = [words] if whole else words.split()
        self.whole = whole
        self.fails_at = fails_at
        self.more = asyncio.Semaphore(0)
        self.calls = self.running = 0

    async def say(self) -> AsyncGenerator[str]:
        self.calls += 1
        self.running += 1
        try:
            for at, word in enumerate(self.words):
                await self.more.acquire()
                if at == self.fails_at:
                    raise OSError("broken")
                yield word
        finally:
            self.running -= 1

    def go(self, words: int = 9) -> None:
        for _ in range(words):
            self.more.release()


class Words:
    """One call of it."""

    def __init__(self, voice: Voice, form: str | None = "words", *, latest: bool = False) -> None:
        self.form = form
        self.latest = latest
        self.whole = voice.whole
        self._voice = voice
        self._said: list[str] = []

    def open(self, headers: Mapping[str, str]) -> AsyncGenerator[str]:
        return self._voice.say()

    def add(self, piece: str) -> bool:
        self._said.append(piece)
        return True

    def answer(self) -> Answer:
        message = {"role": "assistant", "content": " ".join(self._said)}
        return Answer({"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}, 1, len(self._said))


class Caller:
    """One request on its way."""

    def __init__(self, runtime: Runtime, voice: Voice, form: str | None = "words", *, latest: bool = False) -> None:
        self.pipeline = runtime.pipeline
        self.source = Words(voice, form, latest=latest)
        self.got: list[str] = []
        self.task = asyncio.create_task(self._run())

    async def _run(self) -> list[str]:
        pipeline = self.pipeline
        flight = pipeline.begin(chat(QUESTION))
        try:
            pipeline.analyze(flight)
            await pipeline.lookup(flight)
            hit = await pipeline.admit(flight, form=self.source.form)
        except BaseException:
            pipeline.finish(flight, Ending.CANCELLED)
            raise
        if hit is not None:
            pipeline.finish(flight, Ending.COMPLETE)
            self.got.append(hit.entry.answer.body["choices"][0]["message"]["content"])
            return self.got
        async with aclosing(pipeline.run(flight, self.source)) as pieces:
            async for piece in pieces:
                self.got.append(piece)
        return self.got

    async def leave(self) -> None:
        self.task.cancel()
        await asyncio.wait([self.task])


async def until(condition: Any) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110  (of several objects at once)
            await asyncio.sleep(0)


async def quiet() -> None:
    for _ in range(30):
        await asyncio.sleep(0)


@pytest.mark.parametrize("whole", [False, True])
async def test_twins_read_one_call_live_and_it_is_kept_once(whole: bool) -> None:
    spy = Spy()
    async with started(LIMITED, spy) as runtime:
        voice = Voice(whole=whole)
        callers = [Caller(runtime, voice) for _ in range(4)]
        await quiet()
        voice.go(1)
        await until(lambda: all(caller.got for caller in callers))
        assert voice.calls == 1
        voice.go()
        told = await asyncio.gather(*(caller.task for caller in callers))
        assert told == [["one two three"] if whole else ["one", "two", "three"]] * 4
        await settled(runtime)
        assert await stored(runtime) == 1
        assert runtime.pipeline.gate.load.inflight == runtime.pipeline.inflight == voice.running == 0
    assert sorted(finished.status.value for finished in spy.finished) == ["inflight"] * 3 + ["miss"]
    assert {finished.ending for finished in spy.finished} == {Ending.COMPLETE}


async def test_one_who_comes_late_reads_from_the_beginning() -> None:
    async with started(LIMITED) as runtime:
        voice = Voice()
        first = Caller(runtime, voice)
        await quiet()
        voice.go(2)
        await until(lambda: len(first.got) == 2)
        late = Caller(runtime, voice)
        await quiet()
        assert late.got == []  # the leader itself waits for the next word
        voice.go()
        assert list(await asyncio.gather(first.task, late.task)) == [["one", "two", "three"]] * 2
        assert voice.calls == 1


@pytest.mark.parametrize("after", [0, 1, 2])
@pytest.mark.parametrize("whole", [False, True])
async def test_a_leader_that_leaves_hands_over_and_the_answer_is_kept(after: int, whole: bool) -> None:
    spy = Spy()
    async with started(LIMITED, spy) as runtime:
        voice = Voice(whole=whole)
        first, second, third = (Caller(runtime, voice) for _ in range(3))
        await quiet()
        if not whole:
            voice.go(after)
            await until(lambda: len(first.got) == after)
            await quiet()
        await first.leave()
        assert voice.running == 1
        await quiet()
        voice.go()
        await asyncio.gather(second.task, third.task)
        assert "".join(second.got) == "".join(third.got)
        assert " ".join(second.got) == "one two three"
        assert voice.calls == (1 if whole or after else 2)  # a leader that waits itself takes its call along
        await settled(runtime)
        assert await stored(runtime) == 1
        assert runtime.pipeline.gate.load.inflight == runtime.pipeline.inflight == voice.running == 0
    assert sorted(finished.ending.value for finished in spy.finished) == ["cancelled", "complete", "complete"]


@pytest.mark.parametrize("read", [0, 1])
async def test_the_engine_stops_when_the_last_reader_leaves(read: int) -> None:
    async with started(LIMITED) as runtime:
        voice = Voice()
        callers = [Caller(runtime, voice) for _ in range(3)]
        await quiet()
        voice.go(read)
        await until(lambda: all(len(caller.got) == read for caller in callers) or not read)
        for caller in callers:
            await caller.leave()
        await settled(runtime)
        assert voice.running == 0
        assert runtime.pipeline.gate.load.inflight == runtime.pipeline.inflight == 0
        assert await stored(runtime) == 0


async def test_a_call_that_fails_before_it_brings_anything_fails_its_leader_alone() -> None:
    async with started(LIMITED) as runtime:
        broken, sound = Voice(whole=True, fails_at=0), Voice(whole=True)
        first = Caller(runtime, broken)
        await quiet()
        second = Caller(runtime, sound)
        await quiet()
        broken.go()
        sound.go()
        with pytest.raises(OSError, match="broken"):
            await first.task
        assert await second.task == ["one two three"]
        assert (broken.calls, sound.calls) == (1, 1)
        await settled(runtime)
        assert runtime.pipeline.gate.load.inflight == runtime.pipeline.inflight == 0


async def test_a_call_that_fails_later_fails_all_who_have_read_of_it() -> None:
    async with started(LIMITED) as runtime:
        voice = Voice(fails_at=2)
        callers = [Caller(runtime, voice) for _ in range(3)]
        await quiet()
        voice.go()
        results = await asyncio.gather(*(caller.task for caller in callers), return_exceptions=True)
        assert [type(result) for result in results] == [OSError] * 3
        await settled(runtime)
        assert await stored(runtime) == 0
        assert runtime.pipeline.gate.load.inflight == runtime.pipeline.inflight == voice.running == 0


async def test_another_form_waits_for_the_whole_answer() -> None:
    async with started(LIMITED) as runtime:
        voice, other = Voice(), Voice()
        first = Caller(runtime, voice)
        await quiet()
        second = Caller(runtime, other, "letters")
        await quiet()
        voice.go()
        assert await first.task == ["one", "two", "three"]
        assert await second.task == ["one two three"]
        assert other.calls == 0


async def test_latest_pieces_are_not_repeated_to_one_who_comes_late() -> None:
    async with started(LIMITED) as runtime:
        voice = Voice("one one-two one-two-three")
        first = Caller(runtime, voice, latest=True)
        await quiet()
        voice.go(1)
        await until(lambda: len(first.got) == 1)
        late = Caller(runtime, voice, latest=True)
        await quiet()
        voice.go(1)
        await until(lambda: bool(late.got))
        voice.go()
        await asyncio.gather(first.task, late.task)
        assert first.got == ["one", "one-two", "one-two-three"]
        assert late.got[-1] == "one-two-three"
        assert "one" not in late.got


@pytest.mark.parametrize("seed", range(40))
async def test_nobody_is_stranded_by_random_leavers(seed: int) -> None:
    chance = random.Random(seed)
    async with started(LIMITED) as runtime:
        voice = Voice("one two three four five", whole=chance.random() < 0.3)
        callers: list[Caller] = []
        for _ in range(12):
            callers.append(Caller(runtime, voice))
            for _ in range(chance.randint(0, 12)):
                await asyncio.sleep(0)
            if chance.random() < 0.5:
                voice.go(1)
            if chance.random() < 0.5:
                await chance.choice(callers).leave()
        staying = [caller for caller in callers if not caller.task.cancelled()]
        for _ in range(12):
            voice.go(20)
            await quiet()
        for caller in staying:
            assert " ".join(await caller.task) == "one two three four five"
        await settled(runtime)
        assert runtime.pipeline.gate.load.inflight == runtime.pipeline.inflight == voice.running == 0
        assert await stored(runtime) == 1 or not staying
