"""handle_many with answer checks, and with engines that fail."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from forebay.middleware.batch import handle_many
from forebay.middleware.batch_checks import Care, RefusedAnswerError, backoff_s, reason_of
from forebay.middleware.errors import EngineError, ShedError
from forebay.middleware.pipeline import Reply
from forebay.middleware.records import Answer, Request
from forebay.testing import ScriptedEngine, chat, completion, started
from tests.middleware.asking import ask, text_of
from tests.middleware.parts import Given, Spy

if TYPE_CHECKING:
    from collections.abc import Mapping

    from forebay.middleware.batch_report import Batch


class Says:
    """An answer check whose label is what the answer begins with in brackets."""

    def refuse(self, request: Request, answer: Answer) -> str | None:
        text = str(answer.body["choices"][0]["message"]["content"])
        return text[1 : text.index("]")] if text.startswith("[") else None


def care(retries: int, *checks: Any) -> Care:
    return Care(checks or (Says(),), retries, lambda _: 0.0)


def texts(batch: Batch) -> list[str]:
    return [text_of(reply) if isinstance(reply, Reply) else reason_of(reply) for reply in batch.replies]


async def test_a_call_that_failed_is_made_again_and_a_refused_one_is_not() -> None:
    engine = ScriptedEngine([EngineError("busy", status=503), EngineError("gone"), "ok", EngineError("no", status=400)])
    async with started() as runtime:
        batch = await handle_many(runtime.pipeline, [chat("a"), chat("b")], engine, max_parallel=1, care=care(3))
    assert texts(batch) == ["ok", "status_400"]
    assert (len(engine.calls), batch.report.retries) == (4, 2)
    assert dict(batch.report.failures) == {"status_400": 1}


async def test_attempts_are_bounded_and_the_lease_comes_back() -> None:
    engine = ScriptedEngine([EngineError("busy", status=503)])
    settings = {"limit": {"type": "fixed", "max_inflight": 1}}
    async with started(settings) as runtime:
        batch = await handle_many(runtime.pipeline, [chat("a"), chat("b")], engine, care=care(2))
        assert runtime.pipeline.gate.load.inflight == 0
    assert texts(batch) == ["status_503", "status_503"]
    assert (len(engine.calls), batch.report.retries) == (6, 4)


async def test_an_answer_that_a_check_refuses_is_asked_for_again_and_not_kept() -> None:
    engine = ScriptedEngine(["[not_json]", "[not_json]", "fine"])
    spy = Spy()
    async with started(Given(answer_check=Says()).settings, Given(answer_check=Says()), spy) as runtime:
        batch = await handle_many(runtime.pipeline, [chat("a"), chat("a")], engine, care=care(2))
    assert texts(batch) == ["fine", "fine"]
    assert len(engine.calls) == 3
    assert len(spy.stored) == 1


async def test_where_it_stays_refused_the_member_fails_and_has_the_answer() -> None:
    engine = ScriptedEngine(["[not_json]"])
    async with started() as runtime:
        batch = await handle_many(runtime.pipeline, [chat("a")], engine, care=care(1))
        assert (await ask(runtime, "a", engine=ScriptedEngine(["other"]))).status == "miss"
    (error,) = batch.replies
    assert isinstance(error, RefusedAnswerError)
    assert error.answer.body["choices"][0]["message"]["content"] == "[not_json]"
    assert len(engine.calls) == 2


@pytest.mark.parametrize(("label", "calls"), [("refusal", 3), ("finish_reason_length", 1)])
async def test_an_answer_that_is_only_doubtful_is_taken_in_the_end(label: str, calls: int) -> None:
    engine = ScriptedEngine([f"[{label}]"])
    async with started() as runtime:
        batch = await handle_many(runtime.pipeline, [chat("a")], engine, care=care(2))
    assert texts(batch) == [f"[{label}]"]
    assert dict(batch.report.warnings) == {label: 1}
    assert (len(engine.calls), batch.report.failed) == (calls, 0)


async def test_at_temperature_0_an_answer_is_not_asked_for_again() -> None:
    engine = ScriptedEngine(["[not_json]"])
    async with started() as runtime:
        batch = await handle_many(runtime.pipeline, [chat("a", temperature=0)], engine, care=care(5))
    assert (texts(batch), len(engine.calls)) == (["not_json"], 1)


async def test_a_kept_answer_that_a_check_refuses_is_computed_anew() -> None:
    async with started() as runtime:
        await ask(runtime, "a", engine=ScriptedEngine(["[schema_mismatch]"]))
        batch = await handle_many(runtime.pipeline, [chat("a")], ScriptedEngine(["better"]), care=care(0))
        assert texts(batch) == ["better"]
        assert text_of(await ask(runtime, "a", engine=ScriptedEngine(["unused"]))) == "better"
    assert (batch.report.exact, batch.report.computed) == (0, 1)


async def test_a_shed_member_tries_again() -> None:
    class Sheds(ScriptedEngine):
        async def _next(self, request: Request, headers: Mapping[str, str]) -> dict[str, Any]:
            await super()._next(request, headers)
            if len(self.calls) == 1:
                raise ShedError("queue_full")
            return completion("ok")

    async with started() as runtime:
        batch = await handle_many(runtime.pipeline, [chat("a")], Sheds(), care=care(1))
    assert texts(batch) == ["ok"]
    assert batch.report.retries == 1


async def test_members_have_the_class_of_batches() -> None:
    engine = ScriptedEngine(["ok"])
    own = chat("b")
    async with started() as runtime:
        await handle_many(runtime.pipeline, [chat("a"), own], engine)
    assert [call.hints for call in engine.calls] == [{"header.x-forebay-priority": "batch"}] * 2


async def test_the_worst_label_counts() -> None:
    class Always:
        def __init__(self, label: str) -> None:
            self._label = label

        def refuse(self, request: Request, answer: Answer) -> str | None:
            return self._label

    found = care(0, Always("finish_reason_length"), Always("schema_mismatch"), Always("refusal"))
    assert found.label(chat("a"), Answer(completion("x"))) == "schema_mismatch"


def test_waits_grow_and_are_bounded() -> None:
    waits = [backoff_s(attempt) for attempt in range(100)]
    assert waits[:3] == [0.5, 1.0, 2.0]
    assert waits == sorted(waits)
    assert waits[-1] == 30.0
