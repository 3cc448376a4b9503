"""Streams through the pipeline: kept whole, replayed, broken off."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from forebay.middleware.errors import EngineError
from forebay.middleware.records import Ending
from forebay.testing import ScriptedEngine, started
from tests.middleware.asking import QUESTION, ask, read, stored, text_in, text_of
from tests.middleware.parts import Spy, settled

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from forebay.middleware.records import Request


@pytest.mark.parametrize("usage", [True, False])
async def test_a_stream_is_kept_and_answers_a_whole_request(usage: bool) -> None:
    async with started() as runtime:
        engine = ScriptedEngine(["one two three"])
        first = await ask(runtime, QUESTION, engine=engine, stream=True, stream_options={"include_usage": usage})
        assert text_in(await read(first)) == "one two three"
        await settled(runtime)
        second = await ask(runtime, QUESTION, engine=engine)
        assert (first.status, second.status, text_of(second)) == ("miss", "exact", "one two three")
        assert len(engine.calls) == 1


@pytest.mark.parametrize("options", [{}, {"stream_options": {"include_usage": True}}, {"stream_options": "odd"}])
async def test_a_whole_answer_answers_a_stream(options: dict[str, Any]) -> None:
    async with started() as runtime:
        await ask(runtime, QUESTION, engine=ScriptedEngine(["one two three"]))
        reply = await ask(runtime, QUESTION, stream=True, **options)
        chunks = await read(reply)
        assert (reply.status, text_in(chunks)) == ("exact", "one two three")
        assert ("usage" in chunks[-1]) is (options.get("stream_options") == {"include_usage": True})


async def test_a_stream_that_is_closed_early_is_not_kept_and_gives_its_lease_back() -> None:
    spy = Spy()
    async with started({"limit": {"type": "fixed", "max_inflight": 1}}, spy) as runtime:
        reply = await ask(runtime, QUESTION, engine=ScriptedEngine(["one two three"]), stream=True)
        assert reply.chunks is not None
        await anext(reply.chunks)
        assert runtime.pipeline.gate.load.inflight == 1
        await reply.chunks.aclose()
        await settled(runtime)
        assert runtime.pipeline.gate.load.inflight == 0
        assert await stored(runtime) == 0
        assert runtime.pipeline.inflight == 0
    assert [finished.ending for finished in spy.finished] == [Ending.CANCELLED]


async def test_a_stream_that_is_closed_unread_gives_its_lease_back_and_asks_the_engine_nothing() -> None:
    async with started({"limit": {"type": "fixed", "max_inflight": 1}}) as runtime:
        engine = ScriptedEngine()
        reply = await ask(runtime, QUESTION, engine=engine, stream=True)
        assert reply.chunks is not None
        await reply.chunks.aclose()
        assert runtime.pipeline.gate.load.inflight == 0
        assert runtime.pipeline.inflight == 0
        assert engine.calls == []


class Stream(ScriptedEngine):
    """Sends these chunks, then raises."""

    def __init__(self, chunks: list[Any], error: Exception | None = None, *, at_close: bool = False) -> None:
        super().__init__()
        self.chunks = chunks
        self.error = error
        self.at_close = at_close

    async def stream(self, request: Request, headers: Any) -> AsyncGenerator[Any]:
        try:
            for chunk in self.chunks:
                yield chunk
            if self.error is not None and not self.at_close:
                raise self.error
        finally:
            if self.error is not None and self.at_close:
                raise self.error


def piece(content: str, finish_reason: str | None = None) -> dict[str, Any]:
    choice = {"index": 0, "delta": {"content": content}, "finish_reason": finish_reason}
    return {"id": "c", "object": "chat.completion.chunk", "choices": [choice]}


async def test_a_stream_that_fails_is_not_kept() -> None:
    spy = Spy()
    async with started({"limit": {"type": "fixed", "max_inflight": 1}}, spy) as runtime:
        reply = await ask(runtime, QUESTION, engine=Stream([piece("half")], EngineError("gone")), stream=True)
        with pytest.raises(EngineError, match="gone"):
            await read(reply)
        await settled(runtime)
        assert await stored(runtime) == 0
        assert runtime.pipeline.gate.load.inflight == 0
    assert [finished.ending for finished in spy.finished] == [Ending.FAILED]


async def test_a_stream_that_ends_without_a_finish_reason_is_not_kept() -> None:
    async with started() as runtime:
        reply = await ask(runtime, QUESTION, engine=Stream([piece("half")]), stream=True)
        assert text_in(await read(reply)) == "half"
        await settled(runtime)
        assert await stored(runtime) == 0


ODD_CHUNKS: list[dict[str, Any]] = [
    {"choices": [None]},
    {"choices": 7},
    {"choices": [{"index": "x", "delta": {}}]},
]


@pytest.mark.parametrize("odd", ODD_CHUNKS)
async def test_a_chunk_that_cannot_be_read_goes_to_the_caller_and_nothing_is_kept(odd: dict[str, Any]) -> None:
    async with started() as runtime:
        chunks = [piece("one "), odd, piece("two", "stop")]
        reply = await ask(runtime, QUESTION, engine=Stream(chunks), stream=True)
        assert await read(reply) == chunks
        await settled(runtime)
        assert await stored(runtime) == 0


async def test_an_engine_that_fails_while_it_is_closed_still_gives_the_lease_back() -> None:
    async with started({"limit": {"type": "fixed", "max_inflight": 1}}) as runtime:
        engine = Stream([piece("one"), piece("two", "stop")], ValueError("odd"), at_close=True)
        reply = await ask(runtime, QUESTION, engine=engine, stream=True)
        assert reply.chunks is not None
        await anext(reply.chunks)
        with pytest.raises(ValueError, match="odd"):
            await reply.chunks.aclose()
        assert runtime.pipeline.gate.load.inflight == 0
        assert runtime.pipeline.inflight == 0
