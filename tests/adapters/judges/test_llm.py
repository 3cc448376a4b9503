from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncGenerator, Mapping
from pathlib import Path
from typing import Any

import pytest

from forebay.adapters.demo.children import Child, free_port, stop_all
from forebay.adapters.engines.openai_http import OpenAIHTTPEngine
from forebay.adapters.judges.llm import DIFFER, MAX_TOKENS, SAME, LLMJudge, verdict_of
from forebay.middleware.chat import answer_of
from forebay.middleware.errors import EngineError
from forebay.middleware.records import Answer, JsonObject, Request
from forebay.testing import ScriptedEngine, completion
from tests.contract.judge import JudgeContract, pair


class Reader:
    """An engine that reads the answers out of its prompt and compares them letter by letter."""

    def __init__(self) -> None:
        self.calls: list[Request] = []

    async def complete(self, request: Request, headers: Mapping[str, str]) -> Answer:
        self.calls.append(request)
        content = str(request.messages[-1]["content"])
        texts, _, question = content.rpartition("\n\n")
        given = json.loads(texts)
        same = given["answer_1"] == given["answer_2"]
        return answer_of(completion("yes" if same is (question == SAME) else "no"))

    async def stream(self, request: Request, headers: Mapping[str, str]) -> AsyncGenerator[JsonObject, None]:
        yield (await self.complete(request, headers)).body


class TestLLMJudge(JudgeContract):
    @pytest.fixture
    def judge(self) -> LLMJudge:
        return LLMJudge(Reader(), most_chars=200_000)


async def test_what_it_asks() -> None:
    engine = Reader()
    judge = LLMJudge(engine, model="small")
    assert (await judge.compare(pair('It\'s "5".\n}', "6", question="How many?"))).same is False
    same, differ = engine.calls
    assert same.model == differ.model == "small"
    assert same.id != differ.id
    assert same.params == {"temperature": 0, "max_tokens": MAX_TOKENS}
    assert same.controls.no_cache
    assert same.controls.no_store
    assert not same.stream
    content = str(same.messages[1]["content"])
    texts, _, question = content.rpartition("\n\n")
    assert json.loads(texts) == {"question": "How many?", "answer_1": 'It\'s "5".\n}', "answer_2": "6"}
    assert "\n" not in texts  # nothing in an answer begins a line of the prompt
    assert question == SAME
    assert str(differ.messages[1]["content"]).endswith(DIFFER)


@pytest.mark.parametrize(
    ("said", "verdict"),
    [
        ("yes", True),
        ("No.", False),
        (" Yes\n", True),
        ("**Yes**", True),
        ('"no"', False),
        ("Yes, both say", True),
        ("No. The first", False),
        ("yes or no", None),
        ("Yes/No", None),
        ("Yes, no", None),
        ("No way to", None),
        ("Yesterday", None),
        ("The answers", None),
        ("y", None),
        ("true", None),
        ("", None),
        (None, None),
    ],
)
def test_only_a_clear_yes_or_no_counts(said: str | None, verdict: bool | None) -> None:
    assert verdict_of(completion(said)) is verdict


@pytest.mark.parametrize(
    "body", [{}, {"choices": []}, {"choices": None}, {"choices": [3]}, {"choices": [{"message": {"content": ["yes"]}}]}]
)
def test_a_body_without_text_has_no_verdict(body: dict[str, Any]) -> None:
    assert verdict_of(body) is None


@pytest.mark.parametrize(
    ("script", "same", "reason", "calls"),
    [
        (["yes", "no"], True, "model", 2),
        (["no", "yes"], False, "model", 2),
        (["yes", "yes"], None, "contradicts_itself", 2),  # what an answer that asks for a yes gets
        (["no", "no"], None, "contradicts_itself", 2),
        (["maybe"], None, "unclear", 1),
        (["yes", "hm"], None, "unclear", 2),
    ],
)
async def test_both_replies_must_fit_together(script: list[str], same: bool | None, reason: str, calls: int) -> None:
    engine = ScriptedEngine(script)
    judge = LLMJudge(engine)
    found = await judge.compare(pair("one", "another"))
    assert (found.same, found.reason) == (same, reason)
    assert len(engine.calls) == judge.calls == calls
    assert (judge.input_tokens, judge.output_tokens) == (7 * calls, 3 * calls)


async def test_asked_once_the_first_reply_decides() -> None:
    engine = ScriptedEngine(["yes"])
    assert (await LLMJudge(engine, twice=False).compare(pair("one", "another"))).same is True
    assert len(engine.calls) == 1


async def test_long_answers_and_empty_ones_are_not_asked_about() -> None:
    engine = ScriptedEngine(["yes"])
    judge = LLMJudge(engine, most_chars=10)
    assert (await judge.compare(pair("x" * 11, "y"))).reason == "too_long"
    assert (await judge.compare(pair("x", "y", question="z" * 11))).reason == "too_long"
    assert (await judge.compare(pair("", "y"))).reason == "no_words"
    assert engine.calls == []


async def test_it_has_a_deadline_of_its_own() -> None:
    judge = LLMJudge(ScriptedEngine(["yes"], gate=asyncio.Event()), timeout_s=0.01)
    with pytest.raises(EngineError, match=r"longer than 0\.01 s"):
        await judge.compare(pair("one", "another"))


async def test_a_failing_engine_is_told() -> None:
    with pytest.raises(EngineError, match="down"):
        await LLMJudge(ScriptedEngine([EngineError("down")])).compare(pair("one", "another"))


KNOWN = [
    ("What is the capital of Portugal?", "The capital of Portugal is Lisbon."),
    ("How many days has a leap year?", "366"),
    ("Is a tomato a fruit?", "Yes."),
    ("When does the museum open?", "The museum opens at 10:00."),
    ("Can I bring a dog?", "Yes, dogs are welcome on the terrace."),
    ("What's the fee?", "The fee is $3.50."),
]


@pytest.mark.slow
async def test_a_small_model_end_to_end(tmp_path: Path) -> None:
    """SmolLM2-135M is a weak judge: what is checked is that it is asked, answers, and is read strictly."""
    port = free_port()
    command = [sys.executable, "-m", "forebay.adapters.demo.model_server", str(port)]
    child = Child("model", command, log=tmp_path / "model.log", env=os.environ, cwd=tmp_path)
    engine = OpenAIHTTPEngine(base_url=f"http://127.0.0.1:{port}/v1", timeout_s=120.0)
    try:
        await engine.start()
        async with asyncio.timeout(120.0):
            while not (await engine.check_ready())[0].ok:
                child.check()
                await asyncio.sleep(0.1)
        judge = LLMJudge(engine, model="smollm2", timeout_s=120.0, twice=False)
        said = [(await judge.compare(pair(answer, answer, question=question))).same for question, answer in KNOWN]
        assert said.count(True) >= 3
        assert judge.calls == len(KNOWN)
        assert judge.input_tokens > 50 * len(KNOWN)
        assert 0 < judge.output_tokens <= MAX_TOKENS * len(KNOWN)
        twice = LLMJudge(engine, model="smollm2", timeout_s=120.0)
        garbage = await twice.compare(pair("qx zzv 00 |||", "~~ kd kd kd", question="%%%"))
        assert garbage.same is None
    finally:
        await engine.stop()
        stop_all([child])
