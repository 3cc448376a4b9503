"""What every engine must do: subclass `EngineContract` and give it a fixture `engine`, started, that answers anything."""

from __future__ import annotations

from typing import Any

from forebay.middleware.protocols import Engine
from forebay.middleware.records import Request

HEADERS = {"traceparent": "00-0123456789abcdef0123456789abcdef-0123456789abcdef-01"}
QUESTION = Request(
    id="r", model="small", messages=({"role": "user", "content": "What is a forebay?"},), params={"temperature": 0}
)


class EngineContract:
    async def test_it_is_an_engine(self, engine: Engine) -> None:
        assert isinstance(engine, Engine)

    async def test_a_whole_answer(self, engine: Engine) -> None:
        answer = await engine.complete(QUESTION, HEADERS)
        (choice,) = answer.body["choices"]
        assert choice["finish_reason"] == "stop"
        assert choice["message"]["content"]
        assert answer.input_tokens > 0
        assert answer.output_tokens > 0

    async def test_a_streamed_answer(self, engine: Engine) -> None:
        chunks = [chunk async for chunk in engine.stream(QUESTION, HEADERS)]
        choices = [choice for chunk in chunks for choice in chunk["choices"]]
        assert "".join(choice["delta"].get("content") or "" for choice in choices)
        assert [choice["finish_reason"] for choice in choices if choice.get("finish_reason")] == ["stop"]
        usage: Any = chunks[-1]["usage"]
        assert usage["prompt_tokens"] > 0
        assert usage["completion_tokens"] > 0

    async def test_a_stream_may_be_left(self, engine: Engine) -> None:
        stream = engine.stream(QUESTION, HEADERS)
        await anext(stream)
        await stream.aclose()  # type: ignore[attr-defined]
        assert [chunk async for chunk in stream] == []
        assert (await engine.complete(QUESTION, HEADERS)).body["choices"]
